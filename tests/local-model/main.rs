//! A real model behind a real inference server: SmolLM2 with 135 million parameters in llama.cpp,
//! asked what Google's page asks. What holds for any model is demanded here, and of this one that it
//! runs code at all; what it makes of the question, docs/src/guides/local-models.md tells.
//!
//!     make test-model

#[path = "../harness/mod.rs"]
mod harness;
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

/// One model at a time: each takes a processor.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A model, and in front of it our server, as a user configures it.
struct House {
    llama: Llama,
    server: Program,
    _data: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

async fn house(template: Template, tools: &str) -> House {
    let turn = ONE_AT_A_TIME.lock().await;
    let llama = Llama::start(template);
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let config = data.path().join("belljar.toml");
    let settings = format!(
        "model_turns = 4\nregenerations = 2\n\
         [[model]]\nname = \"smollm2\"\nbackend = \"openai\"\nbase_url = \"{}/v1\"\ntools = \"{tools}\"\n\
         [[model]]\nname = \"direct\"\nbackend = \"direct\"\n",
        llama.url()
    );
    std::fs::write(&config, settings).expect("the folder is ours");
    let config = config.to_str().expect("a temporary path is text");
    let server = Program::start(data.path(), &["--config", config]);
    House { llama, server, _data: data, _turn: turn }
}

/// The most likely words, so that they are the same each time.
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

/// What holds for every model, however little it understands.
#[expect(clippy::print_stdout, reason = "what it said is what one wants to read")]
async fn holds(house: &House, answer: &Value) {
    println!("{}", transcript(answer));
    match answer["status"].as_str() {
        Some("completed" | "incomplete") => {
            let counted = |name: &str| answer["usage"][name].as_u64().unwrap_or(0) > 0;
            assert!(counted("total_input_tokens") && counted("total_output_tokens"), "{answer}");
        }
        // It may call what cannot be called.
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

    // The results are those of the code, and not of the model's imagination.
    let again: String =
        codes(answer).iter().map(|code| format!("```python\n{code}\n```\n")).collect();
    if !again.is_empty() {
        let again = house.server.create(direct(&again)).await;
        let result = |step: &Value| (step["result"].clone(), step["is_error"].clone());
        let told: Vec<_> = of(answer, "code_execution_result").map(result).collect();
        let found: Vec<_> = of(&again, "code_execution_result").map(result).collect();
        assert_eq!(told, found);
    }
}

/// As docs/src/guides/local-models.md has it.
fn transcript(answer: &Value) -> String {
    let mut told = String::new();
    for step in steps(answer) {
        let (kind, text) = match step["type"].as_str() {
            Some("code_execution_call") => ("code", &step["arguments"]["code"]),
            Some("code_execution_result") => ("result", &step["result"]),
            _ => ("text", &step["content"][0]["text"]),
        };
        told += &format!("── {kind}\n{}\n", text.as_str().unwrap_or_default().trim_end());
    }
    told + &format!("── {} {}", answer["status"], answer["usage"])
}

#[tokio::test]
async fn the_page_s_question_is_answered_in_blocks() {
    let house = house(Template::Own, "fenced").await;
    let answer = house.server.create(ask(PRIMES)).await;
    holds(&house, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

/// Its template has no place for tools, so llama.cpp leaves them out and says nothing.
#[tokio::test]
async fn that_a_model_writes_blocks_is_found_out() {
    let house = house(Template::Own, "auto").await;
    let answer = house.server.create(ask(PRIMES)).await;
    holds(&house, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

/// It calls nothing by itself, whatever the template says: it is told to.
#[tokio::test]
async fn the_page_s_question_is_answered_by_calls() {
    let house = house(Template::WithTools, "native").await;
    let mut request = ask(PRIMES);
    request["generation_config"]["tool_choice"] = "any".into();
    let answer = house.server.create(request).await;
    holds(&house, &answer).await;
    assert!(!codes(&answer).is_empty(), "{answer}");
}

#[tokio::test]
async fn settings_reach_the_model() {
    let house = house(Template::Own, "fenced").await;
    let mut request = ask("Count from one to ten in words.");
    request["tools"] = json!([]);
    let config = &mut request["generation_config"];
    *config = json!({"temperature": 1.5, "seed": 3, "max_output_tokens": 20});
    let first = house.server.create(request.clone()).await;
    let second = house.server.create(request.clone()).await;
    let words = |answer: &Value| answer["steps"][0]["content"][0]["text"].clone();
    assert_eq!(words(&first), words(&second), "the same dice");
    assert_eq!(first["status"], "incomplete", "{first}");
    assert_eq!(first["usage"]["total_output_tokens"], 20, "{first}");
    request["generation_config"]["seed"] = 4.into();
    assert_ne!(words(&house.server.create(request.clone()).await), words(&first), "other dice");

    // A word of its answer, at which it stops the next time.
    let text = words(&first).as_str().expect("it is text").to_owned();
    let stop = text.split_whitespace().nth(3).expect("twenty tokens are more than four words");
    request["generation_config"] =
        json!({"temperature": 1.5, "seed": 3, "max_output_tokens": 20, "stop_sequences": [stop]});
    let stopped = house.server.create(request).await;
    let before = text.split_once(stop).expect("it is in it").0;
    assert_eq!(words(&stopped), before, "{stopped}");
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_said_to_be_so() {
    let house = house(Template::Own, "auto").await;
    let reply = house.server.post(INTERACTIONS, &ask(&"hello ".repeat(3000))).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let message = reply.message();
    assert!(
        message.starts_with("The conversation is too long for the model `smollm2`"),
        "{message}"
    );
}

/// A story of all its context takes minutes; its only slot is free at once.
#[tokio::test]
async fn the_model_request_is_cancelled_when_the_client_disconnects() {
    let house = house(Template::Own, "fenced").await;
    let mut request = ask("Tell me a very long story, and do not stop.");
    request["generation_config"] =
        json!({"temperature": 1.5, "seed": 1, "max_output_tokens": 1900});
    let mut stream = house.server.create_stream(request).await;
    stream.until("step.delta").await;
    drop(stream);
    let word = tokio::time::timeout(Duration::from_secs(15), house.llama.say_a_word()).await;
    let word = word.expect("it goes on for nobody");
    assert_eq!(word["usage"]["completion_tokens"], 1, "{word}");
}
