//! Sessions in the OpenAPI document.

use serde_json::json;

#[cfg(test)]
use super::request;
use super::request::MAX_LABELS;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    Schema, answer, any_of, base64, count, flag, list, request as request_schema, text, time, word,
};
use crate::http::routes::execute::{input_files, output_fields};
#[cfg(test)]
use sessions::SessionLimits;

/// Limits for readers of bodies without a server.
#[cfg(test)]
const NO_LIMITS: SessionLimits = SessionLimits {
    sessions_of_owner: usize::MAX,
    memory_bytes: u64::MAX,
    idle_timeout: std::time::Duration::MAX,
    max_age: std::time::Duration::MAX,
};

pub static CREATE: RequestBody = RequestBody {
    schema: &CREATE_SESSION,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| request::create(body, &NO_LIMITS).map(drop),
        || {
            vec![json!({"files": [{"name": "a", "data": "AAAA"}], "timeout_s": 1,
                        "idle_timeout_s": 60.5, "labels": {"user": "a"}})]
        },
    ),
};

static CREATE_SESSION: Schema = Schema::new("CreateSession", |_| {
    let seconds =
        |about: &str| json!({"type": "number", "exclusiveMinimum": 0, "description": about});
    let fields = json!({
        "files": input_files(),
        "timeout_s": seconds("Time limit of a run that has none of its own."),
        "idle_timeout_s": seconds("The session ends when it has not been used for this long."),
        "labels": {"type": "object", "maxProperties": MAX_LABELS,
                   "additionalProperties": {"type": "string"}},
    });
    request_schema(&[], fields)
});

pub static SESSION: Schema = Schema::new("Session", |_| {
    let fields = json!({
        "id": {"type": "string"},
        "created": time("With a precision of milliseconds."),
        "expires": time("When it ends, if it is not used before."),
        "state": word(&["idle", "running"]),
        "runs": count("Code that has run."),
        "memory_bytes": count("Held after the last run, in addition to the libraries."),
        "idle_timeout_s": {"type": "number", "minimum": 0},
        "timeout_s": {"type": ["number", "null"], "minimum": 0},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    answer(&[], fields)
});

pub static SESSIONS: Schema = Schema::new("Sessions", |schemas| {
    answer(&[], json!({"sessions": list(schemas.named(&SESSION))}))
});

pub static SESSION_EXECUTED: Schema = Schema::new("SessionExecuted", |schemas| {
    let mut fields = output_fields(schemas);
    fields["session_ended"] = text("Why this run has ended the session, if it has.");
    answer(&["limit", "session_ended"], fields)
});

/// The data of an event of a stream.
pub static SESSION_EVENT: Schema = Schema::new("SessionEvent", |schemas| {
    let piece = answer(
        &[],
        json!({"text": {"type": "string"},
               "bytes_left_out": count("Omitted before this text, because the client reads too slowly.")}),
    );
    let image = answer(&[], json!({"mime_type": {"type": "string"}, "data": base64("The image.")}));
    let error = schemas.named(&crate::http::error::schema::CLASSIC_ERROR);
    any_of(&[piece, image, schemas.named(&SESSION_EXECUTED), error])
});

pub static INTERRUPTED: Schema = Schema::new("Interrupted", |_| {
    answer(&[], json!({"result": word(&["interrupted", "not_running", "still_running"])}))
});

pub static SESSION_FILES: Schema = Schema::new("SessionFiles", |_| {
    let file = json!({
        "path": text("Relative to the work directory."),
        "bytes": count("Size."),
        "modified": time("With a precision of milliseconds."),
    });
    let is_cut = flag("Whether files are missing because there are too many.");
    answer(&[], json!({"files": list(answer(&[], file)), "is_cut": is_cut}))
});

pub static SESSION_FILE: Schema = Schema::new("SessionFile", |_| {
    answer(&[], json!({"path": {"type": "string"}, "bytes": count("Size.")}))
});
