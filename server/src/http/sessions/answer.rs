//! Sessions, their files and the output of their code as JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::wire::execute;
use sandbox_client::{FileList, RunOutput};
use sessions::Session;

pub fn session(session: &Session) -> Value {
    let (about, state) = (&session.about, session.state());
    json!({
        "id": session.id,
        "created": time(state.created),
        "expires": time(state.expires),
        "state": if state.is_running { "running" } else { "idle" },
        "runs": state.runs,
        "memory_bytes": state.held_bytes,
        "idle_timeout_s": about.idle_timeout.as_secs_f64(),
        "timeout_s": about.timeout.map(|time| time.as_secs_f64()),
        "labels": about.labels,
    })
}

/// The output of a run, and why it ended the session, if it did.
pub fn executed(session: &Session, output: &RunOutput) -> Value {
    let mut answer = execute::answer(output);
    if let Some(end) = session.end() {
        answer["session_ended"] = end.to_string().into();
    }
    answer
}

pub fn file_list(list: &FileList) -> Value {
    let file = |file: &sandbox_client::FileEntry| {
        let modified = i64::try_from(file.modified_ms).ok();
        let modified = modified.and_then(|time| Timestamp::from_millisecond(time).ok());
        json!({
            "path": file.path,
            "bytes": file.bytes,
            "modified": time(modified.unwrap_or(Timestamp::UNIX_EPOCH)),
        })
    };
    json!({"files": list.files.iter().map(file).collect::<Vec<_>>(), "is_cut": list.is_cut})
}

fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}
