//! Gemini as the model: a second Belljar server, and a fake server for faulty answers.

mod failures;

use std::time::Duration;

use serde_json::{Value, json};
pub use server::backends::gemini::Execution;
use server::backends::gemini::{Gemini, GeminiModel};
use server::backends::upstream::{self, Address};

use crate::fake::{Act, Answer, Fake};
use harness::{Reply, TestServer, direct};

const MODEL: &str = "gemini-3-flash-preview";

/// A model on another server.
pub fn behind(url: &str, execution: Execution, name: Option<&str>) -> Gemini {
    let silence = Duration::from_secs(20);
    let address = Address { base_url: url.to_owned(), key: None, silence };
    let model = GeminiModel { name: name.map(str::to_owned), execution };
    Gemini::new(address, model, upstream::budget()).expect("there is no TLS to set up")
}

async fn server(fake: &Fake, execution: Execution) -> TestServer {
    TestServer::builder().model("gemini-*", fake.gemini(execution)).start().await
}

fn ask(input: &str) -> Value {
    json!({"model": MODEL, "input": input, "tools": [{"type": "code_execution"}]})
}

pub fn event(event_type: &str, mut event: Value) -> Act {
    event["event_type"] = event_type.into();
    Act::Send(format!("event: {event_type}\ndata: {event}\n\n"))
}

/// A step of a stream: its start and its deltas.
pub fn step(index: usize, step: Value, deltas: &[Value]) -> Vec<Act> {
    let mut acts = vec![event("step.start", json!({"index": index, "step": step}))];
    acts.extend(
        deltas.iter().map(|delta| event("step.delta", json!({"index": index, "delta": delta}))),
    );
    acts.push(event("step.stop", json!({"index": index})));
    acts
}

/// A stream of these steps that ends normally.
pub fn stream_of(steps: impl IntoIterator<Item = Vec<Act>>, status: &str, usage: Value) -> Answer {
    let begun = json!({"interaction": {"id": "", "status": "in_progress"}});
    let mut acts = vec![event("interaction.created", begun), Act::Send(": keep-alive\n\n".into())];
    acts.extend(steps.into_iter().flatten());
    let ended = json!({"interaction": {"status": status, "usage": usage, "object": "interaction"}});
    acts.extend([event("interaction.completed", ended), Act::Send("data: [DONE]\n\n".into())]);
    Answer::Stream(acts)
}

pub fn text(text: &str) -> Vec<Act> {
    step(9, json!({"type": "model_output"}), &[json!({"type": "text", "text": text})])
}

fn answers(content: &str) -> Answer {
    stream_of([text(content)], "completed", json!({}))
}

/// The call of the function that runs code here.
pub fn runs(code: &str) -> Vec<Act> {
    let arguments = json!({"code": code}).to_string();
    let (first, second) = arguments.split_at(5);
    step(
        1,
        json!({"type": "function_call", "id": "upcall01", "name": "run_python", "arguments": {},
               "signature": "c2lnbmVkIGNhbGw="}),
        &[first, second].map(|piece| json!({"type": "arguments_delta", "arguments": piece})),
    )
}

#[tokio::test]
async fn the_sandbox_runs_the_models_code_and_signatures_are_sent_back_unchanged() {
    let thought = |signature: &str| {
        step(
            0,
            json!({"type": "thought"}),
            &[
                json!({"type": "thought_summary", "content": {"type": "text", "text": "I'll "}}),
                json!({"type": "thought_summary", "content": {"type": "text", "text": "see."}}),
                json!({"type": "thought_signature", "signature": signature}),
            ],
        )
    };
    let silent = step(
        0,
        json!({"type": "thought"}),
        &[json!({"type": "thought_signature", "signature": "YWxvbmU="})],
    );
    let counted = |input: u64| json!({"total_input_tokens": input, "total_output_tokens": 3, "total_thought_tokens": 2});
    let fake = Fake::start([
        stream_of([thought("dGhvdWdodA=="), runs("print(6 * 7)")], "requires_action", counted(100)),
        stream_of([silent, text("It is 42.")], "completed", counted(130)),
        answers("Again."),
    ])
    .await;
    let server = server(&fake, Execution::Sandbox).await;
    let mut request = ask("");
    request["input"] = json!([{"type": "text", "text": "6 * 7?"},
        {"type": "document", "mime_type": "text/csv", "data": "YQ=="}]);
    request["system_instruction"] = "Be short.".into();
    request["generation_config"] = json!({"temperature": 0, "tool_choice": "any"});
    request["response_format"] = json!({"type": "text", "mime_type": "text/plain"});
    let answer = server.create(request).await;

    let steps = &answer["steps"];
    assert_eq!(
        steps[0],
        json!({"type": "thought", "signature": "dGhvdWdodA==",
               "summary": [{"type": "text", "text": "I'll see."}]})
    );
    assert_eq!(
        steps[1],
        json!({"id": "upcall01", "type": "code_execution_call", "signature": "c2lnbmVkIGNhbGw=",
               "arguments": {"language": "python", "code": "print(6 * 7)"}})
    );
    assert_eq!((&steps[2]["call_id"], &steps[2]["result"]), (&json!("upcall01"), &json!("42\n")));
    assert_eq!(steps[3], json!({"type": "thought", "signature": "YWxvbmU="}));
    assert_eq!(steps[4]["content"][0]["text"], "It is 42.");
    let counts = ["input", "output", "thought", "tool_use"]
        .map(|name| answer["usage"][format!("total_{name}_tokens")].clone());
    assert_eq!(counts, [json!(100), json!(6), json!(4), json!(130)]);

    let mut again = ask("And again?");
    again["previous_interaction_id"] = answer["id"].clone();
    server.create(again).await;

    assert_eq!(fake.header("x-goog-api-key"), "sk-geheim");
    let [first, second, third] = &fake.asked()[..] else { panic!("{:?}", fake.asked()) };
    assert_eq!(
        (&first["model"], &first["stream"], &first["store"]),
        (&json!("upstream-name"), &json!(true), &json!(false))
    );
    assert_eq!(first["tools"][0]["name"], "run_python");
    assert_eq!(first["generation_config"], json!({"temperature": 0, "tool_choice": "any"}));
    assert_eq!(second["generation_config"], json!({"temperature": 0}), "it could never answer");
    let system = first["system_instruction"].as_str().expect("it is text");
    assert!(
        system.starts_with("Be short.") && system.contains("input_file_0.csv (text/csv, 1 bytes)"),
        "{system}"
    );
    let call = json!({"type": "function_call", "id": "upcall01", "name": "run_python",
                      "arguments": {"code": "print(6 * 7)"}, "signature": "c2lnbmVkIGNhbGw="});
    let result = json!({"type": "function_result", "call_id": "upcall01", "name": "run_python",
                        "is_error": false, "result": [{"type": "text", "text": "42\n"}]});
    let sent = second["input"].as_array().expect("it is a list");
    assert_eq!(sent[2..], [call.clone(), result.clone()]);
    assert_eq!(second["input"][1]["signature"], "dGhvdWdodA==");
    let history = third["input"].as_array().expect("it is a list");
    assert_eq!(history[2..4], [call, result]);
    assert_eq!(history[4], json!({"type": "thought", "signature": "YWxvbmU="}));
    assert_eq!(history[6]["content"][0]["text"], "And again?");
}

#[tokio::test]
async fn pictures_from_code_are_sent_to_the_model() {
    let draw = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')\nprint('drawn')";
    let fake =
        Fake::start([stream_of([runs(draw)], "requires_action", json!({})), answers("A dot.")])
            .await;
    let answer = server(&fake, Execution::Sandbox).await.create(ask("Draw.")).await;
    assert_eq!(answer["steps"][2]["content"][0]["type"], "image");
    let shown = &fake.asked()[1]["input"][2]["result"];
    assert_eq!(shown[0], json!({"type": "text", "text": "drawn\n"}));
    assert_eq!(shown[1], answer["steps"][2]["content"][0]);
}

/// A stream with fields and steps that this server does not know.
pub fn whole_stream() -> (Answer, Vec<Value>, Value) {
    let usage = json!({"total_tokens": 150, "total_input_tokens": 12, "total_output_tokens": 60,
        "total_thought_tokens": 30, "total_tool_use_tokens": 48, "total_cached_tokens": 0,
        "input_tokens_by_modality": [{"modality": "image", "tokens": 12}],
        "raw_prompt_token": [1, 2], "from_the_future": {"x": 1.50}});
    let call = json!({"type": "code_execution_call", "signature": "Y2FsbA==",
        "arguments": {"language": "python", "code": "print(6*7)", "more": null}, "new": true});
    let result = json!({"type": "code_execution_result", "signature": "cmVzdWx0", "is_error": false,
        "result": "42\n", "new": [1]});
    let cited = json!({"type": "text_annotation_delta", "annotations": [{"type": "url_citation",
        "url": "u", "start_index": 0, "end_index": 5}]});
    let picture = json!({"type": "image", "mime_type": "image/png", "data": "iVBORw0="});
    let future = json!({"type": "telepathy_call", "id": "t", "strength": 0.5});
    let text = |text: &str| json!({"type": "text", "text": text});
    let stream = stream_of(
        [
            step(
                0,
                json!({"type": "thought"}),
                &[json!({"type": "thought_signature", "signature": "dGg=", "odd": 1})],
            ),
            step(
                1,
                json!({"id": "7xveqyd2", "signature": "", "type": "code_execution_call"}),
                std::slice::from_ref(&call),
            ),
            step(
                2,
                json!({"call_id": "7xveqyd2", "signature": "", "type": "code_execution_result"}),
                std::slice::from_ref(&result),
            ),
            step(3, json!({"type": "model_output"}), std::slice::from_ref(&picture)),
            step(4, future.clone(), &[]),
            step(5, json!({"type": "model_output"}), &[text("It is "), text("42."), cited]),
        ],
        "completed",
        usage.clone(),
    );
    let steps = vec![
        json!({"type": "thought", "signature": "dGg=", "odd": 1}),
        json!({"id": "7xveqyd2", "signature": "Y2FsbA==", "type": "code_execution_call",
               "arguments": call["arguments"], "new": true}),
        json!({"call_id": "7xveqyd2", "signature": "cmVzdWx0", "type": "code_execution_result",
               "is_error": false, "result": "42\n", "new": [1]}),
        json!({"type": "model_output", "content": [picture]}),
        future,
        json!({"type": "model_output", "content": [{"type": "text", "text": "It is 42.",
               "annotations": [{"type": "url_citation", "url": "u", "start_index": 0, "end_index": 5}]}]}),
    ];
    (stream, steps, usage)
}

#[tokio::test]
async fn steps_run_upstream_are_forwarded_and_sent_back_unchanged() {
    let (stream, steps, usage) = whole_stream();
    let fake = Fake::start([stream.clone(), answers("Again."), stream.clone(), stream]).await;
    let server = server(&fake, Execution::Upstream).await;
    let answer = server.create(ask("6 * 7?")).await;
    assert_eq!(answer["steps"].to_string(), json!(steps).to_string(), "to the byte");
    assert_eq!(answer["usage"].to_string(), usage.to_string());
    assert_eq!(answer["status"], "completed");
    let id = answer["id"].as_str().expect("it has one");
    let kept = server.get(&format!("/v1beta/interactions/{id}")).await.body;
    assert_eq!(kept["steps"].as_array().map(|kept| &kept[1..]), Some(&steps[..]));

    let mut again = ask("And again?");
    again["previous_interaction_id"] = answer["id"].clone();
    server.create(again).await;
    let asked = fake.asked();
    assert_eq!(asked[0]["tools"], json!([{"type": "code_execution"}]));
    assert!(asked[0].get("system_instruction").is_none(), "it knows what it runs");
    let back = json!(asked[1]["input"].as_array().map(|input| &input[1..7]));
    assert_eq!(back.to_string(), json!(steps).to_string());

    let events = server.create_stream(ask("6 * 7?")).await.rest().await;
    let deltas: Vec<&Value> = events.iter().map(|event| &event.data["delta"]).collect();
    assert!(
        deltas.contains(&&json!({"type": "image", "mime_type": "image/png", "data": "iVBORw0="}))
    );
    let completed = events.iter().find(|event| event.name == "interaction.completed");
    assert_eq!(completed.expect("it ends").data["interaction"]["usage"], usage);

    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "6 * 7?"}]}],
                      "tools": [{"codeExecution": {}}]});
    let answer = server.post(&path, &body).await.body;
    let parts = &answer["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0]["executableCode"]["code"], "print(6*7)");
    assert_eq!(parts[0]["thoughtSignature"], "Y2FsbA==");
    assert_eq!(parts[1]["codeExecutionResult"]["output"], "42\n");
    assert_eq!(parts[2]["inlineData"]["data"], "iVBORw0=");
    assert_eq!(parts[3]["text"], "It is 42.");
    assert_eq!(answer["usageMetadata"]["totalTokenCount"], 150);
}

#[tokio::test]
async fn client_function_calls_keep_their_id_and_signature_with_either_execution() {
    for execution in [Execution::Sandbox, Execution::Upstream] {
        let call = step(
            0,
            json!({"type": "function_call", "id": "theirs01", "name": "weather", "arguments": {},
                   "signature": "c2ln"}),
            &[json!({"type": "arguments_delta", "arguments": "{\"city\": \"Rome\"}"})],
        );
        // Code that was requested beside it is requested again.
        let steps =
            if execution == Execution::Sandbox { vec![runs("1"), call] } else { vec![call] };
        let fake =
            Fake::start([stream_of(steps, "requires_action", json!({})), answers("Rain.")]).await;
        let server = server(&fake, execution).await;
        let mut request = ask("The weather?");
        request["tools"] = json!([{"type": "code_execution"},
            {"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
        let asked = server.create(request.clone()).await;
        assert_eq!(asked["status"], "requires_action");
        let call = json!({"type": "function_call", "id": "theirs01", "name": "weather",
                          "arguments": {"city": "Rome"}, "signature": "c2ln"});
        assert_eq!(asked["steps"], json!([call]));

        request["previous_interaction_id"] = asked["id"].clone();
        let result =
            json!({"type": "function_result", "call_id": "theirs01", "result": {"sky": "grey"}});
        request["input"] = json!([result]);
        let answered = server.create(request).await;
        assert_eq!(answered["steps"][0]["content"][0]["text"], "Rain.");
        let back = &fake.asked()[1]["input"];
        assert_eq!(back[1], call);
        assert_eq!(
            (&back[2]["call_id"], &back[2]["result"]["sky"]),
            (&json!("theirs01"), &json!("grey"))
        );
    }
}

const UPSTREAM: &str = r#"
scenarios:
  - name: product
    when: { input: { contains: "7" }, tools: [run_python] }
    script:
      - thought: I'll compute it.
      - function_call: { name: run_python, arguments: { code: "print(6 * 7)" } }
      - text: It is {{ function_result | trim }}.
  - name: form
    when: { input: { contains: form } }
    script: [text: '{"n": 1}']
"#;

#[tokio::test]
async fn a_second_server_is_the_model_and_this_one_runs_the_code() {
    let upstream = TestServer::start(UPSTREAM).await;
    let model = behind(upstream.url(), Execution::Sandbox, None);
    let front = TestServer::builder().model("gemini-*", model).start().await;
    let answer = front.create(ask("6 * 7?")).await;
    let texts = (&answer["steps"][2]["result"], &answer["steps"][3]["content"][0]["text"]);
    assert_eq!(texts, (&json!("42\n"), &json!("It is 42.")), "{answer}");
    let journal = upstream.get("/x/journal").await.body;
    assert_eq!(journal["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(journal["entries"][1]["scenario"], "product");
    assert_eq!(journal["entries"][0]["tools"], json!(["run_python"]));

    let mut request = ask("A form?");
    request["response_format"] =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let answer = front.create(request).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "{\"n\": 1}");
    let journal = upstream.get("/x/journal").await.body;
    let config = &journal["entries"][2]["generation_config"];
    assert_eq!(config["response_mime_type"], "application/json");
    assert_eq!(config["response_json_schema"]["properties"]["n"]["type"], "integer");
}

#[tokio::test]
async fn a_second_server_is_the_model_and_runs_the_code() {
    let upstream = TestServer::start("").await;
    let model = behind(&format!("{}/v1/", upstream.url()), Execution::Upstream, Some("direct"));
    let front = TestServer::builder().model("gemini-*", model).start().await;
    let draw = "import matplotlib.pyplot as plt\nprint(6 * 7)\nplt.plot([1, 2])\nplt.show()";
    let answer = front.create(ask(draw)).await;
    let theirs = upstream.create(direct(draw)).await;
    let (steps, wanted) = (&answer["steps"], &theirs["steps"]);
    assert_eq!(steps[0]["arguments"], wanted[0]["arguments"]);
    assert_eq!(steps[1]["result"], "42\n");
    assert_eq!(steps[1]["call_id"], steps[0]["id"]);
    assert_eq!(steps[2], wanted[2], "the picture");
    assert_eq!(steps[3], wanted[3]);
    assert_eq!(answer["usage"], theirs["usage"]);
}

#[tokio::test]
async fn an_upstream_refusal_is_passed_on() {
    let upstream = TestServer::start(UPSTREAM).await;
    let model = behind(upstream.url(), Execution::Sandbox, None);
    let front = TestServer::builder().model("gemini-*", model).start().await;
    let reply = Reply::to(front.request("POST", "/v1beta/interactions").json(&ask("What?"))).await;
    assert_eq!(reply.status, 400);
    assert!(
        reply.message().contains("refuses the request: No scenario matches"),
        "{}",
        reply.message()
    );
}
