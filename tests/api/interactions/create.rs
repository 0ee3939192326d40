//! The reply to a completed interaction.

use serde_json::{Value, json};

use harness::{Event, TestServer, direct};

const SIX_TIMES_SEVEN: &str = r#"
scenarios:
  - name: multiplication
    when:
      input: { contains: "6 * 7" }
    script:
      - thought: "I'll compute it."
      - code: print(6 * 7)
      - text: "It is {{ stdout | trim }}."
"#;

fn types(interaction: &Value) -> Vec<&str> {
    let steps = interaction["steps"].as_array().expect("it has steps");
    steps.iter().map(|step| step["type"].as_str().expect("each has a type")).collect()
}

#[tokio::test]
async fn code_runs_and_its_output_is_returned_to_the_model() {
    let server = TestServer::start(SIX_TIMES_SEVEN).await;
    let answer = server
        .create(json!({"model": "gemini-3-flash-preview", "input": "What is 6 * 7?",
                       "tools": [{"type": "code_execution"}]}))
        .await;

    assert_eq!(answer["status"], "completed");
    assert_eq!(
        types(&answer),
        ["thought", "code_execution_call", "code_execution_result", "model_output"]
    );
    assert_eq!(answer["steps"][0]["summary"][0]["text"], "I'll compute it.");
    assert_eq!(answer["steps"][2]["result"], "42\n");
    assert_eq!(answer["steps"][2]["call_id"], answer["steps"][1]["id"]);
    assert_eq!(answer["steps"][3]["content"], json!([{"type": "text", "text": "It is 42."}]));
}

#[tokio::test]
async fn thought_summaries_are_returned_on_request() {
    let server = TestServer::start(SIX_TIMES_SEVEN).await;
    let ask = |summaries: &str| {
        json!({"model": "m", "input": "What is 6 * 7?", "tools": [{"type": "code_execution"}],
               "generation_config": {"thinking_summaries": summaries}})
    };
    let shown = server.create(ask("auto")).await;
    assert_eq!(shown["steps"][0]["summary"], json!([{"type": "text", "text": "I'll compute it."}]));
    let hidden = server.create(ask("none")).await;
    let thought = &hidden["steps"][0];
    assert_eq!(thought, &json!({"type": "thought", "signature": thought["signature"]}));
    assert_eq!(types(&hidden), types(&shown), "it thinks all the same");
    assert_eq!(hidden["usage"], shown["usage"], "and its thoughts are counted");

    let id = hidden["id"].as_str().expect("it was stored");
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!(found["steps"][1], *thought);
    let deltas = |events: Vec<Event>| -> Vec<String> {
        let kinds = events.iter().filter_map(|event| event.data["delta"]["type"].as_str());
        kinds.map(str::to_owned).collect()
    };
    let of_hidden = deltas(server.events(id, None).await);
    assert_eq!(of_hidden[0], "thought_signature");
    let id = shown["id"].as_str().expect("it was stored");
    let mut of_shown = deltas(server.events(id, None).await);
    of_shown.retain(|kind| kind != "thought_summary");
    assert_eq!(of_hidden, of_shown);
}

#[tokio::test]
async fn the_reply_has_the_fields_of_the_real_service_in_the_same_order() {
    let server = TestServer::start("").await;
    let answer = server.create(direct("print(1)")).await;

    let names: Vec<_> = answer.as_object().expect("it is one").keys().collect();
    let wanted =
        ["id", "status", "usage", "created", "updated", "service_tier", "steps", "object", "model"];
    assert_eq!(names, wanted);
    let usage = answer["usage"].as_object().expect("it is one");
    let counted = ["input", "output", "tool_use", "thought"]
        .map(|name| usage[&format!("total_{name}_tokens")].as_u64().expect("it is a number"));
    assert_eq!(usage["total_tokens"], counted.iter().sum::<u64>());
    let created = answer["created"].as_str().expect("it is a text");
    assert_eq!((created.len(), created.ends_with('Z')), (20, true), "{created}");
}

#[tokio::test]
async fn a_fetched_interaction_begins_with_the_input() {
    let server = TestServer::start("").await;
    let created = server.create(direct("print(1)")).await;
    let id = created["id"].as_str().expect("it was stored");

    for query in ["", "?stream=false", "?include_input=true&stream=false", "?includeInput=false"] {
        let found = server.get(&format!("/v1/interactions/{id}{query}")).await.body;
        assert_eq!(types(&found)[0], "user_input", "{query}");
        assert_eq!(found["steps"][0]["content"][0]["text"], "print(1)");
        for field in ["id", "status", "usage", "created", "updated", "model"] {
            assert_eq!(found[field], created[field], "{field}");
        }
        let steps = found["steps"].as_array().expect("it has steps");
        assert_eq!(Value::from(steps[1..].to_vec()), created["steps"]);
    }
}

#[tokio::test]
async fn every_api_version_and_trailing_slash_is_accepted() {
    let server = TestServer::start("").await;
    for path in [
        "/v1/interactions",
        "/v1beta/interactions",
        "/v1alpha/interactions",
        "/v1/interactions/",
        "//v1beta//interactions",
        "/v1beta/interactions?alt=sse&key=x",
    ] {
        let reply = server.post(path, &direct("print(1)")).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["content-type"], "application/json; charset=UTF-8");
    }
}

#[tokio::test]
async fn an_interaction_without_store_has_no_id_and_cannot_be_fetched() {
    let server = TestServer::start("").await;
    let mut request = direct("print(1)");
    request["store"] = false.into();
    let answer = server.create(request.clone()).await;
    assert!(answer.get("id").is_none());
    assert_eq!(answer["steps"][1]["result"], "1\n");

    let created = server.create_stream(request).await.until("interaction.created").await;
    assert_eq!(created.data["interaction"]["id"], "");
}

#[tokio::test]
async fn a_deleted_interaction_cannot_be_fetched() {
    let server = TestServer::start("").await;
    let answer = server.create(direct("print(1)")).await;
    let path = format!("/v1beta/interactions/{}", answer["id"].as_str().expect("it was stored"));
    assert_eq!(server.delete(&path).await.status, 200);
    for reply in [server.get(&path).await, server.delete(&path).await] {
        assert_eq!(reply.status, 404);
        assert_eq!(reply.body["error"]["code"], "not_found");
    }
}

#[tokio::test]
async fn failing_code_returns_a_result_with_the_traceback() {
    let server = TestServer::start("").await;
    let answer = server.create(direct("print('before')\n1 / 0")).await;
    assert_eq!(answer["status"], "completed");
    let result = &answer["steps"][1];
    assert_eq!(result["is_error"], true);
    let text = result["result"].as_str().expect("it is a text");
    assert!(text.starts_with("before\n"), "{text}");
    assert!(text.ends_with("ZeroDivisionError: division by zero\n"), "{text}");
}

#[tokio::test]
async fn variables_and_files_persist_within_an_interaction_only() {
    let server = TestServer::start("").await;
    let first = "```python\nx = 6\nopen('note.txt', 'w').write('7')\n```";
    let second = "```python\nprint(x * int(open('note.txt').read()))\n```";
    let answer = server.create(direct(&format!("{first}\n{second}"))).await;
    assert_eq!(answer["steps"][3]["result"], "42\n");

    let other = server.create(direct("import os\nprint(os.listdir('.'), 'x' in globals())")).await;
    assert_eq!(other["steps"][1]["result"], "[] False\n");
}

#[tokio::test]
async fn input_files_are_in_the_working_directory_under_geminis_names() {
    let server = TestServer::start("").await;
    let code = "import os\nprint(sorted(os.listdir('.')), open('input_file_0.csv').read())";
    let mut request = direct("");
    request["input"] = json!([
        {"type": "text", "text": code},
        {"type": "document", "mime_type": "text/csv", "data": "YSxiCjEsMgo"},
        {"type": "image", "mime_type": "image/png", "data": "iVBORw0="},
    ]);
    let answer = server.create(request).await;
    let wanted = "['input_file_0.csv', 'input_file_1.png'] a,b\n1,2\n\n";
    assert_eq!(answer["steps"][1]["result"], wanted);
}

#[tokio::test]
async fn a_picture_precedes_the_answer_in_its_own_step() {
    let server = TestServer::start("").await;
    let code = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')";
    let answer = server.create(direct(code)).await;
    assert_eq!(
        types(&answer),
        ["code_execution_call", "code_execution_result", "model_output", "model_output"]
    );
    let picture = &answer["steps"][2]["content"][0];
    assert_eq!((&picture["type"], &picture["mime_type"]), (&json!("image"), &json!("image/png")));
    let data = picture["data"].as_str().expect("it is inline");
    assert!(data.starts_with("iVBORw0KGgo"), "{data}");

    let id = answer["id"].as_str().expect("it was stored");
    let found = server.get(&format!("/v1beta/interactions/{id}")).await.body;
    assert_eq!(found["steps"][3], answer["steps"][2], "the picture is kept");
}

#[tokio::test]
async fn a_foreground_interaction_ends_when_its_client_disconnects() {
    let server = TestServer::start("").await;
    let mut stream = server.create_stream(direct("while True: pass")).await;
    let created = stream.until("interaction.created").await;
    let id = created.data["interaction"]["id"].as_str().expect("it has one").to_owned();
    stream.until("step.stop").await;
    drop(stream);

    let events = server.events(&id, None).await;
    let last = &events[events.len() - 2];
    assert_eq!(last.data["interaction"]["status"], "cancelled");
}
