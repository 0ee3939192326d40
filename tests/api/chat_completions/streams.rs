//! Streamed completions.

use serde_json::{Value, json};

use super::{CHAT, SCENARIOS, complete, hello, weather};
use harness::recorder::{self, Kind};
use harness::{Client, TestServer};

/// The data of a stream that ends as it should, without the final `[DONE]`.
async fn chunks(server: &Client, request: &Value) -> Vec<Value> {
    let (kind, text) = streamed(server, request).await;
    assert_eq!(kind, "text/event-stream");
    let text = text.strip_suffix("data: [DONE]\n\n").expect("the stream ends with it");
    let data = |frame: &str| {
        let data = frame.strip_prefix("data: ").expect("nothing but data");
        serde_json::from_str(data).expect("it is JSON")
    };
    let chunks: Vec<Value> = text.split_terminator("\n\n").map(data).collect();
    for chunk in &chunks {
        recorder::record(Kind::Piece, "POST", CHAT, 200, chunk);
    }
    chunks
}

async fn streamed(server: &Client, request: &Value) -> (String, String) {
    let mut request = request.clone();
    request["stream"] = true.into();
    let response = server.request("POST", CHAT).json(&request).send().await;
    let response = response.expect("the server answers");
    assert_eq!(response.status().as_u16(), 200);
    let kind = response.headers()["content-type"].to_str().expect("it is text").to_owned();
    (kind, response.text().await.expect("the stream is not cut"))
}

fn content(chunks: &[Value], index: usize) -> String {
    let choices =
        chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("it is a list"));
    let choices = choices.filter(|choice| choice["index"] == index);
    choices.filter_map(|choice| choice["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn the_chunks_of_a_stream_make_the_whole_answer() {
    let server = TestServer::start(SCENARIOS).await;
    let whole = complete(&server, &hello()).await;
    let mut request = hello();
    let without = chunks(&server, &request).await;
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    request["stream_options"] = json!({"include_usage": true});
    let chunks = chunks(&server, &request).await;
    assert_eq!(content(&chunks, 0), whole["choices"][0]["message"]["content"]);

    let [first, .., finish, usage] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string());
    assert_eq!(roles.count(), 1, "Python's SDK would append the second to the first");
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    assert!(chunks.iter().all(|chunk| chunk["id"] == first["id"]));
}

#[tokio::test]
async fn a_streamed_call_has_an_index_and_its_whole_arguments() {
    let server = TestServer::start(SCENARIOS).await;
    let chunks = chunks(&server, &weather()).await;
    let calls: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
        .flatten()
        .collect();
    let summary: Vec<_> =
        calls.iter().map(|call| (&call["index"], &call["function"]["arguments"])).collect();
    let wanted = [(json!(0), json!(r#"{"city":"Ulm"}"#)), (json!(1), json!(r#"{"city":"Bern"}"#))];
    assert_eq!(summary, wanted.each_ref().map(|(index, arguments)| (index, arguments)));
    assert!(calls[0]["extra_content"]["google"]["thought_signature"].is_string());
    let last = chunks.last().expect("there are chunks");
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn choices_stream_side_by_side() {
    let server = TestServer::start(SCENARIOS).await;
    let mut request = hello();
    request["n"] = 2.into();
    request["stream_options"] = json!({"include_usage": true});
    let chunks = chunks(&server, &request).await;
    for index in 0..2 {
        assert_eq!(content(&chunks, index), "Hello from a model.");
    }
    let ends = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
    assert_eq!(ends.count(), 2);
    let last = chunks.last().expect("there are chunks");
    let mut whole = hello();
    whole["n"] = 2.into();
    assert_eq!(last["usage"], complete(&server, &whole).await["usage"]);
}

#[tokio::test]
async fn a_late_failure_is_an_event_with_an_error() {
    let server = TestServer::start(
        "scenarios:\n  - name: fails\n    script:\n      - text: Half an\n      - fail: { status: 503, message: Busy. }\n",
    )
    .await;
    let (_, text) = streamed(&server, &hello()).await;
    let last = text.trim_end().rsplit("\n\n").next().expect("there is an event");
    let error: Value =
        serde_json::from_str(last.strip_prefix("data: ").expect("it is data")).expect("it is JSON");
    assert_eq!(error["error"]["code"], 503, "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
}
