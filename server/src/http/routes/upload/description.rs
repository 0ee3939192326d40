//! The description of uploads in the OpenAPI document.

use serde_json::json;

#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::parameter::{in_header, in_query, version};
use crate::http::openapi::schema::{Schema, answer, any_of, count, request, text, word};
use crate::http::openapi::{FILES, Operation, RequestBody};
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

pub fn operation(id: &'static str) -> Operation {
    let number = || json!({"type": "integer", "minimum": 0});
    let protocol = || word(&["resumable", "raw", "multipart"]);
    Operation::new(id, FILES, "Starts or continues an upload, or uploads a file in one request")
        .about(
            "`resumable` starts an upload: the response has no body, and its header `x-goog-upload-url` \
             is the URL for the chunks. With `raw` the body is the file, with `multipart` it is the \
             metadata and the file.",
        )
        .with([
            version(),
            in_query("upload_id", text("The id of an upload that has started.")),
            in_query("upload_protocol", protocol()),
            in_header("x-goog-upload-protocol", protocol()),
            in_header("x-goog-upload-command", text("`start`, `upload, finalize`, `query`, …")),
            in_header("x-goog-upload-offset", number()),
            in_header("x-goog-upload-header-content-length", number()),
            in_header("x-goog-upload-header-content-type", text("`text/csv`")),
            in_header("x-goog-upload-file-name", text("`data.csv`")),
        ])
        .takes(&BODY)
        .takes_as("application/octet-stream", |_| json!({}))
        .body_is_optional()
        .answers(&UPLOADED)
}
