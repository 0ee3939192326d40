//! Which commit a program was built from.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BELLJAR_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    // Written to by each commit and each checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    // An image is built without the repository, and is told.
    let told = std::env::var("BELLJAR_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| git(&["log", "-1", "--format=%h %cs"]));
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    for (name, variable) in [("PROFILE", "PROFILE"), ("TARGET", "TARGET")] {
        let value = std::env::var(variable).unwrap_or_default();
        println!("cargo::rustc-env=BUILD_{name}={value}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
