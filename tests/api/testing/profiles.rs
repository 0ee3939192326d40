//! The profiles of docker-compose.yml, as far as they can be checked without a container engine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use harness::{Program, direct};

fn file(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn compose() -> Value {
    let text = std::fs::read_to_string(file("docker-compose.yml")).expect("it is there");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

#[test]
fn only_the_server_can_reach_models_and_search_engines() {
    let compose = compose();
    let mut seen = Vec::new();
    for (name, service) in compose["services"].as_object().expect("there are services") {
        let Some(profile) = service["profiles"][0].as_str() else { continue };
        assert_eq!(service.get("ports"), None, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        let networks = match name.as_str() {
            "ollama-pull" => Value::Null, // it has no clients
            "searxng" => json!(["search"]),
            _ => json!(["models"]),
        };
        assert_eq!(service["networks"], networks, "{name}");
        seen.push(profile.to_owned());
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(compose["networks"]["models"], json!({"internal": true}));
    assert_eq!(compose["services"]["server"]["networks"], json!(["default", "models", "search"]));
    assert_eq!(compose["services"]["sandbox"]["network_mode"], "none");
}

#[tokio::test]
async fn profile_settings_name_their_model_and_are_valid() {
    let compose = compose();
    for (settings, service) in
        [("deploy/ollama.toml", "ollama"), ("deploy/llama.cpp.toml", "llama-cpp")]
    {
        let path = file(settings);
        let text = std::fs::read_to_string(&path).expect("it is there");
        let table: toml::Table = text.parse().expect("it is TOML");
        let url = table["model"][1]["base_url"].as_str().expect("its second model is that one");
        assert!(url.starts_with(&format!("http://{service}:")), "{settings}: {url}");
        assert!(!compose["services"][service].is_null(), "{service}");

        let data = tempfile::tempdir().expect("the temporary folder can be created");
        let path = path.to_str().expect("the repository's path is text");
        let server = Program::start(data.path(), &["--config", path]);
        let answer = server.create(direct("print(6 * 7)")).await;
        assert_eq!(answer["steps"][1]["result"], "42\n", "{settings}: {answer}");
    }
}
