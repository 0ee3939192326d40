//! Answers that broke real clients, as their issues describe them: byte for byte, except ids,
//! signatures and counts.

use domain::chaos::quirk::{QUIRKS, Where};
use regex::Regex;
use serde_json::{Value, json};

use harness::{Reply, TestServer, direct, recorder};

const FAILS: &str = "print('ok')\nprint(1/0)";
const DRAWS: &str =
    "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')\nprint('drawn')";
const GENERATE: &str = "/v1beta/models/direct:generateContent";
const STREAM: &str = "/v1beta/models/direct:streamGenerateContent?alt=sse";

fn classic(code: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]})
}

/// The whole answer, with `…` for the parts that differ each time.
async fn asked(server: &TestServer, path: &str, body: &Value, quirk: &str) -> (u16, String) {
    let fault = json!({"quirk": quirk}).to_string();
    let request = server.request("POST", path).header("x-belljar-fault", fault).json(body);
    let response = request.send().await.expect("it answers");
    let status = response.status().as_u16();
    (status, tidy(&response.text().await.expect("it is whole")))
}

fn tidy(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, with) in [
        (
            r#""(thoughtSignature|signature|responseId|id|call_id|event_id|interaction_id|data|created|updated)":"[^"]*""#,
            r#""$1":"…""#,
        ),
        (r#""(\w*[tT]okenCount|tokens|total_\w+_tokens|total_tokens)":\d+"#, r#""$1":0"#),
    ] {
        text =
            Regex::new(pattern).expect("it is an expression").replace_all(&text, with).into_owned();
    }
    text
}

fn call(code: &str) -> Value {
    json!({"executableCode": {"language": "PYTHON", "code": code, "id": "…"}, "thoughtSignature": "…"})
}

fn result(outcome: &str, output: &str) -> Value {
    json!({"codeExecutionResult": {"outcome": outcome, "output": output, "id": "…"}})
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"<string>\", line 2, in <module>\n    \
                         print(1/0)\n           ~^~\nZeroDivisionError: division by zero\n";

fn counts() -> Value {
    json!({"promptTokenCount": 0, "totalTokenCount": 0,
           "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 0}]})
}

/// Counts of an answer that is not finished.
fn counts_so_far() -> Value {
    json!({"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0,
           "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 0}],
           "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 0}],
           "serviceTier": "standard"})
}

fn all_counts() -> Value {
    let mut counts = counts_so_far();
    counts["toolUsePromptTokenCount"] = 0.into();
    counts["toolUsePromptTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": 0}]);
    counts
}

/// A whole answer with these parts.
fn whole(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, "finishReason": "STOP"}],
           "usageMetadata": all_counts(), "modelVersion": "direct", "responseId": "…"})
}

/// A piece of a streamed answer.
fn piece(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
           "usageMetadata": counts_so_far(), "modelVersion": "direct", "responseId": "…"})
}

fn finishing(mut piece: Value) -> Value {
    piece["candidates"][0]["finishReason"] = "STOP".into();
    piece
}

fn events(chunks: impl IntoIterator<Item = Value>) -> String {
    chunks.into_iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
}

#[tokio::test]
async fn whole_answers_of_generate_content() {
    let server = TestServer::start("").await;
    let failed = format!("ok\n{TRACEBACK}");
    let why = "Unexpected tool call: Model tried to call an undeclared function: undeclaredTool";
    let undeclared = json!({"functionCall": {
        "args": {"arg1": "value1", "arg2": "value2"}, "name": "undeclaredTool"}});
    let mut blocked = counts();
    blocked["serviceTier"] = "standard".into();
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "…"}});
    let mut drawn =
        whole(json!([call(DRAWS), picture, result("OUTCOME_OK", "drawn\n"), {"text": "done"}]));
    let read_again = &mut drawn["usageMetadata"]["toolUsePromptTokensDetails"];
    *read_again =
        json!([{"modality": "TEXT", "tokenCount": 0}, {"modality": "IMAGE", "tokenCount": 0}]);
    for (quirk, code, wanted) in [
        (
            "several_results",
            FAILS,
            whole(json!([
                {"executableCode": {"language": "PYTHON", "code": FAILS}, "thoughtSignature": "…"},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "ok\n"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_FAILED",
                                         "output": format!("division by zero\n{TRACEBACK}")}},
                {"text": "done"},
            ])),
        ),
        (
            "several_results",
            "print(1)\nprint(2)",
            whole(json!([
                {"executableCode": {"language": "PYTHON", "code": "print(1)\nprint(2)"}, "thoughtSignature": "…"},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
                {"text": "done"},
            ])),
        ),
        ("picture_before_result", DRAWS, drawn),
        (
            "malformed_function_call",
            FAILS,
            json!({
                "candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}],
                "usageMetadata": counts(), "modelVersion": "direct",
            }),
        ),
        (
            "candidate_without_content",
            FAILS,
            json!({
                "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}],
                "usageMetadata": counts(),
            }),
        ),
        (
            "unexpected_tool_call",
            FAILS,
            json!({
                "candidates": [{"content": {"parts": [undeclared], "role": "model"},
                                "finishMessage": why, "finishReason": "UNEXPECTED_TOOL_CALL"}],
                "usageMetadata": all_counts(), "modelVersion": "direct", "responseId": "…",
            }),
        ),
        (
            "stop_without_parts",
            FAILS,
            json!({
                "candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": counts(), "modelVersion": "direct", "responseId": "…",
            }),
        ),
        (
            "blocked_prompt",
            FAILS,
            json!({
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                "usageMetadata": blocked, "modelVersion": "direct", "responseId": "…",
            }),
        ),
        // Quirks of streams do not change a whole answer.
        (
            "cut_short",
            FAILS,
            whole(json!([call(FAILS), result("OUTCOME_FAILED", &failed), {"text": "done"}])),
        ),
    ] {
        let (status, answer) = asked(&server, GENERATE, &classic(code), quirk).await;
        assert_eq!((status, answer), (200, wanted.to_string()), "{quirk}");
    }
}

#[tokio::test]
async fn streams_of_generate_content() {
    let server = TestServer::start("").await;
    // The quirk's own chunk, which has its reason before its index.
    let empty = || {
        json!({"candidates": [{"content": {"parts": [], "role": "model"},
                               "finishReason": "STOP", "index": 0}],
               "modelVersion": "direct", "responseId": "…"})
    };
    let code = || piece(json!([call("print(1)")]));
    let ran = || piece(json!([result("OUTCOME_OK", "1\n")]));
    let text = || piece(json!([{"text": "done"}]));
    let last = || {
        json!({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0, "finishReason": "STOP"}],
               "usageMetadata": all_counts(), "modelVersion": "direct", "responseId": "…"})
    };
    let metadata = json!({"candidates": [{"index": 0, "groundingMetadata": {}}],
                          "modelVersion": "direct", "responseId": "…"});
    let counted_last = json!({
        "candidates": [{"content": {"parts": [], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "modelVersion": "direct", "responseId": "…", "usageMetadata": all_counts(),
    });
    let alone = json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": all_counts()});
    for (quirk, wanted) in [
        ("code_twice", vec![code(), code(), ran(), text(), last()]),
        ("chunk_without_content", vec![code(), metadata, ran(), text(), last()]),
        (
            "stop_in_every_chunk",
            vec![finishing(code()), finishing(ran()), finishing(text()), last()],
        ),
        ("early_finish", vec![code(), finishing(ran()), text(), last()]),
        ("leading_finish", vec![empty(), empty(), code(), ran(), text(), empty(), counted_last]),
        ("finish_alone", vec![code(), ran(), text(), alone]),
        ("cut_short", vec![code(), ran(), text()]),
    ] {
        let (status, answer) = asked(&server, STREAM, &classic("print(1)"), quirk).await;
        assert_eq!((status, answer), (200, events(wanted.clone())), "{quirk}");
        // The stream as one list has the same content.
        let path = STREAM.trim_end_matches("?alt=sse");
        let (_, list) = asked(&server, path, &classic("print(1)"), quirk).await;
        assert_eq!(list, Value::from(wanted).to_string(), "{quirk} as a list");
    }
    // A quirk that replaces the answer sends one piece.
    let (_, answer) = asked(&server, STREAM, &classic(FAILS), "malformed_function_call").await;
    let only = json!({"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}],
                      "usageMetadata": counts(), "modelVersion": "direct"});
    assert_eq!(answer, events([only]));
    let (_, answer) = asked(&server, STREAM, &classic(DRAWS), "picture_before_result").await;
    let at = |what: &str| answer.find(what).unwrap_or_else(|| panic!("no {what} in {answer}"));
    assert!(at("inlineData") < at("codeExecutionResult") && at("codeExecutionResult") < at("done"));
}

#[tokio::test]
async fn interactions() {
    let server = TestServer::start("").await;
    let mut body = direct("print(1)");
    let refused = r#"{"error":{"message":"The request was blocked because it contains prohibited content.","code":"prohibited_content"}}"#;
    let answer = asked(&server, "/v1beta/interactions", &body, "bare_error").await;
    assert_eq!(answer, (400, refused.to_owned()));

    body["stream"] = true.into();
    let stream = async |quirk: &str| asked(&server, "/v1beta/interactions", &body, quirk).await.1;
    let begun = "event: interaction.created\ndata: {\"interaction\":{\"id\":\"…\",\"status\":\"in_progress\",\
         \"object\":\"interaction\",\"model\":\"direct\"},\"event_id\":\"…\",\"event_type\":\"interaction.created\"}\n\n\
         event: interaction.status_update\ndata: {\"interaction_id\":\"…\",\"status\":\"in_progress\",\
         \"event_id\":\"…\",\"event_type\":\"interaction.status_update\"}\n\n";
    assert_eq!(stream("bare_error").await, format!("{begun}{refused}\n"));

    let plain = stream("completed_without_steps").await;
    assert!(
        plain.starts_with(begun) && plain.ends_with("event: done\ndata: [DONE]\n\n"),
        "{plain}"
    );
    let completed =
        plain.split("event: interaction.completed\ndata: ").nth(1).expect("it is there");
    let completed: Value =
        serde_json::from_str(completed.lines().next().unwrap_or_default()).expect("it is JSON");
    assert_eq!(completed["interaction"].get("steps"), None);

    let (before, _) = plain.split_once("event: interaction.completed").expect("it is there");
    assert_eq!(stream("no_completed_event").await, before);

    let mut old = plain.clone();
    for (now, before) in [
        ("interaction.created", "interaction.start"),
        ("interaction.completed", "interaction.complete"),
        ("step.start", "content.start"),
        ("step.delta", "content.delta"),
        ("step.stop", "content.stop"),
    ] {
        old = old.replace(now, before);
    }
    assert_eq!(stream("unknown_events").await, old);
}

#[tokio::test]
async fn a_scenario_may_set_a_quirk_or_fault_for_its_answer() {
    let server = TestServer::start(
        r#"
scenarios:
  - name: blocked
    when: { input: { contains: blocked } }
    script:
      - quirk: blocked_prompt
      - text: "Never seen."
  - name: damaged
    when: { input: { contains: damaged } }
    script:
      - text: "A text that is long enough to be streamed in several pieces, one after the other."
      - fault: { drop_after_events: 4 }
"#,
    )
    .await;
    let path = "/v1beta/models/m:generateContent";
    recorder::leave_out();
    let reply = server.post(path, &classic("blocked")).await;
    assert_eq!(reply.body["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT");
    assert_eq!(reply.body.get("candidates"), None);

    let body = json!({"model": "m", "input": "damaged", "stream": true});
    let request = server.request("POST", "/v1beta/interactions").json(&body);
    let mut response = request.send().await.expect("it begins");
    let mut seen = Vec::new();
    let was_cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            end => break end.is_err(),
        }
    };
    let seen = String::from_utf8(seen).expect("it is ASCII");
    assert_eq!((was_cut, seen.matches("\n\n").count()), (true, 4), "{seen}");
}

#[tokio::test]
async fn faults_are_counted_per_namespace() {
    let server = TestServer::start("").await;
    recorder::leave_out();
    let order = json!([{"quirk": "blocked_prompt", "times": 1}, {"quirk": "bare_error"}]);
    let at = |method: &str, path: &str| {
        server.request(method, path).header("x-belljar-namespace", "mine")
    };
    assert_eq!(Reply::to(at("POST", "/x/faults").json(&order)).await.status, 200);
    let reply = Reply::to(at("POST", GENERATE).json(&classic("print(1)"))).await;
    assert_eq!(reply.body["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT");
    let reply = Reply::to(at("POST", GENERATE).json(&classic("print(1)"))).await;
    assert_eq!(reply.body["candidates"][0]["finishReason"], "STOP", "it was to happen once");
    let reply = server.post(GENERATE, &classic("print(1)")).await;
    assert_eq!(reply.body["candidates"][0]["finishReason"], "STOP", "others are spared");

    let standing = Reply::to(at("GET", "/x/faults")).await.body["faults"].clone();
    assert_eq!(
        standing,
        json!([
            {"fault": order[0], "happened": 1},
            // No interaction was requested.
            {"fault": order[1], "happened": 0},
        ])
    );
    let reply = Reply::to(at("POST", "/x/faults").json(&json!({"quirk": "odd"}))).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("unknown quirk `odd`"), "{}", reply.message());
    let many = Value::from(vec![json!({"status": 500}); 101]);
    assert_eq!(Reply::to(at("POST", "/x/faults").json(&many)).await.status, 400);

    assert_eq!(Reply::to(at("DELETE", "/x/faults")).await.status, 200);
    assert_eq!(Reply::to(at("GET", "/x/faults")).await.body["faults"], json!([]));
}

/// Editors offer these names as completions.
#[test]
fn the_schema_has_every_quirk() {
    let schema: Value = serde_json::from_str(&scenario::SCHEMA).expect("it is JSON");
    let known = &schema["$defs"]["part"]["properties"]["quirk"]["enum"];
    let names: Vec<&str> = QUIRKS.iter().map(|about| about.name).collect();
    assert_eq!(*known, json!(names));
    assert!(QUIRKS.iter().any(|about| about.place == Where::Interactions));
}
