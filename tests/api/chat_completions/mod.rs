//! The OpenAI-compatible API.

mod real_models;
mod requests;
mod streams;

use harness::{Client, Reply};
use serde_json::{Value, json};

const CHAT: &str = "/v1beta/openai/chat/completions";

/// A scripted model with an answer, a call of the client's function, and a rejected request.
const SCENARIOS: &str = r#"
scenarios:
  - name: weather
    when: { input: { contains: weather }, tools: [get_weather] }
    script:
      - thought: I need the weather.
      - text: "I'll look. "
      - function_call: { name: get_weather, arguments: { city: Ulm } }
      - function_call: { name: get_weather, arguments: { city: Bern } }
      - text: "The function said {{ function_result }}."
  - name: an object
    when: { input: { contains: object } }
    script:
      - text: '{"name": "Ada"}'
  - name: greeting
    when: { input: { contains: hello } }
    script:
      - thought: A greeting.
      - text: "Hello from a model."
"#;

fn hello() -> Value {
    json!({"model": "gemini-3.8-flash", "messages": [{"role": "user", "content": "hello"}]})
}

fn weather() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({
        "model": "gemini-3.8-flash",
        "messages": [{"role": "user", "content": "What is the weather?"}],
        "tools": [{"type": "function", "function": {
            "name": "get_weather", "description": "The weather.", "parameters": parameters}}],
    })
}

/// A completion, which must succeed.
async fn complete(server: &Client, request: &Value) -> Value {
    let reply = server.post(CHAT, request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// The message of an error, which is in a list of one.
fn message(reply: &Reply) -> &str {
    reply.body[0]["error"]["message"].as_str().expect("it is in the list")
}
