//! Requests and answers that would use up the server's time or memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{Either, select};
use serde_json::{Value, json};
use server::Control;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use harness::{self, Client, Reply, TestServer, direct};

/// Sends a request, and `/healthz` while it is processed. The latter must be answered first, or the
/// request took no time and the test shows nothing.
pub async fn while_healthy(client: &Client, path: &str, body: Vec<u8>) -> Reply {
    let request = client.request("POST", path).header("content-type", "application/json");
    let answer = Box::pin(Reply::to(request.body(body)));
    let health = Box::pin(client.get("/healthz"));
    match select(health, answer).await {
        Either::Left((health, answer)) => {
            assert_eq!(health.status, 200);
            answer.await
        }
        Either::Right((answer, health)) => {
            assert_eq!(health.await.status, 200);
            answer
        }
    }
}

async fn refused(server: &TestServer, path: &str, body: &Value, wanted: &str) {
    let body = serde_json::to_vec(body).expect("it is JSON");
    let reply = while_healthy(server, path, body).await;
    assert_eq!(reply.status, 400, "{path}: {}", reply.body);
    assert!(reply.message().contains(wanted), "{path}: {}", reply.body);
}

#[tokio::test]
async fn an_answer_with_too_much_text_fails() {
    let text = "  - text: \"{{ 'a' * 1000000 }}\"\n".repeat(20);
    let thought = "  - thought: \"{{ 'a' * 1000000 }}\"\n".repeat(200);
    let steps = "  - thought: a\n  - text: b\n".repeat(5001);
    for (script, limit) in
        [(text, "16 MiB of text"), (thought, "16 MiB of text"), (steps, "10000 steps")]
    {
        let scenario = format!("scenarios:\n- name: a\n  script:\n{script}");
        let server = TestServer::start(&scenario).await;
        let answer = server.create(json!({"model": "m", "input": "go"})).await;
        assert_eq!(answer["status"], "failed");
        let why = format!("The model generated more than {limit}.");
        assert_eq!(answer["errors"][0]["message"], why);
    }
}

/// For each bracket, all of the text was read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_full_of_brackets_and_backticks_holds_nobody_up() {
    let server =
        TestServer::start("scenarios: [{ name: echo, script: [text: '{{ input }}'] }]").await;
    let text = "`[1] ".repeat((1 << 20) / 5);
    let body = json!({"model": "m", "input": text}).to_string().into_bytes();
    let answer = while_healthy(&server, "/v1beta/interactions", body);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), answer).await;
    let reply = answer.expect("it takes a moment");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["steps"][0]["content"][0]["text"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_excessive_length_are_refused() {
    let server = TestServer::start("").await;
    let many = |count: usize, item: &dyn Fn(usize) -> Value| -> Value {
        (0..count).map(item).collect::<Vec<_>>().into()
    };
    let interactions = "/v1beta/interactions";
    let classic = "/v1beta/models/direct:generateContent";

    let functions = many(40_000, &|n| json!({"type": "function", "name": format!("f{n}")}));
    let request = json!({"model": "direct", "input": "?", "tools": functions});
    refused(&server, interactions, &request, "At most 128 functions").await;
    let functions = many(40_000, &|n| json!({"name": format!("f{n}")}));
    let request = json!({"contents": [{"parts": [{"text": "?"}]}],
                         "tools": [{"functionDeclarations": functions}]});
    refused(&server, classic, &request, "At most 128 functions").await;

    let steps = many(20_000, &|n| {
        json!({"role": if n % 2 == 0 { "user" } else { "model" },
                                         "content": "x"})
    });
    let request = json!({"model": "direct", "input": steps});
    refused(&server, interactions, &request, "at most 10000 steps").await;
    let contents = many(20_000, &|n| {
        json!({"role": if n % 2 == 0 { "user" } else { "model" },
                                            "parts": [{"text": "x"}]})
    });
    refused(&server, classic, &json!({"contents": contents}), "at most 10000 steps").await;

    let files = many(2000, &|n| json!({"name": format!("f{n}"), "data": ""}));
    let request = json!({"code": "print(1)", "files": files});
    refused(&server, "/x/execute", &request, "more than 100 files").await;
    let documents =
        many(5000, &|_| json!({"type": "document", "mime_type": "text/plain", "data": "eA=="}));
    let request = json!({"model": "direct", "input": documents});
    refused(&server, interactions, &request, "more than 100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_millions_of_values_is_refused_before_it_is_parsed() {
    let server = TestServer::start("").await;
    let zeros = format!("{{\"input\": [0{}]}}", ",0".repeat(8 << 20));
    for path in
        ["/v1beta/interactions", "/v1beta/models/direct:generateContent", "/x/execute", "/x/faults"]
    {
        let reply = while_healthy(&server, path, zeros.clone().into_bytes()).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.message().contains("more than 500000 values"), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn an_excessive_content_length_is_refused_at_once() {
    let server = TestServer::builder().keys(&["right"]).control(Control::On).start().await;
    for path in [
        "/v1beta/interactions",
        "/v1beta/models/direct:generateContent",
        "/x/execute",
        "/x/scenarios",
        "/x/faults",
        "/upload/v1beta/files?uploadType=media",
        "/upload/v1beta/files?upload_id=x",
    ] {
        let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nx-goog-api-key: right\r\n\
             Content-Type: text/plain\r\nContent-Length: 9223372036854775807\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("it answers");
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
}

/// Twenty pictures of nine mebibytes.
const PICTURES: &str = r#"
import os
for n in range(20):
    with open(f"p{n}.png", "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + bytes([n]) + os.urandom(1 << 20) * 9)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_a_run_have_a_total_limit() {
    let server = TestServer::start("").await;
    let code = json!({"code": PICTURES});
    let reply = while_healthy(&server, "/x/execute", code.to_string().into_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let images = reply.body["images"].as_array().expect("it is a list");
    assert_eq!((images.len(), &reply.body["images_left_out"]), (3, &json!(17)));
    for image in images {
        let data = image["data"].as_str().expect("it is base64");
        assert_eq!(data.len(), ((9 << 20) + 9_usize).div_ceil(3) * 4);
        assert!(data.starts_with("iVBORw0KGgo"), "{}", &data[..20]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_identical_in_replies_store_and_streams() {
    let server = TestServer::start("").await;
    let code = r#"
import random
for n in range(3):
    with open(f"p{n}.png", "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + bytes([n]) + random.randbytes(200_000 + n))
"#;
    let answer = server.create(direct(code)).await;
    let data = |steps: &Value| -> Vec<String> {
        let steps = steps.as_array().expect("it is a list").iter();
        let contents = steps.filter_map(|step| step["content"].as_array()).flatten();
        contents.filter_map(|content| Some(content["data"].as_str()?.to_owned())).collect()
    };
    let pictures = data(&answer["steps"]);
    assert_eq!(pictures.len(), 3);
    let id = answer["id"].as_str().expect("it was stored");
    let found = server.get(&format!("/v1beta/interactions/{id}")).await;
    assert_eq!(data(&found.body["steps"]), pictures);
    let events = server.events(id, None).await;
    let deltas = events.iter().filter_map(|event| event.data["delta"]["data"].as_str());
    assert_eq!(deltas.collect::<Vec<_>>(), pictures);
    let classic = json!({"contents": [{"parts": [{"text": code}]}],
                         "tools": [{"codeExecution": {}}]});
    let reply = server.post("/v1beta/models/direct:generateContent", &classic).await;
    let parts = reply.body["candidates"][0]["content"]["parts"].as_array().expect("it has parts");
    let parts = parts.iter().filter_map(|part| part["inlineData"]["data"].as_str());
    assert_eq!(
        parts.map(str::len).collect::<Vec<_>>(),
        pictures.iter().map(String::len).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_beyond_the_memory_budget_are_refused_and_later_ones_are_not() {
    let server = TestServer::builder().output_bytes(4 << 20).start().await;
    let save = |bytes: usize| {
        format!("open('p.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes({bytes})) and None")
    };
    for _ in 0..2 {
        let reply = server.post("/x/execute", &json!({"code": save(6 << 20)})).await;
        assert_eq!(reply.status, 503, "{}", reply.body["error"]);
        let answer = server.create(direct(&save(6 << 20))).await;
        assert_eq!(answer["status"], "failed");
        assert_eq!(server.post("/x/execute", &json!({"code": "print(1)"})).await.status, 200);
        let id = server.create(direct(&save(1 << 20))).await["id"].clone();
        let found = server.get(&format!("/v1/interactions/{}", id.as_str().expect("stored"))).await;
        assert_eq!(found.status, 200);
    }
}

/// A warden that is being killed still accepts connections for a while, and closes them with all
/// its others.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_a_dying_warden_did_not_start_is_run_by_the_next_warden() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let socket = folder.path().join("warden.sock");
    let listener = UnixListener::bind(&socket).expect("the folder is ours");
    let dying = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&dying);
    let between = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let is_dying =
                left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            tokio::spawn(async move {
                if is_dying.is_ok() {
                    // All that was sent is read: otherwise the kernel would reset the connection.
                    let mut sent = [0; 16];
                    let _ = client.read(&mut sent).await;
                    return;
                }
                let mut warden = UnixStream::connect(harness::socket()).await.expect("it listens");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut warden).await;
            });
        }
    });
    let server = TestServer::builder().sandbox(&socket).start().await;
    for _ in 0..3 {
        dying.store(2, Ordering::Relaxed);
        let files = json!([{"name": "a.txt", "data": "NDI="}]);
        let code = json!({"code": "print(open('a.txt').read())", "files": files});
        let reply = server.post("/x/execute", &code).await;
        assert_eq!((reply.status, &reply.body["stdout"]), (200, &json!("42\n")), "{}", reply.body);
        dying.store(2, Ordering::Relaxed);
        let answer = server.create(direct("print(6 * 7)")).await;
        assert_eq!(answer["steps"][1]["result"], "42\n", "{answer}");
    }
    between.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_with_excessive_output_are_an_error() {
    let server = TestServer::start("").await;
    for (name, text) in [
        ("indent", "{{ 'a\\nb' | indent(500000000) }}".to_owned()),
        ("json", "{{ input | tojson(indent=300000000) }}".to_owned()),
        ("format", "{{ '%900000000s' | format('x') }}".to_owned()),
        (
            "replace",
            "{% set a = 'a' * 30000 %}{{ a | replace('a', a) | replace('a', a) }}".to_owned(),
        ),
        ("doubling", format!("{{% set a = input %}}{}", "{% set a = a ~ a %}".repeat(40))),
        ("list", "{{ [1] * 100000000 }}".to_owned()),
        ("nested", format!("{{{{ {} 1 }}}}", "not ".repeat(20_000))),
        (
            "patterns",
            "{% for n in range(500) %}{{ input | regex_find('x?' ~ n) | default('') }}{% endfor %}"
                .to_owned(),
        ),
    ] {
        let file = json!({"scenarios": [{"name": name, "script": [{"text": text}]}]});
        let added = while_healthy(&server, "/x/scenarios", file.to_string().into_bytes()).await;
        if added.status == 200 {
            let request = json!({"model": "m", "input": "hello"});
            let reply =
                while_healthy(&server, "/v1beta/interactions", request.to_string().into_bytes())
                    .await;
            assert_eq!(reply.status, 400, "{name}: {}", reply.body);
        } else {
            assert_eq!(added.status, 400, "{name}: {}", added.body);
        }
        server.delete("/x/scenarios").await;
    }
    let patterns: Vec<Value> = (0..60)
        .map(|n| {
            json!({"name": format!("s{n}"), "when": {"input": {"matches": "\\w{200}"}},
                        "script": [{"text": "x"}]})
        })
        .collect();
    let file = json!({"scenarios": patterns}).to_string().into_bytes();
    let added = while_healthy(&server, "/x/scenarios", file).await;
    assert_eq!(added.status, 400, "{}", added.body);
    assert!(added.message().contains("size limit"), "{}", added.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_have_a_size_limit_before_they_are_compiled() {
    let server = TestServer::start("").await;
    let add = |when: Value| json!({"scenarios": [{"name": "a", "when": when, "script": [{"text": "x"}]}]});
    let (deep, long) = ("more than 8 braces `{`", "more than 256 bytes");
    for (depth, wanted) in [(9, deep), (100, deep), (300, long), (60_000, long)] {
        let glob = "{".repeat(depth) + "a" + &"}".repeat(depth);
        refused(&server, "/x/scenarios", &add(json!({"model": glob})), wanted).await;
    }
    refused(&server, "/x/scenarios", &add(json!({"model": "*a".repeat(200)})), long).await;
    let large = "(a{1000}){1000}";
    for when in [
        json!({"input": {"matches": large}}),
        json!({"system_instruction": {"matches": large}}),
        json!({"ignore": [large]}),
    ] {
        refused(&server, "/x/scenarios", &add(when), "exceeds size limit").await;
    }
    // Patterns of all kinds count together.
    let one = json!({"model": "m*", "ignore": ["a+"], "input": {"matches": "a"},
                     "system_instruction": {"matches": "a"}});
    for _ in 0..8 {
        assert_eq!(server.post("/x/scenarios", &add(one.clone())).await.status, 200);
    }
    refused(&server, "/x/scenarios", &add(json!({"model": "m"})), "may have 32 patterns").await;
}

/// Address space of this process, which is the server's.
fn address_space_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_body_takes_no_memory_before_it_arrives() {
    const HALF_BODIES: u64 = 60;
    const ANNOUNCED: u64 = 100_000_000;
    let server = TestServer::start("").await;
    let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
    let before = address_space_kib();
    let mut streams = Vec::new();
    for _ in 0..HALF_BODIES {
        let mut stream = TcpStream::connect(&address).await.expect("it listens");
        let head = format!(
            "POST /v1beta/interactions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {ANNOUNCED}\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        // `100 Continue` shows that it waits for the body.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("it answers");
        assert_eq!(&answer, b"HTTP/1.1 100");
        streams.push(stream);
    }
    let grown = address_space_kib().saturating_sub(before);
    assert!(grown < HALF_BODIES * ANNOUNCED / 1024 / 2, "{grown} KiB");
    drop(streams);
}
