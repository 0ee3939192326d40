//! Whole completions, models and errors.

use serde_json::{Value, json};

use super::{CHAT, SCENARIOS, complete, hello, message, weather};
use harness::{Reply, TestServer};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test]
async fn thoughts_are_counted_and_shown_on_request() {
    let server = TestServer::start(SCENARIOS).await;
    let answer = complete(&server, &hello()).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello from a model.");
    let count = |name: &str| answer["usage"][name].as_u64().expect("it is a number");
    assert!(count("total_tokens") > count("prompt_tokens") + count("completion_tokens"));

    let mut request = hello();
    request["extra_body"] =
        json!({"google": {"thinking_config": {"include_thoughts": true, "thinking_level": "low"}}});
    let answer = complete(&server, &request).await;
    let wanted = "<thought>A greeting.</thought>Hello from a model.";
    assert_eq!(answer["choices"][0]["message"]["content"], wanted);
    let entries = server.get("/x/journal").await.body;
    let config = &entries["entries"][1]["generation_config"];
    assert_eq!(config["thinking_level"], "low", "{config}");
}

#[tokio::test]
async fn calls_come_with_signatures_and_their_results_go_back_in_any_order() {
    let server = TestServer::start(SCENARIOS).await;
    let mut request = weather();
    let asked = complete(&server, &request).await;
    let choice = &asked["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "I'll look. ");
    let calls = choice["message"]["tool_calls"].as_array().expect("there are calls");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1]["function"]["arguments"], r#"{"city":"Bern"}"#);
    let signature = &calls[0]["extra_content"]["google"]["thought_signature"];
    assert!(signature.is_string(), "{asked}");
    assert_eq!(
        calls[1]["extra_content"],
        Value::Null,
        "all calls share the signature of the first"
    );

    let messages = request["messages"].as_array_mut().expect("it is a list");
    messages.push(choice["message"].clone());
    for (call, result) in [(&calls[1], "snow"), (&calls[0], "fog")] {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": result}));
    }
    let answer = complete(&server, &request).await;
    let text = answer["choices"][0]["message"]["content"].as_str().expect("it is text");
    assert!(text.starts_with("The function said"), "{text}");
    let journal = server.get("/x/journal").await.body;
    assert_eq!(journal["entries"][1]["function_results"], json!(["snow", "fog"]));

    let messages = request["messages"].as_array_mut().expect("it is a list");
    messages[1]["tool_calls"][0]["extra_content"] = Value::Null;
    let reply = server.post(CHAT, &request).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(message(&reply).contains("missing a thought_signature"), "{}", message(&reply));

    request["messages"].as_array_mut().expect("it is a list").pop();
    let reply = server.post(CHAT, &request).await;
    assert!(message(&reply).contains("number of function response parts"), "{}", message(&reply));
}

#[tokio::test]
async fn several_choices_are_several_answers() {
    let server = TestServer::start(SCENARIOS).await;
    let one = complete(&server, &hello()).await["usage"].clone();
    let mut request = hello();
    request["n"] = 3.into();
    let answer = complete(&server, &request).await;
    let choices = answer["choices"].as_array().expect("it is a list");
    let indices: Vec<_> = choices.iter().map(|choice| &choice["index"]).collect();
    assert_eq!(indices, [0, 1, 2]);
    assert!(choices.iter().all(|choice| choice["message"]["content"] == "Hello from a model."));
    assert_eq!(answer["usage"]["prompt_tokens"], one["prompt_tokens"]);
    let thrice = one["completion_tokens"].as_u64().expect("it is a number") * 3;
    assert_eq!(answer["usage"]["completion_tokens"], thrice);
}

#[tokio::test]
async fn an_answer_matches_the_requested_schema_or_fails() {
    let server = TestServer::start(SCENARIOS).await;
    let with_type = |kind: &str| {
        let schema = json!({"type": "object", "properties": {"name": {"type": kind}}});
        json!({"model": "m", "messages": [{"role": "user", "content": "an object"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}})
    };
    let answer = complete(&server, &with_type("string")).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"name": "Ada"}"#);
    assert_ne!(server.post(CHAT, &with_type("integer")).await.status, 200);
}

#[tokio::test]
async fn pictures_and_files_reach_the_model() {
    let server = TestServer::start(SCENARIOS).await;
    let mut request = hello();
    request["messages"][0]["content"] = json!([
        {"type": "text", "text": "hello"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,YSxi"}},
    ]);
    complete(&server, &request).await;
    let journal = server.get("/x/journal").await.body;
    let wanted = json!(["input_file_0.png", "input_file_1.csv"]);
    assert_eq!(journal["entries"][0]["files"], wanted);

    let url = json!({"url": "https://example.org/a.png"});
    request["messages"][0]["content"][1]["image_url"] = url;
    let reply = server.post(CHAT, &request).await;
    assert_eq!(reply.status, 400);
    assert!(message(&reply).contains("https://example.org/a.png"), "{}", message(&reply));
}

#[tokio::test]
async fn errors_are_lists_in_every_layer() {
    let server = TestServer::builder().keys(&["k"]).catalog(&["known"]).start().await;
    let send = async |key: &str, method: &str, path: &str, body: &str| {
        let request = server.request(method, path).bearer_auth(key).body(body.to_owned());
        Reply::to(request).await
    };
    let chat =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "a"}]});
    let models = "/v1beta/openai/models";
    for (key, method, path, body, status, name) in [
        ("wrong", "GET", models, String::new(), 401, "UNAUTHENTICATED"),
        ("k", "POST", models, String::new(), 405, "UNIMPLEMENTED"),
        ("k", "GET", "/v1/openai/models/unknown", String::new(), 404, "NOT_FOUND"),
        ("k", "POST", "/v1/openai/images/generations", "{}".into(), 404, "NOT_FOUND"),
        ("k", "POST", "/v1/openai/responses", "{}".into(), 404, "NOT_FOUND"),
        ("k", "POST", CHAT, "{".into(), 400, "INVALID_ARGUMENT"),
        ("k", "POST", CHAT, chat("unknown").to_string(), 404, "NOT_FOUND"),
        ("k", "POST", CHAT, chat("known").to_string(), 400, "INVALID_ARGUMENT"),
    ] {
        let reply = send(key, method, path, &body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let [error] = reply.body.as_array().expect("it is a list").as_slice() else {
            panic!("{}", reply.body)
        };
        assert_eq!(error["error"]["status"], name, "{error}");
        assert_eq!(error["error"]["code"], status);
    }
}

#[tokio::test]
async fn a_field_that_the_service_does_not_know_is_named() {
    let server = TestServer::start(SCENARIOS).await;
    for (field, value, wanted) in [
        ("reasoning", json!({}), "Unknown name \"reasoning\": Cannot find field."),
        (
            "tools",
            json!([{"type": "google_search"}]),
            "Unknown name \"google_search\" at 'tools[0]': Cannot find field.",
        ),
        (
            "tools",
            json!([{"type": "code_execution"}]),
            "Unknown name \"code_execution\" at 'tools[0]': Cannot find field.",
        ),
    ] {
        let mut request = hello();
        request[field] = value;
        let reply = server.post(CHAT, &request).await;
        assert_eq!(reply.status, 400);
        assert_eq!(message(&reply), format!("Invalid JSON payload received. {wanted}"));
    }
    let mut long = hello();
    long["model"] = "m".repeat(1001).into();
    let reply = server.post(CHAT, &long).await;
    assert_eq!(reply.status, 400);
    assert!(message(&reply).contains("must not be longer than 1000 bytes"), "{}", reply.body);
}

#[tokio::test]
async fn a_model_is_found_with_and_without_its_prefix() {
    let server = TestServer::start("").await;
    let wanted = json!({"id": "models/direct", "object": "model", "owned_by": "google",
                        "display_name": "direct"});
    for name in ["direct", "models/direct", "models%2Fdirect"] {
        let reply = server.get(&format!("/v1/openai/models/{name}")).await;
        assert_eq!((reply.status, &reply.body), (200, &wanted), "{name}");
    }
    let list = server.get("/v1beta/openai/models/").await.body;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0], wanted);
}

/// Nothing of this API is kept, as in `generateContent`.
#[tokio::test]
async fn faults_and_deadlines_apply() {
    let server = TestServer::start(SCENARIOS).await;
    let request = server.request("POST", CHAT).header("x-belljar-fault", r#"{"status": 429}"#);
    let reply = Reply::to(request.json(&hello())).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.body[0]["error"]["status"], "RESOURCE_EXHAUSTED");
    let request = server.request("POST", CHAT).header("x-server-timeout", "1");
    assert_eq!(Reply::to(request.json(&hello())).await.status, 400);
}
