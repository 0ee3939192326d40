//! What every backend does, whichever model answers. Each test runs once for each of them.
//!
//! A new backend implements [`Dialect`] and gets a line in the list at the end.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use harness::{Reply, TestServer};
use serde_json::{Value, json};
use server::backends::gemini::Execution;
use server::backends::openai::Has;

use crate::fake::{self, Act, Answer, Fake, delta};
use crate::gemini as googles;

const INTERACTIONS: &str = "/v1beta/interactions";
/// A disconnected client's request is cancelled before the fake model's silence would end it.
const CANCELLED_WITHIN: Duration = Duration::from_millis(900);

/// What a model generates in one turn.
enum Turn {
    Text(&'static str),
    /// A thought, then a text.
    Thought(&'static str, &'static str),
    Code(&'static str),
    /// A call of the client's function, with these arguments.
    Call(&'static str, Value),
}

/// One backend.
trait Dialect: Copy {
    /// A server whose models are of this backend and generate these turns, and the model server.
    async fn server(self, turns: Vec<Turn>) -> (TestServer, Option<Fake>);
}

/// A backend that calls a model server.
trait Upstream: Copy {
    /// A server that calls this one.
    async fn calling(self, fake: &Fake) -> TestServer;
    /// A complete answer.
    fn answer(self, turn: Turn) -> Answer;
    /// The first piece of a text.
    fn piece(self, text: &str) -> Vec<Act>;
}

#[derive(Clone, Copy)]
struct OpenAi;
#[derive(Clone, Copy)]
struct Gemini;
#[derive(Clone, Copy)]
struct Scripted;

impl<U: Upstream> Dialect for U {
    async fn server(self, turns: Vec<Turn>) -> (TestServer, Option<Fake>) {
        let fake = Fake::start(turns.into_iter().map(|turn| self.answer(turn))).await;
        (self.calling(&fake).await, Some(fake))
    }
}

impl Upstream for OpenAi {
    async fn calling(self, fake: &Fake) -> TestServer {
        TestServer::builder().model("m*", fake.model_with(Has::Yes, Has::No)).start().await
    }

    fn answer(self, turn: Turn) -> Answer {
        match turn {
            Turn::Text(text) => fake::text(text),
            Turn::Thought(thought, text) => {
                fake::stream_of([json!({"reasoning_content": thought}), json!({"content": text})])
            }
            Turn::Code(code) => fake::code(code),
            Turn::Call(name, arguments) => {
                let function = json!({"name": name, "arguments": arguments.to_string()});
                fake::stream_of([json!({"tool_calls": [{"index": 0, "id": "call_1",
                    "type": "function", "function": function}]})])
            }
        }
    }

    fn piece(self, text: &str) -> Vec<Act> {
        vec![delta(json!({"content": text}))]
    }
}

impl Upstream for Gemini {
    async fn calling(self, fake: &Fake) -> TestServer {
        TestServer::builder().model("m*", fake.gemini(Execution::Sandbox)).start().await
    }

    fn answer(self, turn: Turn) -> Answer {
        let call = |name: &str, arguments: &Value| {
            let delta = json!({"type": "arguments_delta", "arguments": arguments.to_string()});
            let call = json!({"type": "function_call", "id": "c", "name": name, "arguments": {}});
            googles::step(0, call, &[delta])
        };
        let (steps, status) = match turn {
            Turn::Text(text) => (vec![googles::text(text)], "completed"),
            Turn::Thought(thought, text) => {
                let content = json!({"type": "text", "text": thought});
                let summary = json!({"type": "thought_summary", "content": content});
                let thought = googles::step(0, json!({"type": "thought"}), &[summary]);
                (vec![thought, googles::text(text)], "completed")
            }
            Turn::Code(code) => (vec![googles::runs(code)], "requires_action"),
            Turn::Call(name, arguments) => (vec![call(name, &arguments)], "requires_action"),
        };
        googles::stream_of(steps, status, json!({}))
    }

    fn piece(self, text: &str) -> Vec<Act> {
        let step = json!({"index": 0, "step": {"type": "model_output"}});
        let delta = json!({"index": 0, "delta": {"type": "text", "text": text}});
        vec![googles::event("step.start", step), googles::event("step.delta", delta)]
    }
}

impl Dialect for Scripted {
    async fn server(self, turns: Vec<Turn>) -> (TestServer, Option<Fake>) {
        let parts = turns.into_iter().flat_map(|turn| match turn {
            Turn::Text(text) => vec![json!({"text": text})],
            Turn::Thought(thought, text) => {
                vec![json!({"thought": thought}), json!({"text": text})]
            }
            Turn::Code(code) => vec![json!({"code": code})],
            Turn::Call(name, arguments) => {
                vec![json!({"function_call": {"name": name, "arguments": arguments}})]
            }
        });
        let script: Vec<Value> = parts.collect();
        // JSON is YAML.
        let scenarios = json!({"scenarios": [{"name": "contract", "script": script}]});
        (TestServer::start(&scenarios.to_string()).await, None)
    }
}

fn ask(input: &str) -> Value {
    json!({"model": "m1", "input": input, "tools": [{"type": "code_execution"}]})
}

fn types(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().expect("it has steps");
    steps.iter().map(|step| step["type"].as_str().expect("each has a type")).collect()
}

fn last_text(answer: &Value) -> &Value {
    let last = answer["steps"].as_array().and_then(|steps| steps.last()).expect("it has steps");
    &last["content"][0]["text"]
}

async fn a_text_is_one_step_and_its_tokens_are_counted(dialect: impl Dialect) {
    let (server, _model) = dialect.server(vec![Turn::Text("Hello.")]).await;
    let answer = server.create(ask("Hi")).await;
    assert_eq!((&answer["status"], types(&answer)), (&json!("completed"), vec!["model_output"]));
    assert_eq!(last_text(&answer), "Hello.");
    for name in ["total_input_tokens", "total_output_tokens"] {
        assert!(answer["usage"][name].as_u64() > Some(0), "{name}: {answer}");
    }
}

async fn a_thought_comes_before_its_text(dialect: impl Dialect) {
    let (server, _model) = dialect.server(vec![Turn::Thought("Let me see.", "It is so.")]).await;
    let answer = server.create(ask("Is it so?")).await;
    assert_eq!(types(&answer), ["thought", "model_output"]);
    assert_eq!(answer["steps"][0]["summary"][0]["text"], "Let me see.");
    assert_eq!(last_text(&answer), "It is so.");
}

async fn code_runs_and_the_model_answers_after_its_result(dialect: impl Dialect) {
    let (server, _model) =
        dialect.server(vec![Turn::Code("print(6 * 7)"), Turn::Text("It is 42.")]).await;
    let answer = server.create(ask("6 * 7?")).await;
    let wanted = ["code_execution_call", "code_execution_result", "model_output"];
    assert_eq!(types(&answer), wanted);
    assert_eq!(answer["steps"][0]["arguments"]["code"], "print(6 * 7)");
    let result = &answer["steps"][1];
    assert_eq!((&result["result"], &result["is_error"]), (&json!("42\n"), &json!(false)));
    assert_eq!(last_text(&answer), "It is 42.");
}

async fn failed_code_is_followed_by_new_code(dialect: impl Dialect) {
    let turns = vec![Turn::Code("1 / 0"), Turn::Code("print(1)"), Turn::Text("Done.")];
    let (server, _model) = dialect.server(turns).await;
    let answer = server.create(ask("Divide.")).await;
    let results: Vec<_> = answer["steps"]
        .as_array()
        .expect("it has steps")
        .iter()
        .filter(|step| step["type"] == "code_execution_result")
        .map(|step| step["is_error"].clone())
        .collect();
    assert_eq!(results, [json!(true), json!(false)], "{answer}");
    assert_eq!(last_text(&answer), "Done.");
}

async fn a_function_is_called_and_its_result_is_answered(dialect: impl Dialect) {
    let turns = vec![Turn::Call("weather", json!({"city": "Ulm"})), Turn::Text("It rains.")];
    let (server, _model) = dialect.server(turns).await;
    let tools = json!([{"type": "function", "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    let mut request = json!({"model": "m1", "input": "Weather?", "tools": tools});
    let answer = server.create(request.clone()).await;
    assert_eq!(answer["status"], "requires_action", "{answer}");
    let call = answer["steps"].as_array().and_then(|steps| steps.last()).expect("it has steps");
    assert_eq!((&call["name"], &call["arguments"]), (&json!("weather"), &json!({"city": "Ulm"})));

    request["previous_interaction_id"] = answer["id"].clone();
    request["input"] = json!([{"type": "function_result", "name": "weather",
        "call_id": call["id"], "result": "rain"}]);
    let answer = server.create(request).await;
    assert_eq!(last_text(&answer), "It rains.");
}

async fn a_stream_has_the_steps_of_the_whole_answer(dialect: impl Dialect) {
    let (server, _model) =
        dialect.server(vec![Turn::Code("print(6 * 7)"), Turn::Text("It is 42.")]).await;
    let events = server.create_stream(ask("6 * 7?")).await.rest().await;
    let started = events.iter().filter(|event| event.name == "step.start");
    let types: Vec<_> = started.map(|event| event.data["step"]["type"].clone()).collect();
    assert_eq!(types, ["code_execution_call", "code_execution_result", "model_output"]);
    assert!(events.iter().any(|event| event.name == "interaction.completed"), "{events:?}");
}

async fn a_failure_of_the_model_server_has_an_error_of_its_own(dialect: impl Upstream) {
    let whole = |status, header, body: &str| Answer::Whole(status, header, body.to_owned());
    for (answer, status, wanted) in [
        (fake::status(401, "wrong key: geheim"), 503, "rejects the configured API key"),
        (fake::status(400, "no parameter sk-geheim"), 400, "refuses the request: no parameter …."),
        (whole(429, ("retry-after", "60"), "quota"), 429, "is busy: quota"),
        (whole(302, ("location", "http://127.0.0.1:9/"), ""), 400, "refuses the request"),
        (Answer::Stream(vec![Act::Send("data: nonsense\n\n".into())]), 503, "invalid response"),
        (Answer::Stream(vec![Act::Cut]), 503, "ended early"),
        (Answer::Stream(vec![]), 503, "ended early"),
        (Answer::Stream(vec![Act::Hang]), 503, "no data for 1 s"),
        (
            Answer::Stream(vec![Act::Repeat(Bytes::from(vec![b'x'; 1 << 20]))]),
            503,
            "response too large",
        ),
    ] {
        let what = format!("{answer:?}").chars().take(200).collect::<String>();
        let fake = Fake::start([answer]).await;
        let reply = dialect.calling(&fake).await.post(INTERACTIONS, &ask("?")).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{what}: {}", reply.message());
        assert!(!reply.message().contains("geheim"), "{}", reply.message());
        if status == 429 {
            assert_eq!(reply.headers["retry-after"], "60");
        }
        assert_eq!(fake.asked().len(), 1, "{what}: asked again");
    }
}

async fn a_transient_failure_is_retried_after_the_requested_delay(dialect: impl Upstream) {
    let busy = || Answer::Whole(429, ("retry-after", "1"), "busy".into());
    let here = dialect.answer(Turn::Text("Here."));
    let fake = Fake::start([busy(), fake::status(503, "loading"), here]).await;
    let start = Instant::now();
    let answer = dialect.calling(&fake).await.create(ask("?")).await;
    assert_eq!(last_text(&answer), "Here.");
    assert!(start.elapsed() >= Duration::from_millis(1500), "a second, and half of one at least");
    assert_eq!(fake.asked().len(), 3);
}

async fn text_before_an_interruption_is_kept(dialect: impl Upstream) {
    for last in [Act::Cut, Act::Hang, Act::Send("data: {\"broken\n\n".into())] {
        let mut acts = dialect.piece("Well, ");
        acts.push(last.clone());
        let fake = Fake::start([Answer::Stream(acts)]).await;
        let server = dialect.calling(&fake).await;
        let events = server.create_stream(ask("?")).await.rest().await;
        let end = events.last().expect("there are some");
        assert_eq!(
            (&*end.name, &end.data["error"]["code"]),
            ("error", &json!("service_unavailable")),
            "{last:?}"
        );
        let id = events[0].data["interaction"]["id"].as_str().expect("it has one");
        let kept = server.get(&format!("{INTERACTIONS}/{id}")).await.body;
        assert_eq!(
            (&kept["status"], last_text(&kept)),
            (&json!("failed"), &json!("Well, ")),
            "{last:?}"
        );
        assert_eq!(fake.asked().len(), 1, "a reply that has begun is not requested again");
    }
}

async fn the_model_request_is_cancelled_when_the_client_disconnects(dialect: impl Upstream) {
    let mut acts = dialect.piece("Once upon ");
    acts.push(Act::Hang);
    let fake = Fake::start([Answer::Stream(acts)]).await;
    let server = dialect.calling(&fake).await;
    let mut stream = server.create_stream(ask("A story?")).await;
    stream.until("step.delta").await;
    drop(stream);
    let left = tokio::time::timeout(CANCELLED_WITHIN, fake.left()).await;
    left.expect("its connection is closed before its silence ends it");
}

async fn an_unreachable_model_server_is_reported(dialect: impl Upstream) {
    let fake = Fake::start([]).await;
    let server = dialect.calling(&fake).await;
    drop(fake);
    let reply = Reply::to(server.request("POST", INTERACTIONS).json(&ask("?"))).await;
    let wanted = "The model `upstream-name`: its server is unreachable.";
    assert_eq!((reply.status, reply.message()), (503, wanted));
}

/// Makes each test once for each backend. Those of the second list need a model server.
macro_rules! contract {
    (all: $all:tt, upstream: $upstream:tt, $($name:ident: $backend:expr, $tests:ident;)*) => {
        $(mod $name {
            use super::*;
            contract!(@$tests $backend, $all, $upstream);
        })*
    };
    (@all $backend:expr, [$($test:ident)*], $upstream:tt) => {
        $(#[tokio::test]
        async fn $test() {
            super::$test($backend).await;
        })*
    };
    (@upstream $backend:expr, [$($all:ident)*], [$($upstream:ident)*]) => {
        contract!(@all $backend, [$($all)* $($upstream)*], []);
    };
}

contract! {
    all: [
        a_text_is_one_step_and_its_tokens_are_counted
        a_thought_comes_before_its_text
        code_runs_and_the_model_answers_after_its_result
        failed_code_is_followed_by_new_code
        a_function_is_called_and_its_result_is_answered
        a_stream_has_the_steps_of_the_whole_answer
    ],
    upstream: [
        a_failure_of_the_model_server_has_an_error_of_its_own
        a_transient_failure_is_retried_after_the_requested_delay
        text_before_an_interruption_is_kept
        the_model_request_is_cancelled_when_the_client_disconnects
        an_unreachable_model_server_is_reported
    ],
    openai: OpenAi, upstream;
    gemini: Gemini, upstream;
    scripted: Scripted, all;
}
