//! Who may come in: any of the keys, in any of the three places where Google's clients put it.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::error::{ApiError, Code};

/// The texts of the real service.
const NONE_GIVEN: &str = "Method doesn't allow unregistered callers (callers without established \
                          identity). Please use API Key or other form of API consumer identity to \
                          call this API.";
const NOT_VALID: &str = "API key not valid. Please pass a valid API key.";

/// The keys that open the server, as their hashes: comparing those tells nothing about a key, not
/// even its length.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<[[u8; 32]]>);

impl Keys {
    pub fn new(keys: &[SecretString]) -> Keys {
        Keys(keys.iter().map(|key| hash(key.expose_secret())).collect())
    }

    /// Takes as long for a key that is wrong at its first letter as at its last.
    fn fit(&self, given: &str) -> bool {
        let given = hash(given);
        let none = Choice::from(0);
        self.0.iter().fold(none, |found, key| found | key.ct_eq(&given)).into()
    }
}

/// Lets a request through that has a key, or any, where there are no keys.
pub async fn check(State(keys): State<Keys>, request: Request, next: Next) -> Response {
    if keys.0.is_empty() {
        return next.run(request).await;
    }
    let given = given(&request);
    if given.is_empty() {
        ApiError::new(Code::PermissionDenied, NONE_GIVEN).into_response()
    } else if given.iter().any(|key| keys.fit(key)) {
        next.run(request).await
    } else {
        ApiError::new(Code::Unauthenticated, NOT_VALID).into_response()
    }
}

/// All keys of a request. A client that sets `Authorization` sends its API key beside it.
fn given(request: &Request) -> Vec<String> {
    let header = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let headers = request.headers();
    let bearer = header(headers, AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).unwrap_or_default();
    let in_query = query.0.into_iter().filter(|(name, _)| name == "key").map(|(_, value)| value);
    let in_headers = header(headers, "x-goog-api-key").into_iter().chain(bearer);
    in_headers.chain(in_query).filter(|key| !key.is_empty()).collect()
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
