//! What stands behind the `?` of a URL.

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;

use super::error::ApiError;
use super::page::Page;

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

/// The parameters of all other routes of Google's, in both spellings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Classic {
    /// Whether a stream is wanted as server-sent events.
    pub sse: bool,
    /// Whether enums of the answer are to be numbers.
    pub enum_numbers: bool,
    pub page: Page,
}

impl<S: Send + Sync> FromRequestParts<S> for Classic {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Classic, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(ApiError::invalid("The query of the URL does not read."));
        };
        let mut classic = Classic::default();
        for (name, value) in pairs {
            match name.as_str() {
                "alt" | "$alt" => classic.form(&name, &value)?,
                "pageSize" | "page_size" | "pageToken" | "page_token" => {
                    classic.page.read(&name, &value)?;
                }
                // Of all of Google's APIs, and without a meaning here, but for those that were
                // looked at before.
                "key" | "prettyPrint" | "$prettyPrint" | "fields" | "$fields" | "quotaUser"
                | "userIp" | "access_token" | "upload_id" | "upload_protocol" | "uploadType" => {}
                _ => {
                    return Err(ApiError::invalid(format!(
                        "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query \
                         parameter."
                    )));
                }
            }
        }
        Ok(classic)
    }
}

impl Classic {
    /// `sse`, `json`, and behind a semicolon how: `json;enum-encoding=int`.
    fn form(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let mut words = value.split(';').map(str::trim);
        self.sse |= words.next() == Some("sse");
        for word in words {
            match word.split_once('=') {
                Some(("enum-encoding", "int")) => self.enum_numbers = true,
                Some(("enum-encoding", "string")) => self.enum_numbers = false,
                _ => {
                    let why = format!("Invalid value for '{name}': '{word}' is unknown.");
                    return Err(ApiError::invalid(why));
                }
            }
        }
        Ok(())
    }
}

/// Where an upload goes on, or how it begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Upload {
    pub id: Option<String>,
    pub protocol: Option<String>,
}

impl Upload {
    /// Reads what is there; [`Classic`] says what may be.
    pub fn of(uri: &Uri) -> Upload {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        let mut upload = Upload::default();
        for (name, value) in pairs.0.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "upload_id" => upload.id = Some(value),
                "upload_protocol" | "uploadType" => upload.protocol = Some(value),
                _ => {}
            }
        }
        upload
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upload {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Upload, ApiError> {
        Classic::from_request_parts(parts, state).await?;
        Ok(Upload::of(&parts.uri))
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
