//! The bodies of `generateContent` and `countTokens`.

use serde_json::{Value, json};

use super::part::GENERATE_CONTENT;
#[cfg(test)]
use super::samples;
use super::tool::{GENERATE_TOOL, TOOL_CONFIG};
use super::{any_name, enumeration, float, int32};
use crate::http::generate_content::config::IGNORED;
#[cfg(test)]
use crate::http::generate_content::request as reader;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_object, any_of, flag, list, only, request, text,
};
#[cfg(test)]
use crate::http::vertex::Dialect;
use crate::http::wire::proto;

pub static GENERATE: RequestBody = RequestBody {
    schema: &GENERATE_CONTENT_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: samples::instructions,
        refused: || samples::refused("", reader::OF_VERTEX),
        ..BodyReader::new(
            |body| reader::generate("m", body, false, None, &Dialect::Gemini).map(drop),
            samples::generate,
        )
    },
};

pub static COUNT: RequestBody = RequestBody {
    schema: &COUNT_TOKENS_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: || samples::instructions().iter().map(samples::wrapped).collect(),
        refused: || samples::refused("generateContentRequest.", reader::OF_VERTEX),
        ..BodyReader::new(
            |body| reader::count("m", body, None, &Dialect::Gemini).map(drop),
            samples::count,
        )
    },
};

pub static VERTEX_GENERATE: RequestBody = RequestBody {
    schema: &VERTEX_GENERATE_CONTENT_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: samples::instructions,
        refused: || samples::refused("", &[("serviceTier", "")]),
        ..BodyReader::new(
            |body| reader::generate("m", body, false, None, &vertex()).map(drop),
            samples::vertex,
        )
    },
};

#[cfg(test)]
fn vertex() -> Dialect {
    Dialect::Vertex(Default::default())
}

static VERTEX_GENERATE_CONTENT_REQUEST: Schema =
    Schema::new("VertexGenerateContentRequest", vertex_generate);
static GENERATE_CONTENT_REQUEST: Schema = Schema::new("GenerateContentRequest", generate);
static COUNT_TOKENS_REQUEST: Schema = Schema::new("CountTokensRequest", count);
static GENERATION_CONFIG: Schema = Schema::new("GenerationConfig", generation_config);
pub static THINKING_CONFIG: Schema = Schema::new("ThinkingConfig", thinking_config);
pub static SAFETY_SETTINGS: Schema = Schema::new("SafetySettings", safety_settings);

fn generate(schemas: &ComponentSchemas) -> Value {
    request(&["contents"], generate_fields(schemas))
}

fn vertex_generate(schemas: &ComponentSchemas) -> Value {
    let mut fields = generate_fields(schemas);
    fields["modelArmorConfig"] = any_object("Accepted and ignored: no prompt is checked.");
    fields.as_object_mut().map(|fields| fields.remove("serviceTier"));
    request(&["contents"], fields)
}

fn generate_fields(schemas: &ComponentSchemas) -> Value {
    json!({
        "contents": any_of(&[schemas.named(&GENERATE_CONTENT), list(schemas.named(&GENERATE_CONTENT))]),
        "systemInstruction": schemas.named(&GENERATE_CONTENT),
        "tools": any_of(&[schemas.named(&GENERATE_TOOL), list(schemas.named(&GENERATE_TOOL))]),
        "toolConfig": schemas.named(&TOOL_CONFIG),
        "generationConfig": schemas.named(&GENERATION_CONFIG),
        "safetySettings": schemas.named(&SAFETY_SETTINGS),
        "cachedContent": text("`cachedContents/` and the id. Excludes `systemInstruction`, `tools` and `toolConfig`."),
        "serviceTier": any_name(proto::SERVICE_TIER),
        "labels": any_object("For billing. Accepted and ignored."),
        "model": {"type": "string"},
        "store": {"type": "boolean"},
    })
}

fn count(schemas: &ComponentSchemas) -> Value {
    request(
        &[],
        json!({
            "contents": any_of(&[schemas.named(&GENERATE_CONTENT), list(schemas.named(&GENERATE_CONTENT))]),
            "generateContentRequest": schemas.named(&GENERATE_CONTENT_REQUEST),
            "model": {"type": "string"},
        }),
    )
}

fn generation_config(schemas: &ComponentSchemas) -> Value {
    let mut config = json!({
        "temperature": float(json!({"minimum": 0, "maximum": 2})),
        "topP": float(json!({"minimum": 0, "maximum": 1})),
        "topK": float(json!({"minimum": 0})),
        "presencePenalty": float(json!({"minimum": -2, "maximum": 2})),
        "frequencyPenalty": float(json!({"minimum": -2, "maximum": 2})),
        "maxOutputTokens": int32(json!({"minimum": 1})),
        "seed": int32(json!({})),
        "stopSequences": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "candidateCount": any_of(&[json!({"type": "integer", "const": 1}), only("1")]),
        "responseLogprobs": {"type": "boolean", "const": false},
        "responseModalities": list(enumeration(proto::RESPONSE_MODALITY, &["text", "image", "audio"])),
        "responseMimeType": {"type": "string"},
        "responseSchema": any_object("A schema in this API's dialect of JSON Schema."),
        "responseJsonSchema": {"description": "JSON Schema."},
        "thinkingConfig": schemas.named(&THINKING_CONFIG),
        "mediaResolution": any_name(proto::MEDIA_RESOLUTION),
    });
    for name in IGNORED {
        config[*name] = json!({"description": "Accepted and ignored."});
    }
    request(&[], config)
}

fn thinking_config(_: &ComponentSchemas) -> Value {
    request(
        &[],
        json!({
            "thinkingLevel":
                enumeration(proto::THINKING_LEVEL, &["XHIGH", "minimal", "low", "medium", "high"]),
            "thinkingBudget": int32(json!({})),
            "includeThoughts": flag("Whether the answer includes thought summaries."),
        }),
    )
}

fn safety_settings(_: &ComponentSchemas) -> Value {
    list(request(
        &["category", "threshold"],
        json!({
            "category": any_name(proto::HARM_CATEGORY),
            "threshold": any_name(proto::HARM_THRESHOLD),
            "method": {"type": "string"},
        }),
    ))
}
