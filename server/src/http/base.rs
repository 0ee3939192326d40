//! The address under which a client knows this server: what it is told to go to begins with it.

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

use super::error::ApiError;

/// `https://example.org/prefix`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// The address of something that lies below.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = ApiError;

    /// The client's own `Host`, and what a proxy says of the way there. All of it goes back to the
    /// same client, so nothing is lost where it lies.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Base, ApiError> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            // Of several proxies the first is the client's.
            Some(value.split(',').next().unwrap_or_default().trim())
        };
        // HTTP/2 has it in the address.
        let authority = parts.uri.authority().map(Authority::as_str);
        let host = header("x-forwarded-host").or_else(|| header(HOST.as_str())).or(authority);
        let host = host.filter(|host| host.parse::<Authority>().is_ok());
        let host = host.ok_or_else(|| ApiError::invalid("The request has no 'Host'."))?;
        let scheme = header("x-forwarded-proto").filter(|scheme| *scheme == "https");
        let prefix = header("x-forwarded-prefix").filter(|prefix| is_path(prefix));
        let prefix = prefix.unwrap_or_default().trim_end_matches('/');
        Ok(Base(format!("{}://{host}{prefix}", scheme.unwrap_or("http"))))
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
        Base::from_request_parts(&mut parts, &()).await.ok().map(|base| base.0)
    }

    #[tokio::test]
    async fn an_address_is_the_clients_own() {
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
