//! Schemas of the error envelopes.

use serde_json::json;

use crate::http::openapi::schema::{Schema, answer, any_of};

/// The envelope of the Interactions API.
pub static INTERACTION_ERROR: Schema = Schema::new("InteractionError", |schemas| {
    answer(&[], json!({"error": schemas.named(&ERROR_WORD)}))
});

pub static ERROR_WORD: Schema = Schema::new("ErrorWord", |_| {
    answer(&[], json!({"code": {"type": "string"}, "message": {"type": "string"}}))
});

/// The envelope of the OpenAI-compatible API.
pub static OPENAI_ERROR: Schema = Schema::new(
    "OpenAiError",
    |schemas| json!({"type": "array", "minItems": 1, "maxItems": 1, "items": schemas.named(&CLASSIC_ERROR)}),
);

/// The envelope of the streams of Vertex AI, which is in a list if the stream would be one.
pub static VERTEX_STREAM_ERROR: Schema = Schema::new("VertexStreamError", |schemas| {
    any_of(&[schemas.named(&CLASSIC_ERROR), schemas.named(&OPENAI_ERROR)])
});

/// The envelope of all other APIs.
pub static CLASSIC_ERROR: Schema = Schema::new("ClassicError", |_| {
    let error = answer(
        &[],
        json!({
            "code": {"type": "integer", "minimum": 400, "maximum": 599},
            "message": {"type": "string"},
            "status": {"type": "string"},
        }),
    );
    answer(&[], json!({"error": error}))
});
