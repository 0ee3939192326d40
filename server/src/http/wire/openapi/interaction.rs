//! An interaction: complete, and without steps in events.

use serde_json::{Value, json};
use strum::VariantNames as _;

use super::step::SHOWN_STEP;
use crate::http::error::schema::ERROR_WORD;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, count, list, only, text, time, word,
};
use domain::interaction::{Modality, ServiceTier, Status};

pub static INTERACTION: Schema = Schema::new("Interaction", interaction);
pub static INTERACTION_IN_EVENT: Schema = Schema::new("InteractionInEvent", interaction_in_event);
pub static USAGE: Schema = Schema::new("Usage", usage);

fn interaction(schemas: &ComponentSchemas) -> Value {
    let mut fields = fields(schemas);
    fields["steps"] = list(schemas.named(&SHOWN_STEP));
    fields["errors"] = list(schemas.named(&ERROR_WORD));
    fields["previous_interaction_id"] = json!({"type": "string"});
    answer(&["id", "usage", "steps", "errors", "previous_interaction_id"], fields)
}

fn interaction_in_event(schemas: &ComponentSchemas) -> Value {
    answer(&["usage", "created", "updated", "service_tier"], fields(schemas))
}

fn fields(schemas: &ComponentSchemas) -> Value {
    json!({
        "id": text("Absent if the interaction is not stored."),
        "status": word(Status::VARIANTS),
        "usage": schemas.named(&USAGE),
        "created": time("With a precision of seconds."),
        "updated": time("With a precision of seconds."),
        "service_tier": word(ServiceTier::VARIANTS),
        "object": only("interaction"),
        "model": {"type": "string"},
    })
}

fn usage(_: &ComponentSchemas) -> Value {
    let modality = answer(
        &[],
        json!({
            "modality": word(Modality::VARIANTS),
            "tokens": count("Number of tokens."),
        }),
    );
    answer(
        &["grounding_tool_count"],
        json!({
            "total_tokens": count("Sum of input, output, thoughts and tool use."),
            "total_input_tokens": count("The prompt, counted once."),
            "input_tokens_by_modality": list(modality.clone()),
            "total_cached_tokens": count("Cached part of the input."),
            "total_output_tokens": count("Generated code and text."),
            "output_tokens_by_modality": list(modality.clone()),
            "total_tool_use_tokens": count("Code and results that were sent to the model again."),
            "tool_use_tokens_by_modality": list(modality),
            "total_thought_tokens": count("Thoughts."),
            "initial_input_tokens": count("The prompt, counted once."),
            "grounding_tool_count": list(answer(&[], json!({
                "type": only("google_search"), "count": count("Searches."),
            }))),
        }),
    )
}
