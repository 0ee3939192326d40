//! Schemas of cached contents for the OpenAPI document.

use serde_json::{Value, json};

#[cfg(test)]
use super::request as reader;
#[cfg(test)]
use crate::http::generate_content::openapi::samples;
use crate::http::generate_content::openapi::{GENERATE_CONTENT, GENERATE_TOOL, TOOL_CONFIG};
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, any_object, any_of, count, list, request, text, time,
};
#[cfg(test)]
use crate::http::vertex::Dialect;

pub static CREATE_CACHE: RequestBody = RequestBody {
    schema: &CACHE_TO_CREATE,
    #[cfg(test)]
    reader: BodyReader {
        rejected: samples::cache_instructions,
        refused: samples::refused_in_cache,
        ..BodyReader::new(|body| reader::create(body, &Dialect::Gemini).map(drop), samples::caches)
    },
};

pub static UPDATE_CACHE: RequestBody = RequestBody {
    schema: &CACHE_UPDATE,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| reader::update(body).map(drop),
        || {
            let mut update = json!({"ttl": "5s"});
            for name in reader::KNOWN_TO_THE_SERVER {
                update[name] = json!({});
            }
            vec![update, json!({"expireTime": "2026-12-01T00:00:00Z"})]
        },
    ),
};

static CACHE_TO_CREATE: Schema = Schema::new("CachedContentToCreate", |schemas| {
    let mut fields = json!({
        "model": text("With or without `models/` before the name."),
        "displayName": {"type": "string", "maxLength": 128},
        "contents": any_of(&[
            schemas.named(&GENERATE_CONTENT), list(schemas.named(&GENERATE_CONTENT)),
        ]),
        "systemInstruction": schemas.named(&GENERATE_CONTENT),
        "tools": any_of(&[schemas.named(&GENERATE_TOOL), list(schemas.named(&GENERATE_TOOL))]),
        "toolConfig": schemas.named(&TOOL_CONFIG),
        "encryptionSpec": any_object("Accepted and ignored."),
    });
    with_expiry(&mut fields);
    request(&["model"], fields)
});

static CACHE_UPDATE: Schema = Schema::new("CachedContentUpdate", |_| {
    let mut fields = json!({});
    with_expiry(&mut fields);
    request(&[], fields)
});

fn with_expiry(fields: &mut Value) {
    fields["ttl"] = json!({"type": "string", "pattern": r"^[0-9.]+s$", "examples": ["300s"]});
    fields["expireTime"] = time("Excludes `ttl`.");
    for name in ["name", "createTime", "updateTime", "usageMetadata"] {
        fields[name] = json!({"description": "Accepted and ignored."});
    }
}

pub static CACHED_CONTENT: Schema = Schema::new("CachedContent", |_| {
    let usage = answer(&[], json!({"totalTokenCount": count("Tokens of the content.")}));
    let fields = json!({
        "name": text("`cachedContents/` and the id."),
        "model": text("`models/` and the name."),
        "displayName": {"type": "string"},
        "createTime": time("With a precision of milliseconds."),
        "updateTime": time("With a precision of milliseconds."),
        "expireTime": time("When it is deleted."),
        "usageMetadata": usage,
    });
    answer(&[], fields)
});

pub static CACHED_CONTENTS: Schema = Schema::new("CachedContents", |schemas: &ComponentSchemas| {
    let fields = json!({
        "cachedContents": list(schemas.named(&CACHED_CONTENT)),
        "nextPageToken": {"type": "string"},
    });
    answer(&["cachedContents", "nextPageToken"], fields)
});
