//! Rules of the real service that clients run into: histories, generations of models, deadlines,
//! revisions of the API, and line separators in event streams.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use harness::{Reply, TestServer, direct};

const GEMINI_3: &str = "/v1beta/models/gemini-3-flash-preview";
const GEMINI_2: &str = "/v1beta/models/gemini-2.5-flash";
const CALLS: &str = "scenarios:\n  - name: calls\n    script:\n      - function_call: { name: f, arguments: {} }\n      \
                     - function_call: { name: g, arguments: {} }\n      - text: done\n";

fn history(contents: Value) -> Value {
    json!({"contents": contents,
           "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]})
}

fn response(name: &str) -> Value {
    json!({"functionResponse": {"name": name, "response": {"a": 1}}})
}

#[tokio::test]
async fn every_function_call_needs_its_response_in_the_next_turn() {
    let server = TestServer::start(CALLS).await;
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let ask = json!({"role": "user", "parts": [{"text": "?"}]});
    let calls = json!({"role": "model", "parts": [call("f"), call("g")]});
    let user = |parts: Value| json!({"role": "user", "parts": parts});
    for contents in [
        json!([ask, calls, user(json!([response("f")]))]),
        json!([ask, calls, user(json!([response("f")])), user(json!([response("g")]))]),
        json!([ask, calls, ask]),
        json!([ask, user(json!([response("f")]))]),
    ] {
        for method in ["generateContent", "streamGenerateContent?alt=sse"] {
            let reply =
                server.post(&format!("{GEMINI_2}:{method}"), &history(contents.clone())).await;
            assert_eq!(
                (reply.status, &reply.body["error"]["status"]),
                (400, &json!("INVALID_ARGUMENT"))
            );
            assert!(reply.message().contains("function response"), "{}", reply.message());
        }
        let counted =
            server.post(&format!("{GEMINI_2}:countTokens"), &json!({"contents": contents})).await;
        assert_eq!(counted.status, 200, "parts of a conversation may be counted");
    }
    let whole = json!([ask, calls, user(json!([response("g"), response("f")]))]);
    let reply = server.post(&format!("{GEMINI_2}:generateContent"), &history(whole)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn parallel_calls_share_one_signature_that_must_be_sent_back() {
    let server = TestServer::start(CALLS).await;
    let ask = json!({"role": "user", "parts": [{"text": "?"}]});
    let path = format!("{GEMINI_3}:generateContent");
    let first = server.post(&path, &history(json!([ask]))).await;
    let content = &first.body["candidates"][0]["content"];
    assert!(content["parts"][0]["thoughtSignature"].is_string(), "{content}");
    assert_eq!(content["parts"][1].get("thoughtSignature"), None, "{content}");

    let again = async |signature: Option<&str>| {
        let mut content = content.clone();
        match signature {
            Some(signature) => content["parts"][0]["thoughtSignature"] = signature.into(),
            None => content["parts"][0]["thoughtSignature"] = Value::Null,
        }
        let responses = json!({"role": "user", "parts": [response("f"), response("g")]});
        server.post(&path, &history(json!([ask, content, responses]))).await
    };
    let own = content["parts"][0]["thoughtSignature"].as_str().expect("it is text");
    for signature in [own, "skip_thought_signature_validator"] {
        let reply = again(Some(signature)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    for signature in [None, Some("QUJDRA=="), Some("not base64!")] {
        let reply = again(signature).await;
        assert_eq!(reply.status, 400, "{signature:?}");
        assert!(reply.message().contains("thought_signature"), "{}", reply.message());
    }
}

#[tokio::test]
async fn models_before_gemini_3_combine_tools_with_neither_json_nor_functions() {
    let server = TestServer::start("scenarios: [{name: any, script: [{text: '{}'}]}]").await;
    let code = json!([{"codeExecution": {}}]);
    let both = json!([{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]);
    let functions = json!([{"functionDeclarations": [{"name": "f"}]}]);
    let schema = json!({"type": "OBJECT"});
    for (tools, config, wanted) in [
        (
            &code,
            json!({"responseMimeType": "application/json"}),
            "Tool use with a response mime type",
        ),
        (&code, json!({"response_schema": schema}), "Tool use with a response mime type"),
        (&functions, json!({"responseMimeType": "application/json"}), "Function calling with a"),
        (&both, json!({}), "Tool use with function calling is unsupported"),
    ] {
        let body = json!({"contents": [{"parts": [{"text": "?"}]}], "tools": tools,
                          "toolConfig": {"includeServerSideToolInvocations": true},
                          "generationConfig": config});
        for method in ["generateContent", "streamGenerateContent?alt=sse"] {
            let reply = server.post(&format!("{GEMINI_2}:{method}"), &body).await;
            assert_eq!(reply.status, 400, "{}", reply.body);
            assert!(reply.message().contains(wanted), "{}", reply.message());
        }
        for model in ["gemini-3-flash-preview", "gemini-flash-latest", "m"] {
            let path = format!("/v1beta/models/{model}:generateContent");
            let reply = server.post(&path, &body).await;
            assert_eq!(reply.status, 200, "{model}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn an_interaction_is_stopped_at_the_clients_deadline() {
    // Each run is within its limit; together they exceed the deadline.
    let run = "      - code: \"import time; time.sleep(4)\"\n";
    let slow =
        format!("scenarios:\n  - name: slow\n    script:\n{}      - text: late\n", run.repeat(5));
    let server = TestServer::start(&slow).await;
    let classic =
        json!({"contents": [{"parts": [{"text": "?"}]}], "tools": [{"codeExecution": {}}]});
    let created = json!({"model": "m", "input": "?", "tools": [{"type": "code_execution"}]});
    let ask = async |path: &str, body: &Value, seconds: &str| {
        let request = server.request("POST", path).json(body).header("x-server-timeout", seconds);
        let reply = request.send().await.expect("the server answers");
        (reply.status().as_u16(), reply.text().await.expect("it is whole"))
    };
    let whole = "/v1beta/models/m:generateContent";
    for seconds in ["5", "0", "-1", "9.9"] {
        let (status, text) = ask(whole, &classic, seconds).await;
        assert_eq!(status, 400);
        assert!(text.contains("is too short. Minimum allowed deadline is 10s."), "{text}");
    }
    let (status, _) = ask("/v1beta/interactions", &created, "soon").await;
    assert_eq!(status, 400);

    let begun = Instant::now();
    let mut streamed = created.clone();
    streamed["stream"] = true.into();
    let stream = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let ((late, text), (_, pieces), (_, events)) = tokio::join!(
        ask(whole, &classic, "10"),
        ask(stream, &classic, "10"),
        ask("/v1beta/interactions", &streamed, "10"),
    );
    assert_eq!(late, 504, "{text}");
    assert!(text.contains("DEADLINE_EXCEEDED"), "{text}");
    assert!(pieces.trim_end().ends_with('}') && pieces.contains("DEADLINE_EXCEEDED"), "{pieces}");
    assert!(events.contains("event: error") && events.contains("gateway_timeout"), "{events}");
    assert!(!events.contains("[DONE]"), "{events}");
    assert!(begun.elapsed() < Duration::from_secs(20), "the runs were stopped");
}

/// Sends an endless body, one byte at a time, and returns the answer.
async fn answer_to_a_slow_body(server: &TestServer, path: &str) -> String {
    let address = server.url().strip_prefix("http://").expect("it is one");
    let connection = TcpStream::connect(address).await.expect("the server listens");
    let (mut reader, mut writer) = connection.into_split();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         X-Server-Timeout: 10\r\nContent-Length: 1000000\r\n\r\n{{"
    );
    writer.write_all(head.as_bytes()).await.expect("the server reads");
    let sending = async {
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        while writer.write_all(b" ").await.is_ok() {
            pace.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(b"}") {
            let bytes = reader.read(&mut piece).await.expect("the server answers");
            assert_ne!(bytes, 0, "the answer is whole");
            answer.extend_from_slice(&piece[..bytes]);
        }
        String::from_utf8(answer).expect("it is text")
    };
    tokio::select! {
        () = sending => unreachable!("it does not end"),
        answer = reading => answer,
    }
}

#[tokio::test]
async fn the_deadline_covers_a_slow_body_and_a_requested_delay() {
    let server = TestServer::start("").await;
    let delayed = async |path: &str, body: Value| {
        let request = server.request("POST", path).json(&body);
        let request = request.header("x-belljar-fault", r#"{"delay": "60s"}"#);
        Reply::to(request.header("x-server-timeout", "10")).await
    };
    let contents = json!({"contents": [{"parts": [{"text": "print(1)"}]}]});
    let begun = Instant::now();
    let (classic, counted, created, late, late_count) = tokio::join!(
        answer_to_a_slow_body(&server, "/v1beta/models/direct:generateContent"),
        answer_to_a_slow_body(&server, "/v1beta/models/direct:countTokens"),
        answer_to_a_slow_body(&server, "/v1beta/interactions"),
        delayed("/v1beta/models/direct:streamGenerateContent?alt=sse", contents.clone()),
        delayed("/v1beta/models/direct:countTokens", contents.clone()),
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for answer in [classic, counted] {
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    }
    assert!(created.starts_with("HTTP/1.1 504 "), "{created}");
    assert!(created.contains(r#""code":"gateway_timeout""#), "{created}");
    for late in [late, late_count] {
        assert_eq!(
            (late.status, &late.body["error"]["status"]),
            (504, &json!("DEADLINE_EXCEEDED"))
        );
    }
}

#[tokio::test]
async fn a_client_of_the_schema_without_steps_is_advised_to_upgrade() {
    let server = TestServer::start("").await;
    let ask = async |revision: &str| {
        let request = server.request("POST", "/v1beta/interactions").json(&direct("print(1)"));
        Reply::to(request.header("api-revision", revision)).await
    };
    for revision in ["2025-11-01", "2026-05-07"] {
        let reply = ask(revision).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("invalid_request")));
        assert!(reply.message().contains("upgrade your client SDK"), "{}", reply.message());
    }
    for revision in ["2026-05-20", "2026-05-26", "2027-01-01", "latest", ""] {
        assert_eq!(ask(revision).await.status, 200, "{revision}");
    }
}

#[tokio::test]
async fn every_interaction_operation_refuses_the_schema_without_steps() {
    let server = TestServer::start("").await;
    let created = server.create(direct("print(1)")).await;
    let id = created["id"].as_str().expect("it has a name");
    let ask = async |method: &str, end: &str, revision: &str| {
        let request = server.request(method, &format!("/v1beta/interactions/{id}{end}"));
        Reply::to(request.header("api-revision", revision)).await
    };
    let operations = [("GET", ""), ("POST", "/cancel"), ("POST", ":cancel"), ("DELETE", "")];
    for (method, end) in operations {
        let reply = ask(method, end, "2025-11-01").await;
        assert_eq!(reply.status, 400, "{method} {end}: {}", reply.body);
        assert_eq!(reply.body["error"]["code"], "invalid_request", "{method} {end}");
        assert!(reply.message().contains("upgrade your client SDK"), "{}", reply.message());
    }
    // The interaction still exists.
    for (method, end) in operations {
        let reply = ask(method, end, "2026-05-20").await;
        assert_eq!(reply.status, 200, "{method} {end}: {}", reply.body);
    }
}

#[tokio::test]
async fn unusual_line_separators_are_escaped_in_answers() {
    let server = TestServer::start("").await;
    let separators = "\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
    let code = separators.chars().fold(String::from("print('a'"), |code, letter| {
        format!("{code} + chr({})", u32::from(letter))
    }) + ")";
    let classic =
        json!({"contents": [{"parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]});
    let mut events = direct(&code);
    events["stream"] = true.into();
    for (path, body) in [
        ("/v1beta/models/direct:streamGenerateContent?alt=sse", &classic),
        ("/v1beta/models/direct:streamGenerateContent", &classic),
        ("/v1beta/models/direct:generateContent", &classic),
        ("/v1beta/interactions", &events),
        ("/v1beta/interactions", &direct(&code)),
    ] {
        let reply = server.request("POST", path).json(body).send().await.expect("it answers");
        let text = reply.text().await.expect("it is whole");
        assert!(!text.contains(|letter| separators.contains(letter)), "{path}: {text:?}");
        assert!(text.contains("\\u2028\\u2029"), "{path}: {text}");
        assert_eq!(path.ends_with("streamGenerateContent"), text.ends_with(']'), "{path}: {text}");
    }
}

#[tokio::test]
async fn unusual_line_separators_are_escaped_in_test_controls() {
    let letters = ['\u{85}', '\u{2028}', '\u{2029}'];
    let text: String = letters.iter().collect();
    let server = TestServer::start("").await;
    let scenario = json!({"scenarios": [{"name": text, "script": [{"text": text}]}]});
    let fault = json!({"status": 429, "message": text, "chance": 0});
    let asked = json!({"model": "m", "input": text});
    let code = json!({"code": "print(chr(0x85) + chr(0x2028) + chr(0x2029))"});
    for (method, path, body) in [
        ("POST", "/x/scenarios", &scenario),
        ("GET", "/x/scenarios", &Value::Null),
        ("POST", "/x/faults", &fault),
        ("GET", "/x/faults", &Value::Null),
        ("POST", "/v1beta/interactions", &asked),
        ("GET", "/x/journal", &Value::Null),
        ("POST", "/x/execute", &code),
        // An error quotes the unknown name.
        ("POST", "/x/faults", &json!({text.clone(): 1})),
    ] {
        let request = server.request(method, path);
        let request = if body.is_null() { request } else { request.json(body) };
        let reply = request.send().await.expect("it answers");
        let reply = reply.text().await.expect("it is whole");
        assert!(!reply.contains(letters), "{method} {path}: {reply:?}");
        if (method, path) != ("POST", "/x/faults") || body != &fault {
            assert!(reply.contains("\\u0085\\u2028\\u2029"), "{method} {path}: {reply}");
        }
    }
}

#[tokio::test]
async fn a_file_of_an_unknown_type_ends_in_bin() {
    let server = TestServer::start("").await;
    for (mime_type, wanted) in [
        ("application/octet-stream", "input_file_0.bin"),
        ("application/x-made-up", "input_file_0.bin"),
        ("application/jsonl", "input_file_0.jsonl"),
        ("Text/CSV; charset=utf-8", "input_file_0.csv"),
    ] {
        let body = json!({"contents": [{"parts": [
            {"inlineData": {"mimeType": mime_type, "data": "e30K"}},
            {"text": "import os\nprint(os.listdir('.')[0])"},
        ]}], "tools": [{"codeExecution": {}}]});
        let reply = server.post("/v1beta/models/direct:generateContent", &body).await;
        let output =
            &reply.body["candidates"][0]["content"]["parts"][1]["codeExecutionResult"]["output"];
        assert_eq!(output, &json!(format!("{wanted}\n")), "{mime_type}");
    }
}
