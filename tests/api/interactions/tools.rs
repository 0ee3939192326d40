//! Google's tools beside code and web search: declared, scripted, and read from the web.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::fake::{Fake, stream_of, text};
use crate::gemini::{self, Execution};
use harness::TestServer;

const SCENARIO: &str = r#"
scenarios:
  - name: plants
    when: { input: { contains: plants } }
    script:
      - text: "I look. "
      - url_context:
          urls: ["https://a.org/", "https://b.org/"]
          results:
            - { url: "https://a.org/", title: Moss, text: Moss is green. }
            - { url: "https://b.org/", status: paywall }
      - code: print(6 * 7)
      - text: "Moss is green [1], {{ stdout | trim }} mm high."
  - name: places
    when: { input: { contains: places } }
    script:
      - google_maps:
          queries: ["café"]
          places:
            - name: Café A
              place_id: places/abc
              url: "https://maps.example/?cid=1"
              review_snippets: [{ title: Good, url: "https://maps.example/r", review_id: r }]
          widget_context_token: "widget"
      - text: "Go to Café A [1]."
  - name: documents
    when: { input: { contains: documents } }
    script:
      - file_search:
          query: height
          results:
            - title: a.txt
              text: Moss is 3 mm high.
              file_search_store: fileSearchStores/s
              document_uri: fileSearchStores/s/documents/a
      - text: "It is 3 mm high [1]."
  - name: weather
    when: { input: { contains: weather } }
    script:
      - mcp_server:
          server: m
          name: get_weather
          arguments: { city: Ulm }
          result: [{ type: text, text: 12 C }]
      - text: "It is 12 C."
  - name: deferred
    when: { input: { contains: deferred } }
    script:
      - tool_search: { function_names: [get_weather] }
      - function_call: { name: get_weather, arguments: { city: Ulm } }
      - text: "It is {{ function_result.temperature }} C."
  - name: computer
    when: { input: { contains: computer } }
    script:
      - function_call: { name: click_at, arguments: { x: 1, y: 2 } }
      - text: "Clicked."
  - name: glance
    when: { input: { contains: glance } }
    script:
      - url_context: { urls: ["https://b.org/"], results: [{ url: "https://b.org/", status: paywall }] }
      - text: "It has to be paid for."
  - name: read
    when: { input: { contains: "http" } }
    script:
      - url_context: { urls: ["{{ input | regex_find('http\\S+') }}"] }
      - text: "It says so [1]."
"#;

fn ask(input: &str, tools: Value) -> Value {
    json!({"model": "m", "input": input, "tools": tools})
}

fn stores() -> Value {
    json!({"type": "file_search", "file_search_store_names": ["fileSearchStores/s"]})
}

fn mcp() -> Value {
    json!({"type": "mcp_server", "name": "m", "url": "https://mcp.example/mcp",
           "headers": {"authorization": "Bearer secret"}})
}

async fn scripted() -> TestServer {
    TestServer::builder().scenarios(SCENARIO).start().await
}

fn types(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().expect("it has steps");
    steps.iter().map(|step| step["type"].as_str().expect("each has a type")).collect()
}

/// The steps of a stream, joined as the SDKs' users join them.
async fn streamed(server: &TestServer, request: Value) -> Vec<Value> {
    let events = server.create_stream(request).await.rest().await;
    let mut steps: Vec<Value> = Vec::new();
    for event in &events {
        match event.name.as_str() {
            "step.start" => steps.push(event.data["step"].clone()),
            "step.delta" => {
                let delta = event.data["delta"].as_object().expect("it is one");
                let step = steps.last_mut().expect("a step has started");
                if step["type"] == delta["type"] {
                    for (name, value) in delta {
                        step[name] = value.clone();
                    }
                }
            }
            _ => {}
        }
    }
    steps
}

/// Without ids and signatures, which differ each time.
fn essence(step: &Value) -> Value {
    let fields = step.as_object().expect("it is one").iter();
    let fields = fields.filter(|(name, _)| !["id", "call_id", "signature"].contains(&&***name));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[tokio::test]
async fn a_scenario_reads_pages() {
    let server = scripted().await;
    let tools = json!([{"type": "url_context"}, {"type": "code_execution"}]);
    let answer = server.create(ask("plants", tools.clone())).await;
    let wanted = [
        "model_output",
        "url_context_call",
        "url_context_result",
        "code_execution_call",
        "code_execution_result",
        "model_output",
    ];
    assert_eq!(types(&answer), wanted);
    let (call, result) = (&answer["steps"][1], &answer["steps"][2]);
    assert_eq!(call["id"].as_str().map(str::len), Some(8));
    assert_eq!(call["id"], result["call_id"]);
    assert_eq!(call["arguments"], json!({"urls": ["https://a.org/", "https://b.org/"]}));
    assert_eq!(result["is_error"], false);
    assert_eq!(
        result["result"],
        json!([
            {"url": "https://a.org/", "status": "success", "title": "Moss", "text": "Moss is green."},
            {"url": "https://b.org/", "status": "paywall"},
        ])
    );
    let citations = &answer["steps"][5]["content"][0]["annotations"];
    assert_eq!(
        *citations,
        json!([{"type": "url_citation", "url": "https://a.org/", "title": "Moss",
                "start_index": 0, "end_index": 13}])
    );
    assert!(answer["usage"]["total_tool_use_tokens"].as_u64() > Some(0), "the pages count");

    let steps = streamed(&server, ask("plants", tools.clone())).await;
    assert_eq!(essence(&steps[1]), essence(call));
    assert_eq!(essence(&steps[2]), essence(result));

    // The steps come back in both ways.
    let mut next = ask("plants", tools.clone());
    next["previous_interaction_id"] = answer["id"].clone();
    server.create(next).await;
    let mut input = answer["steps"].as_array().expect("it has steps").clone();
    input.insert(0, json!({"type": "user_input", "content": "plants"}));
    input.push(json!({"type": "user_input", "content": "plants"}));
    let next = json!({"model": "m", "input": input, "tools": tools, "store": false});
    assert_eq!(types(&server.create(next).await), wanted);
}

#[tokio::test]
async fn the_other_tools_have_their_steps() {
    let server = scripted().await;
    for (input, tool, call, result, citation) in [
        (
            "places",
            json!({"type": "google_maps", "latitude": 48.4, "longitude": 10.0}),
            json!({"type": "google_maps_call", "arguments": {"queries": ["café"]}}),
            json!({"type": "google_maps_result", "result": [{
                "places": [{
                    "name": "Café A", "place_id": "places/abc", "url": "https://maps.example/?cid=1",
                    "review_snippets": [
                        {"title": "Good", "url": "https://maps.example/r", "review_id": "r"}],
                }],
                "widget_context_token": "widget",
            }]}),
            Some(json!({"type": "place_citation", "name": "Café A", "place_id": "places/abc",
                   "url": "https://maps.example/?cid=1", "start_index": 0, "end_index": 13})),
        ),
        (
            "documents",
            stores(),
            json!({"type": "file_search_call"}),
            json!({"type": "file_search_result", "result": [{
                "title": "a.txt", "text": "Moss is 3 mm high.",
                "file_search_store": "fileSearchStores/s",
                "document_uri": "fileSearchStores/s/documents/a",
            }]}),
            Some(json!({"type": "file_citation", "file_name": "a.txt",
                   "document_uri": "fileSearchStores/s/documents/a",
                   "start_index": 0, "end_index": 15})),
        ),
        (
            "weather",
            mcp(),
            json!({"type": "mcp_server_tool_call", "name": "get_weather", "server_name": "m",
                   "arguments": {"city": "Ulm"}}),
            json!({"type": "mcp_server_tool_result", "name": "get_weather", "server_name": "m",
                   "result": [{"type": "text", "text": "12 C"}]}),
            None,
        ),
    ] {
        let answer = server.create(ask(input, json!([tool]))).await;
        assert_eq!(answer["status"], "completed", "{answer}");
        assert_eq!(essence(&answer["steps"][0]), call);
        assert_eq!(essence(&answer["steps"][1]), result);
        assert_eq!(answer["steps"][0]["id"], answer["steps"][1]["call_id"]);
        let annotation = answer["steps"][2]["content"][0]["annotations"].get(0).cloned();
        assert_eq!(annotation, citation);
        let steps = streamed(&server, ask(input, json!([tool]))).await;
        assert_eq!((essence(&steps[0]), essence(&steps[1])), (call, result));
    }
}

#[tokio::test]
async fn a_tool_search_returns_the_declarations_of_functions() {
    let server = scripted().await;
    let function = json!({"type": "function", "name": "get_weather", "description": "d",
                          "parameters": {"type": "object"}, "defer_loading": true});
    let tools = json!([{"type": "tool_search"}, function]);
    let answer = server.create(ask("deferred", tools.clone())).await;
    assert_eq!(answer["status"], "requires_action");
    assert_eq!(types(&answer), ["tool_search_call", "tool_search_result", "function_call"]);
    assert_eq!(answer["steps"][0]["arguments"], json!({"function_names": ["get_weather"]}));
    assert_eq!(
        answer["steps"][1]["result"],
        json!([{"type": "function", "name": "get_weather", "description": "d",
                "parameters": {"type": "object"}}])
    );
    let result = json!({"type": "function_result", "call_id": answer["steps"][2]["id"],
                        "name": "get_weather", "result": {"temperature": 12}});
    let next = json!({"model": "m", "input": [result], "tools": tools,
                      "previous_interaction_id": answer["id"]});
    let answer = server.create(next).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "It is 12 C.");
}

#[tokio::test]
async fn functions_of_a_computer_need_no_declaration() {
    let server = scripted().await;
    let tools = json!([{"type": "computer_use", "environment": "browser"}]);
    let answer = server.create(ask("computer", tools)).await;
    assert_eq!(answer["status"], "requires_action");
    assert_eq!(answer["steps"][0]["name"], "click_at");
    let tools = json!([{"type": "computer_use", "excluded_predefined_functions": ["click_at"]}]);
    let refused = server.post("/v1beta/interactions", &ask("computer", tools)).await;
    assert_eq!(refused.status, 400);

    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "computer"}]}],
        "tools": [{"computerUse": {"environment": "ENVIRONMENT_BROWSER"}}],
    });
    let path = "/v1beta/models/m:generateContent";
    let reply = server.post(path, &request).await;
    let call = &reply.body["candidates"][0]["content"]["parts"][0];
    assert_eq!(call["functionCall"]["name"], "click_at");
    // A picture of the screen is part of the response.
    let mut next = request.clone();
    next["contents"] = json!([
        request["contents"][0],
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": {
            "name": "click_at", "id": call["functionCall"]["id"], "response": {"url": "http://h/"},
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}}]},
    ]);
    let reply = server.post(path, &next).await;
    assert_eq!(reply.body["candidates"][0]["content"]["parts"][0]["text"], "Clicked.");
}

#[tokio::test]
async fn a_tool_that_was_not_offered_is_not_used() {
    let server = scripted().await;
    for (input, tool) in
        [("plants", "url_context"), ("places", "google_maps"), ("weather", "mcp_server")]
    {
        let refused = server.post("/v1beta/interactions", &ask(input, json!([]))).await;
        let why = refused.body["error"]["message"].as_str().expect("it has one").to_owned();
        assert!(why.contains(&format!("must offer the tool `{tool}`")), "{why}");
    }
}

#[tokio::test]
async fn generate_content_has_the_metadata_of_tools() {
    let server = scripted().await;
    let request = |input: &str, tools: Value, flag: bool| {
        json!({
            "contents": [{"role": "user", "parts": [{"text": input}]}],
            "tools": tools,
            "toolConfig": {"includeServerSideToolInvocations": flag},
        })
    };
    let path = "/v1beta/models/m:generateContent";
    let pages = json!([{"urlContext": {}}, {"codeExecution": {}}]);
    let reply = server.post(path, &request("plants", pages.clone(), false)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let candidate = &reply.body["candidates"][0];
    let metadata = json!({"urlMetadata": [
        {"retrievedUrl": "https://a.org/", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
        {"retrievedUrl": "https://b.org/", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_PAYWALL"},
    ]});
    assert_eq!(candidate["urlContextMetadata"], metadata);
    let grounding = &candidate["groundingMetadata"];
    assert_eq!(
        grounding["groundingChunks"],
        json!([{"web": {"uri": "https://a.org/", "title": "Moss"}}])
    );
    let support = &grounding["groundingSupports"][0];
    assert_eq!(support["segment"]["text"], "Moss is green");
    let part = support["segment"]["partIndex"].as_u64().expect("it is not the first") as usize;
    let text = candidate["content"]["parts"][part]["text"].as_str().expect("it is a text");
    assert!(text.starts_with("Moss is green"), "{text}");
    let parts = candidate["content"]["parts"].as_array().expect("it has parts");
    assert!(
        parts.iter().all(|part| part.get("toolCall").is_none()),
        "the client did not ask for them"
    );

    // With the flag, and back in the history.
    let asked = request("plants", pages.clone(), true);
    let shown = server.post(path, &asked).await;
    let content = &shown.body["candidates"][0]["content"];
    let (call, response) = (&content["parts"][1], &content["parts"][2]);
    assert_eq!(call["toolCall"]["toolType"], "URL_CONTEXT");
    assert_eq!(call["toolCall"]["args"], json!({"urls": ["https://a.org/", "https://b.org/"]}));
    assert!(call["thoughtSignature"].is_string());
    assert_eq!(response["toolResponse"]["id"], call["toolCall"]["id"]);
    assert_eq!(
        response["toolResponse"]["response"]["url_metadata"][1],
        json!({"retrieved_url": "https://b.org/",
               "url_retrieval_status": "URL_RETRIEVAL_STATUS_PAYWALL"})
    );
    let mut next = asked.clone();
    let again = asked["contents"][0].clone();
    next["contents"] = json!([again, content, again]);
    assert_eq!(server.post(path, &next).await.status, 200);

    // A stream tells what was read before it ends, and once.
    let path = "/v1beta/models/m:streamGenerateContent";
    let pieces = server.post(path, &request("plants", pages, false)).await.body;
    let pieces = pieces.as_array().expect("it is a list").clone();
    let told: Vec<usize> = (0..pieces.len())
        .filter(|at| pieces[*at]["candidates"][0].get("urlContextMetadata").is_some())
        .collect();
    assert_eq!(told.len(), 1);
    assert!(told[0] < pieces.len() - 1, "it comes early");
    let last = &pieces[pieces.len() - 1]["candidates"][0];
    assert_eq!(last["groundingMetadata"], *grounding);
}

#[tokio::test]
async fn places_and_excerpts_are_grounding_chunks() {
    let server = scripted().await;
    for (input, tool, chunk) in [
        (
            "places",
            json!({"googleMaps": {"enableWidget": true}}),
            json!({"maps": {"placeId": "places/abc", "title": "Café A",
                            "uri": "https://maps.example/?cid=1"}}),
        ),
        (
            "documents",
            json!({"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/s"]}}),
            json!({"retrievedContext": {"title": "a.txt", "text": "Moss is 3 mm high.",
                                        "fileSearchStore": "fileSearchStores/s"}}),
        ),
    ] {
        let request = json!({
            "contents": [{"role": "user", "parts": [{"text": input}]}], "tools": [tool],
        });
        let reply = server.post("/v1beta/models/m:generateContent", &request).await;
        let metadata = &reply.body["candidates"][0]["groundingMetadata"];
        assert_eq!(metadata["groundingChunks"], json!([chunk]), "{}", reply.body);
        assert_eq!(metadata["groundingSupports"][0]["groundingChunkIndices"], json!([0]));
        let is_map = input == "places";
        assert_eq!(metadata.get("googleMapsWidgetContextToken").is_some(), is_map);
    }
}

/// A server of pages on loopback.
async fn pages() -> (String, AbortOnDropHandle<()>) {
    let html = "<title>Moss</title><body><p>Moss is green.</p><script>no()</script>";
    let router = Router::new()
        .route("/in/moss.html", get(move || async move { ([(CONTENT_TYPE, "text/html")], html) }))
        .route("/in/paid", get(|| async { StatusCode::PAYMENT_REQUIRED }))
        .route("/in/picture", get(|| async { ([(CONTENT_TYPE, "image/png")], "png") }))
        .route("/out/moss.html", get(move || async move { html }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let serving = tokio::spawn(async move {
        axum::serve(listener, router).await.expect("it serves");
    });
    (url, AbortOnDropHandle::new(serving))
}

#[tokio::test]
async fn allowed_pages_are_really_read() {
    let (url, _serving) = pages().await;
    let server =
        TestServer::builder().scenarios(SCENARIO).fetch_from(&format!("{url}/in/")).start().await;
    let tools = json!([{"type": "url_context"}]);
    let read = |place: &str| server.create(ask(&format!("{url}{place}"), tools.clone()));
    let answer = read("/in/moss.html").await;
    let page = format!("{url}/in/moss.html");
    assert_eq!(
        answer["steps"][1]["result"],
        json!([{"url": page, "status": "success", "title": "Moss", "text": "Moss is green."}])
    );
    assert_eq!(answer["steps"][2]["content"][0]["annotations"][0]["url"], page);
    for (place, status) in [
        ("/in/paid", "paywall"),
        ("/in/picture", "error"),
        ("/in/none", "error"),
        ("/out/moss.html", "error"),
        ("/in/..%2Fout/moss.html", "error"),
    ] {
        let answer = read(place).await;
        let result = &answer["steps"][1];
        assert_eq!(result["result"], json!([{"url": format!("{url}{place}"), "status": status}]));
        assert_eq!(result["is_error"], true);
        assert_eq!(answer["status"], "completed");
    }
}

#[tokio::test]
async fn a_model_reads_pages_and_cites_them() {
    let (url, _serving) = pages().await;
    let page = format!("{url}/in/moss.html");
    let arguments = json!({"urls": [page, "http://elsewhere.example/"]}).to_string();
    let call = json!({"tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "url_context", "arguments": arguments}}]});
    let fake = Fake::start([stream_of([call]), text("Moss is green [1].")]).await;
    let server = TestServer::builder()
        .model("m*", fake.model())
        .fetch_from(&format!("{url}/in/"))
        .start()
        .await;
    let answer = server.create(ask("What is moss?", json!([{"type": "url_context"}]))).await;
    assert_eq!(types(&answer), ["url_context_call", "url_context_result", "model_output"]);
    assert_eq!(answer["steps"][2]["content"][0]["annotations"][0]["url"], page);
    let asked = fake.asked();
    assert_eq!(asked[0]["tools"][0]["function"]["name"], "url_context");
    let messages = &asked[1]["messages"];
    assert_eq!(messages[2]["tool_calls"][0]["function"]["name"], "url_context");
    let given = messages[3]["content"].as_str().expect("it is text");
    assert!(given.starts_with(&format!("[1] Moss\n{page}\nMoss is green.")), "{given}");
    assert!(given.ends_with("http://elsewhere.example/ could not be read."), "{given}");
}

#[tokio::test]
async fn an_upstream_gets_the_declarations_and_its_steps_are_passed_through() {
    let upstream = scripted().await;
    for execution in [Execution::Sandbox, Execution::Upstream] {
        let model = gemini::behind(upstream.url(), execution, None);
        let server = TestServer::builder().model("m*", model).start().await;
        let answer = server.create(ask("glance", json!([{"type": "url_context"}]))).await;
        let call = json!({"type": "url_context_call", "arguments": {"urls": ["https://b.org/"]}});
        assert_eq!(essence(&answer["steps"][0]), call, "{answer}");
        assert_eq!(answer["steps"][1]["result"][0]["status"], "paywall");

        let request = json!({
            "contents": [{"role": "user", "parts": [{"text": "places"}]}],
            "tools": [{"googleMaps": {}}],
        });
        let reply = server.post("/v1beta/models/m:generateContent", &request).await;
        let metadata = &reply.body["candidates"][0]["groundingMetadata"];
        assert_eq!(metadata["webSearchQueries"], json!(["café"]), "{}", reply.body);
    }
    let answer = gemini::stream_of([gemini::text("Hm.")], "completed", json!({}));
    let fake = Fake::start([answer]).await;
    let model = fake.gemini(Execution::Sandbox);
    let server = TestServer::builder().model("m*", model).start().await;
    let tools = json!([{"type": "url_context"}, {"type": "google_maps", "latitude": 1.5}, mcp(),
                       {"type": "computer_use", "environment": "browser"}]);
    server.create(ask("hello", tools.clone())).await;
    assert_eq!(fake.asked()[0]["tools"], tools);
}
