//! The files of the input, as they lie in the working directory.
//!
//! Gemini's own environment names them `input_file_0.csv`, `input_file_1.jpeg`, …: counted over the
//! whole chain in the order of the requests, with an extension that comes from the MIME type.

use bytes::Bytes;

use crate::backend::InputFile;
use crate::interaction::{Content, Media, MediaKind, Source, Step};

/// A file and what is in it.
#[derive(Debug, Clone)]
pub struct File {
    pub about: InputFile,
    pub content: Bytes,
}

/// Why a file of the input cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("a file at {0} cannot be fetched: send it inline as base64 `data`")]
    Remote(String),
}

/// The files of a chain, oldest first.
pub fn of_input(steps: &[Step]) -> Result<Vec<File>, FileError> {
    let media = steps
        .iter()
        .filter_map(|step| match step {
            Step::UserInput(contents) => Some(contents),
            _ => None,
        })
        .flatten()
        .filter_map(|content| match content {
            Content::Media(media) => Some(media),
            _ => None,
        });
    media.enumerate().map(|(index, media)| file(index, media)).collect()
}

fn file(index: usize, media: &Media) -> Result<File, FileError> {
    let content = match &media.source {
        Source::Inline(content) => content.clone(),
        Source::Uri(uri) => return Err(FileError::Remote(uri.clone())),
    };
    let mime_type = media.mime_type.clone().unwrap_or_else(|| {
        match media.kind {
            MediaKind::Image => "image/png",
            MediaKind::Audio => "audio/wav",
            MediaKind::Video => "video/mp4",
            MediaKind::Document => "text/plain",
        }
        .to_owned()
    });
    let about = InputFile {
        name: format!("input_file_{index}.{}", extension(&mime_type)),
        mime_type,
        bytes: content.len() as u64,
    };
    Ok(File { about, content })
}

/// The extension that Gemini gives, and for types that were not seen there the usual one.
fn extension(mime_type: &str) -> &str {
    const KNOWN: &[(&str, &str)] = &[
        ("application/json", "json"),
        ("application/msword", "doc"),
        ("application/pdf", "pdf"),
        ("application/vnd.ms-excel", "xls"),
        ("application/vnd.ms-powerpoint", "ppt"),
        ("application/vnd.oasis.opendocument.presentation", "odp"),
        ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
        ("application/vnd.oasis.opendocument.text", "odt"),
        ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
        ("application/xml", "xml"),
        ("audio/mp3", "mp3"),
        ("audio/mpeg", "mp3"),
        ("audio/wav", "wav"),
        ("image/gif", "gif"),
        ("image/jpeg", "jpeg"),
        ("image/png", "png"),
        ("image/svg+xml", "svg"),
        ("image/tiff", "tiff"),
        ("image/webp", "webp"),
        ("text/css", "css"),
        ("text/csv", "csv"),
        ("text/html", "html"),
        ("text/javascript", "js"),
        ("text/markdown", "md"),
        ("text/plain", "txt"),
        ("text/tab-separated-values", "tsv"),
        ("text/x-python", "py"),
        ("text/xml", "xml"),
        ("video/mp4", "mp4"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| *known == mime_type)
        .map(|(_, extension)| *extension)
        .or_else(|| mime_guess::get_mime_extensions_str(mime_type)?.first().copied())
        .unwrap_or("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(mime_types: &[&str]) -> Step {
        let contents = mime_types.iter().map(|mime_type| {
            Content::Media(Media {
                kind: MediaKind::Document,
                mime_type: Some((*mime_type).to_owned()),
                source: Source::Inline(Bytes::from_static(b"x")),
            })
        });
        Step::UserInput([Content::text("Look.")].into_iter().chain(contents).collect())
    }

    #[test]
    fn files_are_counted_over_the_whole_chain() {
        let answer = Step::ModelOutput(vec![Content::text("Yes.")]);
        let chain = [input(&["text/csv", "image/jpeg"]), answer, input(&["application/pdf"])];
        let files = of_input(&chain).expect("all are inline");
        let names: Vec<_> = files.iter().map(|file| file.about.name.as_str()).collect();
        assert_eq!(names, ["input_file_0.csv", "input_file_1.jpeg", "input_file_2.pdf"]);
    }

    #[test]
    fn an_extension_never_has_a_path_in_it() {
        for (index, hostile) in ["../../etc/passwd", "text/../x", "", "a/b/c"].iter().enumerate() {
            let files = of_input(&[input(&[hostile])]).expect("it is inline");
            assert_eq!(files[0].about.name, "input_file_0.bin", "case {index}");
        }
    }
}
