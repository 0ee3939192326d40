//! Schemas of embeddings for the OpenAPI document.

use serde_json::{Value, json};

#[cfg(test)]
use super::request as reader;
use super::request::IGNORED;
use crate::http::generate_content::openapi::{GENERATE_CONTENT, any_name, details, int32};
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{ComponentSchemas, Schema, answer, count, flag, list, request};
#[cfg(test)]
use crate::http::vertex::Dialect;
use crate::http::wire::proto;

pub static EMBED: RequestBody = RequestBody {
    schema: &EMBED_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: || samples::rejected().to_vec(),
        ..BodyReader::new(
            |body| reader::single(body, &Dialect::Gemini).map(drop),
            || vec![samples::item()],
        )
    },
};
pub static BATCH: RequestBody = RequestBody {
    schema: &BATCH_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: || samples::rejected().map(samples::batch).to_vec(),
        ..BodyReader::new(
            |body| reader::batch(body, &Dialect::Gemini).map(drop),
            || vec![samples::batch(samples::item())],
        )
    },
};
pub static VERTEX_EMBED: RequestBody = RequestBody {
    schema: &VERTEX_EMBED_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: || samples::rejected().to_vec(),
        ..BodyReader::new(
            |body| reader::single(body, &Dialect::Vertex(Default::default())).map(drop),
            || vec![samples::vertex()],
        )
    },
};
pub static VERTEX_BATCH: RequestBody = RequestBody {
    schema: &VERTEX_BATCH_REQUEST,
    #[cfg(test)]
    reader: BodyReader {
        rejected: || samples::rejected().map(samples::batch).to_vec(),
        ..BodyReader::new(
            |body| reader::batch(body, &Dialect::Vertex(Default::default())).map(drop),
            || vec![samples::batch(samples::vertex())],
        )
    },
};
pub static PREDICT: RequestBody = RequestBody {
    schema: &PREDICT_REQUEST,
    #[cfg(test)]
    reader: BodyReader::new(|body| reader::predict(body).map(drop), samples::predict),
};

static EMBED_REQUEST: Schema =
    Schema::new("EmbedContentRequest", |schemas| request(&["content"], item(schemas)));
static BATCH_REQUEST: Schema =
    Schema::new("BatchEmbedContentsRequest", |schemas| batch(schemas.named(&EMBED_REQUEST)));
static VERTEX_EMBED_REQUEST: Schema = Schema::new("VertexEmbedContentRequest", |schemas| {
    let mut fields = item(schemas);
    fields["embedContentConfig"] = request(&[], options());
    request(&["content"], fields)
});
static VERTEX_BATCH_REQUEST: Schema = Schema::new("VertexBatchEmbedContentsRequest", |schemas| {
    batch(schemas.named(&VERTEX_EMBED_REQUEST))
});
static PREDICT_REQUEST: Schema = Schema::new("PredictRequest", |_| {
    let mut instance = options();
    instance["content"] = json!({"type": "string", "minLength": 1});
    let mut instances = list(request(&["content"], instance));
    instances["minItems"] = 1.into();
    instances["maxItems"] = 250.into();
    let fields = json!({"instances": instances, "parameters": request(&[], options())});
    request(&["instances"], fields)
});

pub static EMBEDDED: Schema = Schema::new("EmbedContentResponse", |_| {
    answer(&["usageMetadata"], json!({"embedding": values(json!({})), "usageMetadata": usage()}))
});
pub static EMBEDDED_BATCH: Schema = Schema::new("BatchEmbedContentsResponse", |_| {
    let fields = json!({"embeddings": list(values(json!({}))), "usageMetadata": usage()});
    answer(&["usageMetadata"], fields)
});
pub static VERTEX_EMBEDDED: Schema = Schema::new("VertexEmbedContentResponse", |_| {
    let fields = json!({
        "embedding": values(json!({})),
        "usageMetadata": vertex_usage(),
        "truncated": flag("Whether only the start of the content was embedded."),
    });
    answer(&[], fields)
});
pub static VERTEX_EMBEDDED_BATCH: Schema = Schema::new("VertexBatchEmbedContentsResponse", |_| {
    let fields = json!({"embeddings": list(values(json!({}))), "usageMetadata": vertex_usage()});
    answer(&[], fields)
});
pub static PREDICTED: Schema = Schema::new("PredictResponse", |_| {
    let statistics = answer(
        &[],
        json!({"token_count": count("Number of tokens."), "truncated": {"type": "boolean"}}),
    );
    let prediction = answer(&[], json!({"embeddings": values(json!({"statistics": statistics}))}));
    let characters = count("Characters of texts that are no spaces.");
    let metadata = answer(&[], json!({"billableCharacterCount": characters}));
    answer(&[], json!({"predictions": list(prediction), "metadata": metadata}))
});

/// A content and its options.
fn item(schemas: &ComponentSchemas) -> Value {
    let mut fields = options();
    fields["content"] = schemas.named(&GENERATE_CONTENT);
    fields["model"] = json!({"type": "string"});
    fields
}

fn batch(item: Value) -> Value {
    let mut requests = list(item);
    requests["minItems"] = 1.into();
    requests["maxItems"] = 100.into();
    request(&["requests"], json!({"requests": requests, "model": {"type": "string"}}))
}

fn options() -> Value {
    let mut options = json!({
        "taskType": any_name(proto::TASK_TYPE),
        "title": {"type": "string"},
        "outputDimensionality": int32(json!({"minimum": 1})),
        "autoTruncate": flag("Whether a long input is cut. The default is true."),
    });
    for name in IGNORED {
        options[name] = json!({"description": "Accepted and ignored."});
    }
    options
}

fn values(mut fields: Value) -> Value {
    fields["values"] = list(json!({"type": "number"}));
    answer(&[], fields)
}

fn usage() -> Value {
    answer(&[], json!({"promptTokenCount": count("The total."), "promptTokenDetails": details()}))
}

fn vertex_usage() -> Value {
    let fields = json!({
        "promptTokenCount": count("The total."),
        "promptTokensDetails": details(),
        "totalTokenCount": count("The total."),
    });
    answer(&[], fields)
}

#[cfg(test)]
mod samples {
    use serde_json::{Value, json};

    use crate::http::generate_content::openapi::samples;

    fn options() -> Value {
        json!({"taskType": "CLUSTERING", "title": "t", "outputDimensionality": 8,
               "autoTruncate": true, "documentOcr": true, "audioTrackExtraction": true,
               "mimeType": "text/plain"})
    }

    /// The parts that can be embedded.
    pub fn item() -> Value {
        let mut item = options();
        let parts = &samples::generate()[0]["contents"][0]["parts"];
        let parts = parts.as_array().expect("it is one").iter().filter(|part| {
            part.get("thought").is_none()
                && ["text", "inlineData", "fileData"].iter().any(|name| part.get(name).is_some())
        });
        let mut parts: Vec<Value> = parts.cloned().collect();
        parts.push(json!({"text": "a"}));
        item["content"] = json!({"role": "user", "parts": parts});
        item["model"] = "models/m".into();
        item
    }

    pub fn vertex() -> Value {
        let mut item = item();
        item["embedContentConfig"] = options();
        item
    }

    pub fn batch(item: Value) -> Value {
        json!({"requests": [item], "model": "models/m"})
    }

    pub fn predict() -> Vec<Value> {
        let mut instance = options();
        instance["content"] = "a".into();
        vec![json!({"instances": [instance], "parameters": options()})]
    }

    /// Each part that a content can have: those that cannot be embedded are parsed and rejected.
    pub fn rejected() -> [Value; 3] {
        [0, 1, 2].map(|at| json!({"content": samples::generate()[0]["contents"][at]}))
    }
}
