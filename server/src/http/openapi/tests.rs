//! Checks the document's paths and request schemas. `tests/wire` checks its response schemas.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::document;
use crate::http::generate_content::{ABSENT_TOOLS, request as generate};
use crate::http::routes::{
    controls, generate_content_api, interactions_api, keyless, own, uploads,
};
use crate::http::wire::json_reader::ASKED;
use crate::http::wire::{execute, file, request as interactions};

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("it is a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} has no target");
    }
    let components = document["components"]["schemas"].as_object().expect("it is one").keys();
    let unused: Vec<_> = components
        .filter(|name| !found.contains(format!("#/components/schemas/{name}").as_str()))
        .collect();
    assert!(unused.is_empty(), "nothing refers to {unused:?}");
}

/// Converts `/files/{*rest}` to a pattern for paths of the document; `{file}` matches any segment.
fn pattern(route: &str) -> Regex {
    let pattern = regex::escape(route)
        .replace(r"\{\*rest\}", ".+")
        .replace(r"\{id\}", "[^/]+")
        .replace(r"\{file\}", "[^/]+");
    Regex::new(&format!("^{pattern}$")).expect("it was escaped")
}

#[test]
fn every_route_is_in_the_document_and_every_path_of_it_is_a_route() {
    let document = document();
    let paths = document["paths"].as_object().expect("it is one").keys();
    let paths: Vec<String> = paths.map(|path| path.replace("{version}", "v1")).collect();
    let versioned = interactions_api().into_iter().chain(generate_content_api());
    let versioned = versioned.map(|(path, _)| format!("/v1{path}"));
    let others =
        uploads().into_iter().chain(own()).chain(controls()).chain(keyless()).map(|(path, _)| path);
    // The other versions are not documented separately.
    let others = others.filter(|path| !path.contains("/v1beta/") && !path.contains("/v1alpha/"));
    let routes: Vec<(String, Regex)> =
        versioned.chain(others).map(|route| (route.clone(), pattern(&route))).collect();
    for (route, pattern) in &routes {
        assert!(paths.iter().any(|path| pattern.is_match(path)), "{route} is not documented");
    }
    for path in &paths {
        assert!(routes.iter().any(|(_, route)| route.is_match(path)), "{path} is not a route");
    }
}

/// Names of the fields of a schema and of its nested schemas, as paths. Lists are treated like their
/// elements.
fn documented(document: &Value, schema: &Value, place: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).expect("it has a target");
        return documented(document, target, place, found);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        found.insert(path.clone());
        documented(document, field, &path, found);
    }
    for schema in schema["anyOf"].as_array().into_iter().flatten() {
        documented(document, schema, place, found);
    }
    if schema["items"].is_object() {
        documented(document, &schema["items"], place, found);
    }
}

/// The fields that the parser takes from these bodies.
fn asked(samples: &[Value], read: &dyn Fn(Value) -> Result<(), String>) -> BTreeSet<String> {
    let index = Regex::new(r"\[\d+\]").expect("it is one");
    ASKED.with_borrow_mut(BTreeSet::clear);
    for sample in samples {
        read(sample.clone()).unwrap_or_else(|error| panic!("{sample} gave {error}"));
    }
    ASKED.with_borrow(|asked| {
        asked.iter().map(|path| index.replace_all(path, "").into_owned()).collect()
    })
}

fn is_true(
    component: &str,
    samples: &[Value],
    refused: &[String],
    read: impl Fn(Value) -> Result<(), String>,
) {
    let document = document();
    let schema = document["components"]["schemas"][component].clone();
    let mut named = BTreeSet::new();
    documented(&document, &schema, "", &mut named);
    let mut asked = asked(samples, &read);
    asked.retain(|path| !refused.contains(path));
    let unnamed: Vec<_> = asked.difference(&named).collect();
    assert!(unnamed.is_empty(), "{component} parses undocumented fields: {unnamed:?}");
    let unread: Vec<_> = named.difference(&asked).collect();
    assert!(unread.is_empty(), "{component} documents fields that it does not parse: {unread:?}");

    let mut whole = json!({"$ref": format!("#/components/schemas/{component}")});
    whole["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&whole).expect("it is a schema");
    for sample in samples {
        if let Some(error) = validator.iter_errors(sample).next() {
            panic!("{sample} is accepted, but does not match {component}: {error}");
        }
        // Undocumented fields are rejected too.
        let Value::Object(fields) = sample else { continue };
        let mut more = Map::clone(fields);
        more.insert("not_documented".into(), 1.into());
        assert!(!validator.is_valid(&more.clone().into()), "{component} accepts unknown fields");
        read(more.into()).expect_err("an unknown field was accepted");
    }
}

fn refused(table: &[(&str, &str)]) -> Vec<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Requests with every field, and every form of fields that have several.
pub fn of_interactions() -> Vec<Value> {
    let media = |kind: &str, source: &str| {
        json!({"type": kind, source: "AAAA", "mime_type": "a/b", "resolution": "low",
               "processing": "static", "channels": 1, "sample_rate": 2, "name": "n"})
    };
    let text = json!({"type": "text", "text": "a", "annotations": [{}]});
    let function = json!({"type": "function", "name": "f", "description": "d",
        "parameters": {}, "short_description": "s", "defer_loading": true});
    let messages = ["user_input", "model_output", "thought"].map(|kind| {
        let place = if kind == "thought" { "summary" } else { "content" };
        json!({"type": kind, place: [text, media("image", "data"), media("document", "uri")]})
    });
    let every = json!({
        "model": "m", "stream": true, "store": true, "background": false,
        "previous_interaction_id": "v1_x", "system_instruction": "s", "service_tier": "flex",
        "response_modalities": ["text"],
        "input": messages,
        "tools": [{"type": "code_execution"}, {"type": "google_search", "search_types": []}, function],
        "generation_config": {
            "temperature": 1, "top_p": 1, "seed": 1, "max_output_tokens": 1, "stop_sequences": ["a"],
            "thinking_level": "low", "thinking_summaries": "auto", "image_config": {},
            "transcription_config": {}, "video_config": {}, "speech_config": {},
            "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["f"]}},
        },
        "response_format": [
            {"type": "text", "mime_type": "application/json", "schema": {}},
            {"type": "image", "aspect_ratio": "1:1", "image_size": "1K", "mime_type": "image/jpeg",
             "delivery": "uri"},
            {"type": "audio", "bit_rate": 1, "sample_rate": 1, "mime_type": "audio/wav",
             "delivery": "inline"},
            {"type": "video", "aspect_ratio": "1:1", "duration": "8s", "gcs_uri": "gs://a",
             "resolution": "4k", "delivery": "uri"},
        ],
    });
    let mut steps = every.clone();
    steps["tools"] = json!([{"code_execution": {}}, {"codeExecution": {}}]);
    steps["response_format"] = json!({"type": "object"});
    steps["generation_config"] = json!({"tool_choice": "auto", "speech_config": [{}]});
    steps["input"] = json!([
        text, media("audio", "data"), {"text": "b"}, media("video", "uri"),
        {"role": "model", "content": [text, media("image", "data"), {"type": "of_tomorrow"}]},
        {"role": "user", "content": "c"},
        {"type": "code_execution_call", "id": "c", "signature": "s",
         "arguments": {"code": "1", "language": "python"}},
        {"type": "code_execution_result", "call_id": "c", "signature": "s", "is_error": false,
         "result": [text, media("image", "data")]},
        {"type": "function_call", "id": "f", "name": "f", "arguments": {}, "signature": "c2ln"},
        {"type": "function_result", "call_id": "f", "name": "f", "is_error": true,
         "result": [{"type": "text", "text": "a", "annotations": []}, media("image", "uri")]},
        {"type": "of_a_tool_of_tomorrow", "anything": 1},
    ]);
    let mut one = every.clone();
    one["input"] = text;
    let mut plain = every.clone();
    plain["input"] = "hello".into();

    vec![every, steps, one, plain]
}

#[test]
fn an_interaction_is_asked_for_as_the_document_says() {
    let refused = refused(interactions::REFUSED);
    is_true("CreateInteraction", &of_interactions(), &refused, |body| {
        interactions::create(body).map(drop).map_err(|error| error.to_string())
    });
}

/// The same of `generateContent`.
pub fn of_generate() -> [Value; 2] {
    let mut parts = vec![
        json!({"text": "a", "thought": true, "thoughtSignature": "s"}),
        json!({"inlineData": {"data": "AAAA", "mimeType": "a/b", "displayName": "n"}}),
        json!({"fileData": {"fileUri": "files/a", "mimeType": "a/b", "displayName": "n"}}),
        json!({"executableCode": {"code": "1", "language": "PYTHON", "id": "c"}}),
        json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "c"}}),
        json!({"toolCall": {}}),
        json!({"toolResponse": {}}),
    ];
    let call = json!({"functionCall": {"name": "f", "args": {}, "id": "f", "willContinue": false},
                      "thoughtSignature": "skip_thought_signature_validator"});
    let response = json!({"functionResponse": {"name": "f", "response": {}, "id": "f",
                                               "willContinue": false, "scheduling": "SILENT"}});
    for name in crate::http::generate_content::ABOUT_A_PART {
        parts[0][*name] = json!({});
    }
    let mut config = json!({
        "temperature": 1, "topP": 1, "topK": 1, "presencePenalty": 0, "frequencyPenalty": 0,
        "maxOutputTokens": 1, "seed": 1, "stopSequences": ["a"], "candidateCount": 1,
        "responseLogprobs": false, "responseModalities": ["TEXT"], "responseMimeType": "text/plain",
        "responseSchema": {}, "responseJsonSchema": {}, "thinkingConfig": {
            "thinkingLevel": "LOW", "thinkingBudget": 1, "includeThoughts": true},
    });
    for name in crate::http::generate_content::IGNORED_CONFIG {
        config[*name] = json!({});
    }
    let every = json!({
        "contents": [{"role": "user", "parts": parts}, {"role": "model", "parts": [call]},
                     {"role": "user", "parts": [response]}],
        "systemInstruction": {"parts": [{"text": "a"}]},
        "tools": [{"codeExecution": {},
            "googleSearch": {"searchTypes": {}, "timeRangeFilter": {}}, "functionDeclarations": [{"name": "f", "description": "d",
            "parameters": {}, "response": {}, "responseJsonSchema": {}, "behavior": "BLOCKING"}]}],
        "toolConfig": {"includeServerSideToolInvocations": true, "retrievalConfig": {},
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"],
                                      "streamFunctionCallArguments": false}},
        "generationConfig": config,
        "safetySettings": [{"category": "c", "threshold": "t", "method": "m"}],
        "serviceTier": "flex", "labels": {"team": "a"}, "model": "m", "store": true,
    });
    let mut other = every.clone();
    other["contents"] = json!({"parts": {"text": "a"}});
    other["tools"] = json!({"functionDeclarations": {"name": "f", "parametersJsonSchema": {}}});
    [every, other]
}

#[test]
fn content_is_generated_as_the_document_says() {
    let [every, other] = of_generate();

    // An instruction is a content with only texts; other parts are parsed and rejected.
    let contents = every["contents"].as_array().expect("it is one").iter();
    let parts = contents.flat_map(|content| content["parts"].as_array().expect("it is one"));
    let instructions: Vec<Value> = parts
        .map(|part| {
            let instruction = json!({"role": "user", "parts": [part]});
            json!({"contents": {"parts": {"text": "a"}}, "systemInstruction": instruction})
        })
        .collect();
    let read =
        |body| generate::generate("m", body, false).map(drop).map_err(|error| error.to_string());
    is_true("GenerateContentRequest", &of_generate(), &refused_here(""), |body| {
        instructions.iter().for_each(|instruction| drop(read(instruction.clone())));
        read(body)
    });

    let whole = |request: &Value| json!({"generateContentRequest": request});
    let contents = json!({"contents": every["contents"], "model": "m"});
    let refused = refused_here("generateContentRequest.");
    let count = |body| generate::count("m", body).map(drop).map_err(|error| error.to_string());
    is_true("CountTokensRequest", &[contents, whole(&every), whole(&other)], &refused, |body| {
        instructions.iter().for_each(|instruction| drop(count(whole(instruction))));
        count(body)
    });
}

/// Fields that are taken only to reject them with a specific message.
fn refused_here(place: &str) -> Vec<String> {
    let mut names = refused(generate::REFUSED);
    names.extend(ABSENT_TOOLS.iter().map(|name| format!("tools.{name}")));
    names.push("generationConfig.logprobs".into());
    let parts = |place: &str| format!("{place}.parts.functionResponse.parts");
    names.extend([parts("contents"), parts("systemInstruction")]);
    let mut here: Vec<String> = names.iter().map(|name| format!("{place}{name}")).collect();
    here.push(parts("contents"));
    here
}

#[test]
fn code_is_executed_and_files_are_announced_as_the_document_says() {
    let every = json!({"code": "1", "timeout_s": 1.5, "files": [{"name": "a", "data": "AAAA"}]});
    is_true("ExecuteRequest", &[every], &[], |body| {
        execute::read(body).map(drop).map_err(|error| error.to_string())
    });

    let mut metadata =
        json!({"name": "files/a", "displayName": "d", "mimeType": "a/b", "sizeBytes": "1"});
    metadata["mimeType"] = "text/csv".into();
    for name in file::KNOWN_TO_THE_SERVER {
        metadata[*name] = json!("x");
    }
    let mut number = metadata.clone();
    number["sizeBytes"] = 1.into();
    let samples = [json!({"file": metadata}), json!({"file": number})];
    is_true("UploadMetadata", &samples, &[], |body| {
        let headers = file::InHeaders::default();
        file::announced(body, &headers).map(drop).map_err(|error| error.to_string())
    });
}
