//! API keys: checks the key of a request, in each of the three places where Google's clients send
//! it. Each key is a tenant, unless keys are shared.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::http::error::{ApiError, Code};
use crate::http::extract::query::UploadParameters;
use crate::http::surface::Surface;
use crate::http::vertex::Dialect;
use domain::owner::Owner;

/// Messages of the real service.
const NONE_GIVEN: &str = "Method doesn't allow unregistered callers (callers without established \
                          identity). Please use API Key or other form of API consumer identity to \
                          call this API.";
/// Of Vertex AI.
const NO_CREDENTIAL: &str = "Request is missing required authentication credential. Expected OAuth 2 \
                             access token, login cookie or other valid authentication credential.";
const NOT_VALID: &str = "API key not valid. Please pass a valid API key.";
const SEVERAL: &str = "The request has several valid API keys that belong to different tenants. Send \
                       one of them.";

const NO_METRICS_KEY: &str = "The metrics are about all API keys together, so none of several keys may read \
                              them. Set BELLJAR_METRICS_KEYS (metrics_keys in the configuration).";

/// The accepted keys, as hashes. Comparing hashes leaks nothing about a key, not even its length.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    hashes: Arc<[[u8; 32]]>,
    /// Whether all keys are one tenant.
    are_shared: bool,
}

/// The tenant of a request. `None` if the server has no keys, and for a chunk of an upload without
/// a key.
#[derive(Debug, Clone)]
pub struct Claimed(pub Option<Owner>);

impl Keys {
    pub fn new(keys: &[SecretString]) -> Keys {
        let hashes = keys.iter().map(|key| hash(key.expose_secret())).collect();
        Keys { hashes, are_shared: false }
    }

    /// Makes all keys one tenant.
    #[must_use]
    pub fn shared(self) -> Keys {
        Keys { are_shared: true, ..self }
    }

    /// Whether a request with any of these keys may read what all keys together led to.
    fn are_one_tenant(&self) -> bool {
        self.are_shared || self.hashes.len() == 1
    }

    pub fn are_none(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Keys of other services are ignored. Two different tenants' keys are an error, because either
    /// choice could be wrong.
    fn claimed(&self, request: &Request, surface: Surface) -> Result<Claimed, ApiError> {
        if self.are_none() {
            return Ok(Claimed(None));
        }
        let given = given(request);
        let is_vertex = request.extensions().get().is_some_and(Dialect::is_vertex);
        let mut owners = given.iter().filter_map(|key| self.owner(key));
        match owners.next() {
            Some(owner) if owners.all(|other| other == owner) => Ok(Claimed(Some(owner))),
            Some(_) => Err(ApiError::invalid(SEVERAL)),
            None if continues_an_upload(request, surface) => Ok(Claimed(None)),
            None if is_vertex && given.is_empty() => {
                Err(ApiError::new(Code::Unauthenticated, NO_CREDENTIAL))
            }
            None if given.is_empty() => Err(ApiError::new(Code::PermissionDenied, NONE_GIVEN)),
            None => Err(ApiError::new(Code::Unauthenticated, NOT_VALID)),
        }
    }

    /// The tenant of a key. Constant time, so that the position of a wrong character is not leaked.
    pub fn owner(&self, given: &str) -> Option<Owner> {
        let given = hash(given);
        let none = Choice::from(0);
        let is_ours = self.hashes.iter().fold(none, |found, key| found | key.ct_eq(&given));
        bool::from(is_ours).then(|| match self.are_shared {
            true => Owner::default(),
            false => Owner::named(hex::encode(given)),
        })
    }
}

/// Rejects a request without a valid key, if the server has keys, and records its tenant.
pub fn check(keys: &Keys, request: &mut Request, surface: Surface) -> Result<(), ApiError> {
    let claimed = keys.claimed(request, surface)?;
    request.extensions_mut().insert(claimed.0.clone().unwrap_or_default());
    request.extensions_mut().insert(claimed);
    Ok(())
}

/// Who may read the metrics, which are about all tenants together.
#[derive(Debug, Clone)]
pub struct MetricsAccess {
    pub api_keys: Keys,
    pub metrics_keys: Keys,
}

/// Rejects a request for the metrics without a key for them. An API key is one if no other tenant exists.
pub async fn check_metrics(
    State(access): State<MetricsAccess>,
    request: Request,
    next: Next,
) -> Response {
    match access.allows(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl MetricsAccess {
    fn allows(&self, request: &Request) -> Result<(), ApiError> {
        let MetricsAccess { api_keys, metrics_keys } = self;
        let given = given(request);
        let has_key_of = |keys: &Keys| given.iter().any(|key| keys.owner(key).is_some());
        let is_allowed = match (api_keys.are_none(), metrics_keys.are_none()) {
            (true, true) => true,
            (_, false) => has_key_of(metrics_keys),
            (false, true) => api_keys.are_one_tenant() && has_key_of(api_keys),
        };
        match is_allowed {
            true => Ok(()),
            false if given.is_empty() => Err(ApiError::new(Code::PermissionDenied, NONE_GIVEN)),
            false if metrics_keys.are_none() && has_key_of(api_keys) => {
                Err(ApiError::new(Code::PermissionDenied, NO_METRICS_KEY))
            }
            false => Err(ApiError::new(Code::Unauthenticated, NOT_VALID)),
        }
    }
}

/// Python's SDK sends the chunks of an upload without a key. The upload's id, which cannot be
/// guessed, authorizes them.
fn continues_an_upload(request: &Request, surface: Surface) -> bool {
    surface == Surface::Uploads && UploadParameters::of(request.uri()).id.is_some()
}

/// All keys of a request. A client that sets `Authorization` sends its API key in addition.
fn given(request: &Request) -> Vec<String> {
    let values = |name: &'static str| {
        let values = request.headers().get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok()).map(str::to_owned)
    };
    let bearers = values("authorization").filter_map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).unwrap_or_default();
    let in_query = query.0.into_iter().filter(|(name, _)| name == "key").map(|(_, value)| value);
    let in_headers = values("x-goog-api-key").chain(bearers);
    in_headers.chain(in_query).filter(|key| !key.is_empty()).collect()
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
