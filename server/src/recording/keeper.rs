//! A folder of recordings. A file is there when it is whole, and not before.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::redact::Secrets;
use super::script::{Picture, Script};
use super::tape::Reel;
use crate::backend::scripted;
use crate::ids;
use crate::interaction::Usage;

/// How much of an input becomes the name of a file.
const SLUG_CHARS: usize = 40;
/// What lies beside a recording, of input files.
pub const MAX_GIVEN_BYTES: usize = 64 << 20;

/// Writes recordings into a folder.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    secrets: Secrets,
}

/// What is known of an interaction at its end, beside what was said.
#[derive(Debug)]
pub struct Whole {
    pub at: Timestamp,
    /// In a word.
    pub status: &'static str,
    pub usage: Option<Usage>,
    /// The input's files by their names, with their types.
    pub files: Vec<(String, String, Bytes)>,
    /// Names of those that are too large to be kept.
    pub files_left_out: Vec<String>,
}

/// Why a recording is not there.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error("could not write recordings to {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("a recording does not read as what was said: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl KeeperError {
    /// For the log: the text may repeat what was said.
    fn kind(&self) -> String {
        match self {
            KeeperError::Folder { .. } => self.to_string(),
            KeeperError::Unreadable(_) | KeeperError::Json(_) => {
                "the recording would not say what was said".to_owned()
            }
        }
    }
}

/// Prompts and answers are for this user alone. A folder that is there keeps its mode; the files in it
/// have one of their own.
fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// `5dmztlna.yaml`
fn ending(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit('-').next().unwrap_or_default()
}

impl Keeper {
    /// Makes the folder where it is not there yet.
    pub fn open(folder: &Path, secrets: Secrets) -> Result<Keeper, KeeperError> {
        let failed = |source| KeeperError::Folder { folder: folder.to_owned(), source };
        make(folder).map_err(failed)?;
        // Whoever may not write finds out now, and not when the first interaction is over.
        tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Keeper { folder: folder.to_owned(), secrets })
    }

    /// Writes what is on a tape. What cannot be written is told of in the log, for the interaction
    /// itself is none the worse.
    pub async fn keep(self: Arc<Self>, reel: Reel, whole: Whole) {
        let kept = tokio::task::spawn_blocking(move || self.write(&reel, &whole)).await;
        match kept {
            // Its name has the beginning of the prompt, so the log has the end alone.
            Ok(Ok(path)) => tracing::info!(recording = ending(&path), "interaction recorded"),
            Ok(Err(error)) => tracing::error!(error = error.kind(), "interaction not recorded"),
            Err(error) => tracing::error!(%error, "an interaction was not recorded"),
        }
    }

    fn write(&self, reel: &Reel, whole: &Whole) -> Result<PathBuf, KeeperError> {
        let script = Script::of(reel, whole.usage, &self.secrets);
        let mut given = Vec::new();
        let mut files = Vec::new();
        for (name, mime_type, content) in &whole.files {
            let file = Picture::new(mime_type, content.clone());
            given.push(json!({"name": name, "mime_type": mime_type, "file": file.path()}));
            files.push(file);
        }
        let text = script.file(reel, whole, given)?;
        let name = self.name(reel, whole);
        let path = self.folder.join(&name);
        scripted::parse(&path, &text)
            .map_err(|error| KeeperError::Unreadable(error.to_string()))?;
        // First what the recording names, then the recording.
        for file in files.iter().chain(&script.pictures) {
            let path = self.folder.join(file.path());
            if !path.exists() {
                self.put(&path, &file.content)?;
            }
        }
        self.put(&path, text.as_bytes())?;
        Ok(path)
    }

    /// In the order of time, and told apart by what was asked. What failed comes after all others: a
    /// client that asked again and had an answer then has it at once when it is said again.
    fn name(&self, reel: &Reel, whole: &Whole) -> String {
        let input = scripted::asked(&reel.asked).input;
        let input = self.secrets.redact(&input).to_lowercase();
        let words = input.split(|letter: char| !letter.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let slug: String = words.join("-").chars().take(SLUG_CHARS).collect();
        let at = whole.at.strftime("%Y%m%dT%H%M%S.%3fZ");
        let slug = slug.trim_end_matches('-');
        let dash = if slug.is_empty() { "" } else { "-" };
        let failed = if reel.has_failed() { "failed-" } else { "" };
        format!("{failed}{at}{dash}{slug}-{}.yaml", ids::call())
    }

    /// Under another name first, so that nobody reads the half of it.
    fn put(&self, path: &Path, content: &[u8]) -> Result<(), KeeperError> {
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
        put().map_err(|source| KeeperError::Folder { folder: self.folder.clone(), source })
    }
}
