//! Response schemas, which are checked in child processes of the server.

use serde_json::{Value, json};

use super::{Subject, while_healthy};
use harness::TestServer;

/// Maximum memory of the server during these tests, in KiB. It was 2 GiB when it checked the schemas itself.
const MAX_PEAK_KIB: u64 = 400 << 10;

fn request(model: &str, input: &str, schema: &Value) -> Value {
    json!({"model": model, "input": input, "response_format":
        {"type": "text", "mime_type": "application/json", "schema": schema}})
}

fn reference(to: impl std::fmt::Display) -> Value {
    json!({"$ref": to.to_string()})
}

/// `$defs` of a chain in which each schema refers to the next one twice.
fn doubling(levels: usize) -> Value {
    let twice = |n: usize| {
        let next = reference(format!("#/$defs/{}", n + 1));
        (n.to_string(), json!({"allOf": [next, next]}))
    };
    let mut definitions: serde_json::Map<_, _> = (0..levels).map(twice).collect();
    definitions.insert(levels.to_string(), json!({}));
    definitions.into()
}

/// Schemas in which each refers to the next one and to two before it.
fn cyclic(schemas: usize) -> Value {
    let others = |n: usize| {
        let next = (n + 1 < schemas).then_some(n + 1);
        let others = next.into_iter().chain(n.checked_sub(1)).chain(n.checked_sub(2));
        let others: Vec<_> = others.map(|n| reference(format!("#/$defs/{n}"))).collect();
        (n.to_string(), json!({"allOf": others}))
    };
    let definitions: serde_json::Map<_, _> = (0..schemas).map(others).collect();
    let last = reference(format!("#/$defs/{}", schemas - 1));
    json!({"$defs": definitions, "allOf": [reference("#/$defs/0"), last]})
}

/// A chain of references through list positions such as `00`, which are not JSON pointers by the standard.
fn chain(schemas: usize) -> Value {
    let node = |n: usize| {
        let next = reference(format!("#/$defs/l/anyOf/0{}", n + 1));
        json!({"allOf": [next], "unevaluatedProperties": {"type": "object"}})
    };
    let nodes: Vec<_> = (0..schemas).map(node).chain([json!({})]).collect();
    json!({"$defs": {"l": {"anyOf": nodes}}, "allOf": [reference("#/$defs/l/anyOf/00")]})
}

/// Each of these took the server's time for hours, its memory, or its stack.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_schemas_neither_stop_nor_fill_the_server() {
    let list = json!([vec![0; 200_000]]);
    let names = json!({"p": "a".repeat(200), "n".repeat(50_000): vec!["a"; 100_000]});
    let answers = json!({"scenarios": [
        {"name": "list", "when": {"input": {"contains": "list"}}, "script": [{"text": list.to_string()}]},
        {"name": "names", "when": {"input": {"contains": "names"}}, "script": [{"text": names.to_string()}]},
        {"name": "number", "when": {"input": {"contains": "number"}}, "script": [{"text": "1"}]},
    ]});
    let subject = Subject::start(&answers);

    let embedded = |above: Value| {
        let mut resource = json!({"$id": "http://x/e", "$defs": doubling(30)});
        resource["allOf"] = json!([reference("#/$defs/0")]);
        resource["unevaluatedProperties"] = above;
        json!({"$defs": {"e": resource}, "$ref": "http://x/e"})
    };
    let unfinished = json!({"properties": {"p": {"pattern": "^(a|aa)+(?=b)$"}},
                            "additionalProperties": {"items": {"type": "integer"}}});
    for (input, schema) in [
        ("number", cyclic(24)),
        ("number", embedded(json!(true))),
        ("number", embedded(json!({"type": "object"}))),
        ("number", chain(1000)),
        ("list", json!({"anyOf": vec![json!({"type": "integer"}); 300]})),
        ("names", unfinished),
    ] {
        let body = request("m", input, &schema).to_string().into_bytes();
        let reply = while_healthy(&subject, "/v1beta/interactions", body).await;
        let why = match reply.status {
            400 => reply.message().to_owned(),
            _ => reply.body["errors"][0]["message"].as_str().unwrap_or_default().to_owned(),
        };
        let is_limit =
            why.contains("takes too much time or memory") || why.contains("does not match");
        assert!(is_limit, "{input} {schema:.100}: {}", reply.body);
    }
    subject.is_whole(MAX_PEAK_KIB);
    // Places are free again.
    let body = request("m", "number", &json!({"anyOf": [{"type": "integer"}]}));
    let reply = subject.post("/v1beta/interactions", &body).await;
    assert_eq!(reply.body["status"], "completed", "{}", reply.body);
}

#[tokio::test]
async fn references_alternatives_and_patterns_are_checked() {
    let row = |text: &str| json!({"rows": [{"name": text, "next": {"rows": []}}]}).to_string();
    let scenarios = json!({"scenarios": [
        {"name": "right", "when": {"input": {"contains": "right"}}, "script": [{"text": row("Ada")}]},
        {"name": "wrong", "when": {"input": {"contains": "wrong"}}, "script": [{"text": row("ada")}]},
    ]});
    let server = TestServer::start(&scenarios.to_string()).await;
    let schema = json!({
        "$defs": {"Row": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "pattern": "^[A-Z]"},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}},
        "type": "object",
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}}},
    });
    let right = server.create(request("m", "right", &schema)).await;
    assert_eq!(right["status"], "completed", "{right}");
    let wrong = server.create(request("m", "wrong", &schema)).await;
    let why = wrong["errors"][0]["message"].as_str().expect("it failed");
    assert!(why.contains("at /rows/0/name: "), "{why}");
}

#[tokio::test]
async fn an_invalid_schema_that_is_not_simple_is_refused_with_the_reason() {
    let server = TestServer::start("").await;
    for (schema, wanted) in [
        (json!({"anyOf": [{"type": 7}]}), "Invalid response schema: "),
        (json!({"pattern": "("}), "Invalid response schema: "),
        (json!({"$ref": "#/$defs/missing"}), "Invalid response schema: "),
    ] {
        let reply =
            server.post("/v1beta/interactions", &request("direct", "print(1)", &schema)).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.message().starts_with(wanted), "{}", reply.body);
    }
}
