//! The bodies of the methods that embed.

use serde_json::Value;

use crate::engine::{EmbedContent, Excess};
use crate::http::generate_content::content;
use crate::http::generate_content::part::PartData;
use crate::http::vertex::Dialect;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use domain::interaction::Content;

/// Limits of the real services.
const MAX_REQUESTS: usize = 100;
const MAX_INSTANCES: usize = 250;

/// Options that have no effect here: how media are read.
pub const IGNORED: [&str; 3] = ["audioTrackExtraction", "documentOcr", "mimeType"];

/// `embedContent`
pub fn single(body: Value, dialect: &Dialect) -> Result<EmbedContent, WireError> {
    item(Node::root(body), dialect)
}

/// `batchEmbedContents`
pub fn batch(body: Value, dialect: &Dialect) -> Result<Vec<EmbedContent>, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let requests = fields.require("requests")?.list()?;
    fields.string("model")?;
    fields.done()?;
    limited(requests.len())?;
    requests.into_iter().map(|request| item(request, dialect)).collect()
}

/// Limits the contents of one request, with the messages of the real service.
pub fn limited(count: usize) -> Result<(), WireError> {
    let why = match count {
        0 => "requests is not specified".to_owned(),
        1..=MAX_REQUESTS => return Ok(()),
        _ => format!("at most {MAX_REQUESTS} requests can be in one batch"),
    };
    Err(WireError::Whole(format!("* BatchEmbedContentsRequest.requests: {why}\n")))
}

/// `predict` of Vertex AI.
pub fn predict(body: Value) -> Result<Vec<EmbedContent>, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let instances = fields.require("instances")?;
    let mut shared = EmbedOptions::default();
    if let Some(parameters) = fields.take("parameters") {
        let mut parameters = parameters.object()?.camel()?;
        shared.read(&mut parameters)?;
        parameters.done()?;
    }
    fields.done()?;
    let wrong_count = instances.wrong(format!("must be 1 to {MAX_INSTANCES} instances"));
    let instances = instances.list()?;
    if !(1..=MAX_INSTANCES).contains(&instances.len()) {
        return Err(wrong_count);
    }
    let instance = |node: Node| {
        let mut fields = node.object()?.camel()?;
        let text = fields.require("content")?;
        let empty = text.wrong("contains an empty Part");
        let text = text.string()?;
        let mut options = shared.clone();
        options.read(&mut fields)?;
        fields.done()?;
        if text.is_empty() {
            return Err(empty);
        }
        Ok(options.with(vec![Content::text(&text)]))
    };
    instances.into_iter().map(instance).collect()
}

/// How a content is embedded.
#[derive(Debug, Clone, Default)]
struct EmbedOptions {
    task_type: Option<String>,
    title: Option<String>,
    dimensions: Option<usize>,
    excess: Excess,
}

impl EmbedOptions {
    /// Reads the options that are set.
    fn read(&mut self, fields: &mut ObjectReader) -> Result<(), WireError> {
        if let Some(node) = fields.take("taskType") {
            self.task_type = Some(proto::TASK_TYPE.word(node)?);
        }
        if let Some(title) = fields.string("title")? {
            self.title = Some(title);
        }
        if let Some(node) = fields.take("outputDimensionality") {
            let size = usize::try_from(proto::int32(&node)?).ok().filter(|size| *size > 0);
            self.dimensions = Some(size.ok_or_else(|| node.wrong("must be positive"))?);
        }
        if fields.boolean("autoTruncate")? == Some(false) {
            self.excess = Excess::Refuse;
        }
        for name in IGNORED {
            fields.take(name);
        }
        Ok(())
    }

    fn with(self, parts: Vec<Content>) -> EmbedContent {
        let EmbedOptions { task_type, title, dimensions, excess } = self;
        EmbedContent { parts, task_type, title, dimensions, excess }
    }
}

fn item(node: Node, dialect: &Dialect) -> Result<EmbedContent, WireError> {
    let mut fields = node.object()?.camel()?;
    let content = fields.require("content")?;
    let mistake = content.wrong("only texts and media can be embedded");
    let empty = content.wrong("contains an empty Part");
    let turn = content::turn(content)?;
    let parts = turn.parts.into_iter().map(|part| match part.data {
        PartData::Content(Content::Text { text, .. }) if text.is_empty() => Err(empty.clone()),
        PartData::Content(content) => Ok(content),
        _ => Err(mistake.clone()),
    });
    let parts = parts.collect::<Result<_, _>>()?;
    let mut options = EmbedOptions::default();
    options.read(&mut fields)?;
    if dialect.is_vertex()
        && let Some(config) = fields.take("embedContentConfig")
    {
        let mut config = config.object()?.camel()?;
        options.read(&mut config)?;
        config.done()?;
    }
    // The URL has it too.
    fields.string("model")?;
    fields.done()?;
    Ok(options.with(parts))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vertex() -> Dialect {
        Dialect::Vertex(Default::default())
    }

    #[test]
    fn options_are_read_where_each_service_has_them() {
        let content = json!({"parts": [{"text": "a"}, {"text": "b"}]});
        let options = json!({"taskType": "RETRIEVAL_QUERY", "output_dimensionality": 8});
        let mut top = options.clone();
        top["content"] = content.clone();
        let read = single(top, &Dialect::Gemini).expect("it is valid");
        assert_eq!((read.parts.len(), read.dimensions), (2, Some(8)));
        let below = json!({"content": content, "embedContentConfig": options});
        let read = single(below.clone(), &vertex()).expect("it is valid");
        assert_eq!(read.task_type.as_deref(), Some("RETRIEVAL_QUERY"));
        single(below, &Dialect::Gemini).expect_err("it is of Vertex AI");
        let instances = json!([{"content": "a", "task_type": "CLUSTERING"}, {"content": "b"}]);
        let body = json!({"instances": instances, "parameters": {"outputDimensionality": 2, "autoTruncate": false}});
        let read = predict(body).expect("it is valid");
        assert_eq!(read[0].task_type.as_deref(), Some("CLUSTERING"));
        assert_eq!((read[1].dimensions, read[1].excess), (Some(2), Excess::Refuse));
    }

    #[test]
    fn what_cannot_be_embedded_is_rejected() {
        let content = |part| json!({"content": {"parts": [part]}});
        for (body, wanted) in [
            (json!({}), "Missing required parameter 'content'."),
            (content(json!({"text": ""})), "contains an empty Part"),
            (content(json!({"functionCall": {"name": "f"}})), "only texts and media"),
            (json!({"content": {"parts": []}}), "must not be empty"),
            (
                json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 0}),
                "Invalid value for 'outputDimensionality': must be positive.",
            ),
        ] {
            let error = single(body.clone(), &Dialect::Gemini).expect_err("it is rejected");
            assert!(error.to_string().contains(wanted), "{body} gave {error}");
        }
        let one = content(json!({"text": "a"}));
        for count in [0, 101] {
            let body = json!({"requests": vec![one.clone(); count]});
            batch(body, &Dialect::Gemini).expect_err("too few or too many");
        }
        batch(json!({"requests": vec![one; 100]}), &Dialect::Gemini).expect("it is the most");
        predict(json!({"instances": []})).expect_err("there are none");
        predict(json!({"instances": [{"content": ""}]})).expect_err("it is empty");
    }
}
