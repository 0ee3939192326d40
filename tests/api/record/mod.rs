//! Recording a model's answers, and replaying them without the model.

mod failures;
mod questions;
mod secrets;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use backend::Backend;
use recording::RecordingBackend;
use recording::{RecordMode, RecordingWriter};
use redaction::Secrets;
use scenario::{Ignore, Scripted};
use serde_json::{Value, json};

use crate::fake::{Act, Answer, Fake, data, delta, stream_of, text};
use crate::gemini::{self, Execution};
use harness::{Program, TestServer};

const INTERACTIONS: &str = "/v1beta/interactions";

/// A folder for recordings, and helpers for tests.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("the temporary folder can be created"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A server with this model as `m*`, which records it.
    async fn recording(&self, model: impl Backend) -> TestServer {
        self.recording_as(model, RecordMode::default(), Ignore::default()).await
    }

    async fn recording_as(
        &self,
        model: impl Backend,
        mode: RecordMode,
        ignore: Ignore,
    ) -> TestServer {
        let secrets = Secrets::new(["correct-horse-battery".to_owned().into()]);
        let writer = RecordingWriter::open(self.path(), secrets).expect("the folder is ours");
        let writer = writer.with_settings(mode, ignore);
        let model = RecordingBackend::new(Arc::new(model), Arc::new(writer))
            .expect("the recording mode is valid");
        TestServer::builder().model("m*", model).start().await
    }

    /// A server that has only the recordings.
    async fn replaying(&self) -> TestServer {
        let model = Scripted::replay(self.path()).expect("all recordings can be read");
        TestServer::builder().model("m*", model).start().await
    }

    /// The recordings, in order.
    fn files(&self) -> Vec<PathBuf> {
        let files = self.path().read_dir().expect("it is there");
        let files = files.map(|file| file.expect("it is there").path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        files.sort();
        files
    }

    fn texts(&self) -> Vec<String> {
        let read = |path| std::fs::read_to_string(path).expect("it is text");
        self.files().into_iter().map(read).collect()
    }

    /// The only recording.
    fn text(&self) -> String {
        let [text] = <[String; 1]>::try_from(self.texts()).expect("there is one recording");
        text
    }
}

fn belljar(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut belljar = Command::new(harness::belljar());
    belljar.args(arguments).args(paths).output().expect("it is a program")
}

fn validates(folder: &Folder) {
    let Output { status, stdout, .. } = belljar(&["validate"], &[folder.path()]);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stdout));
}

fn ask(input: &str) -> Value {
    json!({"model": "m1", "input": input, "tools": [{"type": "code_execution"}]})
}

/// Texts and results of an answer, without the ids that differ each time.
fn transcript(answer: &Value) -> Value {
    let mut steps = answer["steps"].clone();
    for step in steps.as_array_mut().expect("it has steps") {
        let step = step.as_object_mut().expect("each is an object");
        for name in ["id", "call_id", "signature"] {
            step.remove(name);
        }
    }
    // The split of a count by modality is an estimate, and not part of a recording.
    let mut usage = answer["usage"].clone();
    if let Some(usage) = usage.as_object_mut() {
        usage.retain(|name, _| !name.ends_with("_by_modality"));
    }
    json!({"steps": steps, "status": answer["status"], "usage": usage, "errors": answer["errors"]})
}

const DRAW: &str = "import matplotlib.pyplot as plt\n\nplt.plot([1, 2, 4])\nplt.show()\n\
                    print(open('input_file_1.csv').read())\nprint(f'{{braces}} {6 * 7}')";

fn counted(input: u64) -> Act {
    data(&json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": 5}}))
}

/// A model that thinks, draws, and answers with text that looks like a template.
async fn painter() -> Fake {
    let end = || data(&json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    let call = json!({"tool_calls": [{"index": 0, "id": "c", "function": {
        "name": "run_python", "arguments": json!({"code": DRAW}).to_string()}}]});
    Fake::start([
        Answer::Stream(vec![
            delta(json!({"reasoning_content": "I'll "})),
            delta(json!({"reasoning_content": "draw it.\n\n  * twice\t"})),
            delta(json!({"content": "Let me\n"})),
            delta(json!({"content": "draw: 'it' # \"now\" "})),
            delta(call),
            end(),
            counted(100),
        ]),
        Answer::Stream(vec![delta(json!({"content": "{{ It }} is drawn."})), end(), counted(130)]),
    ])
    .await
}

fn picture_and_table() -> Value {
    let mut request = ask("");
    request["input"] = json!([{"type": "text", "text": "Draw what\n is \"in\" it: ä"},
        {"type": "image", "mime_type": "image/png", "data": "iVBORw0="},
        {"type": "document", "mime_type": "text/csv", "data": "YSxi"}]);
    request
}

#[tokio::test]
async fn recordings_are_replayed_without_the_model() {
    let folder = Folder::new();
    let fake = painter().await;
    let server = folder.recording(fake.model()).await;
    let recorded = server.create(picture_and_table()).await;
    assert_eq!(recorded["status"], "completed", "{recorded}");
    drop(fake);

    let file = folder.text();
    for wanted in [
        "# Recorded by belljar ",
        "model: m1",
        "thought: ",
        "code: |",
        "2 pieces until ",
        "        raw: true",
        "tools:",
        "turn: 1",
        "total_input_tokens: 100",
        "name: input_file_1.csv",
        "plt.plot([1, 2, 4])",
    ] {
        assert!(file.contains(wanted), "no {wanted} in\n{file}");
    }
    validates(&folder);
    let beside = folder.path().join("files").read_dir().expect("it is there").count();
    assert_eq!(beside, 3, "two files of the input, and a picture");

    let server = folder.replaying().await;
    let replayed = server.create(picture_and_table()).await;
    assert_eq!(transcript(&replayed), transcript(&recorded));
}

#[tokio::test]
async fn a_replay_requires_the_recorded_prompt() {
    let folder = Folder::new();
    let fake = Fake::start([text("Hello."), text("3.")]).await;
    let server = folder.recording(fake.model()).await;
    server.create(ask("Say hello.")).await;
    let with_table = |input: &str, table: &str| {
        let mut request = ask("");
        request["input"] = json!([{"type": "text", "text": input},
            {"type": "document", "mime_type": "text/csv", "data": table}]);
        request
    };
    server.create(with_table("Add it up.", "YSxi")).await;
    let server = folder.replaying().await;
    let mut other_model = ask("Say hello.");
    other_model["model"] = "m2".into();
    let mut no_tools = ask("Say hello.");
    no_tools.as_object_mut().expect("it is one").remove("tools");
    for (request, wanted) in [
        (ask("Say goodbye."), "`input.equals` wants \"Say hello.\", and got \"Say goodbye.\""),
        (other_model, "`model` wants m1, and got m2"),
        (no_tools, "`only_tools` wants code_execution, and got no tools"),
        (with_table("Add it up.", "YSxj"), "`files.sha256` wants 1eb7c54d52831bbf, and got "),
    ] {
        let reply = server.post(INTERACTIONS, &request).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
        assert!(reply.message().contains("The nearest is `"), "{}", reply.message());
    }
    let answer = server.create(with_table("Add it up.", "YSxi")).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "3.");

    let empty = Folder::new().replaying().await;
    let reply = empty.post(INTERACTIONS, &ask("Say hello.")).await;
    assert!(reply.message().starts_with("There are no recordings in /"), "{}", reply.message());
}

fn calls(city: &str) -> Answer {
    stream_of([json!({"tool_calls": [{"id": "x", "function": {"name": "weather",
        "arguments": {"city": city, "format": "{{ celsius }}"}}}]})])
}

/// A conversation: a question, the answer of a function, and another question about it.
async fn converse(server: &TestServer, city: &str, sky: Value) -> Vec<Value> {
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}},
                       {"type": "code_execution"}]);
    let mut request =
        json!({"model": "m1", "input": format!("The weather in {city}?"), "tools": tools});
    let asked = server.create(request.clone()).await;
    assert_eq!(asked["status"], "requires_action");
    request["previous_interaction_id"] = asked["id"].clone();
    request["input"] = json!([{"type": "function_result", "call_id": asked["steps"][0]["id"],
                               "name": "weather", "result": {"sky": sky}}]);
    let answered = server.create(request.clone()).await;
    request["previous_interaction_id"] = answered["id"].clone();
    request["input"] = "And then?".into();
    let last = server.create(request).await;
    [asked, answered, last].iter().map(transcript).collect()
}

#[tokio::test]
async fn conversations_are_distinguished_by_their_whole_history() {
    let folder = Folder::new();
    let fake = Fake::start([
        calls("Rome"),
        text("Sun."),
        text("More sun."),
        calls("Oslo"),
        text("Snow."),
        text("More snow."),
        calls("Rome"),
        text("Rain!"),
        text("More rain."),
    ])
    .await;
    let server = folder.recording(fake.model()).await;
    let talks =
        [("Rome", json!("blue")), ("Oslo", json!("grey")), ("Rome", json!(["black", {"w": 1}]))];
    let mut recorded = Vec::new();
    for (city, sky) in talks.clone() {
        recorded.push(converse(&server, city, sky).await);
    }
    assert_eq!(folder.files().len(), 9, "one for each interaction");
    validates(&folder);

    let server = folder.replaying().await;
    for ((city, sky), recorded) in talks.into_iter().zip(recorded).rev() {
        assert_eq!(converse(&server, city, sky).await, recorded, "{city}");
    }
    let mut request = ask("The weather in Rome?");
    request["tools"] = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}},
                              {"type": "code_execution"}]);
    let asked = server.create(request.clone()).await;
    request["previous_interaction_id"] = asked["id"].clone();
    request["input"] = json!([{"type": "function_result", "call_id": asked["steps"][0]["id"],
                               "result": {"sky": "green"}}]);
    let reply = server.post(INTERACTIONS, &request).await;
    assert_eq!(reply.status, 400);
    for wanted in ["`after` wants the result {\"sky\":", ", and got weather: {\"sky\":\"green\"}"] {
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
}

#[tokio::test]
async fn searches_and_structured_output_are_recorded() {
    let folder = Folder::new();
    let scenarios = "
scenarios:
  - name: search
    unoffered: true
    when: { input: { contains: look } }
    script:
      - search: { queries: [bells], results: [{ title: A, url: 'http://a', snippet: '{{ 1 + 1 }} bells' }] }
      - text: Two.
";
    let path = Path::new("given.yaml");
    let scenarios = scenario::parse(path, scenarios).expect("they are right");
    let server = folder.recording(Scripted::from_scenarios(scenarios)).await;
    let recorded = server.create(ask("Look for bells.")).await;
    assert_eq!(recorded["steps"][1]["result"][1]["snippet"], "2 bells");

    // An answer that does not match the schema is not replayed either.
    let fake = Fake::start([text("One."), text("{\"n\": 1}")]).await;
    let server = folder.recording(fake.model()).await;
    let mut in_form = ask("A number?");
    in_form["response_format"] = json!({"type": "object", "required": ["n"]});
    let fitting = server.create(in_form.clone()).await;

    let server = folder.replaying().await;
    assert_eq!(transcript(&server.create(ask("Look for bells.")).await), transcript(&recorded));
    assert_eq!(server.create(in_form).await["steps"][0]["content"], fitting["steps"][0]["content"]);
}

#[tokio::test]
async fn code_run_upstream_is_run_locally_in_a_replay() {
    let folder = Folder::new();
    let (stream, _, _) = gemini::whole_stream();
    let fake = Fake::start([stream]).await;
    let server = folder.recording(fake.gemini(Execution::Upstream)).await;
    server.create(ask("6 * 7?")).await;
    let file = folder.text();
    assert!(
        file.contains("# Omitted, because no part can represent it: a step \"telepathy_call\"."),
        "{file}"
    );
    assert!(file.contains("code: print(6*7)"), "{file}");
    assert!(file.contains("total_tool_use_tokens: 48"), "{file}");
    let answer = folder.replaying().await.create(ask("6 * 7?")).await;
    assert_eq!(answer["steps"][1]["result"], "42\n", "{answer}");
    assert_eq!(answer["steps"][2]["content"][0]["text"], "It is 42.");
}

#[tokio::test]
async fn keys_are_redacted_from_recordings_and_replays_still_match() {
    let folder = Folder::new();
    let google = format!("AIza{}", "k".repeat(35));
    let secret = "My key is correct-horse-battery, or";
    let text_with_keys =
        format!("Send 'Authorization: Bearer abcdefgh' and x-goog-api-key: {google}");
    let fake = Fake::start([text(&text_with_keys)]).await;
    let server = folder.recording(fake.model()).await;
    server.create(ask(&format!("{secret} {google}?"))).await;

    let mut all = folder.text();
    all += &folder.files()[0].display().to_string();
    for key in ["correct-horse", "abcdefgh", "kkkk", "sk-geheim"] {
        assert!(!all.contains(key), "{key} in {all}");
    }
    let server = folder.replaying().await;
    for key in ["another-key", "correct-horse-battery"] {
        let answer = server.create(ask(&format!("My key is {key}, or AIza?"))).await;
        let text = answer["steps"][0]["content"][0]["text"].as_str().expect("it is text");
        assert!(text.starts_with("Send 'Authorization: Bearer [redacted]'"), "{text}");
    }
    assert_eq!(server.post(INTERACTIONS, &ask("Another question?")).await.status, 400);
}

/// Started as a program, with recording set by a flag, by a file, and by both.
#[tokio::test(flavor = "multi_thread")]
async fn recording_is_set_by_flags_and_files_and_limited_to_allowed_clients() {
    let (all, some, data) = (Folder::new(), Folder::new(), Folder::new());
    let scenarios = Folder::new();
    let spoken = "scenarios: [{ name: hi, script: [text: hi] }]";
    std::fs::write(scenarios.path().join("hi.yaml"), spoken).expect("the folder is ours");
    let config = data.path().join("belljar.toml");
    let text = |path: &Path| path.to_str().expect("a temporary path is text").to_owned();
    let rules = format!(
        "[[model]]\nname = \"a*\"\nbackend = \"scripted\"\nrecord = {:?}\n\
         [[model]]\nname = \"b*\"\nbackend = \"scripted\"\nrecord = false\n\
         [[model]]\nname = \"r*\"\nbackend = \"replay\"\nfolder = {0:?}\nrecord = false\n",
        text(some.path())
    );
    std::fs::write(&config, rules).expect("the folder is ours");
    let (all_at, scenarios, config) = (text(all.path()), text(scenarios.path()), text(&config));
    let arguments = ["--record", &all_at, "--scenarios", &scenarios, "--config", &config];
    let server = Program::start(data.path(), &arguments);
    let hi = |model: &str| json!({"model": model, "input": "hi", "store": false});
    for model in ["a1", "b1", "c1"] {
        server.create(hi(model)).await;
    }
    server.create(harness::direct("print(1)")).await;
    assert_eq!((some.files().len(), all.files().len()), (1, 2), "c1, and direct");

    let forwarded = |client: &str| {
        let request = server.request("POST", INTERACTIONS).json(&hi("a1"));
        harness::Reply::to(request.header("x-forwarded-for", client))
    };
    let refused = forwarded("203.0.113.7").await;
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("--record-remote-clients"), "{}", refused.message());
    assert_eq!(forwarded("127.0.0.1").await.status, 200);
    assert_eq!(some.files().len(), 2);
    drop(server);

    let arguments = [&arguments[..], &["--record-remote-clients"]].concat();
    let server = Program::start(data.path(), &arguments);
    let request = server.request("POST", INTERACTIONS).json(&hi("a1"));
    let reply = harness::Reply::to(request.header("x-forwarded-for", "203.0.113.7")).await;
    assert_eq!(
        (reply.status, some.files().len()),
        (200, 1),
        "what was recorded before is replaced"
    );
    // It was recorded as `a1`, and `a1` answers.
    let reply = server.post(INTERACTIONS, &hi("r1")).await;
    assert!(reply.message().contains("`model` wants a1, and got r1"), "{}", reply.message());
}
