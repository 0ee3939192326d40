//! Doors of Google's APIs that stay closed: the error has the form that the caller reads, and names
//! the page that lists them.

use serde_json::{Value, json};

use harness::{Client, Reply, TestServer};

const PAGE: &str = "docs/src/reference/compatibility.md";
/// Every path of the newest SDK that is not served is listed there: `tests/wire` checks it.
const DECLINED: &str = include_str!("../../wire/python/declined.toml");
/// Paths that no SDK sends.
const OTHERS: [&str; 4] = ["batchPredictionJobs", "corpora", "interactions/live", "ragCorpora"];
/// Served where Vertex AI has them.
const OF_VERTEX: [&str; 2] = ["models/{}:computeTokens", "models/{}:predict"];
/// The first words of paths whose errors have a word as their code.
const OF_INTERACTIONS: [&str; 7] =
    ["agents", "credentials", "decisions", "environments", "interactions", "triggers", "webhooks"];
const OF_OPENAI: [&str; 7] = [
    "audio/speech",
    "batches",
    "chat/completions/a",
    "files",
    "images/generations",
    "responses",
    "videos",
];
const PROJECT: &str = "/v1beta1/projects/p/locations/l";

/// The form of an error.
#[derive(Debug, Clone, Copy)]
enum Form {
    Number,
    Word,
    List,
}

/// The message of an error in this form.
fn message(reply: &Reply, form: Form) -> &str {
    let (error, code): (_, Value) = match form {
        Form::Number => (&reply.body["error"], reply.status.into()),
        Form::Word => (&reply.body["error"], "not_found".into()),
        Form::List => (&reply.body[0]["error"], reply.status.into()),
    };
    assert_eq!(error["code"], code, "{form:?}: {}", reply.body);
    error["message"].as_str().unwrap_or_else(|| panic!("{}", reply.body))
}

async fn assert_closed(server: &Client, method: &str, path: &str, form: Form) {
    let reply = Reply::to(server.request(method, path).json(&json!({}))).await;
    assert_eq!(reply.status, 404, "{method} {path}: {}", reply.body);
    let message = message(&reply, form);
    assert!(message.contains(&format!("see {PAGE}")), "{method} {path}: {message}");
}

/// The closed routes, with `{}` for each name.
fn closed() -> Vec<String> {
    let declined: toml::Table = DECLINED.parse().expect("it is TOML");
    let entries = declined["declined"].as_array().expect("it is a list").iter();
    let what = entries.flat_map(|entry| entry["what"].as_array().expect("it is a list"));
    let routes = what.filter_map(|what| what.as_str()?.strip_prefix("route "));
    let routes: Vec<String> = routes.chain(OTHERS).map(str::to_owned).collect();
    assert!(routes.len() > OTHERS.len() + 20, "{routes:?}");
    routes
}

#[tokio::test]
async fn a_closed_door_is_explained_in_the_dialect_of_its_caller() {
    let server = TestServer::start("").await;
    for route in closed() {
        let first = route.split('/').next().unwrap_or_default();
        let form = if OF_INTERACTIONS.contains(&first) { Form::Word } else { Form::Number };
        let filled = route.replace("models/{}", "models/direct").replace("{}", "a");
        let methods: &[&str] = match &*filled {
            "interactions/live" => &["GET"],
            method if method.contains(':') => &["POST"],
            _ => &["GET", "POST"],
        };
        for method in methods {
            assert_closed(&server, method, &format!("/v1beta/{filled}"), form).await;
            if !OF_VERTEX.contains(&route.as_str()) {
                assert_closed(&server, method, &format!("{PROJECT}/{filled}"), form).await;
            }
        }
    }
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    assert_closed(&server, "GET", live, Form::Number).await;
    for path in OF_OPENAI {
        assert_closed(&server, "POST", &format!("/v1beta/openai/{path}"), Form::List).await;
        let path = format!("{PROJECT}/endpoints/openapi/{path}");
        assert_closed(&server, "POST", &path, Form::List).await;
    }
    let unknown = server.get("/v1beta/unknown").await;
    assert_eq!(unknown.message(), "Path not found: /v1beta/unknown.");
}

/// What a request must not contain here, and may with Google.
#[tokio::test]
async fn a_closed_part_of_a_request_is_explained() {
    let server = TestServer::start("").await;
    let contents = json!([{"parts": [{"text": "a"}]}]);
    let batch = json!({"inputConfig": {"fileName": "files/a"}, "webhookConfig": {"uris": []}});
    let generate = "models/direct:generateContent";
    let mut requests = vec![
        ("models/direct:batchGenerateContent", json!({"batch": batch})),
        (generate, json!({"contents": contents, "continuationToken": "t"})),
    ];
    for tool in ["enterpriseWebSearch", "exaAiSearch", "parallelAiSearch", "retrieval"] {
        requests.push((generate, json!({"contents": contents, "tools": [{tool: {}}]})));
    }
    for field in ["agent", "agent_config", "continuation_token", "environment", "webhook_config"] {
        requests.push(("interactions", json!({"model": "direct", "input": "a", field: "b"})));
    }
    let tools = json!([{"type": "retrieval"}]);
    requests.push(("interactions", json!({"model": "direct", "input": "a", "tools": tools})));
    for (path, body) in requests {
        let reply = server.post(&format!("/v1beta/{path}"), &body).await;
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.body);
        let code = if path == "interactions" { json!("invalid_request") } else { json!(400) };
        assert_eq!(reply.body["error"]["code"], code, "{body}");
        assert!(reply.message().ends_with(&format!("See {PAGE}.")), "{body}: {}", reply.message());
    }
}

/// google-genai for Python sends it if its client has a base URL and no project of its own.
#[tokio::test]
async fn a_request_without_a_model_is_explained() {
    let server = TestServer::builder().keys(&["key"]).start().await;
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    let reply = server.post("/", &request).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(reply.message().contains("GOOGLE_CLOUD_PROJECT"), "{}", reply.message());
    let large = json!({"contents": "a".repeat(1 << 20)});
    assert_eq!(server.post("/", &large).await.status, 400, "the client is not cut off");
}
