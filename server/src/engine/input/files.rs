//! The input files, as the code finds them in its working directory.
//!
//! Gemini's own environment names them `input_file_0.csv`, `input_file_1.jpeg`, …: numbered
//! over the whole chain in the order of the requests, with an extension for the MIME type.

use bytes::Bytes;
use protocol::{MAX_BLOB_BYTES, MAX_INPUT_FILES};

use super::extensions::extension;
use super::fetch::{FetchError, Fetched, Fetcher};
use backend::{FileContent, InputFile};
use domain::interaction::{Content, Media, MediaKind, Source, Step};
use resources::budget::{Budget, Share};
use store::{Files, Owner, StoreError};

/// Maximum size of all files of a chain. More do not fit into a working directory.
const MAX_TOTAL_BYTES: u64 = 512 << 20;

/// An input file.
#[derive(Debug, Clone)]
pub struct LoadedFile {
    pub about: InputFile,
    pub content: FileData,
}

#[derive(Debug, Clone)]
pub enum FileData {
    InMemory(Bytes),
    /// An uploaded file, which may be too large to keep in memory during an interaction.
    OnDisk(store::StoredFile),
}

/// Sources of files that are not in the request itself.
#[derive(Debug, Clone)]
pub struct Sources {
    pub uploads: Files,
    pub fetcher: Fetcher,
}

/// Why an input file is not available.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not fetch {0}: send the file inline as base64 `data`")]
    Remote(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("unknown file {0}")]
    Missing(String),
    #[error("{name} has {bytes} bytes, and a file for code may have {MAX_BLOB_BYTES}")]
    TooLarge { name: String, bytes: u64 },
    #[error("a conversation has more than {MAX_INPUT_FILES} files")]
    TooMany,
    #[error("the files of a conversation have more than {MAX_TOTAL_BYTES} bytes together")]
    TooMuch,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The files of a chain, oldest first.
pub async fn of_input(
    steps: &[Step],
    sources: &Sources,
    owner: &Owner,
    budget: &Budget,
) -> Result<(Vec<LoadedFile>, Share), FileError> {
    if media(steps).nth(MAX_INPUT_FILES).is_some() {
        // Checked before any file is fetched.
        return Err(FileError::TooMany);
    }
    let (mut found, mut reserved) = (Vec::new(), Share::default());
    let mut total: u64 = 0;
    for media in media(steps) {
        let file = match &media.source {
            Source::Inline(content) => inline(found.len(), media, None, content),
            Source::Uri(uri) if sources.fetcher.allows(uri) => {
                let fetched = sources.fetcher.fetch(uri, MAX_BLOB_BYTES, budget).await?;
                let Fetched { content, mime_type, memory } = fetched;
                reserved.add(memory);
                inline(found.len(), media, mime_type, &content)
            }
            Source::Uri(uri) => match id_of(uri) {
                Some(id) => uploaded(found.len(), media, id, &sources.uploads, owner).await?,
                None if uri.starts_with("http") => {
                    return Err(FetchError::NotAllowed(uri.clone()).into());
                }
                None => return Err(FileError::Remote(uri.clone())),
            },
        };
        total += file.about.bytes;
        if total > MAX_TOTAL_BYTES {
            return Err(FileError::TooMuch);
        }
        found.push(file);
    }
    Ok((found, reserved))
}

/// Media of the user's messages, oldest first: each is a file.
pub fn media(steps: &[Step]) -> impl Iterator<Item = &Media> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::UserInput(contents) => Some(contents),
            _ => None,
        })
        .flatten()
        .filter_map(|content| match content {
            Content::Media(media) => Some(media),
            _ => None,
        })
}

/// `served_as` is the type from the server that the file was fetched from.
fn inline(index: usize, media: &Media, served_as: Option<String>, content: &Bytes) -> LoadedFile {
    let mime_type = media.mime_type.clone().or(served_as).unwrap_or_else(|| {
        match media.kind {
            MediaKind::Image => "image/png",
            MediaKind::Audio => "audio/wav",
            MediaKind::Video => "video/mp4",
            MediaKind::Document => "text/plain",
        }
        .to_owned()
    });
    let here = FileContent::Here(content.clone());
    let about = about(index, mime_type, content.len() as u64, here);
    LoadedFile { about, content: FileData::InMemory(content.clone()) }
}

async fn uploaded(
    index: usize,
    media: &Media,
    id: &str,
    files: &Files,
    owner: &Owner,
) -> Result<LoadedFile, FileError> {
    let missing = || FileError::Missing(id.to_owned());
    let file = files.find(owner, id).await?.ok_or_else(missing)?;
    if file.bytes > MAX_BLOB_BYTES as u64 {
        return Err(FileError::TooLarge { name: format!("files/{id}"), bytes: file.bytes });
    }
    let mime_type = media.mime_type.as_ref().unwrap_or(&file.mime_type).clone();
    let stored = FileContent::Stored(file.sha256.clone());
    Ok(LoadedFile {
        about: about(index, mime_type, file.bytes, stored),
        content: FileData::OnDisk(file),
    })
}

/// `abc` of `files/abc`, or of a URL that ends with it. The host is ignored, because clients reach
/// the server under different names.
fn id_of(uri: &str) -> Option<&str> {
    let (before, id) = uri.rsplit_once("files/")?;
    let is_ours = before.is_empty()
        || before.ends_with('/')
            && (before.starts_with("http://") || before.starts_with("https://"));
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_ours && is_id).then_some(id)
}

fn about(index: usize, mime_type: String, bytes: u64, content: FileContent) -> InputFile {
    let name = format!("input_file_{index}.{}", extension(&mime_type));
    InputFile { name, mime_type, bytes, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mime_types: &[&str]) -> Vec<String> {
        let media = mime_types.iter().enumerate().map(|(index, mime_type)| {
            let media = Media {
                kind: MediaKind::Document,
                mime_type: Some((*mime_type).to_owned()),
                source: Source::Inline(Bytes::new()),
            };
            inline(index, &media, None, &Bytes::new()).about.name
        });
        media.collect()
    }

    #[test]
    fn files_are_numbered_and_have_the_extension_of_their_type() {
        let names = names(&["text/csv", "image/jpeg", "application/pdf"]);
        assert_eq!(names, ["input_file_0.csv", "input_file_1.jpeg", "input_file_2.pdf"]);
    }

    #[test]
    fn an_extension_never_contains_a_path() {
        for hostile in ["../../etc/passwd", "text/../x", "", "a/b/c"] {
            assert_eq!(names(&[hostile]), ["input_file_0.bin"], "{hostile}");
        }
    }

    #[test]
    fn a_file_is_identified_by_the_end_of_its_url() {
        for uri in [
            "files/abc-1",
            "http://127.0.0.1:8080/v1beta/files/abc-1",
            "https://generativelanguage.googleapis.com/v1/files/abc-1",
        ] {
            assert_eq!(id_of(uri), Some("abc-1"), "{uri}");
        }
        for uri in [
            "gs://bucket/files/abc",
            "https://example.org/data.csv",
            "https://example.org/files/data.csv",
            "files/",
            "myfiles/abc",
            "files/../abc",
            "abc",
        ] {
            assert_eq!(id_of(uri), None, "{uri}");
        }
    }
}
