//! Google's own SDKs, Python and JavaScript, and other people's clients, against the server as a user
//! starts it. The programs are beside this file and in `tests/clients`; the `run` of each installs what
//! it needs and works against any server.

#[path = "../harness/mod.rs"]
mod harness;

use std::path::Path;
use std::process::Command;

use harness::Program;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/sdk");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients");
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// The server asks for keys, so that both are tested: that the SDKs' key is accepted, and that a
/// wrong one is refused.
#[test]
fn googles_sdks_run_the_programs_of_googles_page() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let config = data.path().join("belljar.toml");
    std::fs::write(&config, "api_keys = [\"first\", \"second\"]\n").expect("the folder is ours");
    let config = config.to_str().expect("a temporary path is text");
    // Quirks are ordered with a header, which is a test control.
    let arguments = ["--scenarios", SCENARIOS, "--config", config, "--control"];
    let server = Program::start(data.path(), &arguments);

    let passed = Command::new(Path::new(HERE).join("run"))
        .arg(server.url())
        .env("BELLJAR_API_KEYS", "first,second")
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an SDK is not content; its own words are above");
}

/// As `docs/clients.md` says, with the code that stands there.
#[test]
fn other_clients_do_what_the_page_about_them_says() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start(data.path(), &["--scenarios", SCENARIOS]);

    let passed = Command::new(Path::new(CLIENTS).join("run"))
        .arg(server.url())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "a client is not content; its own words are above");
}

/// What the doctor says of a client that was written in a hurry.
#[test]
fn a_client_is_tried_with_every_failure() {
    let program = Path::new(env!("CARGO_BIN_EXE_belljar"));
    let passed = Command::new(Path::new(HERE).join("doctor/run"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_LIBRARIES", harness::libraries())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the doctor says something else; its own words are above");
}

#[test]
fn every_example_runs_with_the_command_of_its_page() {
    let program = Path::new(env!("CARGO_BIN_EXE_belljar"));
    let passed = Command::new(Path::new(HERE).join("examples"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an example failed; its output is above");
}

/// As the README and docs/src/guides/testing-agents.md say: no server, no key, no network, one command.
#[test]
fn an_agent_is_tested_with_one_command() {
    let program = Path::new(env!("CARGO_BIN_EXE_belljar"));
    let passed = Command::new(Path::new(HERE).join("agent/run"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_LIBRARIES", harness::libraries())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the agent's tests failed; their own words are above");
}

/// Recorded from another server, and then tested without it.
#[test]
fn an_agent_is_tested_on_what_was_recorded() {
    let program = Path::new(env!("CARGO_BIN_EXE_belljar"));
    let passed = Command::new(Path::new(HERE).join("agent/record"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "a recording is not what was said; its own words are above");
}
