//! Bodies of `generateContent` and `countTokens`, to compare the schemas with their readers.

use serde_json::{Value, json};

use crate::http::cached_contents::request::KNOWN_TO_THE_SERVER;
use crate::http::generate_content::{config, part, request, tool};

/// Requests with every field, and every form of fields that have several.
pub fn generate() -> Vec<Value> {
    let mut parts = vec![
        json!({"text": "a", "thought": true, "thoughtSignature": "s"}),
        json!({"inlineData": {"data": "AAAA", "mimeType": "a/b", "displayName": "n"}}),
        json!({"fileData": {"fileUri": "files/a", "mimeType": "a/b", "displayName": "n"}}),
        json!({"executableCode": {"code": "1", "language": "PYTHON", "id": "c"}}),
        json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "c"}}),
        json!({"toolCall": {"toolType": "URL_CONTEXT", "id": "u", "args": {}}}),
        json!({"toolResponse": {"toolType": "URL_CONTEXT", "id": "u", "response": {}}}),
    ];
    let call = json!({"functionCall": {"name": "f", "args": {}, "id": "f", "willContinue": false},
                      "thoughtSignature": "skip_thought_signature_validator"});
    let response = json!({"functionResponse": {"name": "f", "response": {}, "id": "f",
                                               "willContinue": false, "scheduling": "SILENT",
                                               "parts": [{"inlineData": {"data": "AAAA", "mimeType": "a/b", "displayName": "n"}},
                                                         {"fileData": {"fileUri": "files/a", "mimeType": "a/b", "displayName": "n"}}]}});
    for name in part::ABOUT {
        parts[0][*name] = json!({});
    }
    let mut config = json!({
        "temperature": 1, "topP": 1, "topK": 1, "presencePenalty": 0, "frequencyPenalty": 0,
        "maxOutputTokens": 1, "seed": 1, "stopSequences": ["a"], "candidateCount": 1,
        "responseLogprobs": false, "responseModalities": ["TEXT"], "responseMimeType": "text/plain",
        "responseSchema": {}, "responseJsonSchema": {}, "thinkingConfig": {
            "thinkingLevel": "LOW", "thinkingBudget": 1, "includeThoughts": true},
    });
    for name in config::IGNORED {
        config[*name] = json!({});
    }
    let every = json!({
        "contents": [{"role": "user", "parts": parts}, {"role": "model", "parts": [call]},
                     {"role": "user", "parts": [response]}],
        "systemInstruction": {"parts": [{"text": "a"}]},
        "tools": [{"codeExecution": {}, "urlContext": {},
            "googleMaps": {"enableWidget": true, "authConfig": {}, "groundingTypes": {}},
            "computerUse": {"environment": "ENVIRONMENT_BROWSER", "excludedPredefinedFunctions": ["search"],
                            "disabledSafetyPolicies": ["DATA_MODIFICATION"], "enablePromptInjectionDetection": true},
            "mcpServers": [{"name": "m", "streamableHttpTransport": {"url": "http://h/", "headers": {"a": "b"},
                            "timeout": "5s", "sseReadTimeout": "60s", "terminateOnClose": true}}],
            "googleSearch": {"searchTypes": {}, "timeRangeFilter": {}}, "functionDeclarations": [{"name": "f", "description": "d",
            "parameters": {}, "response": {}, "responseJsonSchema": {}, "behavior": "BLOCKING"}]}],
        "toolConfig": {"includeServerSideToolInvocations": true, "retrievalConfig": {"languageCode": "en", "latLng": {"latitude": 1, "longitude": "1"}},
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"],
                                      "streamFunctionCallArguments": false}},
        "generationConfig": config,
        "safetySettings": [{"category": "c", "threshold": "t", "method": "m"}],
        "serviceTier": "flex", "labels": {"team": "a"}, "model": "m", "store": true,
    });
    let mut other = every.clone();
    other["contents"] = json!({"parts": {"text": "a"}});
    other["tools"] = json!({
        "functionDeclarations": {"name": "f", "parametersJsonSchema": {}},
        "fileSearch": {"fileSearchStoreNames": ["fileSearchStores/s"], "topK": 1, "metadataFilter": "a = 1"},
    });
    let mut cached = every.clone();
    for name in ["systemInstruction", "tools", "toolConfig"] {
        cached[name] = Value::Null;
    }
    cached["cachedContent"] = "cachedContents/a".into();
    vec![every, other, cached]
}

/// Cached contents that are created with every field.
pub fn caches() -> Vec<Value> {
    let samples = generate();
    let mut cache =
        json!({"model": "models/m", "displayName": "d", "ttl": "5s", "encryptionSpec": {}});
    for name in KNOWN_TO_THE_SERVER {
        cache[name] = json!({});
    }
    for name in ["contents", "systemInstruction", "tools", "toolConfig"] {
        cache[name] = samples[0][name].clone();
    }
    let mut other = cache.clone();
    other["ttl"] = Value::Null;
    other["expireTime"] = "2026-12-01T00:00:00Z".into();
    for name in ["contents", "tools"] {
        other[name] = samples[1][name].clone();
    }
    vec![cache, other]
}

/// The same with instructions that are rejected.
pub fn cache_instructions() -> Vec<Value> {
    let with_model = |mut cache: Value| {
        cache["model"] = "m".into();
        cache
    };
    instructions().into_iter().map(with_model).collect()
}

/// As [`refused`], of those fields that a cached content has too.
pub fn refused_in_cache() -> Vec<String> {
    let names = ["contents", "systemInstruction", "tools", "toolConfig"];
    refused("", &[])
        .into_iter()
        .filter(|name| names.iter().any(|own| name.starts_with(own)))
        .collect()
}

/// The same in the dialect of Vertex AI.
pub fn vertex() -> Vec<Value> {
    let mut samples = generate();
    samples[0]["modelArmorConfig"] = json!({});
    for sample in &mut samples {
        sample.as_object_mut().expect("it is one").remove("serviceTier");
    }
    samples
}

pub fn count() -> Vec<Value> {
    contents().into_iter().chain(generate().iter().map(wrapped)).collect()
}

/// Contents alone.
pub fn contents() -> Vec<Value> {
    vec![json!({"contents": generate()[0]["contents"], "model": "m"})]
}

/// A request of `generateContent` as `countTokens` takes it.
pub fn wrapped(request: &Value) -> Value {
    json!({"generateContentRequest": request})
}

/// An instruction is a content with only texts; other parts are parsed and rejected.
pub fn instructions() -> Vec<Value> {
    let samples = generate();
    let contents = samples[0]["contents"].as_array().expect("it is one").iter();
    let parts = contents.flat_map(|content| content["parts"].as_array().expect("it is one"));
    let instruction = |part| {
        let instruction = json!({"role": "user", "parts": [part]});
        json!({"contents": {"parts": {"text": "a"}}, "systemInstruction": instruction})
    };
    parts.map(instruction).collect()
}

/// Fields that are taken only to reject them with a specific message, beside these.
pub fn refused(place: &str, others: &[(&str, &str)]) -> Vec<String> {
    let rejected = request::REFUSED.iter().chain(others).map(|(name, _)| (*name).to_owned());
    let mut names: Vec<String> = rejected.collect();
    names.extend(tool::ABSENT.iter().map(|name| format!("tools.{name}")));
    names.push("generationConfig.logprobs".into());
    names.iter().map(|name| format!("{place}{name}")).collect()
}
