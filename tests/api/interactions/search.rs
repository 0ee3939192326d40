//! Google Search: the search, its results, and the citations of a model's text.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use parking_lot::Mutex;
use search::{Folder, FolderLimits, Searxng};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::fake::{Fake, status, stream_of, text};
use harness::{Program, TestServer};

const LIMITS: FolderLimits = FolderLimits { files: 10, file_bytes: 10_000, bytes: 100_000 };

const SCENARIO: &str = r#"
scenarios:
  - name: moss
    when: { tools: [google_search] }
    script:
      - text: "Ich sehe nach. "
      - search: { queries: [moss, stones] }
      - code: print(6 * 7)
      - text: "Moos ist grün [1]. Es wächst auf Steinen [2][1], {{ stdout | trim }} mm [7]."
"#;

/// Two documents about moss, and their addresses.
fn documents() -> (tempfile::TempDir, Folder) {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    for (name, content) in [
        ("moss.md", "# Moss\n\nMoss, moss is green."),
        ("stones.html", "<title>Stones</title><p>Some moss grows on stones."),
        ("fern.txt", "Fern is tall."),
    ] {
        std::fs::write(folder.path().join(name), content).expect("the folder is ours");
    }
    let search = Folder::open(folder.path(), "https://wiki.example/", 5, LIMITS);
    (folder, search.expect("it can be read"))
}

fn ask(model: &str, tools: &[&str]) -> Value {
    let tools: Vec<Value> = tools.iter().map(|tool| json!({"type": tool})).collect();
    json!({"model": model, "input": "What is moss?", "tools": tools})
}

fn types(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().expect("it has steps");
    steps.iter().map(|step| step["type"].as_str().expect("each has a type")).collect()
}

/// `url: what is cited`, by the bytes of the text.
fn cited(content: &Value) -> Vec<String> {
    let text = content["text"].as_str().expect("it is a text");
    let index = |annotation: &Value, name: &str| {
        usize::try_from(annotation[name].as_u64().expect("it is a number")).expect("it is small")
    };
    let all = content["annotations"].as_array().cloned().unwrap_or_default();
    let mut cited = Vec::new();
    for annotation in &all {
        assert_eq!(annotation["type"], "url_citation");
        let part = &text[index(annotation, "start_index")..index(annotation, "end_index")];
        cited.push(format!("{}: {part}", annotation["url"].as_str().expect("it has one")));
    }
    cited
}

const CITED: [&str; 3] = [
    "https://wiki.example/moss.md: Moos ist grün",
    "https://wiki.example/stones.html: Es wächst auf Steinen",
    "https://wiki.example/moss.md: Es wächst auf Steinen",
];

#[tokio::test]
async fn a_folder_is_searched_and_its_documents_are_cited() {
    let (_folder, search) = documents();
    let server = TestServer::builder().scenarios(SCENARIO).search(search).start().await;
    let request = ask("m", &["google_search", "code_execution"]);
    let answer = server.create(request.clone()).await;
    assert_eq!(
        types(&answer),
        [
            "model_output",
            "google_search_call",
            "google_search_result",
            "code_execution_call",
            "code_execution_result",
            "model_output"
        ]
    );
    let result = &answer["steps"][2];
    assert_eq!(
        (&result["is_error"], &result["call_id"]),
        (&json!(false), &answer["steps"][1]["id"])
    );
    assert!(
        result["result"][0]["search_suggestions"]
            .as_str()
            .is_some_and(|html| html.contains("moss"))
    );
    assert_eq!(
        result["result"][1],
        json!({
            "title": "Moss", "url": "https://wiki.example/moss.md",
            "snippet": "# Moss\n\nMoss, moss is green.",
        })
    );
    assert_eq!(result["result"][2]["url"], "https://wiki.example/stones.html");
    assert_eq!(result["result"].get(3), None, "the fern has nothing to do with it");
    let content = &answer["steps"][5]["content"][0];
    assert_eq!(cited(content), CITED);
    assert_eq!(
        content["text"], "Moos ist grün [1]. Es wächst auf Steinen [2][1], 42 mm [7].",
        "the text is what the model wrote"
    );
    let counts = json!([{"type": "google_search", "count": 1}]);
    assert_eq!(answer["usage"]["grounding_tool_count"], counts);

    let path = format!("/v1beta/interactions/{}", answer["id"].as_str().expect("it was stored"));
    assert_eq!(server.get(&path).await.body["steps"][6]["content"][0], *content, "it is kept");

    // In a stream, the citations come after the text that they belong to.
    let events = server.create_stream(request).await.rest().await;
    let deltas: Vec<&Value> = events.iter().map(|event| &event.data["delta"]).collect();
    let at = deltas.iter().position(|delta| delta["type"] == "text_annotation_delta");
    let at = at.expect("there is one");
    let begun = deltas[..at].iter().rposition(|delta| delta["type"] != "text");
    let text = deltas[begun.map_or(0, |begun| begun + 1)..at].iter();
    let text: String = text.filter_map(|delta| delta["text"].as_str()).collect();
    let streamed = json!({"text": text, "annotations": deltas[at]["annotations"]});
    assert_eq!(cited(&streamed), CITED);
    assert_eq!(events[at + 1].name, "step.stop");
}

#[tokio::test]
async fn generate_content_returns_grounding_metadata() {
    let (_folder, search) = documents();
    let server = TestServer::builder().scenarios(SCENARIO).search(search).start().await;
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "What is moss?"}]}],
        "tools": [{"googleSearch": {}}, {"codeExecution": {}}],
    });
    let reply = server.post("/v1beta/models/m:generateContent", &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let candidate = &reply.body["candidates"][0];
    let metadata = &candidate["groundingMetadata"];
    assert_eq!(metadata["webSearchQueries"], json!(["moss", "stones"]));
    let html = metadata["searchEntryPoint"]["renderedContent"].as_str().expect("it is there");
    assert!(html.contains(">stones</a>"), "{html}");
    assert_eq!(
        metadata["groundingChunks"],
        json!([
            {"web": {"uri": "https://wiki.example/moss.md", "title": "Moss"}},
            {"web": {"uri": "https://wiki.example/stones.html", "title": "Stones"}},
        ])
    );
    let supports = metadata["groundingSupports"].as_array().expect("there are some");
    let indices: Vec<&Value> =
        supports.iter().map(|support| &support["groundingChunkIndices"]).collect();
    assert_eq!(indices, [&json!([0]), &json!([1, 0])]);
    for support in supports {
        let segment = &support["segment"];
        let number = |name: &str| segment[name].as_u64().unwrap_or(0) as usize;
        let part = candidate["content"]["parts"][number("partIndex")]["text"].as_str();
        let part = part.expect("the part is a text");
        assert_eq!(segment["text"], part[number("startIndex")..number("endIndex")], "{segment}");
        assert_ne!(segment.get("startIndex"), Some(&json!(0)), "what is 0 is left out");
    }
    assert_eq!(supports[0]["segment"]["text"], "Moos ist grün");

    let path = "/v1beta/models/m:streamGenerateContent";
    let pieces = server.post(path, &request).await.body;
    let pieces = pieces.as_array().expect("it is a list").clone();
    let grounded: Vec<&Value> =
        pieces.iter().map(|piece| &piece["candidates"][0]["groundingMetadata"]).collect();
    let (last, before) = grounded.split_last().expect("there are pieces");
    assert!(before.iter().all(|metadata| metadata.is_null()), "it comes last");
    assert_eq!(**last, *metadata, "in the same places");
}

#[tokio::test]
async fn a_model_with_tools_searches_and_gets_the_results() {
    let (_folder, search) = documents();
    let call = json!({"tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "google_search", "arguments": "{\"queries\": [\"moss\"]}"}},
        {"index": 1, "id": "b", "function": {"name": "google_search", "arguments": {"query": "fern"}}},
    ]});
    let fake =
        Fake::start([stream_of([call]), text("Moss is green [1]."), text("Fern is tall [3].")])
            .await;
    let server = TestServer::builder().model("m*", fake.model()).search(search).start().await;
    let answer = server.create(ask("m1", &["google_search"])).await;
    assert_eq!(
        types(&answer),
        [
            "google_search_call",
            "google_search_result",
            "google_search_call",
            "google_search_result",
            "model_output"
        ]
    );
    assert_eq!(
        cited(&answer["steps"][4]["content"][0]),
        ["https://wiki.example/moss.md: Moss is green"]
    );
    assert_eq!(answer["usage"]["grounding_tool_count"][0]["count"], 2);

    let asked = fake.asked();
    let tools = &asked[0]["tools"];
    assert_eq!((&tools[0]["function"]["name"], tools.get(1)), (&json!("google_search"), None));
    let system = asked[0]["messages"][0]["content"].as_str().expect("it is text");
    assert!(system.contains("google_search") && system.contains("[1]"), "{system}");
    let messages = &asked[1]["messages"];
    assert_eq!(
        messages[2]["tool_calls"][0]["function"]["arguments"],
        json!({"queries": ["moss"]}).to_string()
    );
    let found = messages[3]["content"].as_str().expect("it is text");
    assert!(found.starts_with("[1] Moss\nhttps://wiki.example/moss.md\n# Moss"), "{found}");
    assert!(found.contains("\n\n[2] Stones\n"), "{found}");

    // A page keeps its number throughout the conversation.
    let mut request = ask("m1", &["google_search"]);
    request["previous_interaction_id"] = answer["id"].clone();
    let answer = server.create(request.clone()).await;
    assert_eq!(
        cited(&answer["steps"][0]["content"][0]),
        ["https://wiki.example/fern.txt: Fern is tall"]
    );
}

#[tokio::test]
async fn page_numbers_survive_a_history_sent_by_the_client() {
    let (_folder, search) = documents();
    let call = json!({"tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "google_search", "arguments": {"queries": ["fern"]}}}]});
    let fake = Fake::start([stream_of([call]), text("Tall [1]."), text("Again: tall [1].")]).await;
    let server = TestServer::builder().model("m*", fake.model()).search(search).start().await;
    let mut request = ask("m1", &["google_search"]);
    request["store"] = false.into();
    let answer = server.create(request.clone()).await;
    let mut input = answer["steps"].as_array().expect("it has steps").clone();
    input.insert(0, json!({"type": "user_input", "content": "Fern?"}));
    input.push(json!({"type": "user_input", "content": "Sure?"}));
    request["input"] = input.into();
    let again = server.create(request).await;
    assert_eq!(
        cited(&again["steps"][0]["content"][0]),
        ["https://wiki.example/fern.txt: Again: tall"]
    );
    let roles = fake.asked()[2]["messages"].as_array().expect("it has messages").clone();
    let roles: Vec<&str> = roles.iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
}

#[tokio::test]
async fn a_model_without_tools_searches_in_a_block() {
    let (_folder, search) = documents();
    let block = ["I look.\n```goo", "gle_search\nmoss\n\nfern\n", "```\n[1] made up"];
    let fake = Fake::start([
        status(400, "m1 does not support tools"),
        stream_of(block.map(|piece| json!({"content": piece}))),
        text("Moss is green [1]."),
    ])
    .await;
    let server = TestServer::builder().model("m*", fake.model()).search(search).start().await;
    let answer = server.create(ask("m1", &["google_search"])).await;
    assert_eq!(
        types(&answer),
        ["model_output", "google_search_call", "google_search_result", "model_output"]
    );
    assert_eq!(answer["steps"][0]["content"][0]["text"], "I look.\n");
    assert_eq!(answer["steps"][1]["arguments"], json!({"queries": ["moss", "fern"]}));
    assert_eq!(
        cited(&answer["steps"][3]["content"][0]),
        ["https://wiki.example/moss.md: Moss is green"]
    );
    let messages = &fake.asked()[2]["messages"];
    assert_eq!(messages[2]["content"], "I look.\n\n```google_search\nmoss\nfern\n```\n");
    let found = messages[3]["content"].as_str().expect("it is text");
    assert!(found.starts_with("```found\n[1] Moss\n") && found.ends_with("\n```"), "{found}");
}

#[tokio::test]
async fn without_a_search_source_the_tool_is_not_offered() {
    let fake = Fake::start([text("I do not know.")]).await;
    let server = TestServer::builder().model("m1", fake.model()).scenarios(SCENARIO).start().await;
    let answer = server.create(ask("m1", &["google_search"])).await;
    assert_eq!(types(&answer), ["model_output"]);
    assert_eq!(fake.asked()[0].get("tools"), None, "the tool is not offered");
    assert_eq!(answer["usage"].get("grounding_tool_count"), None);

    let answer = server.create(ask("m", &["google_search", "code_execution"])).await;
    let result = &answer["steps"][2];
    assert_eq!((&result["is_error"], result["result"].get(1)), (&json!(false), None), "{result}");
    assert!(cited(&answer["steps"][5]["content"][0]).is_empty());
}

#[tokio::test]
async fn a_model_that_only_searches_loses_the_tool() {
    let (_folder, search) = documents();
    let call = || {
        stream_of([json!({"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": "google_search", "arguments": {"queries": ["moss"]}}}]})])
    };
    let fake = Fake::start([call(), call(), text("Green.")]).await;
    let limits = domain::interaction::Limits { regenerations: 5, model_turns: 3 };
    let server =
        TestServer::builder().model("m*", fake.model()).search(search).limits(limits).start().await;
    let answer = server.create(ask("m1", &["google_search"])).await;
    assert_eq!(answer["steps"][4]["content"][0]["text"], "Green.");
    let asked = fake.asked();
    assert!(asked[1].get("tools").is_some() && asked[2].get("tools").is_none());
}

#[tokio::test]
async fn a_search_that_was_not_offered_is_an_unexpected_tool_call() {
    let call = json!({"tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "google_search", "arguments": "{}"}}]});
    let fake = Fake::start([stream_of([call])]).await;
    let server = TestServer::builder().model("m*", fake.model()).start().await;
    let answer = server.create(ask("m1", &["code_execution"])).await;
    assert_eq!(answer["status"], "failed");
    let why = answer["errors"][0]["message"].as_str().expect("it has one");
    assert!(why.contains("UNEXPECTED_TOOL_CALL"), "{why}");
}

/// A SearXNG on loopback with a fixed answer.
struct Engine {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

type FixedAnswer = (u16, String, Duration);

impl Engine {
    async fn start(fixed: FixedAnswer) -> Engine {
        async fn answer(
            State((fixed, asked)): State<(FixedAnswer, Arc<Mutex<Vec<String>>>)>,
            RawQuery(query): RawQuery,
        ) -> Response {
            asked.lock().push(query.unwrap_or_default());
            let (status, body, wait) = fixed;
            tokio::time::sleep(wait).await;
            let location = ("location", "http://127.0.0.1:9/");
            let response = Response::builder().status(status).header(location.0, location.1);
            response.body(Body::from(body)).expect("it is right")
        }
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let router =
            Router::new().route("/in/search", get(answer)).with_state((fixed, Arc::clone(&asked)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let url = format!("http://{}/in/", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Engine { url, asked, _serving: AbortOnDropHandle::new(serving) }
    }
}

const ONE: &str = r#"
scenarios:
  - name: one
    script:
      - search: { queries: ["moss & fern"] }
      - text: "So [1]."
"#;

#[tokio::test]
async fn searxng_is_queried_and_parsed_leniently() {
    let results = json!({"query": 7, "results": [
        {"url": "https://a.example/", "title": " A ", "content": "About a.", "engines": ["x"]},
        {"title": "no address"}, null, 7, {"url": "javascript:alert(1)"}, {"url": "nonsense"},
        {"url": "https://b.example/", "title": null, "content": null},
        {"url": "https://c.example/", "title": "C"},
    ]});
    let engine = Engine::start((200, results.to_string(), Duration::ZERO)).await;
    let search = Searxng::new(&engine.url, Duration::from_secs(5), 2).expect("it is an address");
    let server = TestServer::builder().scenarios(ONE).search(search).start().await;
    let answer = server.create(ask("m", &["google_search"])).await;
    let found = answer["steps"][1]["result"].as_array().expect("it is a list");
    assert_eq!(
        found[1..],
        [
            json!({"title": "A", "url": "https://a.example/", "snippet": "About a."}),
            json!({"title": "https://b.example/", "url": "https://b.example/", "snippet": ""}),
        ]
    );
    assert_eq!(cited(&answer["steps"][2]["content"][0]), ["https://a.example/: So"]);
    let asked = engine.asked.lock().clone();
    assert_eq!(asked, ["q=moss+%26+fern&format=json"]);
}

#[tokio::test]
async fn a_failed_search_is_a_result_and_the_turn_continues() {
    let long = "x".repeat((4 << 20) + 1);
    for (status, body, wait) in [
        (500, "", Duration::ZERO),
        (403, "", Duration::ZERO),
        (302, "{\"results\": []}", Duration::ZERO),
        (200, "<html>", Duration::ZERO),
        (200, "{}", Duration::ZERO),
        (200, long.as_str(), Duration::ZERO),
        (200, "{\"results\": []}", Duration::from_secs(60)),
    ] {
        let engine = Engine::start((status, body.to_owned(), wait)).await;
        let search = Searxng::new(&engine.url, Duration::from_millis(500), 2);
        let search = search.expect("it is an address");
        let server = TestServer::builder().scenarios(ONE).search(search).start().await;
        let answer = server.create(ask("m", &["google_search"])).await;
        let result = &answer["steps"][1];
        assert_eq!(result["is_error"], true, "{status}: {result}");
        assert_eq!(result["result"].get(1), None);
        assert_eq!((&answer["status"], types(&answer)[2]), (&json!("completed"), "model_output"));
        assert_eq!(engine.asked.lock().len(), 1, "{status}: once");
    }
}

#[test]
fn the_program_uses_the_configured_search_source() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let (folder, _) = documents();
    let scenarios = data.path().join("scenarios");
    std::fs::create_dir(&scenarios).expect("the folder is ours");
    std::fs::write(scenarios.join("one.yaml"), ONE).expect("the folder is ours");
    let text = |path: &Path| path.to_str().expect("a temporary path is text").to_owned();
    let flags = ["--search", &text(folder.path()), "--scenarios", &text(&scenarios)];
    let server = Program::start(&data.path().join("data"), &flags);
    let runtime = tokio::runtime::Runtime::new().expect("there is one");
    let answer = runtime.block_on(server.create(ask("m", &["google_search"])));
    let found = &answer["steps"][1]["result"];
    assert_eq!(found[1]["url"], "document:///fern.txt", "{found}");

    // The settings are checked before a warden is started: this one would fail at once.
    let wrong = ["--search", "/no/such/folder", "--warden", "/no/such/warden"];
    let failed = Program::fail(&[&["--listen", "127.0.0.1:0"], &wrong[..]].concat());
    let words = String::from_utf8_lossy(&failed.stderr);
    assert!(words.contains("could not read the folder of documents /no/such/folder"), "{words}");
}

/// A stream of events of `generateContent` stays valid when it has grounding metadata.
#[tokio::test]
async fn a_stream_with_grounding_has_only_data_lines() {
    let (_folder, search) = documents();
    let server = TestServer::builder().scenarios(SCENARIO).search(search).start().await;
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "What is moss?"}]}],
        "tools": [{"google_search": {}}, {"code_execution": {}}],
    });
    let path = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let body = server.request("POST", path).json(&request).send().await.expect("it answers");
    let body = body.text().await.expect("it is whole");
    assert!(body.split_terminator("\r\n\r\n").all(|event| event.starts_with("data: {")), "{body}");
    assert!(body.rsplit("data: ").next().is_some_and(|last| last.contains("groundingMetadata")));
}
