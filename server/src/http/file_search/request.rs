//! Requests for file search stores.

use serde_json::{Map, Value, json};

use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use search::Chunking;

/// Limits of the real service.
const MAX_DISPLAY_NAME: usize = 512;
pub const MAX_METADATA: usize = 20;
/// Maximum size of the metadata of a document as JSON.
pub const MAX_METADATA_BYTES: usize = 4096;
/// The chunks of a document unless the client decides.
const DEFAULT_CHUNKING: Chunking = Chunking { words: 400, overlap: 40 };
/// Chunks are neither so small nor do they overlap so much that they need much more memory than the text.
pub const MIN_CHUNK_WORDS: i64 = 10;
pub const MAX_CHUNK_WORDS: i64 = 2000;
const EMBEDDING_MODEL: &str = "models/gemini-embedding-001";

/// Fields that only the server sets, but that clients send back.
pub const KNOWN_TO_THE_SERVER: &[&str] = &[
    "name",
    "createTime",
    "updateTime",
    "activeDocumentsCount",
    "pendingDocumentsCount",
    "failedDocumentsCount",
    "sizeBytes",
];

/// A store to create.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateStore {
    pub display_name: String,
    pub embedding_model: String,
}

/// How a document is made of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentConfig {
    pub display_name: Option<String>,
    pub mime_type: Option<String>,
    /// In the spelling of the interactions API.
    pub metadata: Vec<Value>,
    pub chunking: Chunking,
}

pub fn create(body: Value) -> Result<CreateStore, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    for name in KNOWN_TO_THE_SERVER {
        fields.take(name);
    }
    let display_name = fields.take("displayName").map(display_name).transpose()?;
    let embedding_model = fields.string("embeddingModel")?.filter(|name| !name.is_empty());
    fields.done()?;
    Ok(CreateStore {
        display_name: display_name.unwrap_or_default(),
        embedding_model: embedding_model.unwrap_or_else(|| EMBEDDING_MODEL.to_owned()),
    })
}

/// What an upload says of its document.
pub fn upload(body: Value) -> Result<DocumentConfig, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let mime_type = fields.string("mimeType")?.filter(|name| !name.is_empty());
    let display_name = fields.take("displayName").map(display_name).transpose()?;
    let config = config(&mut fields)?;
    fields.done()?;
    Ok(DocumentConfig { display_name, mime_type, ..config })
}

/// The name of the file to import, and what is said of its document.
pub fn import(body: Value) -> Result<(String, DocumentConfig), WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let file = fields.require("fileName")?.string()?;
    let config = config(&mut fields)?;
    fields.done()?;
    Ok((file, config))
}

fn config(fields: &mut ObjectReader) -> Result<DocumentConfig, WireError> {
    let metadata = fields.take("customMetadata").map(metadata).transpose()?;
    let chunking = fields.take("chunkingConfig").map(chunking).transpose()?;
    Ok(DocumentConfig {
        display_name: None,
        mime_type: None,
        metadata: metadata.unwrap_or_default(),
        chunking: chunking.flatten().unwrap_or(DEFAULT_CHUNKING),
    })
}

fn display_name(node: Node) -> Result<String, WireError> {
    let mistake = node.wrong(format!("at most {MAX_DISPLAY_NAME} characters are allowed"));
    let name = node.string()?;
    if name.chars().count() > MAX_DISPLAY_NAME { Err(mistake) } else { Ok(name) }
}

fn metadata(node: Node) -> Result<Vec<Value>, WireError> {
    let many = node.wrong(format!("at most {MAX_METADATA} entries are allowed"));
    let large = node.wrong(format!("at most {MAX_METADATA_BYTES} bytes are allowed"));
    let nodes = node.list()?;
    if nodes.len() > MAX_METADATA {
        return Err(many);
    }
    let entries: Vec<Value> = nodes.into_iter().map(entry).collect::<Result<_, _>>()?;
    if json!(entries).to_string().len() > MAX_METADATA_BYTES { Err(large) } else { Ok(entries) }
}

fn entry(node: Node) -> Result<Value, WireError> {
    let mut fields = node.object()?.camel()?;
    let one = fields.wrong("expected one of 'stringValue', 'numericValue' and 'stringListValue'");
    let mut entry = Map::new();
    entry.insert("key".to_owned(), fields.require("key")?.string()?.into());
    if let Some(text) = fields.string("stringValue")? {
        entry.insert("string_value".to_owned(), text.into());
    }
    if let Some(node) = fields.take("numericValue") {
        entry.insert("numeric_value".to_owned(), proto::number(&node)?.into());
    }
    if let Some(node) = fields.take("stringListValue") {
        let mut list = node.object()?.camel()?;
        let values = list.take("values").map(Node::list).transpose()?.unwrap_or_default();
        let values: Vec<String> = values.into_iter().map(Node::string).collect::<Result<_, _>>()?;
        list.done()?;
        entry.insert("string_list_value".to_owned(), json!({"values": values}));
    }
    fields.done()?;
    if entry.len() == 2 { Ok(entry.into()) } else { Err(one) }
}

fn chunking(node: Node) -> Result<Option<Chunking>, WireError> {
    let mut fields = node.object()?.camel()?;
    let config = fields.take("whiteSpaceConfig");
    fields.done()?;
    let Some(node) = config else { return Ok(None) };
    let overlap = node.wrong("'maxOverlapTokens' must be at most half of 'maxTokensPerChunk'");
    let mut fields = node.object()?.camel()?;
    let mut tokens = |name: &str, least: i64, default: usize| match fields.take(name) {
        None => Ok(default),
        Some(node) => {
            let wrong = node.wrong(format!("must be between {least} and {MAX_CHUNK_WORDS}"));
            let count = proto::int64(&node)?;
            let count = Some(count).filter(|count| (least..=MAX_CHUNK_WORDS).contains(count));
            count.and_then(|count| usize::try_from(count).ok()).ok_or(wrong)
        }
    };
    let words = tokens("maxTokensPerChunk", MIN_CHUNK_WORDS, DEFAULT_CHUNKING.words)?;
    let repeated = tokens("maxOverlapTokens", 0, DEFAULT_CHUNKING.overlap.min(words / 10))?;
    fields.done()?;
    if 2 * repeated > words {
        Err(overlap)
    } else {
        Ok(Some(Chunking { words, overlap: repeated }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_and_metadata_of_a_document_are_read_in_both_spellings() {
        let config = upload(json!({
            "mimeType": "text/plain", "displayName": "a.txt",
            "customMetadata": [
                {"key": "genre", "string_value": "fiction"},
                {"key": "year", "numericValue": 1990},
                {"key": "tags", "string_list_value": {"values": ["x"]}},
            ],
            "chunkingConfig": {"white_space_config": {"max_tokens_per_chunk": 200,
                                                      "max_overlap_tokens": "20"}},
        }));
        let config = config.expect("it is valid");
        assert_eq!(config.chunking, Chunking { words: 200, overlap: 20 });
        assert_eq!(
            json!(config.metadata),
            json!([
                {"key": "genre", "string_value": "fiction"},
                {"key": "year", "numeric_value": 1990.0},
                {"key": "tags", "string_list_value": {"values": ["x"]}},
            ])
        );
        assert_eq!(upload(json!({})).expect("it is valid").chunking, DEFAULT_CHUNKING);
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        let entry = |entry: Value| json!({"fileName": "files/a", "customMetadata": [entry]});
        for (body, wanted) in [
            (json!({}), "Missing required parameter 'fileName'."),
            (entry(json!({})), "'customMetadata[0].key'"),
            (entry(json!({"key": "k"})), "'customMetadata[0]': expected one of 'stringValue'"),
            (
                entry(json!({"key": "k", "stringValue": "a".repeat(MAX_METADATA_BYTES)})),
                "'customMetadata': at most 4096 bytes are allowed.",
            ),
            (
                json!({"fileName": "f", "chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 0}}}),
                "must be between 10 and 2000",
            ),
            (
                json!({"fileName": "f", "chunkingConfig": {"whiteSpaceConfig": {
                    "maxTokensPerChunk": 10, "maxOverlapTokens": 6}}}),
                "'maxOverlapTokens' must be at most half",
            ),
        ] {
            let error = import(body.clone()).expect_err("it is rejected").to_string();
            assert!(error.contains(wanted), "{body} gave {error}");
        }
    }
}
