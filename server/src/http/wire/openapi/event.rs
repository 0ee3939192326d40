//! Events of a stream.

use serde_json::{Value, json};
use strum::{IntoEnumIterator as _, VariantNames as _};

use super::interaction::{INTERACTION_IN_EVENT, USAGE};
use super::step::DELTA;
use crate::http::error::schema::ERROR_WORD;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, any_of, count, only, text, word,
};
use domain::interaction::{ServerTool, Status};

pub static INTERACTION_EVENT: Schema = Schema::new("InteractionEvent", interaction_event);

fn interaction_event(schemas: &ComponentSchemas) -> Value {
    let event = |kind: &str, optional: &[&str], mut fields: Value| {
        fields["event_type"] = only(kind);
        fields["event_id"] = text("For resuming the stream after this event.");
        answer(optional, fields)
    };
    let index = || count("Index among the model's steps.");
    let interaction = || json!({"interaction": schemas.named(&INTERACTION_IN_EVENT)});
    let status = json!({"interaction_id": {"type": "string"}, "status": word(Status::VARIANTS)});
    let delta = json!({
        "index": index(),
        "delta": schemas.named(&DELTA),
        "metadata": answer(&[], json!({"total_usage": schemas.named(&USAGE)})),
    });
    let stop = json!({
        "index": index(),
        "usage": schemas.named(&USAGE),
        "step_usage": schemas.named(&USAGE),
    });
    any_of(&[
        event("interaction.created", &[], interaction()),
        event("interaction.status_update", &[], status),
        event("step.start", &[], json!({"index": index(), "step": started_step()})),
        event("step.delta", &["metadata"], delta),
        event("step.stop", &["usage", "step_usage"], stop),
        event("interaction.completed", &[], interaction()),
        event("error", &[], json!({"error": schemas.named(&ERROR_WORD)})),
    ])
}

/// A step whose content follows as deltas.
fn started_step() -> Value {
    let call = json!({
        "type": word(&types("google_search_call", "code_execution_call", ServerTool::call_type)),
        "id": {"type": "string"},
        "signature": only(""),
    });
    let result = json!({
        "type": word(&types("google_search_result", "code_execution_result", ServerTool::result_type)),
        "call_id": {"type": "string"},
        "signature": only(""),
    });
    let function_call = json!({
        "type": only("function_call"),
        "id": {"type": "string"},
        "name": {"type": "string"},
        "signature": {"type": "string"},
        "arguments": {"type": "object", "maxProperties": 0},
    });
    any_of(&[
        answer(&[], json!({"type": word(&["thought", "model_output"])})),
        // Those of MCP servers have none.
        answer(&["signature"], call),
        answer(&["signature"], result),
        answer(&[], function_call),
    ])
}

/// The types of steps of tools: of code, of web searches, and of the others.
fn types(
    search: &'static str,
    code: &'static str,
    other: fn(ServerTool) -> &'static str,
) -> Vec<&'static str> {
    [search, code].into_iter().chain(ServerTool::iter().map(other)).collect()
}
