//! Google's own SDKs, Python and JavaScript, and other clients, against the server as a user starts it.
//! The programs are beside this file and in `tests/clients`; the `run` of each installs what it needs
//! and works against any server.

use std::path::Path;
use std::process::Command;

use harness::Program;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// The server requires keys, so that both cases are tested: the SDKs' key is accepted, and a wrong key
/// is refused.
#[test]
fn googles_sdks_run_the_programs_of_googles_page() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let config = data.path().join("belljar.toml");
    std::fs::write(&config, "api_keys = [\"first\", \"second\"]\n").expect("the folder is ours");
    let config = config.to_str().expect("a temporary path is text");
    // Quirks are requested with a header, which is a test control.
    let arguments = ["--scenarios", SCENARIOS, "--config", config, "--control"];
    let server = Program::start(data.path(), &arguments);

    let passed = Command::new(Path::new(HERE).join("run"))
        .arg(server.url())
        .env("BELLJAR_API_KEYS", "first,second")
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an SDK test failed; its output is above");
}

/// No code names the server: `belljar exec --fake-credentials` sets variables and makes a credentials file.
#[test]
fn googles_sdks_find_the_server_in_the_mode_of_vertex_ai() {
    let program = &harness::belljar();
    let passed = Command::new(Path::new(HERE).join("vertex/run"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an SDK test failed; its output is above");
}

/// `tests/sdk/googles/VERTEX.md` lists those that cannot pass, which must fail.
#[test]
fn googles_own_tests_pass_in_the_mode_of_vertex_ai() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let folder = Path::new(HERE).join("googles");
    let scenarios = folder.to_str().expect("this folder's name is text");
    let server = Program::start(data.path(), &["--scenarios", scenarios]);

    let passed = Command::new(folder.join("run"))
        .args([server.url(), "vertex"])
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the results differ from the page; they are above");
}

/// Over HTTP with API keys, and as a program.
#[test]
fn mcp_clients_run_python_with_state() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let config = data.path().join("belljar.toml");
    std::fs::write(&config, "api_keys = [\"first\", \"second\"]\n").expect("the folder is ours");
    let config = config.to_str().expect("a temporary path is text");
    let server = Program::start(data.path(), &["--config", config]);
    let program = &harness::belljar();

    let passed = Command::new(Path::new(HERE).join("mcp/run"))
        .arg(server.url())
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an MCP test failed; its output is above");
}

/// Runs the code of `docs/clients.md`.
#[test]
fn other_clients_run_the_code_of_their_page() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let server = Program::start(data.path(), &["--scenarios", SCENARIOS, "--fake-credentials"]);

    let passed = Command::new(Path::new(CLIENTS).join("run"))
        .arg(server.url())
        .env("GOOGLE_APPLICATION_CREDENTIALS", data.path().join("google-credentials.json"))
        .status()
        .expect("the script is there");

    assert!(passed.success(), "a client test failed; its output is above");
}

/// The doctor's report about a client with minimal error handling.
#[test]
fn the_doctor_tests_a_client_with_every_failure() {
    let program = &harness::belljar();
    let passed = Command::new(Path::new(HERE).join("doctor/run"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_LIBRARIES", harness::libraries())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the doctor's report differs; it is above");
}

#[test]
fn every_example_runs_with_the_command_of_its_page() {
    let program = &harness::belljar();
    let passed = Command::new(Path::new(HERE).join("examples"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "an example failed; its output is above");
}

/// As in the README and docs/src/guides/testing-agents.md: no server, no key, no network, one command.
#[test]
fn an_agent_is_tested_with_one_command() {
    let program = &harness::belljar();
    let passed = Command::new(Path::new(HERE).join("agent/run"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_LIBRARIES", harness::libraries())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the agent's tests failed; their output is above");
}

/// Recorded from another server, then tested without it.
#[test]
fn an_agent_is_tested_on_recordings() {
    let program = &harness::belljar();
    let passed = Command::new(Path::new(HERE).join("agent/record"))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_SANDBOX_SOCKET", harness::socket())
        .status()
        .expect("the script is there");

    assert!(passed.success(), "the replay differs from the recording; the log is above");
}
