//! Recordings contain no secrets, and can still be replayed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Folder, INTERACTIONS, ask, transcript, validates};
use crate::fake::{Fake, code, status, stream_of, text};
use harness::{Reply, TestServer};

const OWN: &str = "AQ.Own0KeyOfThisRequest000000000000000000000000000000";
const BODY: &str = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ0";

/// All files of a folder and their names, as one text.
fn everything(folder: &Folder) -> String {
    let mut all = String::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(path) = folders.pop() {
        for entry in path.read_dir().expect("it is there") {
            let path = entry.expect("it is there").path();
            all += &format!("{}\n", path.display());
            if path.is_dir() {
                folders.push(path);
            } else {
                all += &String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read"));
            }
        }
    }
    all.to_lowercase()
}

fn has_none(folder: &Folder, secrets: &[&str]) {
    let all = everything(folder);
    for secret in secrets {
        assert!(!all.contains(&secret.to_lowercase()), "{secret} in {all}");
    }
}

fn github() -> String {
    format!("ghp_{BODY}12345678")
}

#[tokio::test]
async fn the_requests_key_is_not_recorded_from_any_source() {
    let keys = ["own-key-in-the-header-1", "own-key-of-a-bearer-2", "own-key/in+query-3"];
    for (number, key) in keys.iter().enumerate() {
        let folder = Folder::new();
        let reply = format!("Your key is {key}, as in http://h/?k=own-key%2Fin%2Bquery-3");
        let fake = Fake::start([text(&reply)]).await;
        let server = folder.recording(fake.model()).await;
        let path = match number {
            2 => format!("{INTERACTIONS}?key=own-key%2Fin%2Bquery-3"),
            _ => INTERACTIONS.to_owned(),
        };
        let request = server.request("POST", &path).json(&ask(&format!("What is {key}?")));
        let request = match number {
            0 => request.header("x-goog-api-key", *key),
            1 => request.header("authorization", format!("Bearer {key}")),
            _ => request,
        };
        assert_eq!(Reply::to(request).await.status, 200);
        has_none(&folder, &[key]);
        if number == 2 {
            has_none(&folder, &["own-key%2fin%2bquery-3"]);
        }
        let answer = folder.replaying().await.create(ask(&format!("What is {key}?"))).await;
        let text = answer["steps"][0]["content"][0]["text"].as_str().expect("it is text");
        assert!(text.starts_with("Your key is [redacted], as in"), "{text}");
    }
}

#[tokio::test]
async fn a_common_word_used_as_a_key_is_not_redacted() {
    let folder = Folder::new();
    let fake = Fake::start([text("Is there anything else?")]).await;
    let server = folder.recording(fake.model()).await;
    let request = server.request("POST", INTERACTIONS).header("x-goog-api-key", "anything");
    Reply::to(request.json(&ask("anything"))).await;
    let answer = folder.replaying().await.create(ask("anything")).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Is there anything else?");
}

/// Secrets in the instruction, in a function's arguments and result, in code and its output, in an
/// input file, and in an error.
async fn converse(server: &TestServer) -> Vec<Value> {
    let github = github();
    let account = json!({"type": "service_account", "private_key_id": format!("0f{BODY}"),
        "private_key": format!("-----BEGIN PRIVATE KEY-----\nMII{BODY}\n-----END PRIVATE KEY-----\n")});
    let tools = json!([{"type": "function", "name": "login", "description": format!("with {github}")},
                       {"type": "code_execution"}]);
    let mut request = json!({"model": "m1", "tools": tools,
        "system_instruction": format!("Authorization: Bearer {BODY}x"),
        "input": [{"type": "text", "text": format!("Use postgres://app:hunter2@db/x and {github}")},
            {"type": "document", "mime_type": "application/json", "data": STANDARD.encode(account.to_string())}]});
    let asked = server.create(request.clone()).await;
    assert_eq!(asked["status"], "requires_action", "{asked}");
    request["previous_interaction_id"] = asked["id"].clone();
    request["input"] = json!([{"type": "function_result", "call_id": asked["steps"][0]["id"],
        "name": "login", "result": {"access_token": format!("tok1{BODY}"), "ok": true}}]);
    let answered = server.create(request.clone()).await;
    request["previous_interaction_id"] = answered["id"].clone();
    request["input"] = "And then?".into();
    let failed = server.post(INTERACTIONS, &request).await;
    assert_eq!(failed.status, 400, "{}", failed.body);
    vec![transcript(&asked), transcript(&answered), failed.body]
}

#[tokio::test]
async fn secrets_of_a_whole_conversation_are_not_recorded() {
    let folder = Folder::new();
    let github = github();
    let aws = format!("AKIA{}", "IOSFODNN7EXAMPLE");
    let call = json!({"tool_calls": [{"id": "x", "function": {"name": "login",
        "arguments": {"password": "hunter22", "key": github}}}]});
    let fake = Fake::start([
        stream_of([call]),
        code(&format!("api_key = 'k{BODY}'\nprint(len(api_key), api_key)")),
        text(&format!("It printed k{BODY}, and {aws} is AWS's.")),
        status(400, &format!("invalid key sk-proj-{BODY}")),
    ])
    .await;
    let server = folder.recording(fake.model()).await;
    converse(&server).await;
    let body = BODY.to_lowercase();
    has_none(&folder, &["hunter2", "ghp_", "ghp-", &aws, &body]);
    validates(&folder);

    let server = folder.replaying().await;
    let replayed = converse(&server).await;
    assert_eq!(
        replayed[0]["steps"][0]["arguments"],
        json!({"password": "[redacted]", "key": "[redacted]"})
    );
    assert_eq!(replayed[1]["steps"][1]["result"], "10 [redacted]\n");
}

#[tokio::test]
async fn key_patterns_in_generate_content_are_not_recorded() {
    let folder = Folder::new();
    let fake = Fake::start([text("noted")]).await;
    let server = folder.recording(fake.model()).await;
    let secret = format!("xoxb-123456789012-{BODY}");
    let request = json!({"contents": [{"role": "user", "parts": [{"text": format!("Use {secret} for it")}]}]});
    let path = format!("/v1beta/models/m1:generateContent?key={OWN}");
    let sent = server.request("POST", &path).header("x-goog-api-key", OWN).json(&request);
    assert_eq!(Reply::to(sent).await.status, 200);
    has_none(&folder, &["xoxb", OWN, "own0key"]);
    let server = folder.replaying().await;
    let reply = server.post("/v1beta/models/m1:generateContent", &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}
