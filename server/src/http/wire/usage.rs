//! Counts of tokens, as the interactions API has them.

use serde_json::{Value, json};

use domain::interaction::{Tokens, Usage};

pub fn to_json(usage: &Usage) -> Value {
    let mut json = json!({
        "total_tokens": usage.total(),
        "total_input_tokens": usage.input.total(),
        "input_tokens_by_modality": by_modality(&usage.input),
        "total_cached_tokens": usage.cached,
        "total_output_tokens": usage.output.total(),
        "output_tokens_by_modality": by_modality(&usage.output),
        "total_tool_use_tokens": usage.tool_use.total(),
        "tool_use_tokens_by_modality": by_modality(&usage.tool_use),
        "total_thought_tokens": usage.thought,
    });
    // Tokens of later turns of the same interaction are counted as tool use.
    json["initial_input_tokens"] = usage.input.total().into();
    if usage.searches > 0 {
        json["grounding_tool_count"] = json!([{"type": "google_search", "count": usage.searches}]);
    }
    json
}

fn by_modality(tokens: &Tokens) -> Vec<Value> {
    let counts = tokens.by_modality();
    counts
        .map(|(modality, count)| json!({"modality": modality.as_str(), "tokens": count}))
        .collect()
}
