//! Interactions that continue a previous one.

use serde_json::{Value, json};

use harness::{TestServer, direct};

const WEATHER: &str = r#"
scenarios:
  - name: weather
    when:
      input: { contains: weather }
      turn: 1
    script:
      - function_call: { name: get_weather, arguments: { city: Paris } }
      - text: "In Paris there is {{ function_result }}."
  - name: second turn
    when:
      turn: 2
    script:
      - text: "You asked twice: {{ input }}"
"#;

fn weather() -> Value {
    json!({
        "model": "gemini-3-flash-preview",
        "input": "What is the weather like?",
        "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}],
    })
}

#[tokio::test]
async fn a_function_call_waits_for_the_client_and_its_result_continues_the_turn() {
    let server = TestServer::start(WEATHER).await;
    let asked = server.create(weather()).await;
    assert_eq!(asked["status"], "requires_action");
    let call = &asked["steps"][0];
    assert_eq!(call["type"], "function_call");
    assert_eq!(call["arguments"], json!({"city": "Paris"}));

    let mut request = weather();
    request["previous_interaction_id"] = asked["id"].clone();
    request["input"] = json!([{"type": "function_result", "name": "get_weather",
                               "call_id": call["id"], "result": "rain"}]);
    let answered = server.create(request).await;
    assert_eq!(answered["status"], "completed");
    assert_eq!(answered["previous_interaction_id"], asked["id"]);
    assert_eq!(answered["steps"][0]["content"][0]["text"], "In Paris there is rain.");
}

#[tokio::test]
async fn a_stateless_client_continues_by_sending_its_history() {
    let server = TestServer::start(WEATHER).await;
    let mut request = weather();
    request["store"] = false.into();
    let asked = server.create(request.clone()).await;
    let mut steps = vec![json!({"type": "user_input", "content": request["input"]})];
    steps.extend(asked["steps"].as_array().expect("it has steps").iter().cloned());
    steps.push(json!({"type": "function_result", "call_id": asked["steps"][0]["id"],
                      "result": {"sky": "grey"}}));
    request["input"] = steps.into();
    let answered = server.create(request).await;
    assert_eq!(answered["status"], "completed", "{answered}");
}

#[tokio::test]
async fn a_function_result_with_an_unknown_call_id_is_refused() {
    let server = TestServer::start(WEATHER).await;
    let asked = server.create(weather()).await;
    let result = |id: &Value| json!({"type": "function_result", "call_id": id, "result": "rain"});
    let user = json!({"type": "user_input", "content": "What is the weather like?"});
    let call = &asked["steps"][0];
    for (previous, input) in [
        (&asked["id"], json!([result(&json!("made up"))])),
        (&asked["id"], json!([result(&call["id"]), result(&json!("made up"))])),
        (&Value::Null, json!([user, call, result(&json!("made up"))])),
        (&Value::Null, json!([user, result(&json!("made up"))])),
    ] {
        let mut request = weather();
        (request["previous_interaction_id"], request["input"]) = (previous.clone(), input);
        let reply = server.post("/v1beta/interactions", &request).await;
        assert_eq!(reply.status, 400, "{request} gave {}", reply.body);
        assert_eq!(reply.body["error"]["code"], "invalid_request");
        assert!(reply.message().contains("no function call 'made up'"), "{}", reply.body);
    }

    let mut request = weather();
    request["previous_interaction_id"] = asked["id"].clone();
    request["input"] = json!([result(&call["id"])]);
    assert_eq!(server.create(request).await["status"], "completed", "nothing was answered before");
}

#[tokio::test]
async fn input_files_persist_along_the_chain_and_files_written_by_code_do_not() {
    let server = TestServer::start("").await;
    let list = "import os\nprint(sorted(os.listdir('.')))";
    let mut request = direct("");
    request["input"] = json!([
        {"text": format!("open('mine.txt', 'w').close()\n{list}")},
        {"type": "document", "mime_type": "text/csv", "data": "YQ=="},
    ]);
    let first = server.create(request).await;
    assert_eq!(first["steps"][1]["result"], "['input_file_0.csv', 'mine.txt']\n");

    let mut request = direct("");
    request["previous_interaction_id"] = first["id"].clone();
    request["input"] =
        json!([{"text": list}, {"type": "document", "data": "Yg", "mime_type": "text/plain"}]);
    let second = server.create(request).await;
    assert_eq!(second["steps"][1]["result"], "['input_file_0.csv', 'input_file_1.txt']\n");
}

#[tokio::test]
async fn an_invalid_previous_interaction_is_refused() {
    let server = TestServer::start("").await;
    let deleted = server.create(direct("print(1)")).await["id"].clone();
    let path = format!("/v1/interactions/{}", deleted.as_str().expect("it was stored"));
    server.delete(&path).await;

    let mut running = server.create_stream(direct("while True: pass")).await;
    let created = running.until("interaction.created").await;

    for (previous, status, code) in [
        (json!("v1_unknown"), 404, "not_found"),
        (deleted, 404, "not_found"),
        (json!(""), 404, "not_found"),
        (created.data["interaction"]["id"].clone(), 400, "invalid_request"),
    ] {
        let mut request = direct("print(1)");
        request["previous_interaction_id"] = previous.clone();
        let reply = server.post("/v1beta/interactions", &request).await;
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (status, &json!(code)),
            "{previous}"
        );
    }
}

#[tokio::test]
async fn an_interaction_in_progress_can_be_fetched() {
    let server = TestServer::start("").await;
    let mut running = server.create_stream(direct("while True: pass")).await;
    let created = running.until("interaction.created").await;
    running.until("step.stop").await;
    let id = created.data["interaction"]["id"].as_str().expect("it has one");

    let found = server.get(&format!("/v1beta/interactions/{id}")).await.body;
    assert_eq!(found["status"], "in_progress");
    assert_eq!(found["steps"].as_array().map(Vec::len), Some(2), "input and call: {found}");
    assert!(found.get("usage").is_none());
}

#[tokio::test]
async fn signatures_are_stable_and_required_in_histories() {
    let scenario = r#"
scenarios:
  - name: all kinds
    script:
      - thought: Hm.
      - code: print(1)
      - function_call: { name: f, arguments: {} }
      - text: Done.
"#;
    let server = TestServer::start(scenario).await;
    let request = json!({"model": "m", "input": "?", "tools":
        [{"type": "code_execution"}, {"type": "function", "name": "f"}]});
    let made = server.create(request.clone()).await;
    let steps = made["steps"].as_array().expect("it has steps");
    let signatures: Vec<_> = steps.iter().map(|step| &step["signature"]).collect();
    assert!(signatures.iter().all(|signature| signature.is_string()), "{signatures:?}");
    assert_eq!(signatures.len(), 4, "thought, code, result, call: {made}");

    let id = made["id"].as_str().expect("it was stored");
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!(found["steps"].as_array().expect("it has steps")[1..], steps[..]);
    let mut streamed = Vec::new();
    for event in server.events(id, None).await {
        for place in ["step", "delta"] {
            let signature = event.data[place]["signature"].as_str().filter(|text| !text.is_empty());
            streamed.extend(signature.map(str::to_owned));
        }
    }
    assert_eq!(streamed.iter().collect::<Vec<_>>(), signatures);

    // All parts are sent back, then without the optional ones.
    let mut input = vec![json!({"type": "user_input", "content": "?"})];
    input.extend(steps.iter().cloned());
    input.push(json!({"type": "function_result", "call_id": steps[3]["id"], "result": "r"}));
    let send = |input: &[Value]| {
        let mut request = request.clone();
        (request["input"], request["store"]) = (input.to_vec().into(), false.into());
        request
    };
    assert_eq!(server.create(send(&input)).await["status"], "completed");
    for step in &mut input[1..4] {
        step.as_object_mut().expect("it is one").remove("signature");
    }
    assert_eq!(server.create(send(&input)).await["status"], "completed");
    input[4].as_object_mut().expect("it is one").remove("signature");
    let refused = server.post("/v1beta/interactions", &send(&input)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("Invalid value for 'input[4]'"), "{}", refused.body);
}
