//! Results of tools as content blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};
use serde_json::json;

use crate::engine::RunReport;
use sandbox_client::{FileList, FilePart, RunOutput};
use sessions::Session;

/// Maximum bytes of the pictures in one result: it is for a model, and is kept for a while in case the client
/// reconnects.
const MAX_IMAGES_BYTES: usize = 4 << 20;
/// Maximum bytes of a file that is returned as a whole.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// Maximum number of files that are named in one result.
const MAX_NAMED_FILES: usize = 100;

/// Prefix of the URIs of files: `belljar://sessions/{id}/files/{path}`.
const FILES: &str = "belljar://sessions/";

/// The output of a run: its text, its pictures, and links to the files that it wrote. A run that fails is
/// an output too.
pub fn ran(session: &Session, output: &RunOutput) -> CallToolResult {
    let report = RunReport::new(output);
    let mut text = report.stdout.clone();
    if !report.stderr.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&report.stderr);
    }
    if let Some(end) = session.end() {
        text.push_str(&format!(
            "\n[The session has ended: {end}. Variables and files are lost; the next call begins with a new \
             interpreter.]\n"
        ));
    }
    let mut blocks = vec![ContentBlock::text("")];
    let (mut room, mut left_out) = (MAX_IMAGES_BYTES, 0);
    for image in &output.images {
        match room.checked_sub(image.data.len()) {
            Some(left) => {
                room = left;
                blocks.push(ContentBlock::image(STANDARD.encode(&image.data), &image.mime_type));
            }
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        let most = MAX_IMAGES_BYTES >> 20;
        text.push_str(&format!("\n[{left_out} pictures left out: the limit is {most} MiB]\n"));
    }
    for file in output.files.iter().take(MAX_NAMED_FILES) {
        let link = Resource::new(uri(&session.id, &file.path), &file.path)
            .with_size(file.content.len() as u64);
        blocks.push(ContentBlock::resource_link(link));
    }
    blocks[0] = ContentBlock::text(text);
    let mut result = CallToolResult::success(blocks);
    result.structured_content =
        Some(json!({"outcome": report.outcome.as_str(), "session": session.id}));
    result
}

/// The size of the result of a run, without its links.
pub fn bytes_of(output: &RunOutput) -> usize {
    let images: usize = output.images.iter().map(|image| image.data.len()).sum();
    output.stdout.len() + output.stderr.len() + images.min(MAX_IMAGES_BYTES)
}

pub fn files(list: &FileList) -> CallToolResult {
    let mut text: String =
        list.files.iter().map(|file| format!("{}\t{} bytes\n", file.path, file.bytes)).collect();
    if list.files.is_empty() {
        text.push_str("There are no files.\n");
    }
    if list.is_cut {
        text.push_str("[more files are left out]\n");
    }
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// A file as text, if it is text, as a picture, if it is one, or as base64.
pub fn file(session: &Session, path: &str, part: &FilePart) -> CallToolResult {
    let picture = infer::get(&part.data).map(|kind| kind.mime_type());
    let block = match (std::str::from_utf8(&part.data), picture) {
        (Ok(text), _) => ContentBlock::text(text),
        (Err(_), Some(kind)) if kind.starts_with("image/") => {
            ContentBlock::image(STANDARD.encode(&part.data), kind)
        }
        (Err(_), _) => ContentBlock::resource(resource(&session.id, path, part)),
    };
    CallToolResult::success(vec![block])
}

pub fn resource(session: &str, path: &str, part: &FilePart) -> ResourceContents {
    let uri = uri(session, path);
    match std::str::from_utf8(&part.data) {
        Ok(text) => ResourceContents::text(text, uri),
        Err(_) => {
            let kind =
                infer::get(&part.data).map_or("application/octet-stream", |it| it.mime_type());
            ResourceContents::blob(STANDARD.encode(&part.data), uri).with_mime_type(kind)
        }
    }
}

fn uri(session: &str, path: &str) -> String {
    let path: Vec<String> = path.split('/').map(encoded).collect();
    format!("{FILES}{session}/files/{}", path.join("/"))
}

/// The session and the path of a file's URI.
pub fn file_of(uri: &str) -> Option<(String, String)> {
    let (session, path) = uri.strip_prefix(FILES)?.split_once("/files/")?;
    Some((session.to_owned(), decoded(path)?))
}

/// Escapes what a URI does not have in a segment.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_leads_back_to_its_file() {
        for path in ["a", "d/b.csv", "a b", "ä/%20", "100%", "?#&"] {
            let uri = uri("session-1", path);
            assert!(uri.is_ascii(), "{uri}");
            assert_eq!(file_of(&uri), Some(("session-1".to_owned(), path.to_owned())));
        }
        for wrong in
            ["", "file:///etc/passwd", "belljar://sessions/s", "belljar://sessions/s/files/%"]
        {
            assert_eq!(file_of(wrong), None, "{wrong}");
        }
    }
}
