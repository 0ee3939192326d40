//! Structured output: answers that must match a requested schema.

use serde_json::{Value, json};

use harness::TestServer;

const SCENARIOS: &str = r#"
scenarios:
  - name: learns
    when: { input: { contains: "does not have the form" } }
    script:
      - text: '{"name": "Ada", "age": 36}'
  - name: fits
    when: { input: { contains: fits } }
    script:
      - code: print(36)
      - text: "```json\n{\"name\": \"Ada\", \"age\": {{ stdout | trim }}}\n```"
  - name: misses once
    when: { input: { contains: prose } }
    script:
      - text: Her name is Ada.
  - name: asks the client
    when: { input: { contains: function } }
    script:
      - text: I have to ask.
      - function_call: { name: f, arguments: {} }
"#;

const STUBBORN: &str = r#"
scenarios:
  - name: never learns
    script:
      - text: '{"name": 7, "age": 36}'
"#;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    })
}

fn ask(input: &str) -> Value {
    json!({
        "model": "m", "input": input,
        "tools": [{"type": "code_execution"}, {"type": "function", "name": "f"}],
        "response_format": {"type": "text", "mime_type": "application/json", "schema": schema()},
    })
}

fn texts(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().expect("it has steps").iter();
    let outputs = steps.filter(|step| step["type"] == "model_output");
    outputs.map(|step| step["content"][0]["text"].as_str().expect("it is text")).collect()
}

#[tokio::test]
async fn an_answer_that_matches_the_schema_is_returned_as_json_only() {
    let server = TestServer::start(SCENARIOS).await;
    let answer = server.create(ask("It fits?")).await;
    assert_eq!(texts(&answer), ["{\"name\": \"Ada\", \"age\": 36}"]);

    // A bare schema, one in a list, and one in `generateContent`'s form are equivalent.
    let mut request = ask("It fits?");
    request["response_format"] = json!([schema()]);
    assert_eq!(texts(&server.create(request).await), texts(&answer));
    let classic = json!({
        "contents": [{"parts": [{"text": "It fits?"}]}], "tools": [{"codeExecution": {}}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": {
            "type": "OBJECT", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}},
    });
    let reply = server.post("/v1beta/models/m:generateContent", &classic).await;
    let parts = reply.body["candidates"][0]["content"]["parts"].as_array().expect("it has parts");
    assert_eq!(parts.last().expect("there are some")["text"], texts(&answer)[0]);
}

#[tokio::test]
async fn an_answer_that_violates_the_schema_is_retried_once() {
    let server = TestServer::start(SCENARIOS).await;
    let answer = server.create(ask("In prose?")).await;
    assert_eq!(answer["status"], "completed");
    assert_eq!(
        texts(&answer),
        ["{\"name\": \"Ada\", \"age\": 36}"],
        "the first attempt is not shown"
    );
    let counted = |name: &str| answer["usage"][name].as_u64().expect("it is a number");
    assert!(counted("total_tool_use_tokens") > 0, "the second turn is counted");

    let events = server.create_stream(ask("In prose?")).await.rest().await;
    let deltas: Vec<_> = events.iter().filter(|event| event.name == "step.delta").collect();
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    assert_eq!(deltas[0].data["delta"]["text"], texts(&answer)[0]);
}

#[tokio::test]
async fn a_second_schema_violation_fails_the_interaction() {
    let server = TestServer::start(STUBBORN).await;
    let answer = server.create(ask("?")).await;
    assert_eq!(answer["status"], "failed");
    let why = answer["errors"][0]["message"].as_str().expect("it is text");
    assert!(why.starts_with("The model's answer does not fit 'response_format': "), "{why}");
    assert!(why.contains("/name"), "{why}");
}

#[tokio::test]
async fn function_calls_need_not_match_the_schema() {
    let server = TestServer::start(SCENARIOS).await;
    let answer = server.create(ask("Call the function")).await;
    assert_eq!(answer["status"], "requires_action");
    assert_eq!(texts(&answer), ["I have to ask."]);
}

#[tokio::test]
async fn an_invalid_schema_is_refused() {
    let server = TestServer::start(SCENARIOS).await;
    let mut request = ask("It fits?");
    request["response_format"]["schema"] = json!({"type": "nonsense"});
    let reply = server.post("/v1beta/interactions", &request).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("invalid_request")));
    assert!(reply.message().contains("nonsense"), "{}", reply.message());
}
