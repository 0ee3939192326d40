//! Which recording answers: prompts are distinguished by all that the model was given, and the same
//! question gets its answers in the order of recording.

use recording::RecordMode;
use scenario::Ignore;
use serde_json::{Value, json};

use super::{Folder, INTERACTIONS, ask, validates};
use crate::fake::{Answer, Fake, status, text};
use harness::{Program, Reply, TestServer};

const GENERATE: &str = "/v1beta/models/m1:generateContent";

fn numbers(count: usize) -> Vec<Answer> {
    // Each matches the schema that some of the prompts request.
    (1..=count).map(|number| text(&format!("{{\"n\": {number}}}"))).collect()
}

/// The text of an answer of either API.
fn answer(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let texts = |contents: &Value| -> String {
        let contents = contents.as_array().into_iter().flatten();
        contents.filter_map(|content| content["text"].as_str()).collect()
    };
    match reply.body["steps"].as_array() {
        Some(steps) => steps.iter().map(|step| texts(&step["content"])).collect(),
        None => texts(&reply.body["candidates"][0]["content"]["parts"]),
    }
}

async fn answers(server: &TestServer, requests: &[(&str, Value)]) -> Vec<String> {
    let mut answers = Vec::new();
    for (path, request) in requests {
        answers.push(answer(&server.post(path, request).await));
    }
    answers
}

fn with(change: Value) -> (&'static str, Value) {
    let mut request = json!({"model": "m1", "input": "title?", "store": false});
    for (name, value) in change.as_object().expect("it is one") {
        request[name] = value.clone();
    }
    (INTERACTIONS, request)
}

fn generate(change: Value) -> (&'static str, Value) {
    let mut request = json!({"contents": [{"role": "user", "parts": [{"text": "title?"}]}]});
    for (name, value) in change.as_object().expect("it is one") {
        request[name] = value.clone();
    }
    (GENERATE, request)
}

fn function(description: &str) -> Value {
    json!({"type": "function", "name": "f", "description": description,
           "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}})
}

fn earlier_turn(text: &str) -> Value {
    json!([{"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
           {"type": "model_output", "content": [{"type": "text", "text": text}]},
           {"type": "user_input", "content": [{"type": "text", "text": "title?"}]}])
}

fn prompts() -> Vec<(&'static str, Value)> {
    let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    vec![
        with(json!({})),
        with(json!({"system_instruction": "You write titles."})),
        with(json!({"system_instruction": "You write replies."})),
        with(json!({"tools": [{"type": "code_execution"}]})),
        with(json!({"tools": [function("one")]})),
        with(json!({"tools": [function("other")]})),
        with(json!({"generation_config": {"temperature": 0}})),
        with(json!({"generation_config": {"temperature": 1}})),
        with(json!({"response_format": {"type": "object", "required": ["n"]}})),
        with(
            json!({"response_format": {"type": "object", "properties": {"n": {"type": "integer"}}}}),
        ),
        with(json!({"input": earlier_turn("one")})),
        with(json!({"input": earlier_turn("two")})),
        generate(json!({"systemInstruction": {"parts": [{"text": "You write tables."}]}})),
        generate(json!({"generationConfig": {"topP": 0.5}})),
        generate(json!({"tools": [{"functionDeclarations": [{"name": "g"}]}]})),
        generate(
            json!({"contents": [turn("user", "a"), turn("model", "b"), turn("user", "title?")]}),
        ),
        generate(
            json!({"contents": [turn("user", "a"), turn("model", "c"), turn("user", "title?")]}),
        ),
    ]
}

#[tokio::test]
async fn prompts_are_distinguished_by_all_that_the_model_was_given() {
    let folder = Folder::new();
    let prompts = prompts();
    let fake = Fake::start(numbers(prompts.len())).await;
    let server = folder.recording(fake.model()).await;
    let recorded = answers(&server, &prompts).await;
    assert_eq!(folder.files().len(), prompts.len());
    validates(&folder);
    let server = folder.replaying().await;
    assert_eq!(answers(&server, &prompts).await, recorded);
    let backwards: Vec<_> = prompts.iter().rev().cloned().collect();
    let mut again = answers(&server, &backwards).await;
    again.reverse();
    assert_eq!(again, recorded, "none is counted with another");
    for (change, wanted) in [
        (json!({"system_instruction": "You write nothing."}), "system_instruction.equals"),
        (json!({"tools": [function("third")]}), "functions"),
        (json!({"tools": [{"type": "google_search"}]}), "only_tools"),
        (json!({"generation_config": {"temperature": 0.5}}), "generation_config"),
    ] {
        let reply = server.post(INTERACTIONS, &with(change).1).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.message().contains(&format!("`{wanted}`")), "{}", reply.message());
    }
}

async fn in_namespace(server: &TestServer, namespace: &str) -> String {
    let request = server.request("POST", INTERACTIONS).header("x-belljar-namespace", namespace);
    answer(&Reply::to(request.json(&ask("Is the job done?"))).await)
}

#[tokio::test]
async fn a_repeated_question_gets_its_answers_in_the_recorded_order() {
    let folder = Folder::new();
    let fake = Fake::start([text("no"), text("soon"), text("yes")]).await;
    let server = folder.recording(fake.model()).await;
    for wanted in ["no", "soon", "yes"] {
        assert_eq!(in_namespace(&server, "a").await, wanted);
    }
    let server = folder.replaying().await;
    // Other namespaces have no influence, and the last answer is repeated.
    for (namespace, wanted) in
        [("a", "no"), ("b", "no"), ("a", "soon"), ("a", "yes"), ("b", "soon"), ("a", "yes")]
    {
        assert_eq!(in_namespace(&server, namespace).await, wanted, "{namespace}");
    }
    let reset = server.request("POST", "/x/reset").header("x-belljar-namespace", "a");
    assert_eq!(Reply::to(reset).await.status, 200);
    assert_eq!(
        (in_namespace(&server, "a").await, in_namespace(&server, "b").await),
        ("no".into(), "yes".into())
    );
    let journal = server.request("GET", "/x/journal").header("x-belljar-namespace", "b");
    let journal = Reply::to(journal).await.body;
    let takes: Vec<&Value> = journal["entries"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|entry| &entry["take"])
        .collect();
    assert_eq!(takes, [1, 2, 3]);
}

#[tokio::test]
async fn ids_and_times_in_prompts_do_not_affect_matching() {
    let folder = Folder::new();
    let fake = Fake::start([text("Hello."), text("Again.")]).await;
    let patterns = [r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?", r"(?i)session [0-9a-f]{8}"];
    let ignore = Ignore::try_from(patterns.map(str::to_owned).to_vec()).expect("they are right");
    let server = folder.recording_as(fake.model(), RecordMode::Replace, ignore).await;
    let request = |session: &str, day: &str, what: &str| {
        let mut request = ask(&format!("Session {session}: {what} It is {day} 13:14:17.499340."));
        request["system_instruction"] = format!("Today is {day}.").into();
        request["generation_config"] = json!({"stop_sequences": [day]});
        request
    };
    let talk = async |server: &TestServer, session: &str, day: &str| {
        let first = server.create(request(session, day, "Hi!")).await;
        let mut next = request(session, day, "And?");
        next["previous_interaction_id"] = first["id"].clone();
        [first, server.create(next).await]
            .map(|answer| answer["steps"][0]["content"][0]["text"].clone())
    };
    let recorded = talk(&server, "cd80cd80", "2026-11-28").await;
    let all = folder.texts().concat() + &format!("{:?}", folder.files());
    let body: String = all.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for volatile in ["cd80", "2026", "499340"] {
        assert!(!body.contains(volatile), "{volatile} in {body}");
    }
    validates(&folder);
    let server = folder.replaying().await;
    assert_eq!(talk(&server, "00ff00ff", "2027-01-02").await, recorded);
    let other = server.post(INTERACTIONS, &request("00ff00ff", "2027-01-02", "Ho!")).await;
    assert_eq!(other.status, 400, "{}", other.body);
}

#[tokio::test]
async fn recorded_file_names_are_stable() {
    let folder = Folder::new();
    let long = "What is the median of the sales in the north, and in the south?";
    let both = || [text("A."), text("B."), text("C.")];
    let times = |folder: &Folder| -> Vec<_> {
        let time =
            |path: &std::path::PathBuf| path.metadata().expect("it is there").modified().ok();
        folder.files().iter().map(time).collect()
    };
    let record = async |answers: [Answer; 3], mode: RecordMode| {
        let fake = Fake::start(answers).await;
        let server = folder.recording_as(fake.model(), mode, Ignore::default()).await;
        for input in [long, "Short?", "Short?"] {
            server.create(ask(input)).await;
        }
        fake.asked().len()
    };
    record(both(), RecordMode::Replace).await;
    let names = || -> Vec<String> {
        let name = |path: std::path::PathBuf| {
            path.file_name().expect("it has one").to_string_lossy().into_owned()
        };
        folder.files().into_iter().map(name).collect()
    };
    let before = (names(), folder.texts());
    assert!(before.0[2].starts_with("1-what-is-the-median-of-the-sales-in-the-"), "{:?}", before.0);
    assert!(before.0.iter().all(|name| !name.contains("2026")), "no times: {:?}", before.0);
    let written = times(&folder);
    record(both(), RecordMode::Replace).await;
    assert_eq!((names(), folder.texts()), before, "what is recorded as it was is left alone");
    // The second recording of the short question is rewritten, for its end was not known before.
    assert_eq!(times(&folder).iter().filter(|time| written.contains(time)).count(), 2);

    record([text("A."), text("B!"), text("C.")], RecordMode::Replace).await;
    assert_eq!(names(), before.0, "changed answers have the files of the old ones");
    assert_eq!(folder.texts().concat().matches("B!").count(), 1);

    let asked = record(both(), RecordMode::New).await;
    assert_eq!((asked, names()), (0, before.0.clone()), "every question was recorded");
    record(both(), RecordMode::All).await;
    assert_eq!(names().len(), 6);
    validates(&folder);
}

#[tokio::test]
async fn record_mode_new_requests_only_unrecorded_questions() {
    let folder = Folder::new();
    let fake = Fake::start([status(400, "busy"), text("one")]).await;
    let server = folder.recording(fake.model()).await;
    assert_eq!(server.post(INTERACTIONS, &ask("Failed?")).await.status, 400);
    server.create(ask("Old?")).await;
    drop(server);

    let fake = Fake::start([text("two"), text("three"), text("four")]).await;
    let server = folder.recording_as(fake.model(), RecordMode::New, Ignore::default()).await;
    let mut texts = Vec::new();
    // A failed question is sent again, and so is one asked more often than it was recorded.
    for input in ["Old?", "New?", "Failed?", "Old?"] {
        texts.push(answer(&server.post(INTERACTIONS, &ask(input)).await));
    }
    assert_eq!(texts, ["one", "two", "three", "four"]);
    let server = folder.replaying().await;
    let mut replayed = Vec::new();
    for input in ["Old?", "New?", "Failed?", "Old?", "Old?"] {
        replayed.push(answer(&server.post(INTERACTIONS, &ask(input)).await));
    }
    assert_eq!(replayed, ["one", "two", "three", "four", "four"]);
}

/// One folder for recordings and scenarios, which does not exist yet; and the flags.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_recording_folder_is_created() {
    let (place, data) = (Folder::new(), Folder::new());
    let folder = place.path().join("a/b");
    let at = folder.to_str().expect("a temporary path is text").to_owned();
    let direct = |code: &str| harness::direct(code);
    let arguments =
        ["--record", &at, "--scenarios", &at, "--record-mode", "new", "--record-ignore", "[0-9]+"];
    let server = Program::start(data.path(), &arguments);
    for code in ["print(1)", "print(2)", "print('x')"] {
        server.create(direct(code)).await;
    }
    let files = folder.read_dir().expect("it was made").count();
    assert_eq!(files, 3, "one question twice, and another one");

    let bad = Program::fail(&["--record", &at, "--record-ignore", "x*"]);
    let stderr = String::from_utf8(bad.stderr).expect("it is text");
    assert!(stderr.contains("`x*` matches the empty text"), "{stderr}");
    let bad = Program::fail(&["--record", &at, "--record-mode", "some"]);
    let stderr = String::from_utf8(bad.stderr).expect("it is text");
    assert!(stderr.contains("expected replace, new or all"), "{stderr}");
}
