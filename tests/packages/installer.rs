//! `sandbox-image/install-libraries` with a lock of small packages, from an index on this machine; and
//! `belljar libraries install`, which runs it.

use std::path::Path;
use std::process::{Command, Output};

use harness::libraries;

/// Without a network.
fn install(options: &[&str]) -> Output {
    let mut command = Command::new(harness::belljar());
    command.args(["libraries", "install"]).args(options).env("PIP_NO_INDEX", "1");
    let folder = libraries();
    command.env("BELLJAR_CACHE", folder.parent().expect("it is in the cache"));
    command.output().expect("the server is a program")
}

#[test]
fn nothing_is_fetched_where_libraries_are_installed() {
    for options in [&[][..], &["--without", "tensorflow"]] {
        let output = install(options);
        let (stdout, stderr) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stderr}");
        let printed = String::from_utf8(stdout).expect("it is a path");
        assert_eq!(Path::new(printed.trim_end()), libraries(), "{stderr}");
        assert_eq!(stderr, "");
    }
}

#[test]
fn a_failed_installation_says_why() {
    let output = install(&["--python", "/nonexistent/python"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("belljar: could not install the libraries"), "{stderr}");
    assert!(stderr.contains("--python /nonexistent/python is unsuitable"), "{stderr}");
}

#[test]
fn the_installer_continues_checks_hashes_and_adds_tensorflow() {
    let passed = Command::new("python3")
        .arg(Path::new(super::HERE).join("installer.py"))
        .status()
        .expect("Python is needed for the sandbox too");
    assert!(passed.success(), "the installer failed; its output is above");
}
