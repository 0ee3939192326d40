//! Saves the recording of an interaction, together with its input files.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::input::files::{FileData, LoadedFile};
use super::run::RunError;
use domain::interaction::{Event, Status, Usage};
use recording::{MAX_GIVEN_BYTES, RecordingMetadata, RecordingSession};
use store::Files;

/// The status of a recording. None if it is not saved: a cancelled interaction is incomplete, and a
/// failure of the sandbox or the store is not the model's output.
pub fn status(ended: &Result<Event, RunError>) -> Option<&'static str> {
    Some(match ended {
        Ok(Event::Finished { status, .. }) => match status {
            Status::Completed => "completed",
            Status::RequiresAction => "requires_action",
            Status::Incomplete => "incomplete",
            Status::InProgress | Status::Failed | Status::Cancelled => return None,
        },
        Ok(_) | Err(RunError::Backend(_) | RunError::StreamEnded | RunError::InvalidAnswer(_)) => {
            "failed"
        }
        Err(_) => return None,
    })
}

/// Discards the recorded events, if there are any.
pub fn discard(session: &RecordingSession, id: &str) {
    if session.finish().is_some() {
        tracing::warn!(interaction.id = id, "incomplete interaction not recorded");
    }
}

/// Saves the recorded events, if there are any. The file exists when this returns.
pub async fn save(
    session: &RecordingSession,
    status: &'static str,
    usage: Option<Usage>,
    files: &[LoadedFile],
    uploads: &Files,
) {
    let recording = match session.finish() {
        None => return,
        Some(Ok(recording)) => recording,
        Some(Err(error)) => return tracing::error!(%error, "interaction not recorded"),
    };
    let mut metadata = RecordingMetadata {
        at: Timestamp::now(),
        status,
        usage,
        files: Vec::new(),
        files_left_out: Vec::new(),
    };
    let mut remaining_bytes = MAX_GIVEN_BYTES;
    for file in files {
        let name = file.about.name.clone();
        match content(file, remaining_bytes, uploads).await {
            Some(content) => {
                remaining_bytes -= content.len();
                metadata.files.push((name, file.about.mime_type.clone(), content));
            }
            None => metadata.files_left_out.push(name),
        }
    }
    let writer = Arc::clone(&recording.writer);
    writer.save(recording, metadata).await;
}

async fn content(file: &LoadedFile, remaining_bytes: usize, uploads: &Files) -> Option<Bytes> {
    if usize::try_from(file.about.bytes).is_ok_and(|bytes| bytes > remaining_bytes) {
        return None;
    }
    match &file.content {
        FileData::InMemory(content) => Some(content.clone()),
        FileData::OnDisk(stored) => uploads.content(stored).await.ok(),
    }
}
