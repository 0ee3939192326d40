//! The namespace of a request: `/n/NAME` before its path, or the header `x-belljar-namespace`.

use axum::extract::{FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use crate::http::error::ApiError;
use domain::namespace::Namespace;
use domain::owner::Owner;

const HEADER: &str = "x-belljar-namespace";
/// The first segment of a path with a namespace.
const PREFIX: &str = "/n/";

/// The namespace that a request names, or the default one, of the request's tenant.
#[derive(Debug)]
pub struct InNamespace(pub Namespace);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<InNamespace, Response> {
        let Some(owner) = parts.extensions.get::<Owner>().cloned() else {
            // Only a route without authentication has no tenant; it must not use the shared
            // namespace.
            let why = anyhow::anyhow!("namespace requested on a route without authentication");
            return Err(ApiError::internal(why).into_response());
        };
        let in_path = parts.extensions.get::<PathPrefix>().map(|prefix| prefix.name.as_str());
        let in_header = parts.headers.get(HEADER).map(|name| name.to_str().unwrap_or_default());
        let (place, name) = match (in_path, in_header) {
            (None, None) => return Ok(InNamespace(Namespace::default().of(owner))),
            (Some(path), Some(header)) if path != header => {
                let why = format!("The path and the header '{HEADER}' name different namespaces.");
                return Err(ApiError::invalid(why).into_response());
            }
            (Some(path), _) => ("path", path),
            (None, Some(header)) => (HEADER, header),
        };
        let named = named(place, name).map_err(|error| error.into_response())?;
        Ok(InNamespace(named.of(owner)))
    }
}

fn named(place: &str, name: &str) -> Result<Namespace, ApiError> {
    Namespace::named(name)
        .map_err(|error| ApiError::invalid(format!("Invalid value for '{place}': {error}.")))
}

/// `/n/NAME` before the path of a request. An extension of the request, whose path no longer has it: clients
/// that can set only a base URL are in a namespace too.
#[derive(Debug, Clone)]
pub struct PathPrefix {
    /// As the client wrote it, for URLs in the response.
    pub path: String,
    name: String,
}

impl PathPrefix {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error for an invalid name. Not every route uses the namespace, so all requests are checked.
    pub fn refuses(request: &Request) -> Option<ApiError> {
        let prefix = request.extensions().get::<PathPrefix>()?;
        named("path", &prefix.name).err()
    }
}

/// Moves the prefix from the path to an extension.
pub fn without_prefix(mut request: Request) -> Request {
    let Some(rest) = request.uri().path().strip_prefix(PREFIX) else { return request };
    let name = rest.split('/').next().unwrap_or_default();
    let rest = match &rest[name.len()..] {
        "" => "/",
        rest => rest,
    };
    let prefix = PathPrefix { path: format!("{PREFIX}{name}"), name: decoded(name) };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(path) = format!("{rest}{query}").parse() {
        let mut uri = request.uri().clone().into_parts();
        uri.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(uri) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(prefix);
        }
    }
    request
}

/// Decodes `%2F`. What is not UTF-8 becomes U+FFFD, which no name contains.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let digit = |at: usize| others.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let code = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn split(uri: &str) -> (String, Option<(String, String)>) {
        let request = Request::builder().uri(uri).body(Body::empty()).expect("it is a request");
        let request = without_prefix(request);
        let prefix = request.extensions().get::<PathPrefix>().cloned();
        (request.uri().to_string(), prefix.map(|prefix| (prefix.path, prefix.name)))
    }

    #[test]
    fn the_prefix_is_taken_from_the_path() {
        for (uri, rest, prefix) in [
            ("/v1/models?a=b", "/v1/models?a=b", None),
            ("/n", "/n", None),
            ("/nn/a", "/nn/a", None),
            ("/n/a", "/", Some(("/n/a", "a"))),
            ("/n/a?b", "/?b", Some(("/n/a", "a"))),
            ("/n/a/v1/models?n=/n/b", "/v1/models?n=/n/b", Some(("/n/a", "a"))),
            ("/n/a/n/b/c", "/n/b/c", Some(("/n/a", "a"))),
            ("/n/t.py::x%5B1%2f2%5D/", "/", Some(("/n/t.py::x%5B1%2f2%5D", "t.py::x[1/2]"))),
            ("/n/%", "/", Some(("/n/%", "%"))),
            ("/n/%4/", "/", Some(("/n/%4", "%4"))),
            ("/n/%ff/", "/", Some(("/n/%ff", "\u{fffd}"))),
            ("http://h:1/n/a/x", "http://h:1/x", Some(("/n/a", "a"))),
        ] {
            let prefix = prefix.map(|(path, name)| (path.to_owned(), name.to_owned()));
            assert_eq!(split(uri), (rest.to_owned(), prefix), "{uri}");
        }
    }
}
