//! Escapes line separators in responses that are sent line by line.
//!
//! JSON escapes the characters below U+0020 already. Python's `str.splitlines`, which requests and
//! httpx use to split streams, and JavaScript's parsers know three more. They occur only inside
//! JSON strings, where an escape is equivalent.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use hyper::body::Body as _;
use serde::Serialize;
use serde_json::Value;

use crate::http::JSON;
use crate::http::error::ApiError;

const SEPARATORS: [(char, &str); 3] =
    [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];

/// The same JSON without a raw separator.
pub fn escaped(json: String) -> String {
    if !json.contains(SEPARATORS.map(|(letter, _)| letter)) {
        return json;
    }
    SEPARATORS.iter().fold(json, |json, (letter, escape)| json.replace(*letter, escape))
}

/// A JSON response without a raw separator.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(json) => ([(CONTENT_TYPE, JSON)], escaped(json)).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

/// A JSON response.
pub fn json(body: &Value) -> Response {
    Json(body).into_response()
}

/// Escapes every item of a streamed response.
pub fn escape_stream(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_stream = kind.starts_with(b"text/event-stream")
        || kind.starts_with(b"application/json") && response.body().size_hint().exact().is_none();
    if !is_stream {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().map(|piece| piece.map(piece_of))))
}

/// Items are whole events, so no character is split between two, unless a fault does so.
fn piece_of(bytes: Bytes) -> Bytes {
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains(SEPARATORS.map(|(letter, _)| letter)) => {
            escaped(text.to_owned()).into()
        }
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// All separators of `str.splitlines` except the line feed.
    const ALL: &str = "a\u{0b}\u{0c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}\r\nb";

    #[test]
    fn no_separator_is_left_and_the_json_is_equivalent() {
        let json = json!({ ALL: [ALL] });
        let text = escaped(json.to_string());
        assert!(!text.contains(|letter: char| ALL.contains(letter) && !"ab".contains(letter)));
        assert_eq!(serde_json::from_str::<Value>(&text).expect("it is JSON"), json);
        let bytes = piece_of(Bytes::from(format!("data: {json}\n\n")));
        assert_eq!(&bytes[..], format!("data: {text}\n\n").as_bytes());
    }
}
