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

use super::UPLOADS;
use super::error::{ApiError, Code};
use super::query::Upload;
use crate::store::Owner;

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

    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    fn owner(&self, request: &Request) -> Result<Owner, ApiError> {
        if self.0.is_empty() || goes_on_with_an_upload(request) {
            return Ok(Owner::default());
        }
        let given = given(request);
        if given.is_empty() {
            return Err(ApiError::new(Code::PermissionDenied, NONE_GIVEN));
        }
        let key = given.iter().find(|key| self.fit(key));
        let key = key.ok_or_else(|| ApiError::new(Code::Unauthenticated, NOT_VALID))?;
        let name = hash(key).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Owner::named(name))
    }

    /// Takes as long for a key that is wrong at its first letter as at its last.
    fn fit(&self, given: &str) -> bool {
        let given = hash(given);
        let none = Choice::from(0);
        self.0.iter().fold(none, |found, key| found | key.ct_eq(&given)).into()
    }
}

/// Lets a request through that has a key, or any, where there are no keys, and says whose it is.
pub async fn check(State(keys): State<Keys>, mut request: Request, next: Next) -> Response {
    match keys.owner(&request) {
        Ok(owner) => {
            request.extensions_mut().insert(owner);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// The pieces of an upload come without a key from Python's SDK: its id, which nobody can guess, is
/// the right to go on with it.
fn goes_on_with_an_upload(request: &Request) -> bool {
    request.uri().path().starts_with(UPLOADS) && Upload::of(request.uri()).id.is_some()
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
