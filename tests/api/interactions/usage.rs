//! Token counts: how they add up, by kind, by step and while the interaction runs. The first test
//! checks the numbers of docs/src/concepts/tokens.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use harness::{Event, TestServer, direct};

const EXAMPLE: &str = r#"
scenarios:
  - name: multiplication
    script:
      - thought: "I'll compute it."
      - code: print(6 * 7)
      - text: "It is 42."
"#;

/// The head of a PNG, which has its dimensions.
fn png(width: u32, height: u32) -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    STANDARD.encode(bytes)
}

fn picture() -> Value {
    json!({"type": "image", "mime_type": "image/png", "data": png(1000, 800)})
}

/// Forty letters and a picture of two by two tiles.
fn prompt() -> Value {
    let text = "What is six times seven, in this picture";
    assert_eq!(text.len(), 40);
    json!({
        "model": "m",
        "input": [{"type": "text", "text": text}, picture()],
        "tools": [{"type": "code_execution"}],
    })
}

fn total(usage: &Value, name: &str) -> u64 {
    usage[&format!("total_{name}tokens")].as_u64().unwrap_or_else(|| panic!("{name}: {usage}"))
}

fn example_usage() -> Value {
    let of = |modality: &str, tokens: u64| json!({"modality": modality, "tokens": tokens});
    json!({
        "total_tokens": 1056,
        "total_input_tokens": 1042,
        "input_tokens_by_modality": [of("text", 10), of("image", 1032)],
        "total_cached_tokens": 0,
        "total_output_tokens": 6,
        "output_tokens_by_modality": [of("text", 6)],
        "total_tool_use_tokens": 4,
        "tool_use_tokens_by_modality": [of("text", 4)],
        "total_thought_tokens": 4,
        "initial_input_tokens": 1042,
    })
}

#[tokio::test]
async fn the_example_in_the_documentation_has_its_numbers() {
    let server = TestServer::start(EXAMPLE).await;
    let answer = server.create(prompt()).await;
    assert_eq!(answer["usage"], example_usage());

    let events = server.create_stream(prompt()).await.rest().await;
    let stops: Vec<&Value> = of_name(&events, "step.stop").collect();
    let of_steps: Vec<u64> = stops.iter().map(|stop| total(&stop["step_usage"], "")).collect();
    assert_eq!(of_steps, [4, 3, 4, 3], "thought, code, its result, answer");
    let so_far: Vec<u64> = stops.iter().map(|stop| total(&stop["usage"], "")).collect();
    assert_eq!(so_far, [1046, 1049, 1053, 1056]);
    let completed = of_name(&events, "interaction.completed").next().expect("it ends");
    assert_eq!(completed["interaction"]["usage"], example_usage());
}

fn of_name<'a>(events: &'a [Event], name: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event.name == name).map(|event| &event.data)
}

#[tokio::test]
async fn running_counts_grow_to_the_final_counts() {
    let server = TestServer::start(EXAMPLE).await;
    let events = server.create_stream(prompt()).await.rest().await;
    let mut before = 0;
    for delta in of_name(&events, "step.delta") {
        let so_far = total(&delta["metadata"]["total_usage"], "");
        assert!(so_far >= before.max(1042), "{so_far} after {before}");
        before = so_far;
    }
    assert_eq!(before, 1056);
}

#[tokio::test]
async fn pictures_from_code_are_counted_in_every_later_turn() {
    let server = TestServer::start("").await;
    let draw = "from PIL import Image\nImage.new('RGB', (800, 10)).save('wide.png')";
    let code = format!("```python\n{draw}\n```\n```python\nprint(1)\n```");
    let usage = server.create(direct(&code)).await["usage"].clone();
    let images: Vec<&Value> = usage["tool_use_tokens_by_modality"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter(|entry| entry["modality"] == "image")
        .collect();
    // Two tiles, read after the first code and again after the second.
    assert_eq!(images, [&json!({"modality": "image", "tokens": 2 * 2 * 258})]);
}

#[tokio::test]
async fn a_file_counts_the_same_from_every_source() {
    let server = TestServer::start("").await;
    let pdf = b"%PDF-1.4 <</Type/Pages>> <</Type/Page>> <</Type /Page>>";
    let picture = STANDARD.decode(png(800, 10)).expect("it is base64");
    for (kind, mime_type, bytes, modality, tokens) in [
        ("image", "image/png", &picture[..], "image", 2 * 258),
        ("document", "application/pdf", pdf, "document", 2 * 258),
        ("document", "text/csv", b"a,b\n1,2\n", "text", 2),
        ("audio", "audio/wav", &[0; 16_001], "audio", 64),
    ] {
        let uploaded = server
            .request("POST", "/upload/v1beta/files")
            .header("x-goog-upload-protocol", "raw")
            .header("content-type", mime_type)
            .body(bytes.to_vec());
        let file = harness::Reply::to(uploaded).await.body["file"].clone();
        let mut counts = Vec::new();
        for source in [("data", json!(STANDARD.encode(bytes))), ("uri", file["uri"].clone())] {
            let mut request = direct("print(1)");
            let media = json!({"type": kind, "mime_type": mime_type, source.0: source.1});
            request["input"] = json!([{"type": "text", "text": "1"}, media]);
            let usage = server.create(request).await["usage"].clone();
            counts.push(usage["input_tokens_by_modality"].clone());
        }
        assert_eq!(counts[0], counts[1], "{mime_type}");
        let of = |modality: &str, tokens: u64| json!({"modality": modality, "tokens": tokens});
        let wanted = match modality {
            "text" => json!([of("text", 1 + tokens)]),
            _ => json!([of("text", 1), of(modality, tokens)]),
        };
        assert_eq!(counts[0], wanted, "{mime_type}");

        let part = json!({"fileData": {"fileUri": file["uri"], "mimeType": mime_type}});
        let request = json!({"contents": [{"parts": [{"text": "1"}, part]}]});
        let counted = server.post("/v1beta/models/direct:countTokens", &request).await.body;
        let sum = wanted.as_array().expect("it is a list").iter();
        let sum: u64 = sum.filter_map(|entry| entry["tokens"].as_u64()).sum();
        assert_eq!(counted["totalTokens"], sum, "{mime_type}");
        let details = counted["promptTokensDetails"].as_array().expect("it is a list");
        let last = details.last().expect("there is text");
        assert_eq!(last["modality"], modality.to_uppercase(), "{counted}");
    }
    let missing = json!({"contents": [{"parts": [{"fileData": {"fileUri": "files/none"}}]}]});
    let reply = server.post("/v1beta/models/direct:countTokens", &missing).await;
    assert_eq!(reply.status, 403, "{}", reply.body);
}

#[tokio::test]
async fn generate_content_has_the_same_counts_by_modality() {
    let server = TestServer::start(EXAMPLE).await;
    let text = prompt()["input"][0]["text"].clone();
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": png(1000, 800)}});
    let request = json!({
        "contents": [{"parts": [{"text": text}, inline]}],
        "tools": [{"codeExecution": {}}],
    });
    let path = "/v1beta/models/m:generateContent";
    let usage = server.post(path, &request).await.body["usageMetadata"].clone();
    let of = |modality: &str, count: u64| json!({"modality": modality, "tokenCount": count});
    let wanted = json!({
        "promptTokenCount": 1042,
        "candidatesTokenCount": 6,
        "totalTokenCount": 1056,
        "promptTokensDetails": [of("TEXT", 10), of("IMAGE", 1032)],
        "candidatesTokensDetails": [of("TEXT", 6)],
        "toolUsePromptTokenCount": 4,
        "toolUsePromptTokensDetails": [of("TEXT", 4)],
        "thoughtsTokenCount": 4,
        "serviceTier": "standard",
    });
    assert_eq!(usage, wanted);
}

#[tokio::test]
async fn the_service_tier_is_the_requested_one() {
    let server = TestServer::start(EXAMPLE).await;
    for tier in ["flex", "standard", "priority", "deferred"] {
        let mut request = prompt();
        request["service_tier"] = tier.into();
        let answer = server.create(request.clone()).await;
        assert_eq!(answer["service_tier"], tier);
        let path = format!("/v1/interactions/{}", answer["id"].as_str().expect("it was stored"));
        assert_eq!(server.get(&path).await.body["service_tier"], tier, "stored");
        let cancelled = server.post(&format!("{path}/cancel"), &json!({})).await;
        assert_eq!(cancelled.body["service_tier"], tier, "cancelled");

        let events = server.create_stream(request.clone()).await.rest().await;
        let completed = of_name(&events, "interaction.completed").next().expect("it ends");
        assert_eq!(completed["interaction"]["service_tier"], tier, "streamed");

        request["background"] = true.into();
        assert_eq!(server.create(request).await["service_tier"], tier, "in the background");
    }

    let asked = |tier: Value| {
        let contents = json!([{"parts": [{"text": "?"}]}]);
        let tools = json!([{"codeExecution": {}}]);
        json!({"contents": contents, "tools": tools, "serviceTier": tier})
    };
    for (asked_for, reported) in [
        (json!("flex"), "flex"),
        (json!("PRIORITY"), "priority"),
        (json!("SERVICE_TIER_STANDARD"), "standard"),
        (json!("unspecified"), "standard"),
        (json!(null), "standard"),
    ] {
        let reply = server.post("/v1beta/models/m:generateContent", &asked(asked_for)).await;
        assert_eq!(reply.body["usageMetadata"]["serviceTier"], reported);
    }
    let reply = server.post("/v1beta/models/m:generateContent", &asked(json!("gold"))).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
}
