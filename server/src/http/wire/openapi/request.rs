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
use crate::http::wire::tool::built_in;
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

/// Names of functions.
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$";
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
    let of_type = |kind: &str, required: &[&str], mut fields: Value| {
        fields["type"] = only(kind);
        request(&[&["type"], required].concat(), fields)
    };
    let mut function = json!({
        "name": {"type": "string", "pattern": NAME},
        "description": {"type": "string"},
        "parameters": any_object("JSON Schema."),
        "short_description": {"type": "string"},
        "defer_loading": {"type": "boolean"},
    });
    let declared = of_type("function", &["name"], function.clone());
    function["execution"] = only("client");
    let mut forms = vec![
        of_type("code_execution", &[], json!({})),
        of_type("google_search", &[], json!({"search_types": {}})),
        declared,
        of_type("tool_search", &["execution", "name"], function),
        of_type("tool_search", &[], server_tool_search()),
        request(&["code_execution"], json!({"code_execution": empty()})),
        request(&["codeExecution"], json!({"codeExecution": empty()})),
    ];
    forms.extend(
        built_in_tools()
            .into_iter()
            .map(|(kind, required, fields)| of_type(kind, required, fields)),
    );
    any_of(&forms)
}

fn server_tool_search() -> Value {
    json!({
        "execution": only("server"),
        "name": {"type": "string"},
        "description": {"type": "string"},
        "parameters": {"type": "object"},
    })
}

/// Each with its required fields.
fn built_in_tools() -> Vec<(&'static str, &'static [&'static str], Value)> {
    let strings = || list(json!({"type": "string"}));
    let degrees = |most: i64| json!({"type": "number", "minimum": -most, "maximum": most});
    let maps = json!({
        "latitude": degrees(90), "longitude": degrees(180), "enable_widget": {"type": "boolean"},
    });
    let mut stores = list(json!({"type": "string", "pattern": "^fileSearchStores/."}));
    stores["minItems"] = 1.into();
    stores["maxItems"] = built_in::MAX_STORES.into();
    let files = json!({
        "file_search_store_names": stores,
        "metadata_filter": text("Such as `genre = \"fiction\" AND year >= 1990`."),
        "top_k": {"type": "integer", "minimum": 1, "maximum": built_in::MAX_TOP_K},
    });
    let allowed = json!({"mode": word(&built_in::MODES), "tools": strings()});
    let mcp = json!({
        "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:]{0,127}$"},
        "url": {"type": "string", "format": "uri", "pattern": "^https?://[A-Za-z0-9]"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"},
                    "maxProperties": built_in::MAX_HEADERS},
        "allowed_tools": list(request(&[], allowed)),
        "defer_loading": {"type": "boolean"},
    });
    let computer = json!({
        "environment": word(&built_in::ENVIRONMENTS),
        "excluded_predefined_functions": strings(),
        "disabled_safety_policies": list(word(&built_in::POLICIES)),
        "enable_prompt_injection_detection": {"type": "boolean"},
    });
    vec![
        ("url_context", &[], json!({})),
        ("google_maps", &[], maps),
        ("file_search", &["file_search_store_names"], files),
        ("mcp_server", &["name", "url"], mcp),
        ("computer_use", &[], computer),
    ]
}
