//! Writes stores, documents and operations.

use serde_json::{Value, json};

use crate::http::error::{ApiError, Code};
use crate::http::wire::json_reader::camel;
use store::{StoredDocument, StoredFileSearchStore};

const PACKAGE: &str = "type.googleapis.com/google.ai.generativelanguage.v1main";

pub fn store(store: &StoredFileSearchStore) -> Value {
    let mut json = json!({
        "name": store_name(&store.id),
        "displayName": store.display_name,
        "createTime": store.created.to_string(),
        "updateTime": store.updated.to_string(),
        "embeddingModel": store.embedding_model,
    });
    // 64-bit integers, which protobuf writes as strings. Zeros are left out.
    for (name, count) in [("activeDocumentsCount", store.documents), ("sizeBytes", store.bytes)] {
        if count > 0 {
            json[name] = count.to_string().into();
        }
    }
    json
}

pub fn document(of: &str, document: &StoredDocument) -> Value {
    let mut json = json!({
        "name": document_name(of, &document.id),
        "displayName": document.display_name,
        "state": "STATE_ACTIVE",
        "sizeBytes": document.bytes.to_string(),
        "mimeType": document.mime_type,
        "createTime": document.created.to_string(),
        "updateTime": document.created.to_string(),
    });
    let metadata = metadata(document);
    if !metadata.is_empty() {
        json["customMetadata"] = metadata.iter().map(in_camel_case).collect();
    }
    json
}

/// The client's metadata in the spelling of the interactions API.
pub fn metadata(document: &StoredDocument) -> Vec<Value> {
    serde_json::from_str(&document.metadata).unwrap_or_default()
}

fn in_camel_case(entry: &Value) -> Value {
    let fields = entry.as_object().into_iter().flatten();
    fields.map(|(name, value)| (camel(name.clone()), value.clone())).collect()
}

/// How a document came into its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Upload,
    Import,
}

/// The operation that made a document, which has the same id.
pub fn operation(of: &str, document: &StoredDocument, origin: Origin) -> Value {
    let (place, kind) = match origin {
        Origin::Upload => ("upload/operations", "UploadToFileSearchStoreResponse"),
        Origin::Import => ("operations", "ImportFileResponse"),
    };
    let mut response = json!({
        "@type": format!("{PACKAGE}.{kind}"),
        "parent": store_name(of),
        "documentName": document_name(of, &document.id),
    });
    if origin == Origin::Upload {
        response["mimeType"] = document.mime_type.as_str().into();
        response["sizeBytes"] = document.bytes.to_string().into();
    }
    json!({
        "name": format!("{}/{place}/{}", store_name(of), document.id),
        "done": true,
        "response": response,
    })
}

pub fn store_name(id: &str) -> String {
    format!("fileSearchStores/{id}")
}

pub fn document_name(store: &str, id: &str) -> String {
    format!("fileSearchStores/{store}/documents/{id}")
}

/// As the real service words it.
pub fn not_found(name: &str) -> ApiError {
    let why = format!("The resource {name} was not found (or permission denied).");
    ApiError::new(Code::NotFound, why)
}
