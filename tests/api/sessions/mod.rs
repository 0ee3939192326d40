//! `/x/sessions`: cells that are kept between requests.

mod ends;
mod files;
mod interrupt;
mod state;
mod stream;

use serde_json::{Value, json};

use harness::Client;

const SESSIONS: &str = "/x/sessions";

/// Opens a session, and returns its path.
async fn open(server: &Client, request: Value) -> String {
    let reply = server.post(SESSIONS, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    format!("{SESSIONS}/{}", reply.body["id"].as_str().expect("it has a name"))
}

/// Runs code in a session, which must be possible.
async fn run(server: &Client, session: &str, code: &str) -> Value {
    let reply = server.post(&format!("{session}/execute"), &json!({"code": code})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// What code wrote, which must succeed.
async fn stdout(server: &Client, session: &str, code: &str) -> String {
    let answer = run(server, session, code).await;
    assert_eq!(answer["outcome"], "ok", "{answer}");
    answer["stdout"].as_str().expect("it is text").to_owned()
}
