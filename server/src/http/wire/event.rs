//! Converts the events of a log to the events of a stream.
//!
//! An entry of the log becomes at most one frame, except the first, which becomes two. A frame's id
//! encodes only its position: `v1_` and the base64url of `{entry}_{frame}`, in the format of the
//! real service.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::content;
use super::interaction::{Interaction, id_in_stream};
use super::{step, usage};
use crate::http::error::{Code, LATE};
use domain::failure::INTERNAL;
use domain::interaction::{Delta, Event, Status, StepStart, Summaries, UsageEstimate};
use store::Log;

/// An event on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub name: &'static str,
    /// An object without `event_id` and `event_type`.
    body: Value,
    place: StreamPosition,
}

/// Position of a frame in the stream of an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamPosition {
    /// Index of the log's entry.
    pub entry: usize,
    /// Index among the frames of that entry.
    pub frame: usize,
}

impl StreamPosition {
    pub fn id(self) -> String {
        format!("v1_{}", URL_SAFE_NO_PAD.encode(format!("{}_{}", self.entry, self.frame)))
    }

    /// Parses an id of [`Place::id`].
    pub fn of_id(id: &str) -> Option<StreamPosition> {
        let text = URL_SAFE_NO_PAD.decode(id.strip_prefix("v1_")?).ok()?;
        let (entry, frame) = std::str::from_utf8(&text).ok()?.split_once('_')?;
        let place = StreamPosition { entry: entry.parse().ok()?, frame: frame.parse().ok()? };
        (place.id() == id).then_some(place)
    }
}

impl Frame {
    /// The event's JSON, in one line.
    pub fn into_json(mut self) -> String {
        self.body["event_id"] = self.place.id().into();
        self.body["event_type"] = self.name.into();
        self.body.to_string()
    }

    pub fn place(&self) -> StreamPosition {
        self.place
    }

    /// The stream ends early, for a reason outside of the log. Such a frame has no position in it.
    pub fn broken_off(entry: usize) -> Frame {
        error_frame(entry, Code::Internal, INTERNAL)
    }

    /// The client's deadline has passed.
    pub fn late(entry: usize) -> Frame {
        error_frame(entry, Code::DeadlineExceeded, LATE)
    }

    /// The server is stopping; the interaction will continue without this stream.
    pub fn left(entry: usize) -> Frame {
        let why = "The server is stopping. The interaction continues after the restart.";
        error_frame(entry, Code::Unavailable, why)
    }
}

/// The frames of one entry. `tally` has counted it and all entries before it.
pub fn frames(log: &Log, entry: usize, event: &Event, tally: &UsageEstimate) -> Vec<Frame> {
    let one = |name, body| vec![Frame { name, body, place: StreamPosition { entry, frame: 0 } }];
    match event {
        Event::Created(_) => {
            let status = Status::InProgress;
            let interaction = json!({"interaction": Interaction::begun(log, status)});
            let update = json!({"interaction_id": id_in_stream(log), "status": status.as_str()});
            [("interaction.created", interaction), ("interaction.status_update", update)]
                .into_iter()
                .enumerate()
                .map(|(frame, (name, body))| Frame {
                    name,
                    body,
                    place: StreamPosition { entry, frame },
                })
                .collect()
        }
        Event::StepStarted { index, start } => {
            one("step.start", json!({"index": index, "step": step_start(start)}))
        }
        Event::StepDelta { delta: Delta::ThoughtSummary(_), .. }
            if log.settings().summaries == Summaries::Hidden =>
        {
            Vec::new()
        }
        Event::StepDelta { index, delta: added } => {
            let mut body = json!({"index": index, "delta": delta(added)});
            if let Some(so_far) = tally.so_far() {
                body["metadata"] = json!({"total_usage": usage::to_json(&so_far)});
            }
            one("step.delta", body)
        }
        Event::StepStopped { index } => {
            let mut body = json!({"index": index});
            if let (Some(of_step), Some(so_far)) = (tally.of_step(), tally.so_far()) {
                body["step_usage"] = usage::to_json(&of_step);
                body["usage"] = usage::to_json(&so_far);
            }
            one("step.stop", body)
        }
        // Reported by the final event.
        Event::UpstreamUsage(_) => Vec::new(),
        Event::Finished { status, usage } => {
            let interaction = Interaction::without_steps(log, *status, Some(*usage));
            one("interaction.completed", json!({"interaction": interaction}))
        }
        Event::Failed(failure) => {
            vec![error_frame(entry, Code::of(failure.kind), &failure.message)]
        }
    }
}

fn error_frame(entry: usize, code: Code, message: &str) -> Frame {
    let body = json!({"error": {"message": message, "code": code.word()}});
    Frame { name: "error", body, place: StreamPosition { entry, frame: 0 } }
}

/// The announcement of a step. The payload of a server-side tool follows in one delta.
fn step_start(start: &StepStart) -> Value {
    match start {
        StepStart::Thought => json!({"type": "thought"}),
        StepStart::ModelOutput => json!({"type": "model_output"}),
        StepStart::CodeCall { id } => {
            json!({"id": id, "signature": "", "type": "code_execution_call"})
        }
        StepStart::CodeResult { call_id } => {
            json!({"call_id": call_id, "signature": "", "type": "code_execution_result"})
        }
        StepStart::SearchCall { id } => {
            json!({"id": id, "signature": "", "type": "google_search_call"})
        }
        StepStart::SearchResult { call_id } => {
            json!({"call_id": call_id, "signature": "", "type": "google_search_result"})
        }
        StepStart::FunctionCall { id, name, signature } => json!({
            "id": id,
            "name": name,
            "arguments": {},
            "signature": signature,
            "type": "function_call",
        }),
        StepStart::Tool(step) | StepStart::Passthrough(step) => step.clone(),
    }
}

fn delta(delta: &Delta) -> Value {
    match delta {
        Delta::ThoughtSummary(text) => {
            json!({"type": "thought_summary", "content": {"type": "text", "text": text}})
        }
        Delta::ThoughtSignature(signature) => {
            json!({"signature": signature, "type": "thought_signature"})
        }
        Delta::Text(text) => json!({"type": "text", "text": text}),
        Delta::Media(media) => content::media_to_json(media),
        Delta::CodeCall { code, signature } => json!({
            "type": "code_execution_call",
            "signature": signature,
            "arguments": {"language": "python", "code": code},
        }),
        Delta::CodeResult(result) => json!({
            "type": "code_execution_result",
            "signature": result.signature,
            "is_error": result.outcome.is_error(),
            "result": result.result,
        }),
        Delta::SearchCall { queries, signature } => json!({
            "type": "google_search_call",
            "signature": signature,
            "arguments": {"queries": queries},
        }),
        Delta::SearchResult(result) => json!({
            "type": "google_search_result",
            "signature": result.signature,
            "is_error": result.is_error,
            "result": step::found(result),
        }),
        Delta::Citations(citations) => {
            let annotations: Vec<Value> = citations.iter().map(content::citation_to_json).collect();
            json!({"type": "text_annotation_delta", "annotations": annotations})
        }
        Delta::FunctionArguments(json) => json!({"type": "arguments_delta", "arguments": json}),
        Delta::Passthrough(delta) => delta.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_parses_only_from_its_id() {
        let place = StreamPosition { entry: 12, frame: 1 };
        assert_eq!(StreamPosition::of_id(&place.id()), Some(place));
        let foreign = URL_SAFE_NO_PAD.encode("3_text_0");
        let padded = URL_SAFE_NO_PAD.encode("007_0");
        for id in ["", "v1_", "12_1", "v1_!", &format!("v1_{foreign}"), &format!("v1_{padded}")] {
            assert_eq!(StreamPosition::of_id(id), None, "{id}");
        }
    }
}
