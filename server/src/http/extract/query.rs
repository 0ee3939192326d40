//! Query strings.

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;

use crate::http::error::ApiError;
use crate::http::extract::pagination::Page;
use crate::http::vertex::Dialect;

/// Parameters of the interactions routes, in both spellings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    pub stream: bool,
    pub last_event_id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(ApiError::invalid("Malformed query string."));
        };
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            match name.as_str() {
                "stream" => parameters.stream = boolean(&name, &value)?,
                "last_event_id" | "lastEventId" => {
                    parameters.last_event_id = Some(value).filter(|id| !id.is_empty());
                }
                // The input is always included, as in recordings of the real service.
                "include_input" | "includeInput" => drop(boolean(&name, &value)?),
                // `alt` belongs to another API; keys are checked elsewhere.
                "alt" | "$alt" | "key" | "prettyPrint" | "$prettyPrint" => {}
                _ => return Err(ApiError::invalid(format!("Unknown parameter '{name}'."))),
            }
        }
        Ok(parameters)
    }
}

/// Parameters of Google's other routes, in both spellings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GoogleApiQuery {
    /// Whether a stream is requested as server-sent events.
    pub sse: bool,
    /// Whether enums of the response are numbers.
    pub enum_numbers: bool,
    pub page: Page,
    /// Whether a deletion includes what is inside.
    pub force: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for GoogleApiQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<GoogleApiQuery, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(ApiError::invalid("Malformed query string."));
        };
        let is_vertex = parts.extensions.get().is_some_and(Dialect::is_vertex);
        let mut classic = GoogleApiQuery::default();
        for (name, value) in pairs {
            match name.as_str() {
                "alt" | "$alt" => classic.form(&name, &value)?,
                "pageSize" | "page_size" | "pageToken" | "page_token" => {
                    classic.page.read(&name, &value)?;
                }
                "force" => classic.force = boolean(&name, &value)?,
                // Parameters of all Google APIs. They have no effect here, except those that are
                // checked elsewhere.
                "key" | "prettyPrint" | "$prettyPrint" | "fields" | "$fields" | "quotaUser"
                // What a change may contain is checked in its body.
                | "updateMask" | "update_mask" | "userIp" | "access_token" | "upload_id"
                | "upload_protocol" | "uploadType" | "document" => {}
                // Selects tuned models, of which there are none.
                "filter" if is_vertex => {}
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

impl GoogleApiQuery {
    /// `sse` or `json`, optionally with an encoding: `json;enum-encoding=int`.
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

/// Parameters of an upload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UploadParameters {
    pub id: Option<String>,
    pub protocol: Option<String>,
    /// What the document needs that is made of the file, as the server wrote it.
    pub document: Option<String>,
}

impl UploadParameters {
    /// Extracts the parameters without validation; [`GoogleApiQuery`] validates them.
    pub fn of(uri: &Uri) -> UploadParameters {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        let mut upload = UploadParameters::default();
        for (name, value) in pairs.0.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "upload_id" => upload.id = Some(value),
                "document" => upload.document = Some(value),
                "upload_protocol" | "uploadType" => upload.protocol = Some(value),
                _ => {}
            }
        }
        upload
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UploadParameters {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<UploadParameters, ApiError> {
        GoogleApiQuery::from_request_parts(parts, state).await?;
        Ok(UploadParameters::of(&parts.uri))
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" | "" => Ok(false),
        _ => Err(ApiError::invalid(format!(
            "Invalid value for '{name}': '{value}' is not a boolean."
        ))),
    }
}
