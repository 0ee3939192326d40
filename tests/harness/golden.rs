//! Golden exchanges, compared with the server's answers.
//!
//! A golden file is a list of requests, each with its answer, and the scenarios of the server. The
//! files are in `tests/golden`, and each of them describes its format.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use super::TestServer;
use super::reply::{Client, Event, Reply, Stream};

/// The values of a file's placeholders, by name.
type Names = HashMap<String, Value>;

/// Limit of an operation.
const DONE_WITHIN: Duration = Duration::from_secs(60);

/// Sends the requests of a golden file in order, and compares the answers.
pub async fn check(file: &str) {
    let file: Value = serde_json::from_str(file).expect("a golden file is JSON");
    let server = TestServer::start(text(&file["scenarios"])).await;
    let mut names = Names::new();
    let exchanges = file["exchanges"].as_array().expect("it is a list");
    for (at, exchange) in exchanges.iter().enumerate() {
        let (asked, wanted) = (&exchange["request"], &exchange["answer"]);
        let place = format!("exchange {at}, {} {}", text(&asked["method"]), text(&asked["path"]));
        if asked["until_done"] == true {
            until_done(&server, asked, &names, &place).await;
        }
        let request = request(&server, asked, &names);
        if let Some(events) = wanted.get("events") {
            let found = Stream::of(request).await.rest().await;
            compare_events(&found, events, &mut names, &place);
            continue;
        }
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status().as_u16(), wanted["status"], "{place}");
        if let Some(pieces) = wanted.get("pieces") {
            let body = response.text().await.expect("the stream is not cut");
            let found: Vec<Value> = body.split_terminator("\r\n\r\n").map(piece).collect();
            same(&found.into(), pieces, &mut names, &place);
        } else if let Some(chunks) = wanted.get("chunks") {
            let body = response.text().await.expect("the stream is not cut");
            let body = body.strip_suffix("data: [DONE]\n\n").expect("it has its last event");
            let found: Vec<Value> = body.split_terminator("\n\n").map(piece).collect();
            same(&found.into(), chunks, &mut names, &place);
        } else if let Some(body) = wanted.get("body") {
            let found = response.bytes().await.expect("the answer is whole");
            let found = serde_json::from_slice(&found).expect("the answer is JSON");
            same(&found, body, &mut names, &place);
        }
    }
}

/// Sends the request until its answer is that of an operation that has ended.
async fn until_done(server: &Client, asked: &Value, names: &Names, place: &str) {
    let sent = async {
        while Reply::to(request(server, asked, names)).await.body["done"] != true {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(DONE_WITHIN, sent).await;
    ended.unwrap_or_else(|_| panic!("{place}: the operation has not ended"));
}

fn request(server: &Client, asked: &Value, names: &Names) -> reqwest::RequestBuilder {
    let path = known(text(&asked["path"]), names).replace(server.url(), "");
    let mut request = server.request(text(&asked["method"]), &path);
    let headers = asked["headers"].as_object().into_iter().flatten();
    for (name, value) in headers {
        request = request.header(name, text(value));
    }
    match &asked["body"] {
        Value::Null => request,
        Value::String(body) => request.body(body.clone()),
        body => request.json(&filled(body, names)),
    }
}

/// Compares the events. An id is compared where the file names it.
fn compare_events(found: &[Event], wanted: &Value, names: &mut Names, place: &str) {
    let wanted = wanted.as_array().expect("it is a list");
    let names_found: Vec<_> = found.iter().map(|event| event.name.as_str()).collect();
    let order: Vec<_> = wanted.iter().map(|event| text(&event[0])).collect();
    assert_eq!(names_found, order, "{place}");
    for (at, (event, wanted)) in found.iter().zip(wanted).enumerate() {
        let place = format!("{place}, event {at}");
        let mut data = event.data.clone();
        if let Some(fields) = data.as_object_mut() {
            assert_eq!(fields.remove("event_type"), Some(event.name.as_str().into()), "{place}");
            let id =
                fields.remove("event_id").unwrap_or_else(|| panic!("{place}: the event has no id"));
            if let Some(name) = wanted.get(2) {
                same(&id, name, names, &place);
            }
        }
        same(&data, &wanted[1], names, &place);
    }
}

fn piece(frame: &str) -> Value {
    let data = frame.strip_prefix("data: ").expect("there is nothing but data");
    serde_json::from_str(data).expect("it is JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is text")
}

/// The text with the known placeholders replaced by their values.
fn known(text: &str, names: &Names) -> String {
    let texts = names.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts.fold(text.to_owned(), |text, (name, value)| text.replace(name.as_str(), value))
}

fn filled(body: &Value, names: &Names) -> Value {
    match body {
        Value::String(name) if names.contains_key(name) => names[name].clone(),
        Value::String(text) => known(text, names).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, names)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), filled(value, names)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Token counts, which a golden file may omit: `api/interactions/usage.rs` tests them.
const COUNTS: [&str; 4] = ["metadata", "usage", "step_usage", "usageMetadata"];

/// `<name>` stands for any value, and for the same value wherever it is repeated; `<any thing>` for
/// any value each time. A placeholder may stand for a part of a text.
pub fn same(found: &Value, wanted: &Value, names: &mut Names, place: &str) {
    match (found, wanted) {
        (_, Value::String(name)) if name.starts_with("<any ") && name.ends_with('>') => {}
        (_, Value::String(name)) if name.starts_with('<') && name.ends_with('>') => {
            let known = names.entry(name.clone()).or_insert_with(|| found.clone());
            assert_eq!(found, known, "{place}: {name}");
        }
        (Value::Object(found), Value::Object(wanted)) => {
            let names_of = |fields: &serde_json::Map<String, Value>| {
                fields.keys().cloned().collect::<HashSet<_>>()
            };
            let mut found = found.clone();
            found.retain(|name, _| wanted.contains_key(name) || !COUNTS.contains(&name.as_str()));
            assert_eq!(names_of(&found), names_of(wanted), "{place}");
            for (name, value) in &found {
                same(value, &wanted[name], names, &format!("{place}.{name}"));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            assert_eq!(found.len(), wanted.len(), "{place}");
            for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                same(found, wanted, names, &format!("{place}[{at}]"));
            }
        }
        (Value::String(found), Value::String(wanted)) => same_text(found, wanted, names, place),
        _ => assert_eq!(found, wanted, "{place}"),
    }
}

fn same_text(found: &str, wanted: &str, names: &mut Names, place: &str) {
    let wanted = known(wanted, names);
    let name = wanted.find('<').zip(wanted.find('>')).filter(|(start, end)| start < end);
    // At most one placeholder here is new: the text around it gives its position.
    let Some((start, end)) = name.filter(|_| found != wanted) else {
        assert_eq!(found, wanted, "{place}");
        return;
    };
    let (before, name, after) = (&wanted[..start], &wanted[start..=end], &wanted[end + 1..]);
    let part = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let part = part.unwrap_or_else(|| panic!("{place}: {found:?} is not {wanted:?}"));
    names.insert(name.to_owned(), part.into());
}
