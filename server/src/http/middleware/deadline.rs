//! `X-Server-Timeout`: the client's deadline, in seconds. The SDKs send their own timeout in it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::{Instant, timeout_at};

use crate::http::error::{ApiError, Code};

const HEADER: &str = "x-server-timeout";
/// Minimum of the real service.
const MIN_SECONDS: f64 = 10.0;
/// Longer than any request runs.
const MAX_SECONDS: f64 = 1e9;

/// The client's deadline, if it sent one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The deadline of a request that arrives now.
    fn of(headers: &HeaderMap) -> Result<Deadline, ApiError> {
        let Some(value) = headers.get(HEADER) else { return Ok(Deadline::default()) };
        let seconds = seconds(value.to_str().unwrap_or("?"))?;
        Ok(Deadline(seconds.map(|time| Instant::now() + time)))
    }

    /// The result of the work, or an error at the deadline. The unfinished work is dropped.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        match self.0 {
            Some(at) => timeout_at(at, work).await.map_err(|_| ApiError::late()),
            None => Ok(work.await),
        }
    }
}

/// Enforces the deadline until the response begins, including the time for the body and for
/// injected delays. Streams continue under the same deadline.
pub async fn apply(mut request: Request, next: Next) -> Response {
    let deadline = match Deadline::of(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(deadline);
    deadline.hold(next.run(request)).await.unwrap_or_else(|late| late.into_response())
}

/// Extracts the deadline that [`apply`] parsed.
impl<S: Send + Sync> FromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Deadline, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

fn seconds(text: &str) -> Result<Option<Duration>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let Some(seconds) = number.filter(|number| number.is_finite()) else {
        let why =
            format!("Invalid value for 'X-Server-Timeout': '{text}' is not a number of seconds.");
        return Err(ApiError::invalid(why));
    };
    if seconds < MIN_SECONDS {
        return Err(ApiError::new(
            Code::InvalidRequest,
            format!(
                "Manually set deadline {seconds}s is too short. Minimum allowed deadline is \
                 {MIN_SECONDS}s."
            ),
        ));
    }
    Ok(Some(Duration::from_secs_f64(seconds.min(MAX_SECONDS))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_sufficient_number_of_seconds() {
        for (text, wanted) in [
            ("", None),
            ("10", Some(10.0)),
            ("10.5", Some(10.5)),
            (" 30 ", Some(30.0)),
            ("30s", Some(30.0)),
            ("30000", Some(30000.0)),
            ("1e300", Some(MAX_SECONDS)),
        ] {
            let read = seconds(text).expect("it is right");
            assert_eq!(read.map(|time| time.as_secs_f64()), wanted, "{text}");
        }
        for text in ["0", "-1", "5", "9.999", "soon", "NaN", "inf", "10,5"] {
            seconds(text).expect_err("it was accepted");
        }
    }
}
