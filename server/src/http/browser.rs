//! What browsers and proxies are told: who may ask from a page, and in which form the answer comes.

use axum::http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Response};
use hyper::body::Body;
use tower_http::CompressionLevel;
use tower_http::compression::{CompressionLayer, Predicate};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::{Hosts, REQUEST_ID, UPLOAD_STATUS};

/// A packet. Less than that is sent no faster when it is smaller.
const MIN_BYTES: u64 = 1400;
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

/// JSON that is whole is packed for clients that ask for it; streams never are, for what waits in a
/// packer has not been said.
pub fn packing() -> CompressionLayer<WholeJson> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(WholeJson)
}

#[derive(Debug, Clone, Copy)]
pub struct WholeJson;

impl Predicate for WholeJson {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let size = response.body().size_hint().exact();
        kind.starts_with(b"application/json")
            && size.is_some_and(|bytes| bytes >= MIN_BYTES)
            && !response.headers().contains_key(CONTENT_ENCODING)
    }
}
