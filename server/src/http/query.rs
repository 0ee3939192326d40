//! What stands behind the `?` of a URL.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::error::ApiError;

/// The parameters of the interactions' routes, in both spellings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    pub stream: bool,
    pub last_event_id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(ApiError::invalid("The query of the URL does not read."));
        };
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            match name.as_str() {
                "stream" => parameters.stream = boolean(&name, &value)?,
                "last_event_id" | "lastEventId" => {
                    parameters.last_event_id = Some(value).filter(|id| !id.is_empty());
                }
                // The input is shown whatever this says, as in recordings of the real service.
                "include_input" | "includeInput" => drop(boolean(&name, &value)?),
                // The first is for another API, the second was looked at before.
                "alt" | "$alt" | "key" | "prettyPrint" | "$prettyPrint" => {}
                _ => return Err(ApiError::invalid(format!("Unknown parameter '{name}'."))),
            }
        }
        Ok(parameters)
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" | "" => Ok(false),
        _ => {
            Err(ApiError::invalid(format!("Invalid value for '{name}': '{value}' is no boolean.")))
        }
    }
}
