//! Operations of the document: what a method of a path takes and returns.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::body::RequestBody;
use super::parameter;
use super::schema::{ComponentSchemas, Schema, any_of, only};
use crate::http::error::schema::CLASSIC_ERROR;

/// A group of operations.
pub struct OperationGroup {
    pub name: &'static str,
    pub description: &'static str,
}

pub const INTERACTIONS: OperationGroup = OperationGroup {
    name: "interactions",
    description: "Requests to a model, with all the steps that they led to.",
};
pub const MODELS: OperationGroup =
    OperationGroup { name: "models", description: "`generateContent` and related methods." };
pub const FILES: OperationGroup = OperationGroup { name: "files", description: "Uploaded files." };
pub const FILE_SEARCH: OperationGroup =
    OperationGroup { name: "file search", description: "Stores of documents that models search." };
pub const CACHES: OperationGroup = OperationGroup {
    name: "caches",
    description: "Beginnings of conversations, stored once for many requests.",
};
pub const BATCHES: OperationGroup =
    OperationGroup { name: "batches", description: "Many requests that run in the background." };
pub const OPENAI: OperationGroup =
    OperationGroup { name: "openai", description: "The same models for clients of OpenAI's API." };
pub const BELLJAR: OperationGroup = OperationGroup {
    name: "belljar",
    description: "The sandbox without a model, and controls for tests.",
};
pub const OPERATORS: OperationGroup = OperationGroup {
    name: "operators",
    description: "Health checks and documentation, for operators.",
};
pub const TAGS: [OperationGroup; 9] =
    [INTERACTIONS, MODELS, FILES, FILE_SEARCH, CACHES, BATCHES, OPENAI, BELLJAR, OPERATORS];

pub const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Description of the test controls.
const CONTROL: &str = "A test control, separate for each API key: 404 if the controls are off, which is the \
     default with API keys.";

/// A schema that may refer to components.
type SchemaOf = Box<dyn Fn(&ComponentSchemas) -> Value>;

/// The description of a route, without its path and method.
pub struct Operation {
    /// Set if the document's path is not the router's.
    pub path: Option<Cow<'static, str>>,
    id: Cow<'static, str>,
    tag: OperationGroup,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    pub body: Option<&'static RequestBody>,
    /// Other forms of the body, each with its media type.
    other_bodies: Vec<(&'static str, SchemaOf)>,
    needs_body: bool,
    answers: Vec<(&'static str, SchemaOf)>,
    error: &'static Schema,
}

impl Operation {
    pub fn new(
        id: impl Into<Cow<'static, str>>,
        tag: OperationGroup,
        summary: &'static str,
    ) -> Operation {
        Operation {
            path: None,
            id: id.into(),
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            other_bodies: Vec::new(),
            needs_body: true,
            answers: Vec::new(),
            error: &CLASSIC_ERROR,
        }
    }

    /// A test control.
    pub fn control(id: &'static str, summary: &'static str) -> Operation {
        Operation::new(id, BELLJAR, summary).about(CONTROL).with([parameter::namespace()])
    }

    /// Sets the document's path, below the prefix of the route's group.
    pub fn at(mut self, path: impl Into<Cow<'static, str>>) -> Operation {
        self.path = Some(path.into());
        self
    }

    pub fn about(mut self, description: &'static str) -> Operation {
        self.description = description;
        self
    }

    pub fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Operation {
        self.parameters.extend(parameters);
        self
    }

    pub fn takes(mut self, body: &'static RequestBody) -> Operation {
        self.body = Some(body);
        self
    }

    /// A body without a [`RequestBody`]: one that is not JSON, or that has its own tests.
    pub fn takes_as(
        mut self,
        kind: &'static str,
        schema: impl Fn(&ComponentSchemas) -> Value + 'static,
    ) -> Operation {
        self.other_bodies.push((kind, Box::new(schema)));
        self
    }

    pub fn body_is_optional(mut self) -> Operation {
        self.needs_body = false;
        self
    }

    pub fn answers(self, schema: &'static Schema) -> Operation {
        self.answers_as(JSON, move |schemas| schemas.named(schema))
    }

    pub fn answers_as(
        mut self,
        kind: &'static str,
        schema: impl Fn(&ComponentSchemas) -> Value + 'static,
    ) -> Operation {
        self.answers.push((kind, Box::new(schema)));
        self
    }

    /// A stream of events with this schema.
    pub fn streams(self, schema: &'static Schema) -> Operation {
        self.answers_as(EVENTS, move |schemas| frames(schemas.named(schema)))
    }

    pub fn fails_as(mut self, error: &'static Schema) -> Operation {
        self.error = error;
        self
    }

    pub(super) fn json(&self, needs_key: bool, schemas: &ComponentSchemas) -> Value {
        let mut success = json!({"description": "Success."});
        if !self.answers.is_empty() {
            success["content"] = content(&self.answers, schemas).into();
        }
        let failure = |description: &str| {
            let content = json!({JSON: {"schema": schemas.named(self.error)}});
            json!({"description": description, "content": content})
        };
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag.name],
            "summary": self.summary,
            "responses": {
                "200": success,
                "4XX": failure("The request is invalid, or cannot succeed now."),
                "5XX": failure("A component is unavailable or failed. A retry may succeed."),
            },
        });
        if !self.description.is_empty() {
            operation["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.clone().into();
        }
        let mut bodies = content(&self.other_bodies, schemas);
        if let Some(body) = self.body {
            bodies.insert(JSON.to_owned(), json!({"schema": schemas.named(body.schema)}));
        }
        if !bodies.is_empty() {
            operation["requestBody"] = json!({"required": self.needs_body, "content": bodies});
        }
        if !needs_key {
            operation["security"] = json!([]);
        }
        operation
    }
}

/// Schemas by media type.
fn content(forms: &[(&'static str, SchemaOf)], schemas: &ComponentSchemas) -> Map<String, Value> {
    let forms = forms.iter();
    forms.map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema(schemas)}))).collect()
}

/// An event of a stream. Its data is JSON, except in the last event of an interaction.
fn frames(schema: Value) -> Value {
    let frame = |event: Value, data: Value| {
        json!({"type": "object", "required": ["data"],
               "properties": {"event": event, "data": data}})
    };
    let json = json!({"type": "string", "contentMediaType": JSON, "contentSchema": schema});
    any_of(&[
        frame(json!({"type": "string", "not": {"const": "done"}}), json),
        frame(only("done"), only("[DONE]")),
    ])
}
