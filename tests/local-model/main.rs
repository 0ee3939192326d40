//! A real model behind a real inference server: SmolLM2 with 135 million parameters in llama.cpp,
//! with the question of Google's page. The tests check what must hold for any model, and that this one
//! runs code at all; docs/src/guides/local-models.md has its answers.
//!
//!     make test-model

mod llama;

use std::time::Duration;

use harness::{Program, direct};
use llama::{Llama, Template};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

const INTERACTIONS: &str = "/v1beta/interactions";
/// The question of Google's page on code execution.
const PRIMES: &str = "What is the sum of the first 50 prime numbers? Generate and run code for the \
     calculation, and make sure you get all 50.";

/// One model at a time: each uses a whole processor.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A model and a Belljar server that uses it, as a user configures it.
struct Setup {
    llama: Llama,
    server: Program,
    _data: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

async fn setup(template: Template, tools: &str) -> Setup {
    let turn = ONE_AT_A_TIME.lock().await;
    let llama = Llama::start(template);
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let config = data.path().join("belljar.toml");
    let settings = format!(
        "max_model_turns = 4\nmax_code_retries = 2\n\
         [[model]]\nname = \"smollm2\"\nbackend = \"openai\"\nbase_url = \"{}/v1\"\ntools = \"{tools}\"\n\
         [[model]]\nname = \"direct\"\nbackend = \"direct\"\n",
        llama.url()
    );
    std::fs::write(&config, settings).expect("the folder is ours");
    let config = config.to_str().expect("a temporary path is text");
    let server = Program::start(data.path(), &["--config", config]);
    Setup { llama, server, _data: data, _turn: turn }
}

/// A request at temperature 0, so that the answer is the same each time.
fn ask(input: &str) -> Value {
    json!({
        "model": "smollm2",
        "input": input,
        "tools": [{"type": "code_execution"}],
        "generation_config": {"temperature": 0, "seed": 7, "max_output_tokens": 400},
    })
}

fn steps(answer: &Value) -> &[Value] {
    answer["steps"].as_array().expect("it has steps")
}

fn of<'a>(answer: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    steps(answer).iter().filter(move |step| step["type"] == kind)
}

fn codes(answer: &Value) -> Vec<&str> {
    of(answer, "code_execution_call")
        .map(|step| step["arguments"]["code"].as_str().expect("a call has code"))
        .collect()
}

/// Checks what must hold for every model, even a weak one.
#[expect(clippy::print_stdout, reason = "the transcript is for the reader")]
async fn holds(setup: &Setup, answer: &Value) {
    println!("{}", transcript(answer));
    match answer["status"].as_str() {
        Some("completed" | "incomplete") => {
            let counted = |name: &str| answer["usage"][name].as_u64().unwrap_or(0) > 0;
            assert!(counted("total_input_tokens") && counted("total_output_tokens"), "{answer}");
        }
        // The model may make malformed calls.
        Some("failed") => {
            let why = answer["errors"][0]["message"].as_str().expect("there is a reason");
            assert!(why.contains("MALFORMED_FUNCTION_CALL"), "{answer}");
        }
        _ => panic!("{answer}"),
    }
    let mut steps = steps(answer).iter().peekable();
    while let Some(step) = steps.next() {
        match step["type"].as_str() {
            Some("code_execution_call") => {
                let result = steps.next().expect("a call has a result");
                assert_eq!(result["type"], "code_execution_result", "{answer}");
                assert_eq!(result["call_id"], step["id"], "{answer}");
            }
            Some("model_output") => {}
            _ => panic!("what is {step}?"),
        }
    }

    // The results come from the code, and are not invented by the model.
    let again: String =
        codes(answer).iter().map(|code| format!("```python\n{code}\n```\n")).collect();
    if !again.is_empty() {
        let again = setup.server.create(direct(&again)).await;
        let result = |step: &Value| (step["result"].clone(), step["is_error"].clone());
        let results: Vec<_> = of(answer, "code_execution_result").map(result).collect();
        let found: Vec<_> = of(&again, "code_execution_result").map(result).collect();
        assert_eq!(results, found);
    }
}

/// In the format of docs/src/guides/local-models.md.
fn transcript(answer: &Value) -> String {
    let mut text_of_steps = String::new();
    for step in steps(answer) {
        let (kind, text) = match step["type"].as_str() {
            Some("code_execution_call") => ("code", &step["arguments"]["code"]),
            Some("code_execution_result") => ("result", &step["result"]),
            _ => ("text", &step["content"][0]["text"]),
        };
        text_of_steps += &format!("── {kind}\n{}\n", text.as_str().unwrap_or_default().trim_end());
    }
    text_of_steps + &format!("── {} {}", answer["status"], answer["usage"])
}

#[tokio::test]
async fn the_page_s_question_is_answered_in_blocks() {
    let setup = setup(Template::Own, "fenced").await;
    let answer = setup.server.create(ask(PRIMES)).await;
    holds(&setup, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

/// The template does not support tools, so llama.cpp drops them without an error.
#[tokio::test]
async fn a_model_that_writes_blocks_is_detected() {
    let setup = setup(Template::Own, "auto").await;
    let answer = setup.server.create(ask(PRIMES)).await;
    holds(&setup, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

/// The model makes no call by itself, with either template, so `tool_choice` forces one.
#[tokio::test]
async fn the_page_s_question_is_answered_by_calls() {
    let setup = setup(Template::WithTools, "native").await;
    let mut request = ask(PRIMES);
    request["generation_config"]["tool_choice"] = "any".into();
    let answer = setup.server.create(request).await;
    holds(&setup, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

#[tokio::test]
async fn settings_reach_the_model() {
    let setup = setup(Template::Own, "fenced").await;
    let mut request = ask("Count from one to ten in words.");
    request["tools"] = json!([]);
    let config = &mut request["generation_config"];
    *config = json!({"temperature": 1.5, "seed": 3, "max_output_tokens": 20});
    let first = setup.server.create(request.clone()).await;
    let second = setup.server.create(request.clone()).await;
    let words = |answer: &Value| answer["steps"][0]["content"][0]["text"].clone();
    assert_eq!(words(&first), words(&second), "the same dice");
    assert_eq!(first["status"], "incomplete", "{first}");
    assert_eq!(first["usage"]["total_output_tokens"], 20, "{first}");
    request["generation_config"]["seed"] = 4.into();
    assert_ne!(words(&setup.server.create(request.clone()).await), words(&first), "other dice");

    // A word of the answer, used as the stop sequence of the next request.
    let text = words(&first).as_str().expect("it is text").to_owned();
    let stop = text.split_whitespace().nth(3).expect("twenty tokens are more than four words");
    request["generation_config"] =
        json!({"temperature": 1.5, "seed": 3, "max_output_tokens": 20, "stop_sequences": [stop]});
    let stopped = setup.server.create(request).await;
    let before = text.split_once(stop).expect("it is in it").0;
    assert_eq!(words(&stopped), before, "{stopped}");
}

#[tokio::test]
async fn a_conversation_beyond_the_context_is_refused() {
    let setup = setup(Template::Own, "auto").await;
    let reply = setup.server.post(INTERACTIONS, &ask(&"hello ".repeat(3000))).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let message = reply.message();
    assert!(
        message.starts_with("The conversation is too long for the model `smollm2`"),
        "{message}"
    );
}

/// Filling the context takes minutes; after the disconnect, the only slot is free at once.
#[tokio::test]
async fn the_model_request_is_cancelled_when_the_client_disconnects() {
    let setup = setup(Template::Own, "fenced").await;
    let mut request = ask("Tell me a very long story, and do not stop.");
    request["generation_config"] =
        json!({"temperature": 1.5, "seed": 1, "max_output_tokens": 1900});
    let mut stream = setup.server.create_stream(request).await;
    stream.until("step.delta").await;
    drop(stream);
    let word = tokio::time::timeout(Duration::from_secs(15), setup.llama.one_token()).await;
    let word = word.expect("the generation continues after the disconnect");
    assert_eq!(word["usage"]["completion_tokens"], 1, "{word}");
}
