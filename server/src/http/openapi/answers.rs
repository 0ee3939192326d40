//! Schemas of responses. `tests/wire` checks every response of the API tests against them.

use serde_json::{Map, Value, json};
use strum::VariantNames as _;

use super::schema::{
    answer, any_object, any_of, base64, count, flag, list, named, only, or_number, text, word,
};
use crate::interaction::{MediaKind, Modality, Outcome, ServiceTier, Status};

/// The components of responses.
pub fn components() -> Map<String, Value> {
    [interactions(), steps(), events(), generate(), files(), ours(), errors()]
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

type Components = Vec<(&'static str, Value)>;

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn tier() -> Value {
    word(ServiceTier::VARIANTS)
}

fn interactions() -> Components {
    let modality = answer(
        &[],
        json!({
            "modality": word(Modality::VARIANTS),
            "tokens": count("Number of tokens."),
        }),
    );
    let usage = answer(
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
    );
    let fields = json!({
        "id": text("Absent if the interaction is not stored."),
        "status": word(Status::VARIANTS),
        "usage": named("Usage"),
        "created": time("With a precision of seconds."),
        "updated": time("With a precision of seconds."),
        "service_tier": tier(),
        "steps": list(named("ShownStep")),
        "errors": list(named("ErrorWord")),
        "object": only("interaction"),
        "model": {"type": "string"},
        "previous_interaction_id": {"type": "string"},
    });
    let optional = ["id", "usage", "steps", "errors", "previous_interaction_id"];
    let mut begun = fields.clone();
    for absent in ["steps", "errors", "previous_interaction_id"] {
        begun.as_object_mut().map(|fields| fields.remove(absent));
    }
    let optional_in_events = ["usage", "created", "updated", "service_tier"];
    vec![
        ("Interaction", answer(&optional, fields)),
        ("InteractionInEvent", answer(&optional_in_events, begun)),
        ("Usage", usage),
        (
            "ErrorWord",
            answer(
                &[],
                json!({
                    "code": {"type": "string"}, "message": {"type": "string"},
                }),
            ),
        ),
    ]
}

fn shown_media(mut fields: Value) -> Value {
    fields["type"] = word(MediaKind::VARIANTS);
    fields["mime_type"] = json!({"type": "string"});
    answer(&["mime_type"], fields)
}

fn steps() -> Components {
    let signature = || text("Opaque and constant. Send it back unchanged.");
    let shown_text = answer(
        &["annotations"],
        json!({
            "type": only("text"), "text": {"type": "string"}, "annotations": list(json!({})),
        }),
    );
    let call = || {
        json!({"type": only("code_execution_call"), "id": {"type": "string"},
        "signature": signature(), "arguments": answer(&[], json!({
            "language": only("python"), "code": {"type": "string"}}))})
    };
    let result = || {
        json!({"type": only("code_execution_result"), "call_id": {"type": "string"},
        "signature": signature(), "is_error": {"type": "boolean"}, "result": {"type": "string"}})
    };
    let found = list(any_of(&[
        answer(&[], json!({"search_suggestions": text("HTML to display with the answer.")})),
        answer(
            &[],
            json!({"title": {"type": "string"}, "url": {"type": "string"},
                   "snippet": {"type": "string"}}),
        ),
    ]));
    let citation = answer(
        &[],
        json!({"type": only("url_citation"), "url": {"type": "string"}, "title": {"type": "string"},
               "start_index": count("Start in the text, in bytes."),
               "end_index": count("End in the text, in bytes.")}),
    );
    let contents = || list(named("ShownContent"));
    let queries = || answer(&[], json!({"queries": list(json!({"type": "string"}))}));
    let known = [
        answer(&[], json!({"type": only("user_input"), "content": contents()})),
        answer(&[], json!({"type": only("model_output"), "content": contents()})),
        answer(
            &["summary"],
            json!({"type": only("thought"), "signature": signature(),
                                    "summary": contents()}),
        ),
        answer(&[], call()),
        answer(&[], result()),
        answer(
            &[],
            json!({"type": only("function_call"), "id": {"type": "string"},
            "signature": signature(), "name": {"type": "string"},
            "arguments": {"type": "object"}}),
        ),
        answer(
            &["name"],
            json!({"type": only("function_result"), "call_id": {"type": "string"},
            "name": {"type": "string"}, "is_error": {"type": "boolean"}, "result": {}}),
        ),
        answer(
            &[],
            json!({"type": only("google_search_call"), "id": {"type": "string"},
            "signature": signature(), "arguments": queries()}),
        ),
        answer(
            &[],
            json!({"type": only("google_search_result"), "call_id": {"type": "string"},
            "signature": signature(), "is_error": {"type": "boolean"}, "result": found.clone()}),
        ),
        json!({
            "type": "object",
            "description": "Data of another server that the client sent, unchanged.",
            "required": ["type"],
            "properties": {"type": {"type": "string", "not": {"enum": [
                "user_input", "thought", "code_execution_result", "function_call",
                "function_result"]}}},
        }),
    ];
    let deltas = [
        answer(&[], json!({"type": only("thought_summary"), "content": shown_text.clone()})),
        answer(&[], json!({"type": only("thought_signature"), "signature": signature()})),
        answer(&[], json!({"type": only("text"), "text": {"type": "string"}})),
        shown_media(json!({"data": base64("An image that the code made.")})),
        without(call(), "id"),
        without(result(), "call_id"),
        answer(
            &[],
            json!({"type": only("google_search_call"), "signature": signature(),
                           "arguments": queries()}),
        ),
        answer(
            &[],
            json!({"type": only("google_search_result"), "signature": signature(),
                           "is_error": {"type": "boolean"}, "result": found}),
        ),
        answer(&[], json!({"type": only("text_annotation_delta"), "annotations": list(citation)})),
        answer(
            &[],
            json!({"type": only("arguments_delta"), "arguments": text("A fragment of the JSON.")}),
        ),
    ];
    vec![
        ("ShownStep", any_of(&known)),
        (
            "ShownContent",
            any_of(&[
                shown_text,
                shown_media(json!({"data": base64("The data.")})),
                shown_media(json!({"uri": {"type": "string"}})),
                json!({
                    "type": "object",
                    "description": "Data of another server, unchanged.",
                    "required": ["type"],
                    "properties": {"type": {"not": {
                        "enum": ["text", "image", "audio", "video", "document"]}}},
                }),
            ]),
        ),
        ("Delta", any_of(&deltas)),
    ]
}

fn without(fields: Value, name: &str) -> Value {
    let mut fields = fields;
    fields.as_object_mut().map(|fields| fields.remove(name));
    answer(&[], fields)
}

fn events() -> Components {
    let event = |kind: &str, optional: &[&str], mut fields: Value| {
        fields["event_type"] = only(kind);
        fields["event_id"] = text("For resuming the stream after this event.");
        answer(optional, fields)
    };
    let index = || count("Index among the model's steps.");
    let shell = any_of(&[
        answer(&[], json!({"type": word(&["thought", "model_output"])})),
        answer(
            &[],
            json!({"type": word(&["code_execution_call", "google_search_call"]),
                           "id": {"type": "string"}, "signature": only("")}),
        ),
        answer(
            &[],
            json!({"type": word(&["code_execution_result", "google_search_result"]),
                           "call_id": {"type": "string"}, "signature": only("")}),
        ),
        answer(
            &[],
            json!({"type": only("function_call"), "id": {"type": "string"},
            "name": {"type": "string"}, "signature": {"type": "string"},
            "arguments": {"type": "object", "maxProperties": 0}}),
        ),
    ]);
    let interaction = || json!({"interaction": named("InteractionInEvent")});
    vec![(
        "InteractionEvent",
        any_of(&[
            event("interaction.created", &[], interaction()),
            event(
                "interaction.status_update",
                &[],
                json!({
            "interaction_id": {"type": "string"}, "status": word(Status::VARIANTS)}),
            ),
            event("step.start", &[], json!({"index": index(), "step": shell})),
            event(
                "step.delta",
                &["metadata"],
                json!({"index": index(), "delta": named("Delta"),
            "metadata": answer(&[], json!({"total_usage": named("Usage")}))}),
            ),
            event(
                "step.stop",
                &["usage", "step_usage"],
                json!({"index": index(),
            "usage": named("Usage"), "step_usage": named("Usage")}),
            ),
            event("interaction.completed", &[], interaction()),
            event("error", &[], json!({"error": named("ErrorWord")})),
        ]),
    )]
}

fn generate() -> Components {
    let details = || {
        list(answer(
            &[],
            json!({
                "modality": or_number(word(&["TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"])),
                "tokenCount": count("Number of tokens."),
            }),
        ))
    };
    let usage = json!({
        "promptTokenCount": count("The prompt, counted once."),
        "candidatesTokenCount": count("Generated code and text."),
        "totalTokenCount": count("The total."),
        "promptTokensDetails": details(),
        "candidatesTokensDetails": details(),
        "toolUsePromptTokenCount": count("In streams only in the last chunk."),
        "toolUsePromptTokensDetails": details(),
        "thoughtsTokenCount": count("Thoughts."),
        "cachedContentTokenCount": count("Cached part of the prompt."),
        "serviceTier": or_number(tier()),
    });
    let optional = [
        "toolUsePromptTokenCount",
        "toolUsePromptTokensDetails",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
    ];
    let signature = || text("Opaque. Send it back unchanged.");
    let blob = answer(
        &["mimeType"],
        json!({"mimeType": {"type": "string"},
                                            "data": base64("The data.")}),
    );
    let part = any_of(&[
        answer(
            &["thought", "thoughtSignature"],
            json!({
            "text": {"type": "string"}, "thought": {"type": "boolean"},
            "thoughtSignature": signature()}),
        ),
        answer(&[], json!({"inlineData": blob})),
        answer(
            &["thoughtSignature"],
            json!({"thoughtSignature": signature(),
            "executableCode": answer(&[], json!({"language": or_number(only("PYTHON")),
                "code": {"type": "string"}, "id": {"type": "string"}}))}),
        ),
        answer(
            &[],
            json!({"codeExecutionResult": answer(&[], json!({
            "outcome": or_number(word(&["OUTCOME_OK", "OUTCOME_FAILED",
                "OUTCOME_DEADLINE_EXCEEDED"])),
            "output": {"type": "string"}, "id": {"type": "string"}}))}),
        ),
        answer(
            &["thoughtSignature"],
            json!({"thoughtSignature": signature(),
            "functionCall": answer(&[], json!({"id": {"type": "string"},
                "name": {"type": "string"}, "args": {"type": "object"}}))}),
        ),
    ]);
    let grounding = answer(
        &["searchEntryPoint", "groundingChunks", "groundingSupports"],
        json!({
            "webSearchQueries": list(json!({"type": "string"})),
            "searchEntryPoint": answer(&[], json!({"renderedContent": {"type": "string"}})),
            "groundingChunks": list(answer(&[], json!({"web": answer(&[], json!({
                "uri": {"type": "string"}, "title": {"type": "string"}}))}))),
            "groundingSupports": list(answer(&[], json!({
                "groundingChunkIndices": list(count("Indices from 0.")),
                "segment": answer(&["partIndex", "startIndex"], json!({
                    "partIndex": count("Index of the part, from 0."),
                    "startIndex": count("Start in the part, in bytes."),
                    "endIndex": count("End in the part, in bytes."),
                    "text": {"type": "string"}})),
            }))),
        }),
    );
    let candidate = answer(
        &["finishReason", "groundingMetadata"],
        json!({
            "content": answer(&[], json!({"parts": list(part), "role": only("model")})),
            "finishReason": or_number(json!({"type": "string"})),
            "groundingMetadata": grounding,
            "index": {"type": "integer", "const": 0},
        }),
    );
    vec![
        (
            "GenerateContentResponse",
            answer(
                &["usageMetadata"],
                json!({
                    "candidates": list(candidate),
                    "usageMetadata": answer(&optional, usage),
                    "modelVersion": {"type": "string"},
                    "responseId": {"type": "string"},
                }),
            ),
        ),
        (
            "CountTokensResponse",
            answer(
                &[],
                json!({
                    "totalTokens": count("The total."), "promptTokensDetails": details(),
                }),
            ),
        ),
        (
            "Model",
            answer(
                &[],
                json!({
                    "name": {"type": "string"}, "version": {"type": "string"},
                    "displayName": {"type": "string"}, "description": {"type": "string"},
                    "inputTokenLimit": count("Tokens."), "outputTokenLimit": count("Tokens."),
                    "supportedGenerationMethods": list(json!({"type": "string"})),
                    "thinking": {"type": "boolean"},
                }),
            ),
        ),
        (
            "Models",
            answer(
                &["nextPageToken"],
                json!({
                    "models": list(named("Model")), "nextPageToken": {"type": "string"},
                }),
            ),
        ),
        (
            "TunedModels",
            answer(
                &[],
                json!({
                    "tunedModels": {"type": "array", "maxItems": 0, "items": {}},
                }),
            ),
        ),
    ]
}

fn files() -> Components {
    vec![
        (
            "File",
            answer(
                &["displayName"],
                json!({
                    "name": text("`files/` and the id."),
                    "displayName": {"type": "string"},
                    "mimeType": {"type": "string"},
                    "sizeBytes": {"type": "string", "pattern": "^[0-9]+$"},
                    "createTime": time("With a precision of milliseconds."),
                    "updateTime": time("With a precision of milliseconds."),
                    "expirationTime": time("When the file is deleted."),
                    "sha256Hash": base64("Base64 of the hash's hexadecimal digits."),
                    "uri": {"type": "string"},
                    "state": or_number(only("ACTIVE")),
                    "source": or_number(only("UPLOADED")),
                }),
            ),
        ),
        (
            "Files",
            answer(
                &["files", "nextPageToken"],
                json!({
                    "files": list(named("File")), "nextPageToken": {"type": "string"},
                }),
            ),
        ),
        ("Uploaded", answer(&[], json!({"file": named("File")}))),
    ]
}

fn ours() -> Components {
    let number = || json!({"type": "number", "minimum": 0});
    let blob = |name: &str| {
        list(answer(
            &[],
            json!({
                name: {"type": "string"}, "data": base64("The data."),
            }),
        ))
    };
    let execute = answer(
        &["limit"],
        json!({
            "outcome": word(Outcome::VARIANTS),
            "stdout": {"type": "string"},
            "stdout_bytes_left_out": count("Bytes omitted from the middle."),
            "stderr": text("Includes the traceback, and messages of the sandbox."),
            "stderr_bytes_left_out": count("Bytes omitted from the middle."),
            "images": blob("mime_type"),
            "images_left_out": count("Number omitted because of the limits."),
            "files": blob("name"),
            "files_left_out": count("Number omitted because of the limits."),
            "usage": answer(&[], json!({"wall_ms": number(), "cpu_ms": number(),
                                        "peak_memory_bytes": count("In addition to the libraries.")})),
            "isolation": answer(&[], json!({"tier": named("Tier")})),
            "limit": answer(&[], json!({"name": {"type": "string"}, "value": count("In the unit of the limit.")})),
        }),
    );
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let entry = answer(
        &[],
        json!({
            "number": count("Number of the request, from 1."),
            "at": time("Time of the request."),
            "model": {"type": "string"},
            "input": {"type": "string"},
            "system_instruction": or_null("string"),
            "tools": list(json!({"type": "string"})),
            "turn": count("Number of the turn in the conversation."),
            "files": list(json!({"type": "string"})),
            "function_results": list(json!({})),
            "generation_config": or_null("object"),
            "previous_interaction_id": or_null("string"),
            "interaction_id": or_null("string"),
            "scenario": or_null("string"),
            "take": json!({
                "type": ["integer", "null"],
                "description": "Number of the recorded answer to the same question, from 1.",
            }),
            "status": any_of(&[word(Status::VARIANTS), json!({"type": "null"})]),
            "error": or_null("string"),
            "text": json!({"type": "string", "description": "The answer's text, at most 8 KiB."}),
            "runs": list(answer(&[], json!({
                "code": {"type": "string", "description": "The first 2 KiB."},
                "outcome": word(Outcome::VARIANTS),
                "stdout": {"type": "string", "description": "The first 2 KiB."},
                "stderr": {"type": "string", "description": "The last 2 KiB."},
                "pictures": count("Number of returned images."),
                "wall_ms": number(),
            }))),
            "function_calls": list(answer(&[], json!({
                "name": {"type": "string"},
                "arguments": {"description": "JSON; if longer than 2 KiB, its beginning as a string."},
            }))),
            "warnings": list(json!({"type": "string"})),
            "left_out": count("Number of runs, calls and warnings beyond the first 32 of each."),
        }),
    );
    let scenario = answer(
        &[],
        json!({
            "name": {"type": "string"},
            "file": json!({
                "type": ["string", "null"],
                "description": "File in the folder; null if a client added the scenario.",
            }),
            "uses": count("Number of interactions of this namespace that it answered since the last reset."),
        }),
    );
    let layer = answer(
        &[],
        json!({"name": {"type": "string"}, "holds": {"type": "boolean"},
                                   "detail": {"type": "string"}}),
    );
    vec![
        ("Executed", execute),
        ("Tier", word(&["none", "seccomp-only", "landlocked", "namespaced"])),
        (
            "Journal",
            answer(
                &[],
                json!({
                    "namespace": {"type": "string"}, "entries": list(entry),
                    "forgotten": count("Number of older entries that were dropped."),
                }),
            ),
        ),
        (
            "StandingFaults",
            answer(
                &[],
                json!({
                    "namespace": {"type": "string"},
                    "faults": list(answer(&[], json!({
                        "fault": any_object("The fault as the client sent it."), "happened": count("How often it happened."),
                    }))),
                }),
            ),
        ),
        (
            "Scenarios",
            answer(&[], json!({"namespace": {"type": "string"}, "scenarios": list(scenario)})),
        ),
        (
            "Added",
            answer(
                &[],
                json!({
                    "namespace": {"type": "string"}, "added": list(json!({"type": "string"})),
                }),
            ),
        ),
        (
            "Isolation",
            answer(
                &[],
                json!({
                    "ready": flag("Whether code can run now."), "waiting_for": {"type": "string"},
                    "tier": named("Tier"), "layers": list(layer),
                    "limits": any_object("Limits, with the unit in the name."),
                    "python": {"type": "string"},
                }),
            ),
        ),
        ("Health", answer(&[], json!({"status": word(&["ok", "ready"])}))),
        ("Nothing", answer(&[], json!({}))),
    ]
}

fn errors() -> Components {
    vec![
        ("InteractionError", answer(&[], json!({"error": named("ErrorWord")}))),
        (
            "ClassicError",
            answer(
                &[],
                json!({"error": answer(&[], json!({
                    "code": {"type": "integer", "minimum": 400, "maximum": 599},
                    "message": {"type": "string"},
                    "status": {"type": "string"},
                }))}),
            ),
        ),
    ]
}
