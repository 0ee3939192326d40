//! What the program says about the machine that it is on.

use std::process::Command;

use crate::harness::libraries;

#[test]
fn the_doctor_has_code_run_and_names_every_layer() {
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--libraries"])
        .arg(libraries())
        .output()
        .expect("the server is a program");
    let text = String::from_utf8(said.stdout).expect("it is text");
    assert!(said.status.success(), "{text}");
    for part in ["namespaces: ", "landlock: ", "seccomp: ", "says 42"] {
        assert!(text.contains(part), "nothing about {part}:\n{text}");
    }
    assert!(text.lines().all(|line| line.starts_with("ok     ")), "{text}");
}

#[test]
fn the_doctor_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--libraries"])
        .arg(folder.path())
        .output()
        .expect("the server is a program");
    let words = String::from_utf8(said.stderr).expect("it is text");
    assert!(!said.status.success());
    assert!(words.contains("install-libraries"), "{words}");
}
