//! Requests that are refused, and the texts of the errors.

use serde_json::json;

use harness::{Reply, TestServer, direct};

const INTERACTIONS: &str = "/v1beta/interactions";

/// [K13]
#[tokio::test]
async fn an_invalid_request_is_refused_before_any_work_begins() {
    let server = TestServer::start("").await;
    for (change, wanted) in [
        (json!({"model": null}), "Missing required parameter 'model'."),
        (json!({"input": null}), "Missing input."),
        (json!({"input": ""}), "Request has empty input."),
        (json!({"temperature": 1}), "Unknown parameter 'temperature'."),
        (
            json!({"background": true, "store": false}),
            "'background' needs 'store', and 'store' is false.",
        ),
        (
            json!({"agent": "deep-research"}),
            "Agents are not supported by this server. Use 'model'. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"environment": "remote"}),
            "Environments are not supported by this server. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"environment": {"type": "remote", "sources": []}}),
            "Environments are not supported by this server. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"agent_config": {"type": "dynamic"}}),
            "Agents are not supported by this server. Use 'model'. See docs/src/reference/compatibility.md.",
        ),
        (json!({"labels": {"a": "b"}}), "'labels' is not supported by the Gemini API."),
        (
            json!({"safety_settings": [{"type": "jailbreak", "threshold": "off"}]}),
            "'safety_settings' is not supported by the Gemini API.",
        ),
        (
            json!({"cached_content": "cachedContents/x"}),
            "'cached_content' is not supported by the Interactions API.",
        ),
        (
            json!({"webhook_config": {"uris": ["https://example.org"]}, "background": true}),
            "Webhooks are not supported by this server. Poll with GET. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"continuation_token": "t", "input": null}),
            "Continuation tokens are not supported by this server. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"response_mime_type": "application/json"}),
            "The legacy Interactions API schema is no longer supported: 'response_mime_type' has \
             become part of 'response_format'.",
        ),
        (
            json!({"outputs": [{"type": "text", "text": "a"}]}),
            "The legacy Interactions API schema is no longer supported: 'outputs' have become 'steps'.",
        ),
        (
            json!({"response_modalities": ["TEXT"]}),
            "Invalid value for 'response_modalities[0]': 'TEXT' is not one of text, image, audio, video, \
             document.",
        ),
        (
            json!({"service_tier": "gold"}),
            "Invalid value for 'service_tier': 'gold' is not one of flex, standard, priority, deferred.",
        ),
        (
            json!({"response_format": {"type": "image", "size": "1K"}}),
            "Unknown parameter 'response_format.size'.",
        ),
        (
            json!({"input": [{"text": "?"}, {"type": "function_call", "id": "f", "name": "f"},
                             {"type": "function_result", "call_id": "f", "result": "r"}]}),
            "Invalid value for 'input[1]': a function call must be sent back with its original \
             'signature', which is base64; send the model's steps unchanged.",
        ),
        (
            json!({"tools": [{"type": "retrieval"}]}),
            "Invalid value for 'tools[0]': the tool 'retrieval' is not supported by this server. See docs/src/reference/compatibility.md.",
        ),
        (
            json!({"generation_config": {"temperature": "hot"}}),
            "Invalid type for 'generation_config.temperature': expected a number, got a string.",
        ),
        (
            json!({"input": [{"type": "document", "uri": "gs://b/f.csv"}]}),
            "A file at 'gs://b/f.csv' cannot be fetched by this server. Upload it, or send it inline, as base64 'data'.",
        ),
    ] {
        let mut request = direct("print(1)");
        for (name, value) in change.as_object().expect("it is one") {
            request[name] = value.clone();
        }
        let reply = server.post(INTERACTIONS, &request).await;
        let wanted = json!({"error": {"message": wanted, "code": "invalid_request"}});
        assert_eq!((reply.status, &reply.body), (400, &wanted));
        assert_eq!(reply.headers["content-type"], "application/json; charset=UTF-8");

        request["stream"] = true.into();
        let reply = server.post(INTERACTIONS, &request).await;
        assert_eq!((reply.status, &reply.body), (400, &wanted), "no stream has begun");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_any_content_type() {
    let server = TestServer::start("").await;
    for body in ["", "{", "nonsense", "[]", "\u{0}"] {
        let reply = Reply::to(server.request("POST", INTERACTIONS).body(body)).await;
        assert_eq!(reply.status, 400, "{body:?}");
        assert_eq!(reply.body["error"]["code"], "invalid_request");
    }
    let right = direct("print(1)").to_string();
    let request = server.request("POST", INTERACTIONS).header("content-type", "text/plain");
    assert_eq!(Reply::to(request.body(right)).await.status, 200);
}

#[tokio::test]
async fn each_api_has_its_own_envelope() {
    let server = TestServer::start("").await;
    for (method, path, status, code) in [
        ("GET", "/v1/interactions/not-an-id", 400, json!("invalid_request")),
        ("GET", "/v1/interactions/v1_gone", 404, json!("not_found")),
        ("DELETE", "/v1/interactions/v1_gone", 404, json!("not_found")),
        ("GET", "/v1/interactions", 405, json!("method_not_allowed")),
        ("PUT", "/v1/interactions/v1_gone", 405, json!("method_not_allowed")),
        ("GET", "/v1beta/environments", 404, json!("not_found")),
        ("GET", "/v1beta/environments/e/files", 404, json!("not_found")),
        ("POST", "/v2/interactions", 404, json!("not_found")),
        ("GET", "/v1/interactions/v1_gone/a/b", 404, json!("not_found")),
        ("POST", "/v1/models/direct/unknown", 405, json!(405)),
        ("GET", "/v1/interactions/v1_gone?colour=red", 400, json!("invalid_request")),
        ("GET", "/v1/interactions/v1_gone?stream=perhaps", 400, json!("invalid_request")),
        ("GET", "/v1beta/corpora", 404, json!(404)),
        ("GET", "/nowhere", 404, json!(404)),
        ("PUT", "/", 405, json!(405)),
        ("POST", "/healthz/", 405, json!(405)),
    ] {
        let reply = Reply::to(server.request(method, path)).await;
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (status, &code),
            "{method} {path}"
        );
        assert_ne!(reply.message(), "", "{method} {path}");
        assert!(reply.headers.contains_key("x-request-id"));
    }
    let reply = server.get("/v1/interactions/not-an-id").await;
    assert_eq!(reply.message(), "Invalid interaction name: interactions/not-an-id");
    let reply = server.get("/v1beta/corpora").await;
    assert_eq!(reply.body["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn a_request_without_a_matching_scenario_is_refused_whole_and_streamed() {
    let server = TestServer::start("").await;
    let mut request = direct("print(1)");
    request["model"] = "gemini-3-flash-preview".into();
    for stream in [false, true] {
        request["stream"] = stream.into();
        let reply = server.post(INTERACTIONS, &request).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.body["error"]["code"], "invalid_request");
    }
}

/// The first turn is valid; the second uses an undefined name.
const BREAKS_OFF: &str = r#"
scenarios:
  - name: breaks off
    script:
      - code: print(1)
      - text: "{{ undefined }}"
"#;

#[tokio::test]
async fn an_interrupted_interaction_is_failed_and_keeps_its_steps() {
    let server = TestServer::start(BREAKS_OFF).await;
    let mut request = direct("?");
    request["model"] = "m".into();
    let answer = server.create(request).await;
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["errors"][0]["code"], "invalid_request");
    let message = answer["errors"][0]["message"].as_str().expect("it is a text");
    assert!(message.contains("breaks off"), "{message}");
    assert_eq!(answer["steps"][1]["result"], "1\n");

    let id = answer["id"].as_str().expect("it was stored");
    let found = server.get(&format!("/v1/interactions/{id}")).await.body;
    assert_eq!((&found["status"], &found["errors"]), (&answer["status"], &answer["errors"]));
}

#[tokio::test]
async fn an_interrupted_stream_ends_with_an_error_and_without_done() {
    let server = TestServer::start(BREAKS_OFF).await;
    let mut request = direct("?");
    request["model"] = "m".into();
    let events = server.create_stream(request).await.rest().await;
    let last = events.last().expect("there are events");
    assert_eq!(last.name, "error");
    assert_eq!(last.data["error"]["code"], "invalid_request");
    assert_eq!(last.data["event_type"], "error");
}
