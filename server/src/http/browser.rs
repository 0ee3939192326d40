//! What browsers and proxies are told: who may ask from a page, and in which form the answer comes.

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

use super::body::holding;
use super::{Hosts, REQUEST_ID, UPLOAD_STATUS};

/// A packet. Less than that is sent no faster when it is smaller.
const MIN_BYTES: u64 = 1400;
/// Answers that are packed at a time. Each packer takes 400 KiB.
const MAX_PACKERS: usize = 128;
/// How long a browser may remember what it was told.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// Pages of any origin may ask where a key is asked for, as with the real service. Where none is,
/// whoever looks at a page would ask in the name of this machine, so the page has to come from it, or
/// from one of the `hosts`.
pub fn origins(hosts: Option<Hosts>) -> CorsLayer {
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

/// As the real service has it: a browser takes an answer for what its content type says, and does not
/// try to mend it.
pub fn as_it_says<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
    response
}

/// Packs what [`Packers`] have admitted, for clients that ask for it.
pub fn packing() -> CompressionLayer<Admitted> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Admitted)
}

/// Places for answers that are packed while they are sent. One that finds none is sent as it is.
#[derive(Debug)]
pub struct Packers(Arc<Semaphore>);

impl Default for Packers {
    fn default() -> Packers {
        Packers(Arc::new(Semaphore::new(MAX_PACKERS)))
    }
}

impl Packers {
    /// Marks an answer that may be packed. JSON that is whole may be; streams never are, for what waits in
    /// a packer has not been said.
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
