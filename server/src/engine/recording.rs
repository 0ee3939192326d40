//! Handing a tape to whoever keeps it, with all that an interaction was.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::input::files::{File, FileData};
use super::run::RunError;
use crate::interaction::{Event, Status, Usage};
use crate::recording::{MAX_GIVEN_BYTES, RecordingMetadata, RecordingSession};
use crate::store::Files;

/// How an interaction ended, in a word, where that is a recording: one that was cancelled is half of
/// one, and where something of this machine failed the model has no part in it.
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

/// Throws away what is on a tape, if anything is.
pub fn discard(session: &RecordingSession, id: &str) {
    if session.finish().is_some() {
        tracing::warn!(interaction.id = id, "not recorded, for it did not come to an end");
    }
}

/// Writes down what is on the tape, if anything is. When this returns the file is there.
pub async fn keep(
    session: &RecordingSession,
    status: &'static str,
    usage: Option<Usage>,
    files: &[File],
    sent_ahead: &Files,
) {
    let recording = match session.finish() {
        None => return,
        Some(Ok(recording)) => recording,
        Some(Err(error)) => return tracing::error!(%error, "an interaction was not recorded"),
    };
    let mut metadata = RecordingMetadata {
        at: Timestamp::now(),
        status,
        usage,
        files: Vec::new(),
        files_left_out: Vec::new(),
    };
    let mut room = MAX_GIVEN_BYTES;
    for file in files {
        let name = file.about.name.clone();
        match content(file, room, sent_ahead).await {
            Some(content) => {
                room -= content.len();
                metadata.files.push((name, file.about.mime_type.clone(), content));
            }
            None => metadata.files_left_out.push(name),
        }
    }
    let writer = Arc::clone(&recording.writer);
    writer.save(recording, metadata).await;
}

async fn content(file: &File, room: usize, sent_ahead: &Files) -> Option<Bytes> {
    if usize::try_from(file.about.bytes).is_ok_and(|bytes| bytes > room) {
        return None;
    }
    match &file.content {
        FileData::InMemory(content) => Some(content.clone()),
        FileData::OnDisk(stored) => sent_ahead.content(stored).await.ok(),
    }
}
