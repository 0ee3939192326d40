//! Which setting wins, and what is refused.

use std::io::Write as _;

use secrecy::ExposeSecret;

use super::*;

fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let arguments = ["belljar", "serve"].iter().chain(arguments).map(OsString::from);
    Config::read(arguments, |name| {
        let surely = [("HOME", "/home/somebody"), ("BELLJAR_LIBRARIES", "/libraries")];
        variables.iter().chain(&surely).find(|(known, _)| *known == name).map(|(_, v)| (*v).into())
    })
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn without_a_word_it_serves_this_machine_alone() {
    let config = read(&[], &[]).expect("there is nothing wrong");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Path::new("/home/somebody/.local/share/belljar"));
    assert!(config.api_keys.is_empty());
    assert_eq!(config.limits, Limits { regenerations: 5, model_turns: 20 });
    assert_eq!(config.request_bytes, 100 << 20);
    let rules: Vec<_> = config.models.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["direct", "*"]);
    let SandboxConfig::Warden { program, run, .. } = config.sandbox else {
        panic!("it must start a warden of its own");
    };
    assert!(program.ends_with("belljar-warden"));
    assert_eq!(run, Duration::from_secs(30));
}

#[test]
fn a_flag_comes_before_a_variable_and_that_before_the_file() {
    let file = file("model_turns = 1\nregenerations = 1\nrun_seconds = 0.5\n");
    let path = file.path().to_str().expect("it is text");
    let variables =
        [("BELLJAR_CONFIG", path), ("BELLJAR_MODEL_TURNS", "2"), ("BELLJAR_REGENERATIONS", "2")];
    let config = read(&["--model-turns", "3"], &variables).expect("there is nothing wrong");
    assert_eq!(config.limits, Limits { regenerations: 2, model_turns: 3 });
    let SandboxConfig::Warden { run, .. } = config.sandbox else { panic!("there is no socket") };
    assert_eq!(run, Duration::from_millis(500));
}

#[test]
fn other_machines_are_let_in_with_keys_or_when_somebody_says_so() {
    let everywhere = ["--listen", "0.0.0.0:0"];
    assert!(matches!(read(&everywhere, &[]), Err(ConfigError::Open(_))));
    assert!(matches!(read(&everywhere, &[("BELLJAR_API_KEYS", " ,")]), Err(ConfigError::Open(_))));
    let config = read(&everywhere, &[("BELLJAR_API_KEYS", "a, b")]).expect("it has keys");
    let keys: Vec<_> = config.api_keys.iter().map(|key| key.expose_secret()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert!(read(&["--listen", "0.0.0.0:0", "--no-auth"], &[]).is_ok());
    assert!(read(&everywhere, &[("BELLJAR_NO_AUTH", "true")]).is_ok());
    let both = [("BELLJAR_NO_AUTH", "true"), ("BELLJAR_API_KEYS", "a")];
    assert_eq!(read(&everywhere, &both).expect("it has a key").api_keys.len(), 1);
}

#[test]
fn keys_are_in_no_error_and_no_debug_output() {
    let config = read(&[], &[("BELLJAR_API_KEYS", "geheim")]).expect("there is nothing wrong");
    assert!(!format!("{config:?}").contains("geheim"));
    for text in ["api_keys = [\"geheim\", 7]", "api_keys = \"geheim\""] {
        let file = file(text);
        let path = file.path().to_str().expect("it is text");
        let error = read(&["--config", path], &[]).expect_err("it was accepted").to_string();
        assert!(!error.contains("geheim"), "{error}");
        assert!(error.contains("line 1, column"), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (text, wanted) in [
        ("lisen = 1", "line 1, column 1: unknown field `lisen`"),
        ("run_seconds = 0", "it must lie between"),
        ("shutdown_grace = \"soon\"", "line 1, column 18"),
        (
            "[[model]]\nname = \"q*\"\nbackend = \"openai\"\nbase_url = \"u\"",
            "[[model]] q*: the backend openai is not built yet",
        ),
        ("[[model]]\nname = \"q*\"\nbackend = \"magic\"", "there is no backend magic"),
        ("[[model]]\nname = \"[\"\nbackend = \"direct\"", "[[model]] [: "),
    ] {
        let file = file(text);
        let path = file.path().to_str().expect("it is text");
        let error = read(&["--config", path], &[]).expect_err("it was accepted").to_string();
        assert!(error.contains(wanted), "{text} gave {error}");
    }
    let error = read(&[], &[("BELLJAR_LISTEN", "home")]).expect_err("it is no address");
    assert!(error.to_string().starts_with("BELLJAR_LISTEN=home does not read"), "{error}");
}
