//! Makes a document of a file: its text, split into chunks.

use serde_json::json;

use super::answer::{not_found, store_name};
use super::request::DocumentConfig;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::body::blocking;
use search::{Document, PassageKind, chunks};
use store::{
    self, FileSearchApplied, FileSearchChange, MAX_CHUNK_BYTES, MAX_DOCUMENTS, Owner,
    StoredDocument, StoredFile,
};

/// Maximum size of a file that becomes a document.
pub const MAX_FILE_BYTES: u64 = 20 << 20;
/// Copies of a file in memory while it is read: its text, laid out and split.
const COPIES: usize = 8;

/// The kind of text of a file, by its type or its name.
pub fn kind(mime_type: &str, name: &str) -> Result<PassageKind, ApiError> {
    let by_name = || PassageKind::of_extension(name.rsplit_once('.')?.1);
    PassageKind::of_mime_type(mime_type).or_else(by_name).ok_or_else(|| {
        ApiError::invalid(format!(
            "Unsupported MIME type: {mime_type}. This server searches text, Markdown, HTML, CSV, JSON and \
             XML."
        ))
    })
}

/// Adds a file to a store as the document of this id. A document of the same id is left as it is.
pub async fn ingest(
    app: &App,
    owner: &Owner,
    store: &str,
    id: String,
    file: &StoredFile,
    config: DocumentConfig,
) -> Result<StoredDocument, ApiError> {
    let name = config.display_name.or_else(|| file.display_name.clone());
    let display_name = name.unwrap_or_else(|| format!("files/{}", file.id));
    let mime_type = config.mime_type.unwrap_or_else(|| file.mime_type.clone());
    let kind = kind(&mime_type, &display_name)?;
    if file.bytes > MAX_FILE_BYTES {
        let most = MAX_FILE_BYTES >> 20;
        return Err(ApiError::invalid(format!("A document can have at most {most} MiB.")));
    }
    let bytes = usize::try_from(file.bytes).unwrap_or(usize::MAX).saturating_mul(COPIES);
    let budget = app.sandbox.budget().of(owner);
    let _memory = budget.take(bytes).ok_or_else(ApiError::no_memory)?;
    let content = app.files.content(file).await?;
    let chunking = config.chunking;
    let chunks = blocking(move || {
        let text = Document::read(kind, &content, "").passages.join("\n\n");
        Ok::<_, ApiError>(json!(chunks(&text, chunking)).to_string())
    });
    let document = StoredDocument {
        id,
        display_name,
        mime_type,
        bytes: file.bytes,
        created: store::now(),
        metadata: json!(config.metadata).to_string(),
    };
    let (owner, name, chunks) = (owner.clone(), store.to_owned(), chunks.await?);
    let change = FileSearchChange::Add { owner, store: name, document: document.clone(), chunks };
    match app.store.file_search_stores().change(change).await? {
        FileSearchApplied::Done => Ok(document),
        FileSearchApplied::Missing | FileSearchApplied::NotEmpty => {
            Err(not_found(&store_name(store)))
        }
        FileSearchApplied::Full => Err(ApiError::new(
            Code::ResourceExhausted,
            format!(
                "One key can have {MAX_DOCUMENTS} documents with {} MiB of text in total. Delete \
                 some.",
                MAX_CHUNK_BYTES >> 20
            ),
        )),
    }
}
