//! Quirks of interactions.

use axum::body::{Body, Bytes};
use futures_util::Stream;
use serde_json::{Value, json};

use super::{Oddity, Replacement, changed, data_of, stopped};
use crate::http::error::{ApiError, Code};
use domain::chaos::quirk::Quirk;
use domain::interaction::FailureKind;

const WHY_PROHIBITED: &str = "The request was blocked because it contains prohibited content.";

/// The names of events before the rename of May 2026.
const BEFORE: [(&str, &str); 5] = [
    ("interaction.created", "interaction.start"),
    ("interaction.completed", "interaction.complete"),
    ("step.start", "content.start"),
    ("step.delta", "content.delta"),
    ("step.stop", "content.stop"),
];

/// Changes or replaces a complete response.
pub fn whole(oddity: Oddity, mut answer: Value) -> Result<Value, ApiError> {
    match oddity {
        Oddity::Quirk(Quirk::BareError) => {
            Err(ApiError::new(Code::ProhibitedContent, WHY_PROHIBITED))
        }
        Oddity::MaxTokens => {
            answer["status"] = "incomplete".into();
            Ok(answer)
        }
        Oddity::Quirk(_) => Ok(answer),
        Oddity::Stopped(reason) => {
            let failure = stopped(reason);
            let code = Code::of(FailureKind::Stopped(reason)).word();
            answer["status"] = "failed".into();
            answer["steps"] = json!([]);
            answer["errors"] = json!([{"code": code, "message": failure.message}]);
            Ok(answer)
        }
    }
}

/// Changes a stream of events.
pub fn events(oddity: Oddity, body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    changed(body, move |piece| {
        let Some(piece) = piece else { return Replacement::default() };
        let text = || String::from_utf8_lossy(&piece).into_owned();
        let Some((name, mut json)) = data_of(&piece) else {
            // `done` and comments.
            let is_done = piece.starts_with(b"event: done");
            let is_left_out = is_done && oddity == Oddity::Quirk(Quirk::NoCompletedEvent);
            let pieces = if is_left_out { Vec::new() } else { vec![text()] };
            return Replacement { pieces, is_over: false };
        };
        let is_begun = name == "interaction.status_update";
        match oddity {
            Oddity::Quirk(Quirk::BareError) if is_begun => {
                let error = json!({"error": {
                    "message": WHY_PROHIBITED,
                    "code": Code::ProhibitedContent.word(),
                }});
                Replacement { pieces: vec![text(), format!("{error}\n")], is_over: true }
            }
            Oddity::Stopped(reason) if is_begun => {
                let code = Code::of(FailureKind::Stopped(reason)).word();
                let error = json!({"message": stopped(reason).message, "code": code});
                let error = json!({"error": error, "event_type": "error"});
                let pieces = vec![text(), format!("event: error\ndata: {error}\n\n")];
                Replacement { pieces, is_over: true }
            }
            Oddity::MaxTokens if name == "interaction.completed" => {
                json["interaction"]["status"] = "incomplete".into();
                Replacement {
                    pieces: vec![format!("event: {name}\ndata: {json}\n\n")],
                    is_over: false,
                }
            }
            Oddity::Quirk(Quirk::UnknownEvents) => {
                let before = BEFORE.iter().find(|(now, _)| *now == name);
                let name = before.map_or(name, |(_, before)| before).to_owned();
                json["event_type"] = name.as_str().into();
                Replacement {
                    pieces: vec![format!("event: {name}\ndata: {json}\n\n")],
                    is_over: false,
                }
            }
            Oddity::Quirk(Quirk::NoCompletedEvent) if name == "interaction.completed" => {
                Replacement::default()
            }
            Oddity::Quirk(Quirk::CompletedWithoutSteps) if name == "interaction.completed" => {
                if let Some(interaction) = json["interaction"].as_object_mut() {
                    interaction.remove("steps");
                }
                Replacement {
                    pieces: vec![format!("event: {name}\ndata: {json}\n\n")],
                    is_over: false,
                }
            }
            _ => Replacement { pieces: vec![text()], is_over: false },
        }
    })
}
