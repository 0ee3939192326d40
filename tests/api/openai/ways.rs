//! How the server detects in which way a model runs code, and how it treats truncated answers.

use serde_json::{Value, json};
use server::backends::openai::Has;

use super::{INTERACTIONS, ask, roles, server, types};
use crate::fake::{Act, Answer, Fake, code, data, delta, status, stream_of, text};
use harness::{Reply, TestServer};

const BLOCK: &str = "Let me see.\n```python\nprint(6 * 7)\n```\n";

fn cut(deltas: impl IntoIterator<Item = Value>) -> Answer {
    let mut acts: Vec<Act> = deltas.into_iter().map(delta).collect();
    acts.push(data(&json!({"choices": [{"delta": {}, "finish_reason": "length"}]})));
    Answer::Stream(acts)
}

fn texts(answer: &Value) -> String {
    let steps = answer["steps"].as_array().expect("it has steps");
    steps.iter().filter_map(|step| step["content"][0]["text"].as_str()).collect()
}

fn offers_tools(body: &Value) -> bool {
    body.get("tools").is_some()
}

/// llama.cpp does this when the model's chat template has no tools.
/// A request with a mistake took pictures and functions from the requests of all keys.
#[tokio::test]
async fn an_ability_is_missing_only_for_the_key_whose_requests_have_shown_it() {
    let fake = Fake::start([
        status(400, "invalid image: it is garbage"),
        status(400, "invalid image: so it is"),
        status(400, "invalid image"),
        text("I see nothing."),
        text("I see."),
        text("Still nothing."),
    ])
    .await;
    let server = TestServer::builder().keys(&["a", "b"]).model("m*", fake.model()).start().await;
    let ask = async |key: &str| {
        let picture = json!({"type": "image", "mime_type": "image/png", "data": "AAAA"});
        let input = json!([{"type": "text", "text": "What is it?"}, picture]);
        let request = server.request("POST", "/v1beta/interactions").header("x-goog-api-key", key);
        Reply::to(request.json(&json!({"model": "m1", "input": input}))).await
    };
    let has_picture = |n: usize| fake.asked()[n].to_string().contains("image_url");
    // It is remembered only once a request without the picture is accepted.
    assert_eq!(ask("a").await.status, 400);
    assert!(has_picture(0) && !has_picture(1));
    assert_eq!(ask("a").await.status, 200);
    assert!(has_picture(2) && !has_picture(3));
    assert_eq!(ask("b").await.status, 200);
    assert!(has_picture(4), "b has made no mistake");
    assert_eq!(ask("a").await.status, 200);
    assert!(!has_picture(5), "a has");
}

#[tokio::test]
async fn tools_that_the_server_ignored_are_not_offered_again() {
    let made_up = "The output is:\n```\n41\n```\n";
    let fake = Fake::start([text(&format!("{BLOCK}{made_up}")), text("It is 42."), text("Yes.")]);
    let fake = fake.await;
    let server = server(&fake).await;
    let answer = server.create(ask("6 * 7?")).await;
    assert_eq!(
        types(&answer),
        ["model_output", "code_execution_call", "code_execution_result", "model_output"]
    );
    assert_eq!(texts(&answer), "Let me see.\nIt is 42.", "and nothing that it made up");
    assert_eq!(answer["steps"][2]["result"], "42\n");
    server.create(ask("Really?")).await;
    let asked = fake.asked();
    assert_eq!(asked.iter().map(offers_tools).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(roles(&asked[1]), ["system", "user", "assistant", "user"]);
}

#[tokio::test]
async fn a_code_block_of_a_model_that_calls_tools_is_text() {
    let arguments = json!({"code": "print(1)"}).to_string();
    let call = json!({"tool_calls": [{"index": 0, "id": "c", "function":
        {"name": "run_python", "arguments": arguments}}]});
    let both = stream_of([json!({"content": BLOCK}), json!({"content": "So:"}), call]);
    let fake = Fake::start([both, text("One.\n"), text(BLOCK)]).await;
    let server = server(&fake).await;
    let answer = server.create(ask("?")).await;
    assert_eq!(texts(&answer), format!("{BLOCK}So:One.\n"));
    assert_eq!(answer["steps"][2]["result"], "1\n");

    let answer = server.create(ask("How would you do it?")).await;
    assert_eq!((types(&answer), texts(&answer)), (vec!["model_output"], BLOCK.to_owned()));
    assert!(fake.asked().iter().all(offers_tools));
}

#[tokio::test]
async fn a_model_that_uses_code_blocks_can_call_functions() {
    let call =
        json!({"tool_calls": [{"id": "x", "function": {"name": "weather", "arguments": ""}}]});
    let fake = Fake::start([text(BLOCK), text("42."), stream_of([call])]).await;
    let server = server(&fake).await;
    server.create(ask("6 * 7?")).await;
    let mut request = ask("The weather?");
    request["tools"] = json!([{"type": "code_execution"},
        {"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let answer = server.create(request).await;
    assert_eq!(answer["status"], "requires_action", "{answer}");
}

#[tokio::test]
async fn a_malformed_first_call_switches_to_code_blocks() {
    let function = json!({"name": "run_python", "arguments": "{\"code\": "});
    let broken = stream_of([json!({"tool_calls": [{"index": 0, "function": function}]})]);
    let fake = Fake::start([broken, text(BLOCK), text("42.")]).await;
    let server = server(&fake).await;
    assert_eq!(server.create(ask("6 * 7?")).await["status"], "failed");
    assert_eq!(texts(&server.create(ask("6 * 7?")).await), "Let me see.\n42.");
    assert_eq!(fake.asked().iter().map(offers_tools).collect::<Vec<_>>(), [true, false, false]);
}

#[tokio::test]
async fn a_configured_mode_is_not_detected() {
    let fake = Fake::start([text(BLOCK)]).await;
    let model = fake.model_with(Has::Yes, Has::No);
    let server = TestServer::builder().model("m*", model).start().await;
    let answer = server.create(ask("6 * 7?")).await;
    assert_eq!((types(&answer), texts(&answer)), (vec!["model_output"], BLOCK.to_owned()));
}

/// Incomplete code is not run, and is not counted as the model's mistake.
#[tokio::test]
async fn code_truncated_by_the_token_limit_is_not_run() {
    let call = |arguments: &str| {
        let function = json!({"name": "run_python", "arguments": arguments});
        cut([json!({"tool_calls": [{"index": 0, "function": function}]})])
    };
    let half = "```python\nprint(1";
    for (tools, answer, wanted) in [
        (Has::No, cut([json!({"content": half})]), half),
        (Has::Auto, cut([json!({"content": half})]), half),
        (Has::Auto, call("{\"code\": \"print(1"), ""),
    ] {
        let what = format!("{answer:?}");
        let fake = Fake::start([answer]).await;
        let model = fake.model_with(tools, Has::No);
        let server = TestServer::builder().model("m*", model).start().await;
        let answer = server.create(ask("?")).await;
        assert_eq!(
            (answer["status"].as_str(), texts(&answer).as_str()),
            (Some("incomplete"), wanted),
            "{what}: {answer}"
        );
    }
}

/// A grammar that allows several calls, and a model that does not stop.
#[tokio::test]
async fn text_after_a_calls_arguments_is_dropped() {
    let arguments = "{\"code\": \"print(1)\"}{\n\t\t\"code\": \"pri";
    let function = json!({"name": "run_python", "arguments": arguments});
    let fake = Fake::start([cut([json!({"tool_calls": [{"function": function}]})]), text("A")]);
    let fake = fake.await;
    let answer = server(&fake).await.create(ask("?")).await;
    assert_eq!(answer["steps"][1]["result"], "1\n", "{answer}");
}

#[tokio::test]
async fn context_length_errors_are_recognised_in_each_wording() {
    let body = |error: Value| {
        let body = json!({"error": error}).to_string();
        Answer::Whole(400, ("content-type", "application/json"), body)
    };
    let streamed = |error: Value| Answer::Stream(vec![data(&json!({"error": error}))]);
    let llama =
        "request (5031 tokens) exceeds the available context size (4096 tokens), try increasing it";
    for answer in [
        body(json!({"code": 400, "message": llama, "type": "exceed_context_size_error"})),
        body(json!({"message": "It is large.", "code": "context_length_exceeded"})),
        body(
            json!({"message": "It is large, with its tools.", "type": "exceed_context_size_error"}),
        ),
        status(500, llama),
        status(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        streamed(json!({"message": "The model is loaded with context length of only 4096 tokens"})),
    ] {
        let what = format!("{answer:?}");
        let fake = Fake::start([answer]).await;
        let reply = server(&fake).await.post(INTERACTIONS, &ask("?")).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.body);
        let message = reply.message();
        assert!(message.contains("is too long for the model `upstream-name`"), "{message}");
        assert_eq!(fake.asked().len(), 1, "{what}: asked again");
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_first_byte_is_retried() {
    let fake = Fake::start([Answer::HangUp, code("print(1)"), text("One.")]).await;
    let answer = server(&fake).await.create(ask("?")).await;
    assert_eq!(texts(&answer), "One.");
    assert_eq!(fake.asked().len(), 3);
}

/// Code runs however a model formats the block.
#[tokio::test]
async fn code_blocks_are_recognised_in_every_spelling() {
    for block in [
        "1. Compute it:\n\n   ```python\n   for n in [42]:\n       print(n)\n   ```\n",
        "- ```Python\n  print(42)\n  ```",
        "```python3\nprint(42)\n```",
        "~~~py\nprint(42)\n~~~\n",
        "```{.python}\nprint(42)```",
        "Run this: ```python\nprint(42)\n```",
        "```\nprint(42)\n```\n",
        "<tool_code>\nprint(42)\n</tool_code>",
        "n = 42\nprint(n)",
    ] {
        let fake = Fake::start([text(block), text("Done.")]).await;
        let model = fake.model_with(Has::No, Has::No);
        let server = TestServer::builder().model("m*", model).start().await;
        let answer = server.create(ask("42?")).await;
        let steps = answer["steps"].as_array().expect("it has steps");
        let result = steps.iter().find(|step| step["type"] == "code_execution_result");
        let result = result.unwrap_or_else(|| panic!("{block:?} was not run: {answer}"));
        assert_eq!(result["result"], "42\n", "{block:?}");
    }
}

/// Blocks that only illustrate are not run: output, code in another language, or a program shown
/// after code has run.
#[tokio::test]
async fn illustrative_code_blocks_are_not_run() {
    for shown in ["It is:\n```\n42\n```\n", "```js\nprint(42)\n```\n", "```\nprint(42)\n```"] {
        let fake = Fake::start([text("```python\nprint(1)\n```"), text(shown)]).await;
        let model = fake.model_with(Has::No, Has::No);
        let server = TestServer::builder().model("m*", model).start().await;
        let answer = server.create(ask("42?")).await;
        assert_eq!(texts(&answer), shown);
        assert_eq!(fake.asked().len(), 2);
    }
}

/// A model that runs the same code repeatedly gets a note, and loses the tool after the third time.
#[tokio::test]
async fn repeated_identical_code_gets_a_note_and_then_removes_the_tool() {
    let again = || code("print(6 * 7)");
    let fake = Fake::start([again(), again(), again(), again()]).await;
    let server = server(&fake).await;
    let answer = server.create(ask("6 * 7?")).await;
    let runs = types(&answer).into_iter().filter(|step| *step == "code_execution_call").count();
    assert_eq!((runs, &answer["status"]), (3, &json!("completed")), "{answer}");
    let asked = fake.asked();
    let system = |body: &Value| body["messages"][0]["content"].as_str().unwrap_or("").to_owned();
    let noted: Vec<bool> = asked.iter().map(|body| system(body).contains("same code")).collect();
    assert_eq!(noted, [false, false, true, true]);
    assert_eq!(asked.iter().map(offers_tools).collect::<Vec<_>>(), [true, true, true, false]);
}
