//! Schemas of file search stores for the OpenAPI document.

use serde_json::{Value, json};

use super::request as reader;
use crate::http::generate_content::openapi::int32;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{Schema, answer, any_of, list, only, request, text, time};

pub static CREATE: RequestBody = RequestBody {
    schema: &STORE_TO_CREATE,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| reader::create(body).map(drop),
        || {
            let mut store = json!({"displayName": "d", "embeddingModel": "models/m"});
            for name in reader::KNOWN_TO_THE_SERVER {
                store[*name] = json!("x");
            }
            vec![store]
        },
    ),
};

pub static IMPORT: RequestBody = RequestBody {
    schema: &FILE_TO_IMPORT,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| reader::import(body).map(drop),
        || {
            let mut import = sample();
            import["fileName"] = "files/a".into();
            vec![import]
        },
    ),
};

pub static UPLOAD: RequestBody = RequestBody {
    schema: &DOCUMENT_TO_UPLOAD,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| reader::upload(body).map(drop),
        || {
            let mut upload = sample();
            upload["displayName"] = "d".into();
            upload["mimeType"] = "text/plain".into();
            vec![upload]
        },
    ),
};

#[cfg(test)]
fn sample() -> Value {
    json!({
        "customMetadata": [{"key": "k", "stringValue": "v"}, {"key": "n", "numericValue": 1},
                           {"key": "l", "stringListValue": {"values": ["v"]}}],
        "chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 100, "maxOverlapTokens": 10}},
    })
}

static STORE_TO_CREATE: Schema = Schema::new("FileSearchStoreToCreate", |_| {
    let mut fields = json!({
        "displayName": {"type": "string", "maxLength": 512},
        "embeddingModel": text("Accepted and shown. Documents are found by their words."),
    });
    for name in reader::KNOWN_TO_THE_SERVER {
        fields[*name] = json!({"description": "Accepted and ignored: the server sets it."});
    }
    request(&[], fields)
});

static FILE_TO_IMPORT: Schema = Schema::new("FileToImport", |_| {
    let mut fields = config();
    fields["fileName"] = text("`files/` and the id of an uploaded file.");
    request(&["fileName"], fields)
});

static DOCUMENT_TO_UPLOAD: Schema = Schema::new("DocumentToUpload", |_| {
    let mut fields = config();
    fields["displayName"] = json!({"type": "string", "maxLength": 512});
    fields["mimeType"] = json!({"type": "string"});
    request(&[], fields)
});

fn config() -> Value {
    let string = || json!({"type": "string"});
    let strings = request(&[], json!({"values": list(string())}));
    let number = any_of(&[json!({"type": "number"}), text("The number as a string.")]);
    let entry =
        |name: &str, value: Value| request(&["key", name], json!({"key": string(), name: value}));
    let mut metadata = list(any_of(&[
        entry("stringValue", string()),
        entry("numericValue", number),
        entry("stringListValue", strings),
    ]));
    metadata["maxItems"] = reader::MAX_METADATA.into();
    let words = json!({
        "maxTokensPerChunk": int32(json!({"minimum": reader::MIN_CHUNK_WORDS, "maximum": reader::MAX_CHUNK_WORDS})),
        "maxOverlapTokens": int32(json!({"minimum": 0, "maximum": reader::MAX_CHUNK_WORDS})),
    });
    let chunking = json!({"whiteSpaceConfig": request(&[], words)});
    json!({"customMetadata": metadata, "chunkingConfig": request(&[], chunking)})
}

fn int64() -> Value {
    json!({"type": "string", "pattern": "^[0-9]+$"})
}

pub static STORE: Schema = Schema::new("FileSearchStore", |_| {
    let fields = json!({
        "name": text("`fileSearchStores/` and the id."),
        "displayName": {"type": "string"},
        "createTime": time("When it was created."),
        "updateTime": time("When a document was added or deleted."),
        "embeddingModel": {"type": "string"},
        "activeDocumentsCount": int64(),
        "sizeBytes": int64(),
    });
    answer(&["activeDocumentsCount", "sizeBytes"], fields)
});

pub static STORES: Schema = Schema::new("FileSearchStores", |schemas| {
    let fields = json!({
        "fileSearchStores": list(schemas.named(&STORE)),
        "nextPageToken": {"type": "string"},
    });
    answer(&["fileSearchStores", "nextPageToken"], fields)
});

pub static DOCUMENT: Schema = Schema::new("FileSearchDocument", |_| {
    let fields = json!({
        "name": text("The name of the store, `/documents/` and the id."),
        "displayName": {"type": "string"},
        "state": only("STATE_ACTIVE"),
        "sizeBytes": int64(),
        "mimeType": {"type": "string"},
        "createTime": time("When it was added."),
        "updateTime": time("The same."),
        "customMetadata": list(json!({"type": "object"})),
    });
    answer(&["customMetadata"], fields)
});

pub static DOCUMENTS: Schema = Schema::new("FileSearchDocuments", |schemas| {
    let fields = json!({
        "documents": list(schemas.named(&DOCUMENT)),
        "nextPageToken": {"type": "string"},
    });
    answer(&["documents", "nextPageToken"], fields)
});

pub static OPERATION: Schema = Schema::new("FileSearchOperation", |_| {
    let response = json!({
        "@type": {"type": "string"},
        "parent": {"type": "string"},
        "documentName": {"type": "string"},
        "mimeType": {"type": "string"},
        "sizeBytes": int64(),
    });
    answer(
        &[],
        json!({
            "name": text("Its id is that of the document."),
            "done": {"type": "boolean", "const": true},
            "response": answer(&["mimeType", "sizeBytes"], response),
        }),
    )
});
