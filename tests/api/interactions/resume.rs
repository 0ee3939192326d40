//! Interactions in the background when the server restarts.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use harness::{Event, Program, Stream, direct};

const SCENARIOS: &str = r#"
scenarios:
  - name: long
    when: { input: { contains: long } }
    script:
      - pace: 10ms
      - thought: I compute it in two steps, the first of which leaves something behind.
      - code: |
          from PIL import Image
          Image.new('RGB', (2, 2)).save('dot.png')
          x = 6
      - text: "That went well, and so we go on to the second step."
      - code: |
          import os, time
          time.sleep(0.2)
          print(x * 7, os.path.exists('dot.png'))
      - text: "It is {{ stdout | trim }}, and that took a while to say in so many words."
  - name: looked up
    unoffered: true
    when: { input: { contains: looked up } }
    script:
      - pace: 10ms
      - text: "I look for it. "
      - search: { queries: [moss] }
      - text: "Moss is green, as they say [1], and it grows on many stones."
  - name: dice
    when: { input: { contains: dice } }
    script:
      - code: "import random; print(random.random())"
      - code: "import time; time.sleep(2)"
      - text: "Done."
  - name: call
    when: { input: { contains: call } }
    script:
      - function_call: { name: first, arguments: { a: 1 } }
      - function_call: { name: second, arguments: { b: 2 } }
"#;

struct Setup {
    data: tempfile::TempDir,
    scenarios: tempfile::TempDir,
}

impl Setup {
    fn new() -> Setup {
        let folder = || tempfile::tempdir().expect("the temporary folder can be created");
        let setup = Setup { data: folder(), scenarios: folder() };
        let file = setup.scenarios.path().join("test.yaml");
        std::fs::write(file, SCENARIOS).expect("the folder is ours");
        setup
    }

    fn serve(&self, arguments: &[&str]) -> Program {
        let scenarios = text(self.scenarios.path());
        Program::start(self.data.path(), &[&["--scenarios", scenarios], arguments].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

fn request(input: &str) -> Value {
    json!({"model": "m", "input": input, "background": true, "tools": [
        {"type": "code_execution"},
        {"type": "function", "name": "first"}, {"type": "function", "name": "second"},
    ]})
}

/// The events, without the fields that differ each time.
fn comparable(events: &[Event]) -> Vec<Value> {
    let mut comparable = Vec::new();
    for event in events {
        let mut data = event.data.clone();
        match event.name.as_str() {
            "step.start" => data = json!(data["step"]["type"]),
            "step.delta" => {
                let fields = data["delta"].as_object_mut().expect("it is one");
                fields.remove("signature");
                data = json!(fields);
            }
            "interaction.completed" => data = data["interaction"]["usage"].clone(),
            _ => data = Value::Null,
        }
        comparable.push(json!([event.name, data]));
    }
    comparable
}

async fn follow(server: &Program, id: &str) -> Stream {
    Stream::of(server.request("GET", &format!("/v1beta/interactions/{id}?stream=true"))).await
}

async fn begin(server: &Program, input: &str) -> String {
    let begun = server.create(request(input)).await;
    begun["id"].as_str().expect("it is stored").to_owned()
}

#[tokio::test]
async fn a_background_interaction_resumes_from_any_event() {
    let setup = Setup::new();
    let server = setup.serve(&[]);
    let id = begin(&server, "a long one").await;
    let whole = server.events(&id, None).await;
    server.kill();
    assert_eq!(whole[whole.len() - 2].data["interaction"]["status"], "completed");

    // After every fourth event, and after the last one before `done`.
    let mut kills: Vec<usize> = (1..whole.len() - 1).step_by(4).collect();
    kills.push(whole.len() - 1);
    let mut server = setup.serve(&[]);
    for count in kills {
        let id = begin(&server, "a long one").await;
        let mut stream = follow(&server, &id).await;
        let mut seen = Vec::new();
        for _ in 0..count {
            seen.push(stream.next().await.expect("it is not over"));
        }
        server.kill();

        server = setup.serve(&[]);
        let rest = server.events(&id, Some(seen[count - 1].id())).await;
        let all = server.events(&id, None).await;
        assert_eq!([seen.clone(), rest].concat(), all, "killed after {count} events");
        assert_eq!(comparable(&all), comparable(&whole), "killed after {count} events");
        let ids: std::collections::HashSet<&str> = all.iter().map(Event::id).collect();
        assert_eq!(ids.len(), all.len(), "no id twice");
    }
}

#[tokio::test]
async fn searches_and_citations_are_kept_when_resuming() {
    let setup = Setup::new();
    let documents = tempfile::tempdir().expect("the temporary folder can be created");
    std::fs::write(documents.path().join("moss.txt"), "Moss is green.").expect("it is ours");
    let search = ["--search", text(documents.path())];
    let server = setup.serve(&search);
    let whole = server.events(&begin(&server, "looked up").await, None).await;
    let cited = whole.iter().filter(|e| e.data["delta"]["type"] == "text_annotation_delta");
    assert_eq!(cited.count(), 1);

    let mut server = server;
    for count in (1..whole.len()).step_by(3) {
        let id = begin(&server, "looked up").await;
        let mut stream = follow(&server, &id).await;
        for _ in 0..count {
            stream.next().await.expect("it is not over");
        }
        server.kill();
        server = setup.serve(&search);
        let all = server.events(&id, None).await;
        assert_eq!(comparable(&all), comparable(&whole), "killed after {count} events");
    }
}

/// A replay would give variables other values than those already printed.
#[tokio::test]
async fn nondeterministic_code_ends_a_resumed_interaction() {
    let setup = Setup::new();
    let server = setup.serve(&[]);
    let id = begin(&server, "throw the dice").await;
    let mut stream = follow(&server, &id).await;
    for _ in 0..3 {
        stream.until("step.stop").await; // a call, its result, and the second call
    }
    server.kill();

    let server = setup.serve(&[]);
    let events = server.events(&id, None).await;
    let last = events.last().expect("there are some");
    assert_eq!(last.name, "error");
    let why = last.data["error"]["message"].as_str().expect("it is text");
    assert!(why.contains("had another result"), "{why}");
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!((&found["status"], &found["errors"][0]["message"]), (&json!("failed"), &json!(why)));
}

#[tokio::test]
async fn a_published_function_call_is_kept_when_resuming() {
    let setup = Setup::new();
    let server = setup.serve(&[]);
    let id = begin(&server, "call them").await;
    let mut stream = follow(&server, &id).await;
    let seen = stream.until("step.start").await;
    stream.until("step.stop").await;
    server.kill();

    let server = setup.serve(&[]);
    server.events(&id, None).await;
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!(found["status"], "requires_action");
    let calls = found["steps"].as_array().expect("it has steps")[1..].to_vec();
    assert_eq!(calls.len(), 2, "{found}");
    assert_eq!(calls[0]["id"], seen.data["step"]["id"]);
    assert_eq!(calls[1]["name"], "second");
}

/// An interaction whose code or answer ends the server would end it after every start.
#[tokio::test]
async fn an_interaction_that_is_resumed_without_progress_fails_after_five_times() {
    let setup = Setup::new();
    let log = setup.data.path().join("log");
    let made = mkfifoat(CWD, &log, Mode::RUSR | Mode::WUSR);
    made.expect("the folder is the test's");
    // A pipe that is open for writing has no end when a server is killed.
    let pipe = File::options().read(true).write(true).open(&log).expect("it is there");
    let mut lines = BufReader::new(pipe).lines().map(|line| line.expect("it is text"));
    let serve = || {
        let scenarios = ["--scenarios", text(setup.scenarios.path())];
        Program::start_with_log(setup.data.path(), &scenarios, &log, "server::engine=info")
    };
    let mut body = direct("import time\ntime.sleep(25)");
    body["background"] = true.into();
    let server = serve();
    let begun = server.create(body).await;
    let id = begun["id"].as_str().expect("it is stored");
    let mut stream = follow(&server, id).await;
    stream.until("step.stop").await;
    server.kill();

    for _ in 0..5 {
        let server = serve();
        lines.find(|line| line.contains("interaction resumed")).expect("the pipe has no end");
        server.kill();
    }
    let server = serve();
    let events = server.events(id, None).await;
    let last = &events.last().expect("there are some").data;
    let why = "The server stopped each time it resumed this interaction.";
    assert_eq!(last["error"]["message"], why, "{last}");
}

#[tokio::test]
async fn a_stopped_server_leaves_background_interactions_to_the_next() {
    let setup = Setup::new();
    let mut server = setup.serve(&["--shutdown-grace", "100ms"]);
    let mut body = direct("import time\ntime.sleep(1.5)\nprint(42)");
    body["background"] = true.into();
    let begun = server.create(body).await;
    let id = begun["id"].as_str().expect("it is stored");
    let mut stream = follow(&server, id).await;
    stream.until("step.stop").await;
    server.terminate();
    let last = stream.rest().await.pop().expect("there is one");
    assert_eq!(
        (last.name.as_str(), &last.data["error"]["code"]),
        ("error", &json!("service_unavailable"))
    );
    assert!(server.wait().success());

    let server = setup.serve(&[]);
    assert_eq!(server.events(id, None).await.last().expect("there are some").name, "done");
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!(
        (&found["status"], &found["steps"][2]["result"]),
        (&json!("completed"), &json!("42\n"))
    );
}

#[tokio::test]
async fn a_resumed_interaction_can_be_cancelled() {
    let setup = Setup::new();
    let server = setup.serve(&[]);
    let mut body = direct("while True: pass");
    body["background"] = true.into();
    let begun = server.create(body).await;
    let id = begun["id"].as_str().expect("it is stored");
    follow(&server, id).await.until("step.stop").await;
    server.kill();

    let server = setup.serve(&[]);
    let path = format!("/v1/interactions/{id}");
    assert_eq!(server.get(&path).await.body["status"], "in_progress");
    let reply = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(reply.body["status"], "cancelled");
}
