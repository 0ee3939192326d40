//! CORS, security headers and compression of responses.

use std::sync::Arc;

use axum::http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Response};
use hyper::body::Body;
use tokio::sync::Semaphore;
use tower_http::CompressionLevel;
use tower_http::compression::{CompressionLayer, Predicate};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::http::extract::body::holding;
use crate::http::{Hosts, REQUEST_ID, UPLOAD_STATUS};

/// One packet: a smaller response is not faster when compressed.
const MIN_BYTES: u64 = 1400;
/// Maximum number of responses that are compressed at once. A compressor uses 400 KiB.
const MAX_COMPRESSORS: usize = 128;
/// How long browsers may cache a CORS preflight.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// With keys, pages of any origin may send requests, as with the real service. Without keys, a
/// foreign page would act for this machine, so only pages of this machine and of `hosts` are
/// allowed.
pub fn cors(hosts: Option<Hosts>) -> CorsLayer {
    let origin = match hosts {
        Some(hosts) => {
            AllowOrigin::predicate(move |origin: &HeaderValue, _: &Parts| hosts.has_origin(origin))
        }
        None => AllowOrigin::any(),
    };
    let exposed = ["x-goog-upload-url", "x-goog-upload-size-received", "retry-after"];
    let exposed = exposed.into_iter().map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.chain([REQUEST_ID, UPLOAD_STATUS]).collect::<Vec<_>>())
        .max_age(REMEMBERED)
}

/// Disables content sniffing in browsers, as the real service does.
pub fn security_headers<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
    response
}

/// Compresses responses admitted by [`Compressors`], if the client accepts that.
pub fn compression() -> CompressionLayer<Admitted> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Admitted)
}

/// Limits the number of concurrent compressions. A response above the limit is sent uncompressed.
#[derive(Debug)]
pub struct Compressors(Arc<Semaphore>);

impl Default for Compressors {
    fn default() -> Compressors {
        Compressors(Arc::new(Semaphore::new(MAX_COMPRESSORS)))
    }
}

impl Compressors {
    /// Marks a response for compression. Complete JSON qualifies. Streams do not: a compressor
    /// would delay their events.
    pub fn admit(&self, mut response: axum::response::Response) -> axum::response::Response {
        if !is_whole_json(&response) {
            return response;
        }
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return response };
        response.extensions_mut().insert(Admitted);
        holding(response, place)
    }
}

fn is_whole_json<B: Body>(response: &Response<B>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let size = response.body().size_hint().exact();
    kind.starts_with(b"application/json")
        && size.is_some_and(|bytes| bytes >= MIN_BYTES)
        && !response.headers().contains_key(CONTENT_ENCODING)
}

#[derive(Debug, Clone, Copy)]
pub struct Admitted;

impl Predicate for Admitted {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        response.extensions().get::<Admitted>().is_some()
    }
}
