//! Reports a failure of the program with its causes and a hint.

use std::io;
use std::process::ExitCode;

use sandbox_client::SandboxError;
use scenario::{BrokenScenarios, ScenarioError};
use server::cause;
use server::config::ConfigError;
use server::validate;
use store::StoreError;

/// A failure with a hint.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Hinted {
    pub text: String,
    pub hint: String,
    pub source: Option<io::Error>,
}

pub fn failed(error: &anyhow::Error) -> ExitCode {
    // One write, because the warden writes to the same stderr.
    eprint!("{}", text(error));
    ExitCode::FAILURE
}

fn text(error: &anyhow::Error) -> String {
    if let Some(text) = error.downcast_ref().and_then(mistakes) {
        return text;
    }
    let chain = cause::chain(error);
    let mut text = String::from("belljar: ");
    for (at, cause) in chain.iter().enumerate() {
        let before = if at == 0 { "" } else { "  caused by: " };
        text += &format!("{before}{cause}\n");
    }
    if let Some(hint) = hint(error) {
        text += &format!("  hint: {hint}\n");
    }
    text
}

/// The mistakes of each file, as `belljar validate` prints them.
fn mistakes(broken: &BrokenScenarios) -> Option<String> {
    let ScenarioError::Invalid { .. } = broken.source else { return None };
    let mut files = scenario::files(&broken.folder).ok()?;
    files.sort();
    let mut text = format!("belljar: invalid scenarios in {}\n\n", broken.folder.display());
    for file in files {
        let mut output = Vec::new();
        if !validate::check(&[file], &mut output).ok()? {
            text += &String::from_utf8_lossy(&output);
            text.push('\n');
        }
    }
    text += &format!("  hint: `belljar validate {}` checks them\n", broken.folder.display());
    Some(text)
}

/// What to do about the error, if there is one thing to do.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(hinted) = cause.downcast_ref::<Hinted>() {
            return Some(hinted.hint.clone());
        }
        if let Some(ConfigError::NoLibraries) = cause.downcast_ref() {
            return Some(get_libraries());
        }
        if let Some(error) = cause.downcast_ref::<ConfigError>() {
            return error.hint().map(str::to_owned);
        }
        if let Some(broken) = cause.downcast_ref::<BrokenScenarios>() {
            let folder = broken.folder.display();
            return Some(format!("create the folder {folder}, or pass --scenarios DIR"));
        }
        if let Some(StoreError::InUse(_)) = cause.downcast_ref() {
            let hint = "pass --data-dir DIR for another folder, or --ephemeral for a temporary one";
            return Some(hint.to_owned());
        }
        if let Some(StoreError::Open { path, .. }) = cause.downcast_ref() {
            let folder = path.parent().unwrap_or(path).display();
            return Some(format!("move {folder} away, or pass --data-dir DIR for another folder"));
        }
        cause.downcast_ref::<SandboxError>().and_then(of_sandbox)
    })
}

fn of_sandbox(error: &SandboxError) -> Option<String> {
    Some(match error {
        SandboxError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            "install belljar-warden beside belljar, or pass --warden PATH, or \
             --sandbox-socket PATH for a running warden"
                .to_owned()
        }
        SandboxError::Ended(_) => {
            "the warden's log above has the reason; `belljar doctor` checks the sandbox alone"
                .to_owned()
        }
        SandboxError::TooThin { .. } => {
            "`belljar doctor` shows which layer is missing and why".to_owned()
        }
        SandboxError::Connect { .. } => {
            "start one: belljar-warden serve --socket PATH --libraries DIR".to_owned()
        }
        _ => return None,
    })
}

/// How to install the libraries.
pub fn get_libraries() -> String {
    "run `belljar libraries install` (2.3 GB, once), or pass --libraries DIR for an existing folder, or \
     --sandbox-socket PATH for a running warden"
        .to_owned()
}
