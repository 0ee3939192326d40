//! Models on other servers. Only the model server is fake.

mod ways;

use serde_json::{Value, json};

use crate::fake::{Act, Answer, Fake, code, data, delta, status, stream_of, text};
use harness::TestServer;

const INTERACTIONS: &str = "/v1beta/interactions";

async fn server(fake: &Fake) -> TestServer {
    TestServer::builder().model("m*", fake.model()).start().await
}

fn ask(input: &str) -> Value {
    json!({"model": "m1", "input": input, "tools": [{"type": "code_execution"}]})
}

fn types(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().expect("it has steps");
    steps.iter().map(|step| step["type"].as_str().expect("each has a type")).collect()
}

fn roles(body: &Value) -> Vec<&str> {
    let messages = body["messages"].as_array().expect("it has messages");
    messages.iter().map(|message| message["role"].as_str().expect("each has a role")).collect()
}

#[tokio::test]
async fn a_model_with_tools_thinks_calls_code_and_answers() {
    let counted = |input: u64, output: u64| {
        data(&json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output,
            "completion_tokens_details": {"reasoning_tokens": 2}}}))
    };
    let piece = |piece: Value| delta(json!({"tool_calls": [piece]}));
    let fake = Fake::start([
        Answer::Stream(vec![
            delta(json!({"role": "assistant", "content": null, "reasoning_content": "I'll "})),
            delta(json!({"reasoning_content": "compute."})),
            piece(json!({"index": 0, "id": "call_1", "function": {"name": "run_python", "arguments": ""}})),
            piece(json!({"index": 0, "function": {"arguments": "{\"code\": \"print("}})),
            piece(json!({"index": 0, "function": {"arguments": "6 * 7)\"}"}})),
            data(&json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})),
            counted(100, 12),
            Act::Send("data: [DONE]\n\n".into()),
        ]),
        Answer::Stream(vec![
            delta(json!({"content": "It is "})),
            delta(json!({"content": "42."})),
            data(&json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})),
            counted(130, 7),
            Act::Send("data: [DONE]\n\n".into()),
        ]),
    ])
    .await;
    let server = server(&fake).await;
    let mut request = ask("6 * 7?");
    request["system_instruction"] = "Be short.".into();
    request["generation_config"] =
        json!({"temperature": 0, "seed": 1, "max_output_tokens": 99, "stop_sequences": ["x"]});
    request["input"] = json!([{"type": "text", "text": "6 * 7?"},
        {"type": "document", "mime_type": "text/csv", "data": "YQ=="}]);
    let answer = server.create(request).await;

    assert_eq!(
        types(&answer),
        ["thought", "code_execution_call", "code_execution_result", "model_output"]
    );
    assert_eq!(answer["steps"][0]["summary"][0]["text"], "I'll compute.");
    assert_eq!(answer["steps"][2]["result"], "42\n");
    assert_eq!(answer["steps"][3]["content"][0]["text"], "It is 42.");
    let usage = &answer["usage"];
    let counts = ["input", "output", "thought", "tool_use"]
        .map(|name| usage[format!("total_{name}_tokens")].clone());
    assert_eq!(counts, [json!(100), json!(15), json!(4), json!(130)]);

    assert_eq!(fake.header("authorization"), "Bearer sk-geheim");
    let [first, second] = &fake.asked()[..] else { panic!("{:?}", fake.asked()) };
    assert_eq!((&first["model"], &first["stream"]), (&json!("upstream-name"), &json!(true)));
    assert_eq!(
        (&first["temperature"], &first["max_tokens"], &first["stop"]),
        (&json!(0), &json!(99), &json!(["x"]))
    );
    assert_eq!(first["tools"][0]["function"]["name"], "run_python");
    let system = first["messages"][0]["content"].as_str().expect("it is text");
    assert!(
        system.starts_with("Be short.") && system.contains("input_file_0.csv (text/csv, 1 bytes)"),
        "{system}"
    );
    assert_eq!(roles(second), ["system", "user", "assistant", "tool"]);
    let call = &second["messages"][2]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], json!({"code": "print(6 * 7)"}).to_string());
    assert_eq!(
        second["messages"][3],
        json!({"role": "tool", "tool_call_id": call["id"], "content": "42\n"})
    );
}

#[tokio::test]
async fn a_model_without_tools_uses_code_blocks_and_the_mode_is_remembered() {
    let fake = Fake::start([
        status(400, "registry.ollama.ai/library/m1 does not support tools"),
        stream_of(
            ["Let me see.\n``", "`python\nprint(6 ", "* 7)\n", "```\n", "```output\n41\n```"]
                .map(|piece| json!({"content": piece})),
        ),
        text("It is 42."),
        text("Again."),
    ])
    .await;
    let server = server(&fake).await;
    let answer = server.create(ask("6 * 7?")).await;
    assert_eq!(
        types(&answer),
        ["model_output", "code_execution_call", "code_execution_result", "model_output"]
    );
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Let me see.\n");
    assert_eq!(answer["steps"][2]["result"], "42\n", "and not what the model made up");

    let mut request = ask("Again?");
    request["previous_interaction_id"] = answer["id"].clone();
    server.create(request).await;

    let asked = fake.asked();
    assert!(asked[0].get("tools").is_some());
    assert!(asked[1..].iter().all(|body| body.get("tools").is_none()), "tools were refused once");
    let messages = asked[3]["messages"].as_array().expect("it has messages");
    assert_eq!(roles(&asked[3]), ["system", "user", "assistant", "user", "assistant", "user"]);
    assert_eq!(messages[2]["content"], "Let me see.\n\n```python\nprint(6 * 7)\n```\n");
    assert_eq!(messages[3]["content"], "```output\n42\n```");
}

#[tokio::test]
async fn pictures_are_sent_only_to_models_with_vision() {
    let draw = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')";
    let fake = Fake::start([
        code(draw),
        text("A dot."),
        status(400, "this model does not support image input"),
        text("Blind."),
    ])
    .await;
    let server = server(&fake).await;
    let mut request = ask("");
    request["input"] = json!([{"type": "text", "text": "Draw."},
                              {"type": "image", "mime_type": "image/png", "data": "iVBORw0="}]);
    let answer = server.create(request).await;
    let asked = fake.asked();
    assert_eq!(
        asked[0]["messages"][1]["content"][1]["image_url"]["url"],
        "data:image/png;base64,iVBORw0="
    );
    assert_eq!(roles(&asked[1]), ["system", "user", "assistant", "tool", "user"]);
    let url =
        asked[1]["messages"][4]["content"][1]["image_url"]["url"].as_str().expect("it is text");
    assert!(url.starts_with("data:image/png;base64,iVBORw0KGgo"), "{url}");

    let mut request = ask("And now?");
    request["previous_interaction_id"] = answer["id"].clone();
    let answer = server.create(request).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Blind.");
    assert!(!fake.asked()[3].to_string().contains("image_url"));
}

#[tokio::test]
async fn a_client_function_is_called_and_its_result_is_used() {
    let call = json!({"tool_calls": [{"id": "x", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]});
    let fake = Fake::start([stream_of([call]), text("Rain.")]).await;
    let server = server(&fake).await;
    let mut request = ask("The weather?");
    request["tools"] =
        json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let asked = server.create(request.clone()).await;
    assert_eq!(
        (&asked["status"], &asked["steps"][0]["arguments"]),
        (&json!("requires_action"), &json!({"city": "Rome"}))
    );

    request["previous_interaction_id"] = asked["id"].clone();
    let call_id = &asked["steps"][0]["id"];
    request["input"] =
        json!([{"type": "function_result", "call_id": call_id, "result": {"sky": "grey"}}]);
    let answered = server.create(request).await;
    assert_eq!(answered["steps"][0]["content"][0]["text"], "Rain.");
    let last = &fake.asked()[1]["messages"][2];
    assert_eq!(
        *last,
        json!({"role": "tool", "tool_call_id": call_id, "content": "{\"sky\":\"grey\"}"})
    );
}

/// Variants that real servers send, and their meaning.
#[tokio::test]
async fn variants_of_real_servers_are_parsed() {
    let end = |finish: &str| data(&json!({"choices": [{"delta": {}, "finish_reason": finish}]}));
    let whole = |message: Value| {
        let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        Answer::Whole(200, ("content-type", "application/json"), body.to_string())
    };
    let call = |arguments: Value| {
        stream_of([
            json!({"tool_calls": [{"function": {"name": "run_python", "arguments": arguments}}]}),
        ])
    };
    for (answers, wanted) in [
        (vec![Answer::Stream(vec![delta(json!({"content": "A"})), end("stop")])], "A, completed"),
        (
            vec![Answer::Stream(vec![
                delta(json!({"content": "A"})),
                Act::Send("data: [DONE]\n\n".into()),
            ])],
            "A, completed",
        ),
        (
            vec![Answer::Stream(vec![
                Act::Send(": ping\r\n\r\ndata:{\"choices\":[]}\r\n\r\n".into()),
                data(&json!({"choices": [{"delta": null, "finish_reason": null}], "usage": null})),
                data(
                    &json!({"choices": [{"delta": {"content": [{"type": "text", "text": "A"}], "tool_calls": null}}]}),
                ),
                end("length"),
            ])],
            "A, incomplete",
        ),
        (
            vec![whole(json!({"role": "assistant", "content": "A", "tool_calls": []}))],
            "A, completed",
        ),
        (
            vec![Answer::Stream(vec![delta(json!({"content": "A"})), end("content_filter")])],
            "A, failed",
        ),
        (vec![call(json!({"code": "print(1)"})), text("A")], "1\nA, completed"),
        (vec![call(json!("print(1)")), text("A")], "1\nA, completed"),
        (vec![call(json!("{\"python\": \"print(1)\"}")), text("A")], "1\nA, completed"),
        (vec![call(json!("\"print(1)\"")), text("A")], "1\nA, completed"),
        (vec![call(json!("{\"code\": "))], ", failed"),
        (
            vec![Answer::Stream(vec![
                delta(json!({"content": "A"})),
                data(
                    &json!({"error": {"code": 500, "type": "server_error", "message": "The model \
                        produced output that does not match the expected peg-native format"}}),
                ),
            ])],
            "A, failed",
        ),
        (vec![call(json!("[1]"))], ", failed"),
    ] {
        let what = format!("{answers:?}");
        let fake = Fake::start(answers).await;
        let answer = server(&fake).await.create(ask("?")).await;
        let mut shown = String::new();
        for step in answer["steps"].as_array().expect("it has steps") {
            shown += step["result"].as_str().unwrap_or_default();
            shown += step["content"][0]["text"].as_str().unwrap_or_default();
        }
        let status = answer["status"].as_str().expect("it has one");
        assert_eq!(format!("{shown}, {status}"), wanted, "{what}");
    }
}

#[tokio::test]
async fn failures_in_its_own_words_are_recognised() {
    for (answer, status_wanted, wanted) in [
        (
            status(400, "This model's maximum context length is 8192 tokens."),
            400,
            "The conversation is too long for the model `upstream-name`",
        ),
        (status(404, "model not found"), 400, "model not found"),
        (
            Answer::Stream(vec![data(&json!({"error": {"message": "out of memory"}}))]),
            503,
            "out of memory",
        ),
    ] {
        let what = format!("{answer:?}").chars().take(200).collect::<String>();
        let fake = Fake::start([answer]).await;
        let reply = server(&fake).await.post(INTERACTIONS, &ask("?")).await;
        assert_eq!(reply.status, status_wanted, "{what}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{what}: {}", reply.message());
        assert!(!reply.message().contains("geheim"), "{}", reply.message());
        assert_eq!(fake.asked().len(), 1, "{what}: asked again");
    }
}
