//! Completions of a model on another server. Only the model server is fake.

use serde_json::json;

use super::{CHAT, complete, weather};
use crate::fake::{Act, Answer, Fake, data, delta, status, text};
use harness::TestServer;

#[tokio::test]
async fn a_model_of_another_server_answers_and_calls() {
    let call = json!({"index": 0, "id": "call_1", "function": {
        "name": "get_weather", "arguments": "{\"city\": \"Ulm\"}"}});
    let fake = Fake::start([
        Answer::Stream(vec![
            delta(json!({"tool_calls": [call]})),
            data(&json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})),
            Act::Send("data: [DONE]\n\n".into()),
        ]),
        text("Fog in Ulm."),
    ])
    .await;
    let server = TestServer::builder().model("m*", fake.model()).start().await;
    let mut request = weather();
    request["model"] = "m1".into();
    request["messages"]
        .as_array_mut()
        .expect("it is a list")
        .insert(0, json!({"role": "system", "content": "Be brief."}));
    let asked = complete(&server, &request).await;
    let choice = &asked["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{asked}");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"city":"Ulm"}"#);

    let messages = request["messages"].as_array_mut().expect("it is a list");
    messages.push(choice["message"].clone());
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "fog"}));
    let answer = complete(&server, &request).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Fog in Ulm.");

    let [first, second] = &fake.asked()[..] else { panic!("{:?}", fake.asked()) };
    assert_eq!(first["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(first["tools"][0]["function"]["name"], "get_weather");
    let last = second["messages"].as_array().and_then(|messages| messages.last());
    assert_eq!(last.expect("there are messages")["content"], "fog");
}

#[tokio::test]
async fn a_refusal_of_the_other_server_is_the_answer() {
    let fake = Fake::start([status(401, "Incorrect API key")]).await;
    let server = TestServer::builder().model("m*", fake.model()).start().await;
    let request = json!({"model": "m1", "messages": [{"role": "user", "content": "a"}]});
    let reply = server.post(CHAT, &request).await;
    assert_ne!(reply.status, 200);
    assert!(reply.body[0]["error"]["message"].is_string(), "{}", reply.body);
}
