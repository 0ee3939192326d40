//! `generateContent` and related methods with protobuf's JSON spellings.

use serde_json::{Value, json};

use harness::TestServer;

const NUMBERS: &str = "?$alt=json;enum-encoding=int";

fn path(model: &str, method: &str) -> String {
    format!("/v1beta/models/{model}:{method}")
}

/// A conversation that includes code, as the client received it.
fn history(language: Value, outcome: Value) -> Value {
    json!({
        "contents": [
            {"role": "user", "parts": [{"text": "print(1)"}]},
            {"role": "model", "parts": [
                {"executableCode": {"language": language, "code": "print(1)"}},
                {"codeExecutionResult": {"outcome": outcome, "output": "1\n"}}]},
            {"role": "user", "parts": [{"text": "print(2)"}]},
        ],
        "tools": [{"codeExecution": {}}],
    })
}

#[tokio::test]
async fn numeric_enums_are_returned_on_request_and_accepted() {
    let server = TestServer::start("").await;
    let asked = path("direct", "generateContent") + NUMBERS;
    let reply = server.post(&asked, &history(json!(1), json!(1))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let candidate = &reply.body["candidates"][0];
    assert_eq!(candidate["finishReason"], 1);
    let parts = candidate["content"]["parts"].as_array().expect("it has parts").clone();
    assert_eq!(parts[0]["executableCode"]["language"], 1);
    assert_eq!(parts[1]["codeExecutionResult"]["outcome"], 1);
    assert_eq!(parts[1]["codeExecutionResult"]["output"], "2\n");
    assert_eq!(reply.body["usageMetadata"]["promptTokensDetails"][0]["modality"], 1);

    // The client's own history, and one with other spellings.
    let mut next = history(json!("1"), json!("OUTCOME_FAILED"));
    let contents = next["contents"].as_array_mut().expect("it is a list");
    contents.push(json!({"role": "model", "parts": parts}));
    contents.push(json!({"role": "user", "parts": [{"text": "print(3)"}]}));
    let counted = server
        .post(&(path("direct", "countTokens") + NUMBERS), &json!({"contents": next["contents"]}))
        .await;
    assert_eq!(counted.status, 200, "{}", counted.body);
    assert_eq!(counted.body["promptTokensDetails"][0]["modality"], 1);
    let stream = path("direct", "streamGenerateContent") + NUMBERS;
    let response = server.request("POST", &stream).json(&next).send().await.expect("it answers");
    assert_eq!(response.status().as_u16(), 200);
    let text = response.text().await.expect("the stream is not cut");
    assert!(text.ends_with(']'), "a gapic client takes nothing behind the list: {text:?}");
    let pieces: Vec<Value> = serde_json::from_str(&text).expect("it is a list");
    assert_eq!(pieces[0]["candidates"][0]["content"]["parts"][0]["executableCode"]["language"], 1);
    let last = pieces.last().expect("there are pieces");
    assert_eq!(last["candidates"][0]["finishReason"], 1);

    // The default is enum names, and streams of events may have numbers.
    let reply = server.post(&path("direct", "generateContent"), &next).await;
    assert_eq!(reply.body["candidates"][0]["finishReason"], "STOP");
    for query in ["?alt=sse&$alt=json;enum-encoding=int", "?$alt=sse;enum-encoding=int"] {
        let stream = path("direct", "streamGenerateContent") + query;
        let response = server.request("POST", &stream).json(&next).send().await;
        let text = response.expect("it answers").text().await.expect("the stream is not cut");
        assert!(text.starts_with("data: ") && text.contains(r#""finishReason":1"#), "{text}");
    }
    let wrong = path("direct", "generateContent") + "?$alt=json;enum-encoding=roman";
    assert_eq!(server.post(&wrong, &next).await.status, 400);
}

#[tokio::test]
async fn numbers_may_be_strings_and_enums_numbers_everywhere() {
    let server = TestServer::start("").await;
    let with = |change: Value| {
        let mut body = json!({"contents": [{"parts": [{"text": "print(1)"}]}]});
        body.as_object_mut()
            .expect("it is one")
            .extend(change.as_object().cloned().expect("it is one"));
        body
    };
    let ask = path("direct", "generateContent");
    for right in [
        json!({"generationConfig": {"temperature": "0.5", "topP": "5e-1", "topK": "40", "seed": "1e2",
            "maxOutputTokens": "100", "candidateCount": "1", "presencePenalty": 0}}),
        json!({"generation_config": {"max_output_tokens": 1e2, "candidate_count": 1.0, "seed": -1,
            "stop_sequences": null, "response_schema": null}}),
        json!({"generationConfig": {"responseModalities": [1], "mediaResolution": 2,
            "thinkingConfig": {"thinkingLevel": 1, "thinkingBudget": "0", "includeThoughts": false}}}),
        json!({"safetySettings": [{"category": 7, "threshold": 4}, {"category": "HARM_CATEGORY_HARASSMENT",
            "threshold": "BLOCK_NONE"}], "serviceTier": 2, "systemInstruction": null, "store": null}),
        json!({"tools": [{"function_declarations": [{"name": "f", "behavior": 1, "parameters":
            {"type": 6, "properties": {"a": {"type": 3, "minimum": "0"}}}}]}],
            "tool_config": {"function_calling_config": {"mode": 1, "allowed_function_names": null}}}),
        // Numbers that only a newer client knows.
        json!({"toolConfig": {"functionCallingConfig": {"mode": 77}},
            "generationConfig": {"mediaResolution": 77, "thinkingConfig": {"thinkingLevel": 77}}}),
    ] {
        let reply = server.post(&ask, &with(right.clone())).await;
        assert_eq!(reply.status, 200, "{right}: {}", reply.body);
    }
    for wrong in [
        json!({"generationConfig": {"temperature": "warm"}}),
        json!({"generationConfig": {"temperature": "NaN"}}),
        json!({"generationConfig": {"temperature": ""}}),
        json!({"generationConfig": {"seed": "2147483648"}}),
        json!({"generationConfig": {"seed": 1.5}}),
        json!({"generationConfig": {"maxOutputTokens": "1.5"}}),
        json!({"generationConfig": {"thinkingConfig": {"includeThoughts": "true"}}}),
        json!({"generationConfig": {"thinkingConfig": {"includeThoughts": 1}}}),
        json!({"generationConfig": {"responseModalities": ["SMELL"]}}),
        json!({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}),
        json!({"toolConfig": {"functionCallingConfig": {"mode": true}}}),
        json!({"safetySettings": [{"category": 1.5, "threshold": 4}]}),
    ] {
        let reply = server.post(&ask, &with(wrong.clone())).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_schema_with_numeric_types_is_enforced() {
    let body = json!({"contents": [{"parts": [{"text": "?"}]}], "generationConfig": {
        "responseMimeType": "application/json", "responseSchema":
            {"type": 5, "items": {"type": 1, "max_length": "3", "format": null}, "minItems": "1"}}});
    for (answer, wanted) in [(r#"["abc"]"#, 200), (r#"["abcd"]"#, 500), ("[]", 500), ("[1]", 500)] {
        let scenario = format!("scenarios: [{{name: any, script: [{{text: '{answer}'}}]}}]");
        let server = TestServer::start(&scenario).await;
        let reply = server.post(&path("m", "generateContent"), &body).await;
        assert_eq!(reply.status, wanted, "{answer}: {}", reply.body);
    }
}

#[tokio::test]
async fn bytes_may_use_either_base64_alphabet_and_file_states_may_be_numbers() {
    let server = TestServer::start("").await;
    // `a?>~` has both letters in which the alphabets differ.
    for data in ["YT8+fg==", "YT8-fg==", "YT8+fg", "YT8-fg"] {
        let body = json!({"contents": [{"parts": [
            {"inline_data": {"mime_type": "text/plain", "data": data}},
            {"text": "import glob; print(open(glob.glob('*')[0]).read())"}]}],
            "tools": [{"code_execution": {}}]});
        let reply = server.post(&path("direct", "generateContent"), &body).await;
        let result = &reply.body["candidates"][0]["content"]["parts"][1]["codeExecutionResult"];
        assert_eq!(result["output"], "a?>~\n", "{data}: {}", reply.body);
    }
    for size in [json!(8), json!("8"), json!(8.0), json!("8e0")] {
        let start = server
            .request("POST", "/upload/v1beta/files")
            .header("x-goog-upload-protocol", "resumable")
            .header("x-goog-upload-command", "start")
            .json(&json!({"file": {"mime_type": "text/csv", "size_bytes": size, "state": 2}}));
        assert_eq!(harness::Reply::to(start).await.status, 200, "{size}");
    }
    let upload = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", "text/csv")
        .body("a,b\n1,2\n");
    let file = harness::Reply::to(upload).await.body["file"].clone();
    let name = file["name"].as_str().expect("it has a name");
    let found = server.get(&format!("/v1beta/{name}{NUMBERS}")).await.body;
    assert_eq!((&found["state"], &found["source"]), (&json!(2), &json!(1)));
    let listed = server.get(&format!("/v1beta/files{NUMBERS}")).await.body;
    assert_eq!(listed["files"][0]["state"], 2);
    assert_eq!(server.get(&format!("/v1beta/{name}")).await.body["state"], "ACTIVE");
}
