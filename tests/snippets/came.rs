//! The result of a snippet, inside or outside a cell.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Came {
    pub stdout: String,
    /// The last line of standard error, if the snippet failed.
    pub failure: Option<String>,
}

impl Came {
    pub fn in_a_cell(answer: &Value) -> Came {
        let text = |name: &str| answer[name].as_str().expect("an answer has both").to_owned();
        let stderr = text("stderr");
        let last = stderr.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
        let failure = (answer["outcome"] != "ok").then(|| last.to_owned());
        Came { stdout: text("stdout"), failure }
    }

    /// Whether the system-call filter ended it.
    pub fn is_forbidden(&self) -> bool {
        self.failure.as_deref().is_some_and(|failure| failure.contains("SIGSYS"))
    }

    /// Code that fails before it prints anything shows nothing.
    pub fn is_nothing(&self) -> bool {
        self.stdout.is_empty() && self.failure.is_some()
    }
}
