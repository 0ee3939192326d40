//! Schemas of request bodies. `tests` checks that exactly these fields are parsed.

use serde_json::{Map, Value, json};
use strum::VariantNames as _;

use super::schema::{
    any_object, any_of, base64, count, flag, list, named, only, open_request, request, text, word,
};
use crate::http::wire::proto;
use crate::interaction::ServiceTier;

/// The components of requests.
pub fn components() -> Map<String, Value> {
    [interactions(), steps(), tools(), generate(), parts(), ours()].into_iter().flatten().collect()
}

type Components = Vec<(String, Value)>;

fn all(components: impl IntoIterator<Item = (&'static str, Value)>) -> Components {
    components.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn interactions() -> Components {
    let generation = request(
        &[],
        json!({
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "seed": {"type": "integer"},
            "max_output_tokens": {"type": "integer", "minimum": 1},
            "stop_sequences": list(json!({"type": "string"})),
            "thinking_level": word(&["minimal", "low", "medium", "high", "xhigh"]),
            "thinking_summaries": word(&["auto", "none"]),
            "tool_choice": any_of(&[word(&MODES), request(&["allowed_tools"], json!({
                "allowed_tools": request(&[], json!({
                    "mode": word(&MODES),
                    "tools": list(json!({"type": "string"})),
                })),
            }))]),
            "image_config": any_object("Accepted and ignored: no model here generates images."),
            "transcription_config": any_object("Accepted and ignored: no model here transcribes."),
            "video_config": any_object("Accepted and ignored: no model here generates videos."),
            "speech_config": any_of(&[
                any_object("Accepted and ignored: no model here generates speech."),
                list(json!({})),
            ]),
        }),
    );
    let create = request(
        &["model", "input"],
        json!({
            "model": {
                "type": "string",
                "minLength": 1,
                "description": "With or without the prefix `models/`. `direct` runs the input as code.",
                "examples": ["direct"],
            },
            "input": named("Input"),
            "system_instruction": text("Instructions for the model."),
            "tools": list(named("Tool")),
            "previous_interaction_id": text("The interaction to continue. Its tools are not inherited."),
            "store": flag("Whether to store the interaction. The default is true."),
            "stream": flag("Whether the response is a stream of events."),
            "background": flag("Whether the interaction runs without a connection. Requires `store`."),
            "generation_config": named("InteractionGenerationConfig"),
            "response_format": named("ResponseFormat"),
            "response_modalities": list(word(&["text", "image", "audio", "video", "document"])),
            "service_tier": word(ServiceTier::VARIANTS),
        }),
    );
    all([
        ("CreateInteraction", create),
        ("InteractionGenerationConfig", generation),
        ("ResponseFormat", response_format()),
    ])
}

const MODES: [&str; 4] = ["auto", "any", "none", "validated"];

fn response_format() -> Value {
    let delivery = || word(&["inline", "uri"]);
    let text_form = request(
        &["type"],
        json!({
            "type": only("text"),
            "mime_type": text("`application/json` or `text/plain`."),
            "schema": any_object("The JSON Schema of the answer."),
        }),
    );
    let media = [
        (
            "image",
            json!({"aspect_ratio": {"type": "string"}, "image_size": {"type": "string"},
                         "mime_type": {"type": "string"}, "delivery": delivery()}),
        ),
        (
            "audio",
            json!({"bit_rate": {"type": "integer"}, "sample_rate": {"type": "integer"},
                         "mime_type": {"type": "string"}, "delivery": delivery()}),
        ),
        (
            "video",
            json!({"aspect_ratio": {"type": "string"}, "duration": {"type": "string"},
                         "gcs_uri": {"type": "string"}, "resolution": {"type": "string"},
                         "delivery": delivery()}),
        ),
    ];
    let mut forms = vec![text_form];
    for (kind, mut fields) in media {
        fields["type"] = only(kind);
        forms.push(request(&["type"], fields));
    }
    // Any other object is a schema itself.
    let schema = json!({
        "type": "object",
        "description": "A JSON Schema.",
        "properties": {"type": {"not": {"enum": ["text", "image", "audio", "video"]}}},
    });
    let forms: Vec<Value> = forms.into_iter().chain([schema]).collect();
    any_of(&[any_of(&forms), list(any_of(&forms))])
}

fn steps() -> Components {
    let signature = || text("Opaque. Send it back unchanged.");
    let contents = |of: &str| any_of(&[json!({"type": "string"}), named(of), list(named(of))]);
    let content = any_of(&[
        request(
            &["text"],
            json!({
                "type": only("text"),
                "text": {"type": "string"},
                "annotations": list(json!({})),
            }),
        ),
        media(json!({"data": base64("With or without padding, in either alphabet.")}), "data"),
        media(
            json!({"uri": text("The URI of an uploaded file, or a URL that the operator allows.")}),
            "uri",
        ),
    ]);
    let other = |what: &str, known: &[&str]| {
        json!({
            "type": "object",
            "description": what,
            "required": ["type"],
            "properties": {"type": {"type": "string", "not": {"enum": known}}},
        })
    };
    let turn = request(
        &["role", "content"],
        json!({
            "role": word(&["user", "model"]),
            "content": any_of(&[contents("Content"), contents("ModelContent")]),
        }),
    );
    let call = |kind: &str, mut fields: Value| {
        fields["type"] = only(kind);
        fields["signature"] = signature();
        fields
    };
    let known = [
        request(
            &["type", "content"],
            json!({
                "type": only("user_input"),
                "content": contents("Content"),
            }),
        ),
        open_request(
            &["type"],
            json!({
                "type": only("model_output"),
                "content": contents("ModelContent"),
            }),
        ),
        open_request(&["type"], call("thought", json!({"summary": contents("ModelContent")}))),
        open_request(
            &["type", "arguments"],
            call(
                "code_execution_call",
                json!({
                    "id": {"type": "string"},
                    "arguments": open_request(&["code"], json!({
                        "code": {"type": "string"},
                        "language": {"type": "string"},
                    })),
                }),
            ),
        ),
        open_request(
            &["type", "result"],
            call(
                "code_execution_result",
                json!({
                    "call_id": {"type": "string"},
                    "result": contents("ModelContent"),
                    "is_error": {"type": "boolean"},
                }),
            ),
        ),
        open_request(
            &["type", "id", "name"],
            call(
                "function_call",
                json!({
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "arguments": {"type": "object"},
                }),
            ),
        ),
        open_request(
            &["type", "call_id", "result"],
            json!({
                "type": only("function_result"),
                "call_id": {"type": "string", "minLength": 1},
                "name": {"type": "string"},
                "result": any_of(&[
                    json!({"type": "string"}), json!({"type": "object"}), list(json!({})),
                ]),
                "is_error": {"type": "boolean"},
            }),
        ),
        other("A step of a tool that this server does not have. Kept unchanged.", &KNOWN_STEPS),
    ];
    let element = any_of(&[named("Content"), named("Step"), named("Turn")]);
    all([
        (
            "Input",
            any_of(&[
                json!({"type": "string", "minLength": 1, "examples": ["print(6 * 7)"]}),
                element.clone(),
                json!({"type": "array", "items": element, "minItems": 1}),
            ]),
        ),
        ("Content", content),
        (
            "ModelContent",
            any_of(&[
                open_request(
                    &["text"],
                    json!({"type": only("text"), "text": {"type": "string"},
                                           "annotations": list(json!({}))}),
                ),
                open_media(),
                other("A content of an unknown type. Kept unchanged.", &KNOWN_CONTENTS),
            ]),
        ),
        ("Step", any_of(&known)),
        ("Turn", turn),
    ])
}

const KNOWN_STEPS: [&str; 12] = [
    "user_input",
    "model_output",
    "thought",
    "code_execution_call",
    "code_execution_result",
    "function_call",
    "function_result",
    "text",
    "image",
    "audio",
    "video",
    "document",
];
const KNOWN_CONTENTS: [&str; 5] = ["text", "image", "audio", "video", "document"];

fn media(source: Value, required: &str) -> Value {
    let mut fields = media_fields();
    for (name, schema) in source.as_object().into_iter().flatten() {
        fields[name] = schema.clone();
    }
    request(&["type", required], fields)
}

fn open_media() -> Value {
    let mut fields = media_fields();
    fields["data"] = base64("Alternative to `uri`.");
    fields["uri"] = json!({"type": "string"});
    open_request(&["type"], fields)
}

fn media_fields() -> Value {
    json!({
        "type": word(&["image", "audio", "video", "document"]),
        "mime_type": text("Such as `text/csv`. Derived from the bytes if missing."),
        "resolution": {}, "processing": {}, "channels": {}, "sample_rate": {}, "name": {},
    })
}

fn tools() -> Components {
    let empty = || request(&[], json!({}));
    let function = request(
        &["type", "name"],
        json!({
            "type": only("function"),
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$"},
            "description": {"type": "string"},
            "parameters": any_object("JSON Schema."),
            "short_description": {"type": "string"},
            "defer_loading": {"type": "boolean"},
        }),
    );
    all([(
        "Tool",
        any_of(&[
            request(&["type"], json!({"type": only("code_execution")})),
            request(&["type"], json!({"type": only("google_search"), "search_types": {}})),
            function,
            request(&["code_execution"], json!({"code_execution": empty()})),
            request(&["codeExecution"], json!({"codeExecution": empty()})),
        ]),
    )])
}

fn generate() -> Components {
    let thinking = request(
        &[],
        json!({
            "thinkingLevel":
                enumeration(proto::THINKING_LEVEL, &["XHIGH", "minimal", "low", "medium", "high"]),
            "thinkingBudget": int32(json!({})),
            "includeThoughts": flag("Whether the answer includes thought summaries."),
        }),
    );
    let mut config = json!({
        "temperature": float(json!({"minimum": 0, "maximum": 2})),
        "topP": float(json!({"minimum": 0, "maximum": 1})),
        "topK": float(json!({"minimum": 0})),
        "presencePenalty": float(json!({"minimum": -2, "maximum": 2})),
        "frequencyPenalty": float(json!({"minimum": -2, "maximum": 2})),
        "maxOutputTokens": int32(json!({"minimum": 1})),
        "seed": int32(json!({})),
        "stopSequences": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "candidateCount": any_of(&[json!({"type": "integer", "const": 1}), only("1")]),
        "responseLogprobs": {"type": "boolean", "const": false},
        "responseModalities": list(enumeration(proto::RESPONSE_MODALITY, &["text", "image", "audio"])),
        "responseMimeType": {"type": "string"},
        "responseSchema": any_object("A schema in this API's dialect of JSON Schema."),
        "responseJsonSchema": {"description": "JSON Schema."},
        "thinkingConfig": thinking,
        "mediaResolution": any_name(proto::MEDIA_RESOLUTION),
    });
    for name in crate::http::generate_content::IGNORED_CONFIG {
        config[*name] = json!({"description": "Accepted and ignored."});
    }
    let safety = request(
        &["category", "threshold"],
        json!({
            "category": any_name(proto::HARM_CATEGORY),
            "threshold": any_name(proto::HARM_THRESHOLD),
            "method": {"type": "string"},
        }),
    );
    let fields = json!({
        "contents": any_of(&[named("GenerateContent"), list(named("GenerateContent"))]),
        "systemInstruction": named("GenerateContent"),
        "tools": any_of(&[named("GenerateTool"), list(named("GenerateTool"))]),
        "toolConfig": named("ToolConfig"),
        "generationConfig": named("GenerationConfig"),
        "safetySettings": list(safety),
        "serviceTier": any_name(proto::SERVICE_TIER),
        "labels": any_object("For billing. Accepted and ignored."),
        "model": {"type": "string"},
        "store": {"type": "boolean"},
    });
    let count = request(
        &[],
        json!({
            "contents": any_of(&[named("GenerateContent"), list(named("GenerateContent"))]),
            "generateContentRequest": named("GenerateContentRequest"),
            "model": {"type": "string"},
        }),
    );
    all([
        ("GenerateContentRequest", request(&["contents"], fields)),
        ("CountTokensRequest", count),
        ("GenerationConfig", request(&[], config)),
        (
            "GenerateTool",
            request(
                &[],
                json!({
                    "codeExecution": request(&[], json!({})),
                    "googleSearch": request(&[], json!({
                        "searchTypes": any_object("Accepted and ignored."),
                        "timeRangeFilter": any_object("Accepted and ignored."),
                    })),
                    "functionDeclarations": any_of(&[named("FunctionDeclaration"),
                                                     list(named("FunctionDeclaration"))]),
                }),
            ),
        ),
        (
            "FunctionDeclaration",
            request(
                &["name"],
                json!({
                    "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$"},
                    "description": {"type": "string"},
                    "parameters": any_object("A schema in this API's dialect of JSON Schema."),
                    "parametersJsonSchema": {"description": "JSON Schema."},
                    "response": {}, "responseJsonSchema": {}, "behavior": any_name(proto::BEHAVIOR),
                }),
            ),
        ),
        (
            "ToolConfig",
            request(
                &[],
                json!({
                    "includeServerSideToolInvocations":
                        flag("Required with both code execution and functions."),
                    "functionCallingConfig": request(&[], json!({
                        "mode": enumeration(proto::FUNCTION_CALLING_MODE, &[]),
                        "allowedFunctionNames": list(json!({"type": "string"})),
                        "streamFunctionCallArguments": {"type": "boolean"},
                    })),
                    "retrievalConfig": {"type": "object"},
                }),
            ),
        ),
    ])
}

/// An enum value: one of its names, or any number.
fn enumeration(words: proto::Enum, others: &[&str]) -> Value {
    any_of(&[
        word(&[others, &words.names()].concat()),
        json!({"type": "integer", "format": "int32"}),
    ])
}

/// An enum value for which other names are accepted too.
fn any_name(words: proto::Enum) -> Value {
    let mut name = json!({"type": "string"});
    name["examples"] = words.names().into();
    any_of(&[name, json!({"type": "integer", "format": "int32"})])
}

/// A number, or a string of one, as in protobuf's JSON.
fn float(mut number: Value) -> Value {
    number["type"] = "number".into();
    any_of(&[number, text("The number as a string.")])
}

fn int32(mut number: Value) -> Value {
    number["type"] = "integer".into();
    number["format"] = "int32".into();
    any_of(&[number, text("The number as a string.")])
}

fn parts() -> Components {
    let mut part = json!({
        "thought": {"type": "boolean"},
        "thoughtSignature": text("Opaque. Send it back unchanged."),
        "text": {"type": "string"},
        "inlineData": request(&["data"], json!({
            "data": base64("With or without padding, in either alphabet."),
            "mimeType": {"type": "string"},
            "displayName": {"type": "string"},
        })),
        "fileData": request(&["fileUri"], json!({
            "fileUri": text("The URI of an uploaded file, or a URL that the operator allows."),
            "mimeType": {"type": "string"},
            "displayName": {"type": "string"},
        })),
        "executableCode": request(&["code"], json!({
            "code": {"type": "string"},
            "language": enumeration(proto::LANGUAGE, &["python"]),
            "id": {"type": "string"},
        })),
        "codeExecutionResult": request(&[], json!({
            "outcome": enumeration(proto::OUTCOME, &[]),
            "output": {"type": "string"},
            "id": {"type": "string"},
        })),
        "functionCall": request(&["name"], json!({
            "name": {"type": "string"},
            "args": {"type": "object"},
            "id": {"type": "string"},
            "partialArgs": {},
            "willContinue": {"type": "boolean"},
        })),
        "functionResponse": request(&["name"], json!({
            "name": {"type": "string"},
            "response": {"type": "object"},
            "id": {"type": "string"},
            "willContinue": {"type": "boolean"},
            "scheduling": any_name(proto::SCHEDULING),
        })),
        "toolCall": any_object("A part of a tool that this server does not have. Kept unchanged."),
        "toolResponse": any_object("A part of a tool that this server does not have. Kept unchanged."),
    });
    for name in crate::http::generate_content::ABOUT_A_PART {
        part[*name] = json!({"description": "Accepted and ignored."});
    }
    all([
        (
            "GenerateContent",
            request(
                &["parts"],
                json!({
                    "role": word(&["user", "model", "function", ""]),
                    "parts": any_of(&[named("Part"), list(named("Part"))]),
                }),
            ),
        ),
        ("Part", request(&[], part)),
    ])
}

fn ours() -> Components {
    let file = request(
        &["name", "data"],
        json!({
            "name": text("A plain name of at most 255 bytes that does not start with a dot."),
            "data": base64("With or without padding, in either alphabet."),
        }),
    );
    let execute = request(
        &["code"],
        json!({
            "code": {"type": "string", "examples": ["print(6 * 7)"]},
            "files": list(file),
            "timeout_s": {"type": "number", "exclusiveMinimum": 0},
        }),
    );
    let mut metadata = json!({
        "name": {"type": "string", "pattern": "^(files/)?[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"},
        "displayName": {"type": "string", "maxLength": 512},
        "mimeType": {"type": "string"},
        "sizeBytes": any_of(&[count("The size in bytes."), text("The number as a string.")]),
    });
    for name in crate::http::wire::file::KNOWN_TO_THE_SERVER {
        metadata[*name] = json!({"description": "Accepted and ignored: the server sets it."});
    }
    all([
        ("ExecuteRequest", execute),
        ("UploadMetadata", request(&[], json!({"file": request(&[], metadata)}))),
    ])
}
