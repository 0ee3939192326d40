//! The external URL of the server: the URL under which the client reached it.

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::http::error::ApiError;
use crate::http::extract::namespace::PathPrefix;

/// `https://example.org/prefix`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl(String);

impl ExternalUrl {
    /// The URL of a path.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ExternalUrl {
    type Rejection = ApiError;

    /// Uses the client's `Host` and a proxy's headers without verification: the URL is returned
    /// only to the same client, so a false value harms no other.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ExternalUrl, ApiError> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            // With several proxies, the first value is the client's.
            Some(value.split(',').next().unwrap_or_default().trim())
        };
        // HTTP/2 sends it in the URI.
        let authority = parts.uri.authority().map(Authority::as_str);
        let host = header("x-forwarded-host").or_else(|| header(HOST.as_str())).or(authority);
        let host = host.filter(|host| host.parse::<Authority>().is_ok());
        let host = host.ok_or_else(|| ApiError::invalid("The request has no 'Host'."))?;
        let scheme = header("x-forwarded-proto").filter(|scheme| *scheme == "https");
        let prefix = header("x-forwarded-prefix").filter(|prefix| is_path(prefix));
        let prefix = prefix.unwrap_or_default().trim_end_matches('/');
        let namespace = parts.extensions.get::<PathPrefix>();
        let namespace = namespace.map(|prefix| prefix.path.as_str()).unwrap_or_default();
        Ok(ExternalUrl(format!("{}://{host}{prefix}{namespace}", scheme.unwrap_or("http"))))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn base(headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).expect("they are headers").into_parts();
        ExternalUrl::from_request_parts(&mut parts, &()).await.ok().map(|base| base.0)
    }

    #[tokio::test]
    async fn the_url_is_the_one_that_the_client_used() {
        for (headers, wanted) in [
            (&[("host", "127.0.0.1:8080")][..], Some("http://127.0.0.1:8080")),
            (&[("host", "[::1]:8080")], Some("http://[::1]:8080")),
            (
                &[
                    ("host", "inner"),
                    ("x-forwarded-host", "example.org"),
                    ("x-forwarded-proto", "https, http"),
                ],
                Some("https://example.org"),
            ),
            (&[("host", "h"), ("x-forwarded-prefix", "/gemini/")], Some("http://h/gemini")),
            (
                &[("host", "h"), ("x-forwarded-prefix", "//x\"y"), ("x-forwarded-proto", "ftp")],
                Some("http://h"),
            ),
            (&[("host", "a/b")], None),
            (&[], None),
        ] {
            assert_eq!(base(headers).await.as_deref(), wanted, "{headers:?}");
        }
    }
}
