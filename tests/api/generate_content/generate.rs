//! `generateContent`: the older API on the same engine.

use std::collections::HashMap;

use domain::interaction::Limits;
use serde_json::{Value, json};

use harness::golden::same;
use harness::recorder::{self, Kind};
use harness::{Client, RUN_LIMIT, Reply, TestServer};

const MODEL: &str = "/v1beta/models/gemini-3-flash-preview";

fn golden() -> Value {
    serde_json::from_str(include_str!("../../golden/generate_content.json")).expect("it is JSON")
}

/// A request to the model that runs the code it is sent.
fn run(code: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]})
}

async fn generate(server: &Client, model: &str, request: &Value) -> Value {
    let reply = server.post(&format!("/v1beta/models/{model}:generateContent"), request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn parts(answer: &Value) -> &Vec<Value> {
    answer["candidates"][0]["content"]["parts"].as_array().expect("it has parts")
}

/// A streamed answer as text, after its connection has ended.
async fn streamed(server: &Client, path: &str, request: &Value) -> (String, String) {
    let request = server.request("POST", path).json(request);
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.status().as_u16(), 200);
    let kind = response.headers()["content-type"].to_str().expect("it is text").to_owned();
    let text = response.text().await.expect("the stream is not cut");
    let data = |frame: &str| serde_json::from_str(frame.strip_prefix("data: ")?).ok();
    let pieces = serde_json::from_str::<Vec<Value>>(&text)
        .unwrap_or_else(|_| text.split("\r\n\r\n").filter_map(data).collect());
    for piece in &pieces {
        recorder::record(Kind::Piece, "POST", path, 200, piece);
    }
    (kind, text)
}

/// The objects of the `data:` lines. A stream has no other lines.
fn events(text: &str) -> Vec<Value> {
    let frames = text.split_terminator("\r\n\r\n");
    let data = frames.map(|frame| frame.strip_prefix("data: ").expect("nothing but data"));
    data.map(|data| serde_json::from_str(data).expect("it is JSON")).collect()
}

#[tokio::test]
async fn a_reply_matches_the_golden_exchange() {
    let golden = golden();
    let server = TestServer::start(golden["scenarios"].as_str().expect("it is YAML")).await;
    for version in ["v1", "v1beta", "v1alpha"] {
        let path = format!("/{version}/models/gemini-3-flash-preview:generateContent");
        let reply = server.post(&path, &golden["request"]).await;
        assert_eq!(reply.headers["content-type"], "application/json; charset=UTF-8");
        same(&reply.body, &golden["answer"], &mut HashMap::new(), "the answer");
        let usage = &reply.body["usageMetadata"];
        let counted = ["prompt", "candidates", "toolUsePrompt", "thoughts"]
            .map(|name| usage[format!("{name}TokenCount")].as_u64().expect("it is a number"));
        assert_eq!(usage["totalTokenCount"], counted.iter().sum::<u64>());
    }
}

#[tokio::test]
async fn a_stream_has_the_same_parts_and_running_counts() {
    let golden = golden();
    let server = TestServer::start(golden["scenarios"].as_str().expect("it is YAML")).await;
    let path = format!("{MODEL}:streamGenerateContent?alt=sse");
    let (kind, text) = streamed(&server, &path, &golden["request"]).await;
    assert_eq!(kind, "text/event-stream");
    let pieces = events(&text);
    let parts: Vec<Value> = pieces.iter().map(|piece| parts(piece).clone().into()).collect();
    same(&parts.into(), &golden["parts_of_stream"], &mut HashMap::new(), "the stream");

    let (last, others) = pieces.split_last().expect("there are pieces");
    let mut before = (0, 0, 0);
    for piece in others {
        assert_eq!(piece["candidates"][0]["finishReason"], Value::Null);
        assert_eq!(piece["responseId"], last["responseId"]);
        let usage = &piece["usageMetadata"];
        let count = |name: &str| usage[format!("{name}TokenCount")].as_u64().unwrap_or(0);
        let counts = (count("prompt"), count("candidates"), count("thoughts"));
        assert_eq!(counts.0, 4, "{usage}");
        assert!(counts.1 >= before.1 && counts.2 >= before.2, "{counts:?} after {before:?}");
        assert_eq!(count("total"), counts.0 + counts.1 + counts.2);
        assert_eq!(usage["toolUsePromptTokenCount"], Value::Null, "only the last piece has it");
        before = counts;
    }
    let counts = &last["usageMetadata"];
    assert_eq!(
        (&counts["candidatesTokenCount"], &counts["thoughtsTokenCount"]),
        (&json!(before.1), &json!(before.2))
    );
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    let answer = &golden["answer"]["usageMetadata"];
    same(&last["usageMetadata"], answer, &mut HashMap::new(), "usage");
}

const FUNCTIONS: &str = r"
scenarios:
  - name: both
    script:
      - text: I ask both.
      - function_call: { name: f, arguments: { a: 1 } }
      - function_call: { name: g, arguments: {} }
";

/// As recorded. Google's JavaScript SDK sends back each piece of a turn that calls functions, and a
/// piece without a part would be refused. Its Python SDK drops a turn that has one.
#[tokio::test]
async fn the_last_chunk_has_the_last_function_call_and_no_chunk_is_empty() {
    let server = TestServer::start(FUNCTIONS).await;
    let functions = json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]);
    let request = json!({"contents": [{"parts": [{"text": "?"}]}], "tools": functions});
    let path = format!("{MODEL}:streamGenerateContent?alt=sse");
    let (_, text) = streamed(&server, &path, &request).await;
    let pieces = events(&text);
    let last = pieces.last().expect("there are pieces");
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert!(last["usageMetadata"]["promptTokenCount"].is_u64());
    let named: Vec<_> =
        pieces.iter().flat_map(parts).map(|part| &part["functionCall"]["name"]).collect();
    assert_eq!(named, [&json!(null), &json!("f"), &json!("g")]);
    assert_eq!(pieces.len(), 3);

    let (_, text) =
        streamed(&server, "/v1beta/models/direct:streamGenerateContent?alt=sse", &run("1")).await;
    for piece in events(&text) {
        assert!(!parts(&piece).is_empty(), "{piece}");
    }
}

#[tokio::test]
async fn without_alt_sse_a_stream_is_one_list() {
    let server = TestServer::start("").await;
    let path = "/v1beta/models/direct:streamGenerateContent";
    for (query, stop) in [
        ("", json!("STOP")),
        ("?alt=json", json!("STOP")),
        ("?$alt=json;enum-encoding=int", json!(1)),
    ] {
        let (kind, text) = streamed(&server, &format!("{path}{query}"), &run("print(1)")).await;
        assert_eq!(kind, "application/json; charset=UTF-8");
        let pieces: Vec<Value> = serde_json::from_str(&text).expect("it is one list");
        assert_eq!(parts(&pieces[1])[0]["codeExecutionResult"]["output"], "1\n");
        assert_eq!(pieces[3]["candidates"][0]["finishReason"], stop);
    }
}

#[tokio::test]
async fn thoughts_are_returned_on_request() {
    let golden = golden();
    let server = TestServer::start(golden["scenarios"].as_str().expect("it is YAML")).await;
    let mut request = golden["request"].clone();
    for config in [json!(null), json!({}), json!({"thinkingConfig": {"includeThoughts": false}})] {
        request["generationConfig"] = config;
        let answer = generate(&server, "m", &request).await;
        let kinds: Vec<_> = parts(&answer).iter().map(|part| part.get("thought")).collect();
        assert_eq!(kinds, [None, None, None]);
        assert!(parts(&answer)[2]["thoughtSignature"].is_string(), "{answer}");
        assert!(answer["usageMetadata"]["thoughtsTokenCount"].as_u64() > Some(0));
    }
}

#[tokio::test]
async fn each_outcome_has_its_enum_value() {
    let server = TestServer::start("").await;
    let seconds = RUN_LIMIT.as_secs();
    let too_long =
        format!("so far\nTimeoutError: stopped after {seconds} s (the limit of one run)\n");
    for (code, outcome, output) in [
        ("print(6 * 7)", "OUTCOME_OK", "42\n"),
        ("1 / 0", "OUTCOME_FAILED", "ZeroDivisionError: division by zero\n"),
        ("print('so far', flush=True)\nwhile True: pass", "OUTCOME_DEADLINE_EXCEEDED", &too_long),
    ] {
        let answer = generate(&server, "direct", &run(code)).await;
        let result = &parts(&answer)[1]["codeExecutionResult"];
        assert_eq!(result["outcome"], outcome);
        let text = result["output"].as_str().expect("it is text");
        assert!(text.ends_with(output), "{text}");
        assert_eq!(result["id"], parts(&answer)[0]["executableCode"]["id"]);
        assert_eq!(answer["candidates"][0]["finishReason"], "STOP", "{code}");
    }
}

#[tokio::test]
async fn input_files_are_accepted_and_pictures_are_returned() {
    let server = TestServer::start("").await;
    let code = "from PIL import Image\nprint(open('input_file_0.csv').read())\n\
                Image.new('RGB', (2, 2)).save('dot.png')";
    for inline in ["inlineData", "inline_data"] {
        let mut request = run(code);
        let file = json!({inline: {"mime_type": "text/csv", "data": "YSxi", "displayName": "x"}});
        request["contents"][0]["parts"].as_array_mut().expect("it is a list").push(file);
        let answer = generate(&server, "direct", &request).await;
        let parts = parts(&answer);
        assert_eq!(parts[1]["codeExecutionResult"]["output"], "a,b\n");
        assert_eq!(parts[2]["inlineData"]["mimeType"], "image/png");
        let data = parts[2]["inlineData"]["data"].as_str().expect("it is text");
        assert!(data.starts_with("iVBORw0KGgo"), "{data}");
        assert_eq!(parts[3]["text"], "done");
    }
}

#[tokio::test]
async fn a_history_may_contain_code_and_pictures() {
    let server = TestServer::start(
        "scenarios:\n  - name: second\n    when: { turn: 2 }\n    script:\n      - code: print(2)\n      \
         - text: \"again {{ stdout | trim }}\"\n  - name: first\n    script:\n      - thought: Hm.\n      \
         - code: |\n          from PIL import Image\n          Image.new('RGB', (2, 2)).save('dot.png')\n      \
         - text: first\n",
    )
    .await;
    let mut request = run("Draw.");
    let first = generate(&server, "m", &request).await;
    assert_eq!(parts(&first).len(), 4, "code, result, picture, text: {first}");
    let contents = request["contents"].as_array_mut().expect("it is a list");
    contents.push(first["candidates"][0]["content"].clone());
    contents.push(json!({"role": "user", "parts": [{"text": "Once more."}]}));
    let second = generate(&server, "m", &request).await;
    assert_eq!(parts(&second)[1]["codeExecutionResult"]["output"], "2\n");
    assert_eq!(parts(&second)[2]["text"], "again 2");
}

const WEATHER: &str = r#"
scenarios:
  - name: weather
    script:
      - function_call: { name: get_weather, arguments: { city: Paris } }
      - text: "In Paris there is {{ function_result }}."
"#;

#[tokio::test]
async fn a_function_response_is_accepted_with_or_without_its_id() {
    let server = TestServer::start(WEATHER).await;
    let mut request = run("What is the weather like?");
    request["tools"] = json!([{"functionDeclarations": [{"name": "get_weather"}]}]);
    let asked = generate(&server, "m", &request).await;
    let part = &parts(&asked)[0];
    assert_eq!(part["functionCall"]["args"], json!({"city": "Paris"}));
    assert!(part["thoughtSignature"].is_string());
    assert_eq!(asked["candidates"][0]["finishReason"], "STOP");

    for id in [part["functionCall"]["id"].clone(), Value::Null] {
        let mut request = request.clone();
        let response = json!({"id": id, "name": "get_weather", "response": {"sky": "grey"}});
        let contents = request["contents"].as_array_mut().expect("it is a list");
        contents.push(asked["candidates"][0]["content"].clone());
        contents.push(json!({"role": "user", "parts": [{"functionResponse": response}]}));
        let answer = generate(&server, "m", &request).await;
        let text = parts(&answer)[0]["text"].as_str().expect("it is text");
        assert!(text.starts_with("In Paris there is") && text.contains("grey"), "{text}");
    }
}

/// semantic-kernel writes `plugin-function` in the call that it sends back, and `plugin__function` in its response.
#[tokio::test]
async fn before_gemini_3_a_function_call_may_be_sent_back_under_another_name() {
    let scenarios = WEATHER.replace("get_weather", "weather__get");
    let server = TestServer::builder().scenarios(&scenarios).catalog(&["gemini-*"]).start().await;
    let mut request = run("What is the weather like?");
    request["tools"] = json!([{"functionDeclarations": [{"name": "weather__get"}]}]);
    for (model, status) in [("gemini-2.5-flash", 200), ("gemini-3-flash-preview", 400)] {
        let mut asked =
            generate(&server, model, &request).await["candidates"][0]["content"].clone();
        asked["parts"][0]["functionCall"]["name"] = "weather-get".into();
        let response = json!({"name": "weather__get", "response": {"sky": "grey"}});
        let mut request = request.clone();
        let contents = request["contents"].as_array_mut().expect("it is a list");
        contents.push(asked);
        contents.push(json!({"role": "function", "parts": [{"functionResponse": response}]}));
        let path = format!("/v1beta/models/{model}:generateContent");
        let reply = server.post(&path, &request).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        if status == 200 {
            let text = parts(&reply.body)[0]["text"].as_str().expect("it is text");
            assert!(text.starts_with("In Paris there is"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_has_its_finish_reason() {
    let cut = "scenarios:\n  - name: cut\n    script: [{text: Once upon}, {finish: MAX_TOKENS}]\n";
    let server = TestServer::start(cut).await;
    let answer = generate(&server, "m", &run("?")).await;
    assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
}

#[tokio::test]
async fn an_invalid_request_is_refused_in_this_apis_envelope() {
    let server = TestServer::builder().catalog(&["direct", "gemini-*"]).start().await;
    let both = json!([{"codeExecution": {}}, {"functionDeclarations": [{"name": "f"}]}]);
    for (change, wanted) in [
        (
            json!({"contents": null}),
            "* GenerateContentRequest.contents: contents is not specified\n",
        ),
        (
            json!({"input": "x"}),
            "Invalid JSON payload received. Unknown name \"input\": Cannot find field.",
        ),
        (
            json!({"contents": [{"parts": [{"txt": "x"}]}]}),
            "Invalid JSON payload received. Unknown name \"txt\" at 'contents[0].parts[0]': Cannot find field.",
        ),
        (
            json!({"tools": both}),
            "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling.",
        ),
        (
            json!({"tools": [{"retrieval": {}}]}),
            "Invalid value for 'tools[0]': the tool 'retrieval' is not supported by this server. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/f.csv"}}]}]}),
            "A file at 'gs://b/f.csv' cannot be fetched by this server. Upload it, or send it inline, as base64 'data'.",
        ),
    ] {
        let mut request = run("print(1)");
        for (name, value) in change.as_object().expect("it is one") {
            request[name] = value.clone();
        }
        for method in ["generateContent", "streamGenerateContent?alt=sse"] {
            let reply = server.post(&format!("/v1/models/direct:{method}"), &request).await;
            let error =
                json!({"error": {"code": 400, "message": wanted, "status": "INVALID_ARGUMENT"}});
            assert_eq!((reply.status, reply.body), (400, error));
        }
    }
    let mut mixed = run("print(1)");
    mixed["tools"] = both;
    mixed["toolConfig"] = json!({"includeServerSideToolInvocations": true});
    generate(&server, "direct", &mixed).await;
}

#[tokio::test]
async fn unknown_models_and_methods_are_not_found() {
    let server = TestServer::builder().catalog(&["direct"]).start().await;
    for (method, path, status, wanted) in [
        ("POST", "/v1/models/gone:generateContent", 404, "models/gone is not found"),
        ("POST", "/v1/models/direct:embedContent", 404, "not supported for embedContent"),
        ("POST", "/v1/models/direct", 405, "does not have this method"),
        ("GET", "/v1/models/direct:generateContent", 405, "requires POST"),
        ("POST", "/v1/models/direct:generateContent?colour=red", 400, "Unknown name \"colour\""),
        ("POST", "/v1/models", 405, ""),
    ] {
        let reply = Reply::to(server.request(method, path).json(&run("print(1)"))).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{method} {path}: {}", reply.message());
        assert_eq!(reply.body["error"]["code"], status);
    }
}

/// The first turn is valid; the second uses an undefined name.
const BREAKS_OFF: &str = "scenarios:\n  - name: breaks off\n    script:\n      - code: print(1)\n      - text: \"{{ undefined }}\"\n";

#[tokio::test]
async fn an_interrupted_answer_is_an_error_even_late_in_a_stream() {
    let server = TestServer::start(BREAKS_OFF).await;
    let reply = server.post(&format!("{MODEL}:generateContent"), &run("?")).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(reply.message().contains("breaks off"), "{}", reply.body);

    let (_, text) =
        streamed(&server, &format!("{MODEL}:streamGenerateContent?alt=sse"), &run("?")).await;
    let last = text.trim_end().rsplit("\r\n\r\n").next().expect("there is one");
    let last: Value = serde_json::from_str(last).expect("an object of its own");
    assert_eq!(last["error"]["code"], 400);

    let (_, text) = streamed(&server, &format!("{MODEL}:streamGenerateContent"), &run("?")).await;
    let pieces: Vec<Value> = serde_json::from_str(&text).expect("it is a list all the same");
    assert_eq!(pieces.last().expect("there are some")["error"]["code"], 400);
}

#[tokio::test]
async fn the_engines_limits_apply_to_generate_content() {
    let limits = Limits { regenerations: 1, model_turns: 20 };
    let never = "scenarios:\n  - name: n\n    script:\n      - repeat_code_until_ok: 1 / 0\n      - text: no\n";
    let server = TestServer::builder().scenarios(never).limits(limits).start().await;
    let answer = generate(&server, "m", &run("?")).await;
    let runs = parts(&answer).iter().filter(|part| part.get("codeExecutionResult").is_some());
    assert_eq!(runs.count(), 2, "{answer}");
}

#[tokio::test]
async fn count_tokens_matches_the_answers_usage() {
    let server = TestServer::start("").await;
    let count = async |body: &Value| server.post("/v1beta/models/m:countTokens", body).await;
    let contents = json!([{"role": "user", "parts": [{"text": "print(6 * 7)"}]}]);
    let reply = count(&json!({"contents": contents})).await;
    let wanted =
        json!({"totalTokens": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]});
    assert_eq!((reply.status, reply.body), (200, wanted));
    let answer = generate(&server, "direct", &run("print(6 * 7)")).await;
    assert_eq!(answer["usageMetadata"]["promptTokenCount"], 3);

    let system = json!({"parts": [{"text": "Be brief"}]});
    let whole = json!({"contents": contents, "systemInstruction": system});
    let reply = count(&json!({"generateContentRequest": whole})).await;
    assert_eq!(reply.body["totalTokens"], 5);
    let reply = count(&whole).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("\"systemInstruction\""), "{}", reply.message());
}
