//! The Interaction object: the response of `POST` and `GET`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{step, usage};
use crate::http::error::Code;
use domain::ids;
use domain::interaction::{Status, Step, Summaries, Usage};
use store::{Log, Persistence};

/// 2026-01-01 00:00:00 UTC.
const SEEDED_AT: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// An interaction in Google's format, with the fields in the order of recorded responses.
#[derive(Debug, Serialize)]
pub struct Interaction<'a> {
    /// Absent if the interaction is not stored, but empty in streams.
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
    /// Omitted in streams, where the SDKs do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_interaction_id: Option<&'a str>,
}

/// Which steps are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// `POST`: the model's steps.
    ModelSteps,
    /// `GET`: also the input.
    Everything,
}

impl<'a> Interaction<'a> {
    /// The complete object.
    pub fn of(log: &'a Log, show: Show) -> Interaction<'a> {
        let projection = log.projection();
        let head = log.head();
        let input = match show {
            Show::ModelSteps => &[],
            Show::Everything => &head.input[..],
        };
        let summaries = log.settings().summaries;
        let steps = projection.steps().iter().map(|step| shown(step, summaries));
        let error = projection.failure().map(|failure| {
            [json!({"code": Code::of(failure.kind).word(), "message": failure.message})]
        });
        Interaction {
            id: (log.persistence() == Persistence::Stored).then_some(&head.id),
            steps: Some(input.iter().map(step::to_json).chain(steps).collect()),
            errors: error,
            previous_interaction_id: head.previous_interaction_id.as_deref(),
            ..Interaction::without_steps(log, projection.status(), projection.usage())
        }
    }

    /// As in the final event of a stream.
    pub fn without_steps(log: &'a Log, status: Status, counted: Option<Usage>) -> Interaction<'a> {
        let elsewhere = || log.projection().upstream_usage().cloned();
        Interaction {
            usage: counted.map(|counted| elsewhere().unwrap_or_else(|| usage::to_json(&counted))),
            created: Some(time(dated(log, log.created()))),
            updated: Some(time(dated(log, log.updated()))),
            service_tier: Some(log.settings().tier.as_str()),
            ..Interaction::begun(log, status)
        }
    }

    /// As in the first event of a stream.
    pub fn begun(log: &'a Log, status: Status) -> Interaction<'a> {
        Interaction {
            id: Some(id_in_stream(log)),
            status: status.as_str(),
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

/// The time of an event. With a seed, always the start time of the cells' clocks.
fn dated(log: &Log, at: Timestamp) -> Timestamp {
    if ids::is_seeded(&log.head().id) { SEEDED_AT } else { at }
}

/// A step of the model, without summaries that the client did not request.
fn shown(step: &Step, summaries: Summaries) -> Value {
    match (step, summaries) {
        (Step::Thought { signature, .. }, Summaries::Hidden) => {
            let (summary, signature) = (String::new(), signature.clone());
            step::to_json(&Step::Thought { summary, signature })
        }
        _ => step::to_json(step),
    }
}

/// An interaction that is not stored has an empty id in a stream.
pub fn id_in_stream(log: &Log) -> &str {
    match log.persistence() {
        Persistence::Stored => &log.head().id,
        Persistence::Ephemeral => "",
    }
}

/// `2026-11-22T10:00:00Z`
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
