//! The description of uploads in the OpenAPI document.

use serde_json::{Value, json};

use crate::http::file_search::openapi::{OPERATION, UPLOAD};
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::parameter::{in_header, in_path, in_query, version};
use crate::http::openapi::schema::{Schema, answer, any_of, count, request, text, word};
use crate::http::openapi::{FILE_SEARCH, FILES, Operation, RequestBody};
use crate::http::routes::files::FILE;
use crate::http::wire::file::KNOWN_TO_THE_SERVER;
#[cfg(test)]
use crate::http::wire::file::{InHeaders, announced};

static BODY: RequestBody = RequestBody {
    schema: &UPLOAD_METADATA,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| announced(body, &InHeaders::default()).map(drop),
        || {
            let mut metadata = json!({"name": "files/a", "displayName": "d",
                                      "mimeType": "text/csv", "sizeBytes": "1"});
            for name in KNOWN_TO_THE_SERVER {
                metadata[*name] = json!("x");
            }
            let mut number = metadata.clone();
            number["sizeBytes"] = 1.into();
            vec![json!({"file": metadata}), json!({"file": number})]
        },
    ),
};

static UPLOAD_METADATA: Schema = Schema::new("UploadMetadata", |_| {
    let mut metadata = json!({
        "name": {"type": "string", "pattern": "^(files/)?[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"},
        "displayName": {"type": "string", "maxLength": 512},
        "mimeType": {"type": "string"},
        "sizeBytes": any_of(&[count("The size in bytes."), text("The number as a string.")]),
    });
    for name in KNOWN_TO_THE_SERVER {
        metadata[*name] = json!({"description": "Accepted and ignored: the server sets it."});
    }
    request(&[], json!({"file": request(&[], metadata)}))
});

static UPLOADED: Schema =
    Schema::new("Uploaded", |schemas| answer(&[], json!({"file": schemas.named(&FILE)})));

/// Into a file search store.
pub fn into_file_search_store() -> Operation {
    let about = "Starts or continues an upload of a document into a store";
    let document = text("What the document needs, as the server wrote it.");
    let id = in_path("id", json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}));
    Operation::new("uploadToFileSearchStore", FILE_SEARCH, about)
        .at("/fileSearchStores/{id}:uploadToFileSearchStore")
        .with([version(), id, in_query("document", document)])
        .with(parameters(&["resumable"]))
        .takes(&UPLOAD)
        .takes_as("application/octet-stream", |_| json!({}))
        .body_is_optional()
        .answers(&OPERATION)
}

fn parameters(protocols: &[&str]) -> [Value; 7] {
    let number = || json!({"type": "integer", "minimum": 0});
    [
        in_query("upload_id", text("The id of an upload that has started.")),
        in_query("upload_protocol", word(protocols)),
        in_header("x-goog-upload-protocol", word(protocols)),
        in_header("x-goog-upload-command", text("`start`, `upload, finalize`, `query`, …")),
        in_header("x-goog-upload-offset", number()),
        in_header("x-goog-upload-header-content-length", number()),
        in_header("x-goog-upload-header-content-type", text("`text/csv`")),
    ]
}

pub fn operation(id: &'static str) -> Operation {
    Operation::new(id, FILES, "Starts or continues an upload, or uploads a file in one request")
        .about(
            "`resumable` starts an upload: the response has no body, and its header `x-goog-upload-url` \
             is the URL for the chunks. With `raw` the body is the file, with `multipart` it is the \
             metadata and the file.",
        )
        .with([version()])
        .with(parameters(&["resumable", "raw", "multipart"]))
        .with([in_header("x-goog-upload-file-name", text("`data.csv`"))])
        .takes(&BODY)
        .takes_as("application/octet-stream", |_| json!({}))
        .body_is_optional()
        .answers(&UPLOADED)
}
