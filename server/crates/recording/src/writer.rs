//! Writes recordings into a folder. A file appears only when it is complete.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::index::{Place, RecordMode, RecordedOutcome, RecordingIndex};
use super::question::Question;
use super::script::{Picture, Script};
use super::session::Recording;
use domain::interaction::Usage;
use redaction::Secrets;
use scenario::{Ignore, ScenarioError, Scripted};

/// Maximum size of the input files that are stored beside a recording.
pub const MAX_GIVEN_BYTES: usize = 64 << 20;

/// Writes recordings into a folder.
#[derive(Debug)]
pub struct RecordingWriter {
    folder: PathBuf,
    secrets: Secrets,
    mode: RecordMode,
    /// Patterns for text that differs each time and is omitted.
    ignore: Ignore,
    /// Only one recording is written at a time.
    index: Mutex<RecordingIndex>,
}

/// Facts about an interaction that are known at its end, besides the model's output.
#[derive(Debug)]
pub struct RecordingMetadata {
    pub at: Timestamp,
    /// The status of the interaction.
    pub status: &'static str,
    pub usage: Option<Usage>,
    /// The input files by name, with their MIME types.
    pub files: Vec<(String, String, Bytes)>,
    /// Names of the files that are too large to be stored.
    pub files_left_out: Vec<String>,
}

/// Why a recording was not written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("could not write recordings to {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("a recording does not parse to the recorded output: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl RecordingError {
    /// For the log, because the full error may contain the recorded text.
    fn kind(&self) -> String {
        match self {
            RecordingError::Folder { .. } => self.to_string(),
            RecordingError::Unreadable(_)
            | RecordingError::Scenario(_)
            | RecordingError::Json(_) => {
                "the recording does not parse to the recorded output".to_owned()
            }
        }
    }
}

/// Only this user may read prompts and answers. An existing folder keeps its mode; the files in it
/// have their own.
fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// `5dmztlna.yaml`
fn ending(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit('-').next().unwrap_or_default()
}

impl RecordingWriter {
    /// Creates the folder if it does not exist.
    pub fn open(folder: &Path, secrets: Secrets) -> Result<RecordingWriter, RecordingError> {
        let failed = |source| RecordingError::Folder { folder: folder.to_owned(), source };
        make(folder).map_err(failed)?;
        // A missing write permission is reported at the start, not after the first interaction.
        tempfile::tempfile_in(folder).map_err(failed)?;
        let index = Mutex::new(RecordingIndex::read(folder)?);
        let (folder, mode, ignore) = (folder.to_owned(), RecordMode::default(), Ignore::default());
        Ok(RecordingWriter { folder, secrets, mode, ignore, index })
    }

    /// The same writer with these settings.
    #[must_use]
    pub fn with_settings(self, mode: RecordMode, ignore: Ignore) -> RecordingWriter {
        RecordingWriter { mode, ignore, ..self }
    }

    /// Existing recordings that are replayed, if the mode allows that.
    pub fn known(&self) -> Result<Option<Scripted>, ScenarioError> {
        match self.mode {
            RecordMode::New => Scripted::as_it_is(&self.folder).map(Some),
            RecordMode::Replace | RecordMode::All => Ok(None),
        }
    }

    /// Writes a finished recording. A failure is only logged, because it does not affect the
    /// interaction.
    pub async fn save(self: Arc<Self>, recording: Recording, metadata: RecordingMetadata) {
        let written = tokio::task::spawn_blocking(move || self.write(&recording, &metadata)).await;
        match written {
            // The file name starts with the beginning of the prompt, so only its end is logged.
            Ok(Ok(path)) => tracing::info!(recording = ending(&path), "interaction recorded"),
            Ok(Err(error)) => tracing::error!(error = error.kind(), "interaction not recorded"),
            Err(error) => tracing::error!(%error, "interaction not recorded"),
        }
    }

    fn write(
        &self,
        recording: &Recording,
        metadata: &RecordingMetadata,
    ) -> Result<PathBuf, RecordingError> {
        // The question must not depend on the answer, so secrets found in the answer do not change
        // it.
        let secrets = self.secrets.with_keys_of_client(&recording.keys);
        let question = Question::of(&recording.asked, &secrets, &self.ignore);
        let secrets = secrets.learned_from(recording.texts().iter().map(String::as_str));
        let question = question.without(&secrets);
        let script = Script::of(recording, metadata.usage, &secrets);
        let mut given = Vec::new();
        let mut files = Vec::new();
        for (name, mime_type, content) in &metadata.files {
            let content = secrets.redact_file(content).map_or_else(|| content.clone(), Bytes::from);
            let file = Picture::new(mime_type, content);
            given.push(json!({"name": name, "mime_type": mime_type, "file": file.path()}));
            files.push(file);
        }
        let mut index = self.index.lock();
        let outcome = if recording.has_failed() {
            RecordedOutcome::Failed
        } else {
            RecordedOutcome::Answered
        };
        let Place { file: path, take, stale, before } =
            index.place(&self.folder, &question, outcome, self.mode);
        let text = script.file(recording, metadata, &question, take, given)?;
        scenario::parse(&path, &text)
            .map_err(|error| RecordingError::Unreadable(error.to_string()))?;
        // The files that the recording refers to come first.
        for file in files.iter().chain(&script.pictures) {
            let path = self.folder.join(file.path());
            if !path.exists() {
                self.put(&path, &file.content)?;
            }
        }
        match before.filter(|before| differ_only_in_comments(before, &text)) {
            Some(_) if path.exists() => {}
            Some(before) => self.put(&path, before.as_bytes())?,
            None => self.put(&path, text.as_bytes())?,
        }
        for path in stale {
            // The file may have been removed by hand in the meantime.
            let _ = std::fs::remove_file(path);
        }
        Ok(path)
    }

    /// Written under a temporary name first, so that no reader sees a partial file.
    fn put(&self, path: &Path, content: &[u8]) -> Result<(), RecordingError> {
        let put = || {
            let folder = path.parent().unwrap_or(&self.folder);
            make(folder)?;
            let mut file =
                tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        put().map_err(|source| RecordingError::Folder { folder: self.folder.clone(), source })
    }
}

/// Whether two recordings differ only in their comments, which contain the time of recording.
fn differ_only_in_comments(before: &str, now: &str) -> bool {
    let value = |text: &str| serde_saphyr::from_str::<Value>(text).ok();
    value(before).is_some_and(|before| Some(before) == value(now))
}
