//! Who may come in: any of the keys, in any of the three places where Google's clients put it. Each key
//! is a tenant, unless all of them are to share everything.

use std::sync::Arc;

use axum::extract::{Query, Request};
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
const SEVERAL: &str = "The request has several valid API keys that belong to different tenants. Send \
                       one of them.";

/// The keys that open the server, as their hashes: comparing those tells nothing about a key, not
/// even its length.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    hashes: Arc<[[u8; 32]]>,
    /// Whether all of them are one tenant.
    are_shared: bool,
}

/// The tenant whose key came with a request; nothing where there are no keys, and with a piece of an
/// upload that came without one.
#[derive(Debug, Clone)]
pub struct Claimed(pub Option<Owner>);

impl Keys {
    pub fn new(keys: &[SecretString]) -> Keys {
        let hashes = keys.iter().map(|key| hash(key.expose_secret())).collect();
        Keys { hashes, are_shared: false }
    }

    /// The same keys as one tenant, whichever of them a request has.
    #[must_use]
    pub fn shared(self) -> Keys {
        Keys { are_shared: true, ..self }
    }

    pub fn are_none(&self) -> bool {
        self.hashes.is_empty()
    }

    /// A client that sends keys of other services beside its own is let in. One that sends two of ours
    /// is not: whichever were taken could be the wrong one.
    fn claimed(&self, request: &Request) -> Result<Claimed, ApiError> {
        if self.are_none() {
            return Ok(Claimed(None));
        }
        let given = given(request);
        let mut owners = given.iter().filter_map(|key| self.owner(key));
        match owners.next() {
            Some(owner) if owners.all(|other| other == owner) => Ok(Claimed(Some(owner))),
            Some(_) => Err(ApiError::invalid(SEVERAL)),
            None if goes_on_with_an_upload(request) => Ok(Claimed(None)),
            None if given.is_empty() => Err(ApiError::new(Code::PermissionDenied, NONE_GIVEN)),
            None => Err(ApiError::new(Code::Unauthenticated, NOT_VALID)),
        }
    }

    /// The tenant of a key. Takes as long for a key that is wrong at its first letter as at its last.
    fn owner(&self, given: &str) -> Option<Owner> {
        let given = hash(given);
        let none = Choice::from(0);
        let is_ours = self.hashes.iter().fold(none, |found, key| found | key.ct_eq(&given));
        bool::from(is_ours).then(|| match self.are_shared {
            true => Owner::default(),
            false => Owner::named(given.iter().map(|byte| format!("{byte:02x}")).collect()),
        })
    }
}

/// Lets a request through that has a key, or any, where there are no keys, and says whose it is.
pub fn check(keys: &Keys, request: &mut Request) -> Result<(), ApiError> {
    let claimed = keys.claimed(request)?;
    request.extensions_mut().insert(claimed.0.clone().unwrap_or_default());
    request.extensions_mut().insert(claimed);
    Ok(())
}

/// The pieces of an upload come without a key from Python's SDK: its id, which nobody can guess, is
/// the right to go on with it.
fn goes_on_with_an_upload(request: &Request) -> bool {
    request.uri().path().starts_with(UPLOADS) && Upload::of(request.uri()).id.is_some()
}

/// All keys of a request. A client that sets `Authorization` sends its API key beside it.
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
