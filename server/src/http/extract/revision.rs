//! `Api-Revision`: the version of the interactions API that a client expects.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::error::ApiError;

const HEADER: &str = "api-revision";
/// The first revision with `steps`. Earlier ones use `outputs`, which the server does not support.
const STEPS: &str = "2026-05-20";
/// Message of the real service.
const LEGACY: &str = "The legacy Interactions API schema is no longer supported. Please upgrade your \
                      client SDK to a version that supports the steps schema (google-genai 2.0.0 or \
                      newer, @google/genai 2.0.0 or newer), or send 'Api-Revision: 2026-05-20' or \
                      later.";

/// A supported revision: a date of the steps schema, no header, or a value that is not a date.
#[derive(Debug)]
pub struct Revision;

impl<S: Send + Sync> FromRequestParts<S> for Revision {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Revision, ApiError> {
        let values = parts.headers.get_all(HEADER).iter();
        match values.filter_map(|value| value.to_str().ok()).any(is_legacy) {
            true => Err(ApiError::invalid(LEGACY)),
            false => Ok(Revision),
        }
    }
}

fn is_legacy(value: &str) -> bool {
    let first: jiff::civil::Date = STEPS.parse().expect("it is a date");
    value.trim().parse::<jiff::civil::Date>().is_ok_and(|date| date < first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_date_before_the_steps_schema_is_legacy() {
        for (value, wanted) in [
            ("2025-11-01", true),
            ("2026-05-07", true),
            (" 2026-05-19 ", true),
            ("2026-05-20", false),
            ("2026-05-26", false),
            ("2027-01-01", false),
            ("", false),
            ("latest", false),
            ("2026-13-45", false),
        ] {
            assert_eq!(is_legacy(value), wanted, "{value}");
        }
    }
}
