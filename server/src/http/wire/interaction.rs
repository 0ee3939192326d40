//! The Interaction object: the answer to `POST` and `GET`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{step, usage};
use crate::http::error::Code;
use crate::ids;
use crate::interaction::{Status, Step, Summaries, Usage};
use crate::store::{Keep, Log};

/// 2026-01-01 00:00:00 UTC.
const SEEDED_AT: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// An interaction as Google spells it, in the order of the recorded answers.
#[derive(Debug, Serialize)]
pub struct Interaction<'a> {
    /// Absent where the interaction was not stored; in streams it is empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Value; 1]>,
    object: &'static str,
    model: &'a str,
    /// Not in streams: the SDKs do not know it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_interaction_id: Option<&'a str>,
}

/// Which steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// `POST`: what the model did.
    ModelSteps,
    /// `GET`: the input before it.
    Everything,
}

impl<'a> Interaction<'a> {
    /// All that is known.
    pub fn of(log: &'a Log, show: Show) -> Interaction<'a> {
        let fold = log.fold();
        let head = log.head();
        let input = match show {
            Show::ModelSteps => &[],
            Show::Everything => &head.input[..],
        };
        let summaries = log.terms().summaries;
        let steps = fold.steps().iter().map(|step| shown(step, summaries));
        let error = fold.failure().map(|failure| {
            [json!({"code": Code::of(failure.kind).word(), "message": failure.message})]
        });
        Interaction {
            id: (log.keep() == Keep::Stored).then_some(&head.id),
            steps: Some(input.iter().map(step::to_json).chain(steps).collect()),
            errors: error,
            previous_interaction_id: head.previous_interaction_id.as_deref(),
            ..Interaction::without_steps(log, fold.status(), fold.usage())
        }
    }

    /// As the last event of a stream has it.
    pub fn without_steps(log: &'a Log, status: Status, counted: Option<Usage>) -> Interaction<'a> {
        let elsewhere = || log.fold().counted_elsewhere().cloned();
        Interaction {
            usage: counted.map(|counted| elsewhere().unwrap_or_else(|| usage::to_json(&counted))),
            created: Some(time(dated(log, log.created()))),
            updated: Some(time(dated(log, log.updated()))),
            service_tier: Some(log.terms().tier.word()),
            ..Interaction::begun(log, status)
        }
    }

    /// As the first event of a stream has it.
    pub fn begun(log: &'a Log, status: Status) -> Interaction<'a> {
        Interaction {
            id: Some(id_in_stream(log)),
            status: word(status),
            usage: None,
            created: None,
            updated: None,
            service_tier: None,
            steps: None,
            errors: None,
            object: "interaction",
            model: &log.head().model,
            previous_interaction_id: None,
        }
    }
}

/// When something happened; where the server has a seed, always the moment at which the clocks of its
/// cells begin.
fn dated(log: &Log, at: Timestamp) -> Timestamp {
    if ids::is_seeded(&log.head().id) { SEEDED_AT } else { at }
}

/// A step of the model's. What the client did not want to read of it is not there.
fn shown(step: &Step, summaries: Summaries) -> Value {
    match (step, summaries) {
        (Step::Thought { signature, .. }, Summaries::Hidden) => {
            let (summary, signature) = (String::new(), signature.clone());
            step::to_json(&Step::Thought { summary, signature })
        }
        _ => step::to_json(step),
    }
}

/// What will not be found again has no name in a stream.
pub fn id_in_stream(log: &Log) -> &str {
    match log.keep() {
        Keep::Stored => &log.head().id,
        Keep::Forgotten => "",
    }
}

pub fn word(status: Status) -> &'static str {
    match status {
        Status::InProgress => "in_progress",
        Status::RequiresAction => "requires_action",
        Status::Completed => "completed",
        Status::Incomplete => "incomplete",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

/// `2026-11-22T10:00:00Z`
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
