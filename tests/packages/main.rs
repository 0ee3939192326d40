//! The packages for Python and Node, with the example projects that use them; the installer of the libraries;
//! and the action for CI.

mod installer;

use std::path::Path;
use std::process::Command;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packages");

fn passes(script: &str) {
    let program = harness::belljar();
    let passed = Command::new(Path::new(HERE).join(script))
        .arg(program.parent().expect("it is in a folder"))
        .env("BELLJAR_LIBRARIES", harness::libraries())
        .status()
        .expect("the script is there");
    assert!(passed.success(), "{script} failed; its output is above");
}

#[test]
fn a_python_project_is_tested_with_the_wheel() {
    passes("python");
}

#[test]
fn a_node_project_is_tested_with_the_packages() {
    passes("node/run");
}

#[test]
fn the_action_starts_a_server_and_exports_its_address() {
    passes("action");
}
