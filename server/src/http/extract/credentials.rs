//! Collects the secrets of a request, for redaction in recordings. Authentication is in
//! [`crate::http::middleware::auth`].

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use secrecy::SecretString;

/// Headers whose value is a secret, with or without a scheme.
const HEADERS: [&str; 5] =
    ["x-goog-api-key", "x-api-key", "api-key", "authorization", "proxy-authorization"];
/// Query parameters whose value is a secret.
const PARAMETERS: [&str; 4] = ["key", "api_key", "access_token", "oauth_token"];

/// All secrets of a request.
#[derive(Debug)]
pub struct Credentials(pub Arc<[SecretString]>);

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Credentials, Infallible> {
        let headers = HEADERS.iter().flat_map(|name| parts.headers.get_all(*name));
        let headers = headers.filter_map(|value| value.to_str().ok());
        let headers = headers.map(|value| value.trim().rsplit(' ').next().unwrap_or_default());
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).unwrap_or_default();
        let query = query.0.into_iter().filter(|(name, _)| PARAMETERS.contains(&name.as_str()));
        let all = headers.map(str::to_owned).chain(query.map(|(_, value)| value));
        Ok(Credentials(all.filter(|key| !key.is_empty()).map(SecretString::from).collect()))
    }
}
