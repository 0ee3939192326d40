//! Data that must not be in the log: keys, prompts, code, output, and the models' text.

use serde_json::{Value, json};

use harness::{Program, Reply};

const SCENARIOS: &str = r#"
scenarios:
  - name: form
    when: { input: { contains: form } }
    script: [text: '"SECRET-ANSWER"']
  - name: failure
    when: { input: { contains: failure } }
    script: [text: Well, fail: { status: 503, message: SECRET-FAILURE }]
  - name: code
    when: { input: { contains: code } }
    script: [thought: SECRET-THOUGHT, code: "print('SECRET' + '-OUTPUT')", text: SECRET-TEXT]
  - name: search
    when: { input: { contains: search } }
    script: [search: { queries: [SECRET-QUERY] }, text: found]
"#;

#[tokio::test]
async fn the_log_contains_no_text_of_clients_or_models() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).to_str().expect("it is text").to_owned();
    std::fs::create_dir(at("scenarios")).expect("the folder is the test's");
    std::fs::write(at("scenarios/a.yaml"), SCENARIOS).expect("the folder is the test's");
    std::fs::write(at("config.toml"), "api_keys = [\"SECRET-KEY\"]").expect("the same");
    let (scenarios, record, config) = (text("scenarios"), text("record"), text("config.toml"));
    // No server listens there.
    let arguments = [
        "--scenarios",
        &scenarios,
        "--record",
        &record,
        "--config",
        &config,
        "--search",
        "http://127.0.0.1:9/",
    ];
    for level in ["info", "debug"] {
        let server = Program::start_with_log(&at("data"), &arguments, &at("log"), level);
        let send = async |path: &str, body: Value| {
            let request = server.request("POST", path).header("x-goog-api-key", "SECRET-KEY");
            Reply::to(request.json(&body)).await
        };
        let ask = |input: &str| {
            json!({"model": "m", "input": format!("SECRET-PROMPT {input}"),
                   "system_instruction": "SECRET-INSTRUCTION",
                   "tools": [{"type": "code_execution"}, {"type": "google_search"}]})
        };
        let mut form = ask("form");
        form["response_format"] = json!({"type": "text", "mime_type": "application/json",
            "schema": {"type": "integer", "title": "SECRET-SCHEMA"}});
        let mut broken = form.clone();
        broken["response_format"]["schema"] = json!({"type": "SECRET-TYPE"});
        let mut file = ask("code");
        file["input"] = json!([{"type": "text", "text": "SECRET-PROMPT code"},
            {"type": "document", "data": "U0VDUkVULUZJTEU=", "mime_type": "text/plain"}]);
        for body in [form, broken, file, ask("failure"), ask("code"), ask("search"), ask("nothing")]
        {
            send("/v1beta/interactions", body).await;
        }
        send(
            "/x/execute",
            json!({"code": "raise ValueError('SECRET' + '-ERROR') # SECRET-CODE",
            "files": [{"name": "SECRET-NAME.txt", "data": "aGk="}]}),
        )
        .await;
        server.get("/v1beta/models?key=SECRET-WRONG").await;
        server.kill();
        let log = std::fs::read_to_string(at("log")).expect("it is there");
        let found: Vec<&str> =
            log.lines().filter(|line| line.to_lowercase().contains("secret")).collect();
        assert!(found.is_empty(), "{level}: {found:#?}");
        assert!(!log.is_empty());
    }
    let recorded = std::fs::read_dir(&record).expect("it records").flatten().count();
    assert!(recorded > 0, "nothing was recorded, so nothing was logged of it");
}
