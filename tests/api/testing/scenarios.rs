//! Scenario files: failures that they order, and how they are checked.

use std::process::{Command, Output};

use serde_json::{Value, json};

use harness::{Event, TestServer};

const INTERACTIONS: &str = "/v1beta/interactions";

const FAILURES: &str = r#"
scenarios:
  - name: at once
    when: { input: { contains: at once } }
    script:
      - fail: { status: 429, message: "No more of {{ input }}.", retry_after: 1500ms }
  - name: in the middle
    when: { input: { contains: in the middle } }
    script:
      - text: "Well, "
      - code: print(1)
      - fail: { status: 503 }
  - name: gone at once
    when: { input: { contains: gone } }
    script: [disconnect: true]
  - name: cut
    when: { input: { contains: cut } }
    script:
      - text: "I was just about to"
      - disconnect: true
  - name: malformed
    when: { input: { contains: malformed } }
    script:
      - text: "Let me call"
      - finish: MALFORMED_FUNCTION_CALL
  - name: search
    when: { input: { contains: moss }, tools: [google_search] }
    script:
      - search:
          queries: ["{{ input }}"]
          results: [{ title: Moss, url: "https://moss.example", snippet: It is green. }]
      - text: It is green.
"#;

fn ask(input: &str) -> Value {
    let tools = json!([{"type": "code_execution"}, {"type": "google_search"}]);
    json!({"model": "gemini-3-flash-preview", "input": input, "tools": tools})
}

fn streamed(input: &str) -> Value {
    let mut request = ask(input);
    request["stream"] = true.into();
    request
}

#[tokio::test]
async fn a_scripted_failure_is_returned() {
    let server = TestServer::start(FAILURES).await;
    for request in [ask("at once"), streamed("at once")] {
        let reply = server.post(INTERACTIONS, &request).await;
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (429, &json!("resource_exhausted"))
        );
        assert_eq!(reply.message(), "No more of at once.");
        assert_eq!(reply.headers["retry-after"], "2", "whole seconds, and not too few");
    }
    let reply = server.post(INTERACTIONS, &ask("in the middle")).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (503, &json!("service_unavailable")));
}

#[tokio::test]
async fn a_scripted_stream_failure_comes_in_its_place() {
    let server = TestServer::start(FAILURES).await;
    let events = server.create_stream(ask("in the middle")).await.rest().await;
    let result = events.iter().position(|event| event.data["delta"]["result"] == "1\n");
    assert!(result.is_some(), "what was before is there: {events:?}");
    let last = events.last().expect("there are some");
    assert_eq!(
        (last.name.as_str(), &last.data["error"]["code"]),
        ("error", &json!("service_unavailable"))
    );
}

#[tokio::test]
async fn a_scripted_drop_closes_the_connection() {
    let server = TestServer::start(FAILURES).await;
    for request in [ask("gone"), streamed("gone"), ask("cut")] {
        let sent = server.request("POST", INTERACTIONS).json(&request).send().await;
        let whole = match sent {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        assert!(whole.is_err(), "{request} got {whole:?}");
    }

    let request = server.request("POST", INTERACTIONS).json(&streamed("cut"));
    let mut response = request.send().await.expect("it begins");
    let mut seen = Vec::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            Ok(None) => panic!("it came to an end"),
            Err(error) => break error,
        }
    };
    let seen = String::from_utf8(seen).expect("it is text");
    assert!(seen.contains("about to") && !seen.contains("event: error"), "{error}: {seen}");

    let journal = server.get("/x/journal").await.body;
    let id = journal["entries"][3]["interaction_id"].as_str().expect("it was begun");
    let found = server.get(&format!("{INTERACTIONS}/{id}")).await.body;
    assert_eq!(found["status"], "failed", "a later GET shows the failure");
}

#[tokio::test]
async fn a_model_that_stops_for_another_reason_has_failed() {
    let server = TestServer::start(FAILURES).await;
    let answer = server.create(ask("malformed")).await;
    assert_eq!(answer["status"], "failed");
    let why = "The model stopped without an answer: MALFORMED_FUNCTION_CALL.";
    assert_eq!(answer["errors"][0]["message"], why);
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Let me call");
}

#[tokio::test]
async fn a_search_is_a_call_and_its_result() {
    let server = TestServer::start(FAILURES).await;
    let answer = server.create(ask("moss")).await;
    let [call, result, _] = &answer["steps"].as_array().expect("it has steps")[..] else {
        panic!("{answer}");
    };
    assert_eq!(
        (&call["type"], &call["arguments"]),
        (&json!("google_search_call"), &json!({"queries": ["moss"]}))
    );
    assert_eq!(
        (&result["type"], &result["call_id"]),
        (&json!("google_search_result"), &call["id"])
    );
    let page = json!({"title": "Moss", "url": "https://moss.example", "snippet": "It is green."});
    let found = &result["result"];
    let html = found[0]["search_suggestions"].as_str().expect("it begins with suggestions");
    assert!(html.contains(">moss</a>"), "{html}");
    assert_eq!((&found[1], found.get(2)), (&page, None));

    let path = format!("{INTERACTIONS}/{}", answer["id"].as_str().expect("it was stored"));
    assert_eq!(server.get(&path).await.body["steps"][2], *result, "it is kept");
    let events = server.create_stream(ask("moss")).await.rest().await;
    let of = |kind: &str| -> Vec<Event> {
        let mut events = events.clone();
        events.retain(|event| {
            event.data["step"]["type"] == kind || event.data["delta"]["type"] == kind
        });
        events
    };
    let call = of("google_search_call");
    assert_eq!(call.len(), 2, "a start and one delta: {call:?}");
    assert_eq!(call[0].data["step"].get("arguments"), None);
    assert_eq!(of("google_search_result")[1].data["delta"]["result"], *found);
}

fn belljar(arguments: &[&str]) -> Output {
    let mut belljar = Command::new(harness::belljar());
    belljar.args(arguments).output().expect("it is a program")
}

#[test]
fn validation_reports_positions_and_hints() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let output = belljar(&["validate", repository]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("primes.yaml: 1 scenario\n"), "{text}");

    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    };
    write("a.yaml", "scenarios:\n  - name: a\n    script:\n      - cod: print(1)\n");
    write("b.json", "{\"scenarios\": [{\"name\": \"b\", \"script\": [{\"text\": \"{{ x\"}]}]}");
    write("c.yaml", "scenarios: [{ name: c, script: [text: c] }]");
    let path = folder.path().to_str().expect("it is text");
    let output = belljar(&["validate", path]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(output.status.code(), Some(1));
    for wanted in [
        "a.yaml:4:9: unknown field `cod`",
        "did you mean `code`?",
        "b.json:1:",
        "c.yaml: 1 scenario",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    assert_eq!(belljar(&["validate", "/nowhere/at/all"]).status.code(), Some(1));
}

#[test]
fn the_schema_is_printed() {
    let output = belljar(&["schema", "scenario"]);
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(schema["required"], json!(["scenarios"]));

    let output = belljar(&["schema", "config"]);
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(schema["properties"]["log_format"]["enum"], json!(["plain", "json"]));
}

const UNOFFERED: &str = r#"
scenarios:
  - name: computes
    when: { input: { contains: compute } }
    script: [code: print(1), text: done]
  - name: calls
    when: { input: { contains: call } }
    script: [function_call: { name: get_sales }]
  - name: may
    unoffered: true
    when: { input: { contains: may } }
    script: [code: print(1), text: "{{ stdout | trim }}"]
"#;

/// A test of a client that no longer sends its tools must fail.
#[tokio::test]
async fn tools_missing_from_the_request_are_refused_in_both_apis() {
    let server = TestServer::start(UNOFFERED).await;
    let code = json!([{"type": "code_execution"}]);
    let other = json!([{"type": "function", "name": "get_weather"}]);
    for (input, tools, choice, tool, got) in [
        ("compute", Value::Null, Value::Null, "code_execution", "offers no tools"),
        ("compute", other.clone(), Value::Null, "code_execution", "offers get_weather"),
        ("compute", code.clone(), json!("none"), "code_execution", "allows none of them"),
        ("call", code.clone(), Value::Null, "get_sales", "offers code_execution"),
    ] {
        let mut request = json!({"model": "m", "input": input, "tools": tools});
        if !choice.is_null() {
            request["generation_config"] = json!({"tool_choice": choice});
        }
        for stream in [false, true] {
            request["stream"] = stream.into();
            let reply = server.post(INTERACTIONS, &request).await;
            assert_eq!(
                (reply.status, &reply.body["error"]["code"]),
                (400, &json!("invalid_request"))
            );
            let text = reply.message();
            assert!(text.contains(&format!("`{tool}`")) && text.contains(got), "{text}");
        }
    }
    let mut request =
        json!({"contents": [{"parts": [{"text": "call"}]}], "tools": [{"codeExecution": {}}]});
    let reply = server.post("/v1beta/models/m:generateContent", &request).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(reply.message().contains("calls the function get_sales"), "{}", reply.message());
    request["contents"][0]["parts"][0]["text"] = "compute".into();
    assert_eq!(server.post("/v1beta/models/m:generateContent", &request).await.status, 200);

    let may = server.create(json!({"model": "m", "input": "may"})).await;
    assert_eq!(may["steps"][2]["content"][0]["text"], "1");
    let mut direct = harness::direct("print(1)");
    direct["generation_config"] = json!({"tool_choice": "none"});
    let answer = server.create(direct).await;
    assert!(
        answer["steps"][0]["content"][0]["text"].as_str().is_some_and(|t| t.contains("needs")),
        "{answer}"
    );
}

const MISTAKES: &str = r#"
scenarios:
  - name: one
    when: { input: { contains: sum } }
    script:
      - text: "{{ stdot }} and {{ stdout | regexfind('a') }}"
      - text: "{% if result is definde %}x{% endif %}"
  - name: two
    when: { input: { contains: the sum } }
    script:
      - code: |
          x = 1
          print(6 *
      - text: done
  - name: two
    when: { turn: 2 }
    script:
      - text: hi
      - code: print({{ nothing }})
"#;

const FORMS: &str = r#"scenarios:
  - name: a
    when: { inptu: { contains: a } }
    script:
      - txt: hi
      - text: "{{ a"
      - if_eror: [text: a]
  - name: b
    scrpt: []
  - { name: c, script: [{ delay: soon }, { text: a, code: b }] }
  - { name: d, script: [text: "{{ lookup(1) }}"] }
  - { name: one, script: [code: print(1)] }
"#;

/// Valid files that a check of single parts would reject.
const RIGHT: &str = r#"scenarios:
  - name: holes
    when: { input: { contains: a } }
    script:
      - code: |
          data = {{ function_result | tojson }}
          print({{ files[0].size }} * 2, f'{{ input }}', "{{ stdout | default('') }}")
      - if_error: [code: "{{ stdout }}", text: "{{ result }}"]
  - name: statements
    when: { input: { contains: b } }
    script: [function_call: { name: f }]
  - name: more
    when: { input: { contains: b }, turn: 1 }
    script:
      - code: "{% for file in files %}print('{{ file.name }}')\n{% endfor %}"
      - text: "{{ '{{' }} {% raw %}{{ nothing }}{% endraw %}"
      - { text: "{{ nothing }}", raw: true }
      - repeat_code_until_ok: 1 / 0
"#;

#[test]
fn all_errors_of_all_files_are_reported_together() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    };
    write("a.yaml", MISTAKES);
    write("b.yaml", FORMS);
    write(
        "c.json",
        "{\"scenarios\": [{\"name\": \"two\", \"script\": [{\"code\": \"def f(:\"}, {\"text\": \"{{ stdin }}\"}]}]}",
    );
    write("d.yaml", "scenarios:\n\t- name: x\n");
    let path = folder.path().to_str().expect("it is text");
    let output = belljar(&["validate", path]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(output.status.code(), Some(1));
    for wanted in [
        "a.yaml:6:15: scenario `one`: unknown variable `stdot`",
        "unknown filter `regexfind`",
        "did you mean `regex_find`?",
        "a.yaml:7:15: scenario `one`: unknown test `definde`",
        "b.yaml:11:25: `text` is not a template: the function `lookup` cannot be used",
        "b.yaml:12:13: scenario `one`: duplicate name, already used in `one` (a.yaml:3)",
        "b.yaml:12:13: scenario `one`: the script ends with code",
        "it never answers: whenever its conditions hold, so do those of `one` (a.yaml:3)",
        "a.yaml:13:11: scenario `two`: Python syntax error: ",
        "a.yaml:15:11: scenario `two`: duplicate name, already used in `two` (a.yaml:8)",
        "a.yaml:15:11: scenario `two`: the script ends with code",
        "unknown variable `nothing`",
        "b.yaml:3:13: unknown field `inptu`",
        "b.yaml:5:9: unknown field `txt`",
        "b.yaml:6:9: `text` is not a template",
        "b.yaml:7:9: unknown field `if_eror`",
        "b.yaml:9:5: unknown field `scrpt`",
        "expected a duration such as `500ms`",
        "`text` and `code` in one part",
        "c.json:1:52: scenario `two`: Python syntax error: ",
        "unknown variable `stdin`",
        "scenario `two`: duplicate name, already used in `two` (a.yaml:8)",
        "d.yaml:2:",
        "not with tabs",
        "  6 |       - text: \"{{ stdot }}",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    let output = belljar(&["validate", "--json", path]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let mistakes = json["mistakes"].as_array().expect("it is a list");
    assert_eq!(
        mistakes.len(),
        text.lines().filter(|line| line.starts_with(path)).count(),
        "{text}"
    );
    let shadowed = mistakes.iter().find(|mistake| mistake["kind"] == "shadowed");
    let shadowed = shadowed.unwrap_or_else(|| panic!("{json}"));
    assert_eq!((&shadowed["line"], &shadowed["scenario"]), (&json!(8), &json!("two")));

    let right = tempfile::tempdir().expect("the temporary folder can be created");
    std::fs::write(right.path().join("a.yaml"), RIGHT).expect("the folder is ours");
    let output = belljar(&["validate", right.path().to_str().expect("it is text")]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{text}");
}

#[test]
fn without_python_the_skipped_code_check_is_reported() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, "scenarios: [{ name: a, script: [code: '(', text: a] }]")
        .expect("it is ours");
    let mut belljar = Command::new(harness::belljar());
    let belljar = belljar.arg("validate").arg(&file).env("PATH", folder.path());
    let output = belljar.env("BELLJAR_LIBRARIES", folder.path()).output().expect("it is a program");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success() && text.contains("1 scenario\n"), "{text}");
    assert!(text.ends_with("note: code was not checked: no Python found\n"), "{text}");
}
