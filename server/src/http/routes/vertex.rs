//! Describes the paths of Vertex AI in the OpenAPI document. They lead to the routes of the Gemini
//! API: see [`crate::http::vertex`].

use serde_json::json;

use super::{cached_contents, interactions, models, openai};
use crate::http::error::schema::CLASSIC_ERROR;
use crate::http::openapi::parameter::in_path;
use crate::http::openapi::schema::word;
use crate::http::openapi::{Documented, Operation, OperationGroup};

const ABOUT: &str = "As in the Gemini API, in the dialect of Vertex AI. Any project, location and publisher is \
     accepted.";

/// A prefix of paths.
pub struct VertexPlace {
    prefix: &'static str,
    /// Parts of the prefix that a client chooses.
    parameters: &'static [&'static str],
    /// What the ids of operations end in.
    suffix: &'static str,
    resources: Resources,
}

#[derive(PartialEq, Eq)]
enum Resources {
    /// Methods of models.
    Models,
    /// Methods of models, and the models themselves, which belong to no project.
    Publisher,
    /// Interactions, cached contents, models that a project has tuned, and the OpenAI-compatible API.
    Project,
    /// The same without models.
    Stored,
}

/// With a project, and without one for clients that send an API key.
static PLACES: [VertexPlace; 4] = [
    VertexPlace {
        prefix: "/{version}/projects/{project}/locations/{location}/publishers/{publisher}",
        parameters: &["project", "location", "publisher"],
        suffix: "OfProject",
        resources: Resources::Models,
    },
    VertexPlace {
        prefix: "/{version}/publishers/{publisher}",
        parameters: &["publisher"],
        suffix: "OfPublisher",
        resources: Resources::Publisher,
    },
    VertexPlace {
        prefix: "/{version}/projects/{project}/locations/{location}",
        parameters: &["project", "location"],
        suffix: "OfProject",
        resources: Resources::Project,
    },
    VertexPlace {
        prefix: "/v1beta1",
        parameters: &[],
        suffix: "OfVertex",
        resources: Resources::Stored,
    },
];

impl VertexPlace {
    pub fn has_models(&self) -> bool {
        matches!(self.resources, Resources::Models | Resources::Publisher)
    }

    pub fn lists_publishers(&self) -> bool {
        self.resources == Resources::Publisher
    }

    pub fn lists_tuned(&self) -> bool {
        self.resources == Resources::Project
    }

    pub fn has_cached_contents(&self) -> bool {
        self.has_interactions()
    }

    pub fn has_openai(&self) -> bool {
        self.resources == Resources::Project
    }

    pub fn has_interactions(&self) -> bool {
        matches!(self.resources, Resources::Project | Resources::Stored)
    }

    /// An operation with the parameters of the prefix.
    pub fn operation(&self, id: &str, tag: OperationGroup, summary: &'static str) -> Operation {
        let named = self
            .parameters
            .iter()
            .map(|name| in_path(name, json!({"type": "string", "pattern": "^[A-Za-z0-9-]+$"})));
        let version = self.prefix.contains("{version}");
        let version = version.then(|| in_path("version", word(&["v1", "v1beta", "v1beta1"])));
        Operation::new(format!("{id}{}", self.suffix), tag, summary)
            .about(ABOUT)
            .with(version)
            .with(named)
            .fails_as(&CLASSIC_ERROR)
    }
}

/// The operations of all places.
pub fn documented() -> Vec<Documented> {
    let of_place = |place: &'static VertexPlace| {
        let operations = models::vertex_operations(place).into_iter();
        let operations = operations.chain(interactions::vertex_operations(place));
        let operations = operations.chain(cached_contents::vertex_operations(place));
        operations.chain(openai::vertex_operations(place)).map(|(method, operation)| {
            let path = format!("{}{}", place.prefix, operation.path.as_deref().unwrap_or_default());
            Documented { path, method, operation, needs_key: true }
        })
    };
    PLACES.iter().flat_map(of_place).collect()
}
