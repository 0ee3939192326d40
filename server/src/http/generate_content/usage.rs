//! Token counts of answers.

use serde_json::{Value, json};

use super::answer::About;
use domain::interaction::{Tokens, Usage};

/// The usage of a complete answer. Like the real service, omits counts of zero.
pub fn usage(about: &About, usage: &Usage) -> Value {
    let mut json = counts(about, usage);
    if usage.tool_use.total() > 0 {
        json["toolUsePromptTokenCount"] = usage.tool_use.total().into();
        json["toolUsePromptTokensDetails"] = details(&usage.tool_use);
    }
    json["totalTokenCount"] = usage.total().into();
    json
}

/// The usage up to a chunk of a stream. The Gemini API reports tool use only at the end, so the total
/// excludes it until then. Vertex AI reports all counts only at the end.
pub fn usage_so_far(about: &About, usage: &Usage) -> Value {
    if let Some(vertex) = about.vertex {
        return json!({"trafficType": vertex.traffic.as_str()});
    }
    counts(about, usage)
}

fn counts(about: &About, usage: &Usage) -> Value {
    let before_tools = Usage { tool_use: Tokens::default(), ..*usage };
    let mut json = json!({
        "promptTokenCount": usage.input.total(),
        "candidatesTokenCount": usage.output.total(),
        "totalTokenCount": before_tools.total(),
        "promptTokensDetails": details(&usage.input),
        "candidatesTokensDetails": details(&usage.output),
    });
    if usage.thought > 0 {
        json["thoughtsTokenCount"] = usage.thought.into();
    }
    let cached = about.cached.total();
    if cached > 0 {
        // The model may count fewer tokens than were estimated.
        let cached = about.cached.scaled_to(cached.min(usage.input.total()));
        json["cachedContentTokenCount"] = cached.total().into();
        json["cacheTokensDetails"] = details(&cached);
    } else if usage.cached > 0 {
        json["cachedContentTokenCount"] = usage.cached.into();
    }
    match about.vertex {
        Some(vertex) => json["trafficType"] = vertex.traffic.as_str().into(),
        None => json["serviceTier"] = about.tier.as_str().into(),
    }
    json
}

/// The response of `:countTokens`.
pub fn counted(tokens: &Tokens, cached: &Tokens) -> Value {
    let mut json = json!({"totalTokens": tokens.total(), "promptTokensDetails": details(tokens)});
    if cached.total() > 0 {
        json["cachedContentTokenCount"] = cached.total().into();
    }
    json
}

/// Counts by modality.
pub fn details(tokens: &Tokens) -> Value {
    let counts = tokens.by_modality().map(|(modality, count)| {
        json!({"modality": modality.as_str().to_uppercase(), "tokenCount": count})
    });
    counts.collect()
}
