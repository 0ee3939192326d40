//! The body of `POST /interactions`.

use serde_json::{Value, json};
use strum::VariantNames as _;

use super::input::INPUT;
#[cfg(test)]
use super::samples;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_object, any_of, flag, list, only, request, text, word,
};
#[cfg(test)]
use crate::http::vertex::Dialect;
#[cfg(test)]
use crate::http::wire::request as reader;
use domain::interaction::ServiceTier;

pub static CREATE: RequestBody = RequestBody {
    schema: &CREATE_INTERACTION,
    #[cfg(test)]
    reader: BodyReader {
        refused: || {
            let refused = reader::ABSENT.iter().chain(reader::REFUSED).chain(reader::OF_VERTEX);
            refused.map(|(name, _)| (*name).to_owned()).collect()
        },
        ..BodyReader::new(|body| reader::create(body, &Dialect::Gemini).map(drop), samples::bodies)
    },
};

pub static VERTEX_CREATE: RequestBody = RequestBody {
    schema: &VERTEX_CREATE_INTERACTION,
    #[cfg(test)]
    reader: BodyReader {
        refused: || {
            let refused = reader::ABSENT.iter().chain(reader::REFUSED);
            refused.map(|(name, _)| (*name).to_owned()).collect()
        },
        ..BodyReader::new(
            |body| reader::create(body, &Dialect::Vertex(Default::default())).map(drop),
            samples::vertex,
        )
    },
};

static CREATE_INTERACTION: Schema = Schema::new("CreateInteraction", |schemas| {
    request(&["model", "input"], create_fields(schemas))
});
static VERTEX_CREATE_INTERACTION: Schema = Schema::new("VertexCreateInteraction", |schemas| {
    let mut fields = create_fields(schemas);
    fields["labels"] = any_object("For billing. Accepted and ignored.");
    fields["safety_settings"] = list(any_object("Accepted and ignored."));
    request(&["model", "input"], fields)
});
static INTERACTION_GENERATION_CONFIG: Schema =
    Schema::new("InteractionGenerationConfig", generation_config);
static RESPONSE_FORMAT: Schema = Schema::new("ResponseFormat", response_format);
static TOOL: Schema = Schema::new("Tool", tool);

/// Modes of function calling.
const MODES: [&str; 4] = ["auto", "any", "none", "validated"];

fn create_fields(schemas: &ComponentSchemas) -> Value {
    json!({
        "model": {
            "type": "string",
            "minLength": 1,
            "description": "With or without the prefix `models/`. `direct` runs the input as code.",
            "examples": ["direct"],
        },
        "input": schemas.named(&INPUT),
        "system_instruction": text("Instructions for the model."),
        "tools": list(schemas.named(&TOOL)),
        "previous_interaction_id": text("The interaction to continue. Its tools are not inherited."),
        "store": flag("Whether to store the interaction. The default is true."),
        "stream": flag("Whether the response is a stream of events."),
        "background": flag("Whether the interaction runs without a connection. Requires `store`."),
        "generation_config": schemas.named(&INTERACTION_GENERATION_CONFIG),
        "response_format": schemas.named(&RESPONSE_FORMAT),
        "response_modalities": list(word(&["text", "image", "audio", "video", "document"])),
        "service_tier": word(ServiceTier::VARIANTS),
    })
}

fn generation_config(_: &ComponentSchemas) -> Value {
    request(
        &[],
        json!({
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "seed": {"type": "integer"},
            "max_output_tokens": {"type": "integer", "minimum": 1},
            "stop_sequences": list(json!({"type": "string"})),
            "thinking_level": word(&["minimal", "low", "medium", "high", "xhigh"]),
            "thinking_summaries": word(&["auto", "none"]),
            "tool_choice": any_of(&[word(&MODES), request(&["allowed_tools"], json!({
                "allowed_tools": request(&[], json!({
                    "mode": word(&MODES),
                    "tools": list(json!({"type": "string"})),
                })),
            }))]),
            "image_config": any_object("Accepted and ignored: no model here generates images."),
            "transcription_config": any_object("Accepted and ignored: no model here transcribes."),
            "video_config": any_object("Accepted and ignored: no model here generates videos."),
            "speech_config": any_of(&[
                any_object("Accepted and ignored: no model here generates speech."),
                list(json!({})),
            ]),
        }),
    )
}

fn response_format(_: &ComponentSchemas) -> Value {
    let string = || json!({"type": "string"});
    let delivery = || word(&["inline", "uri"]);
    let text_form = request(
        &["type"],
        json!({
            "type": only("text"),
            "mime_type": text("`application/json` or `text/plain`."),
            "schema": any_object("The JSON Schema of the answer."),
        }),
    );
    let image = json!({
        "aspect_ratio": string(),
        "image_size": string(),
        "mime_type": string(),
        "delivery": delivery(),
    });
    let audio = json!({
        "bit_rate": {"type": "integer"},
        "sample_rate": {"type": "integer"},
        "mime_type": string(),
        "delivery": delivery(),
    });
    let video = json!({
        "aspect_ratio": string(),
        "duration": string(),
        "gcs_uri": string(),
        "resolution": string(),
        "delivery": delivery(),
    });
    let media = [("image", image), ("audio", audio), ("video", video)];
    let mut forms = vec![text_form];
    for (kind, mut fields) in media {
        fields["type"] = only(kind);
        forms.push(request(&["type"], fields));
    }
    // Any other object is a schema itself.
    let schema = json!({
        "type": "object",
        "description": "A JSON Schema.",
        "properties": {"type": {"not": {"enum": ["text", "image", "audio", "video"]}}},
    });
    let forms: Vec<Value> = forms.into_iter().chain([schema]).collect();
    any_of(&[any_of(&forms), list(any_of(&forms))])
}

fn tool(_: &ComponentSchemas) -> Value {
    let empty = || request(&[], json!({}));
    let function = request(
        &["type", "name"],
        json!({
            "type": only("function"),
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$"},
            "description": {"type": "string"},
            "parameters": any_object("JSON Schema."),
            "short_description": {"type": "string"},
            "defer_loading": {"type": "boolean"},
        }),
    );
    any_of(&[
        request(&["type"], json!({"type": only("code_execution")})),
        request(&["type"], json!({"type": only("google_search"), "search_types": {}})),
        function,
        request(&["code_execution"], json!({"code_execution": empty()})),
        request(&["codeExecution"], json!({"codeExecution": empty()})),
    ])
}
