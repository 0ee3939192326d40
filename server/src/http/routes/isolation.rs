//! `GET /x/isolation`: the isolation of the sandbox, layer by layer, and the limits of a cell.
//!
//! Its types are separate from those of the warden's protocol, so that a change of the protocol does not
//! change the API. Only the limits have one table for both.

use axum::extract::State;
use protocol::{CellLimits, Description, LibraryImage};
use serde::Serialize;
use serde_json::json;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::openapi::schema::{Schema, answer, any_object, flag, list, word};
use crate::http::openapi::{BELLJAR, Operation};
use crate::http::response::json::Json;
use crate::http::route::Route;

pub static TIER: Schema =
    Schema::new("Tier", |_| word(&["none", "seccomp-only", "landlocked", "namespaced"]));

static ISOLATION: Schema = Schema::new("Isolation", |schemas| {
    let layer = json!({"name": {"type": "string"}, "holds": {"type": "boolean"},
                       "detail": {"type": "string"}});
    let libraries = json!({"kit": {"type": "string"}, "detail": {"type": "string"},
                           "form": word(&["pending", "none", "split", "whole"])});
    let fields = json!({
        "ready": flag("Whether code can run now."), "waiting_for": {"type": "string"},
        "tier": schemas.named(&TIER), "layers": list(answer(&[], layer)),
        "libraries": list(answer(&[], libraries)),
        "limits": any_object("Limits, with the unit in the name."),
        "python": {"type": "string"},
    });
    answer(&[], fields)
});

pub fn routes() -> Vec<Route> {
    let operation = Operation::new("isolation", BELLJAR, "The isolation tier and mechanisms");
    vec![Route::get("/x/isolation", isolation, operation.answers(&ISOLATION))]
}

#[derive(Debug, Serialize)]
pub struct IsolationBody {
    ready: bool,
    waiting_for: String,
    tier: String,
    layers: Vec<LayerBody>,
    libraries: Vec<LibrariesBody>,
    /// The table of limits is part of the API: clients read their names here and in answers.
    limits: CellLimits,
    python: String,
}

#[derive(Debug, Serialize)]
struct LayerBody {
    name: String,
    holds: bool,
    detail: String,
}

/// How the libraries of a kit are in memory.
#[derive(Debug, Serialize)]
struct LibrariesBody {
    kit: String,
    form: String,
    detail: String,
}

pub async fn isolation(State(app): State<App>) -> Result<Json<IsolationBody>, ApiError> {
    Ok(Json(app.sandbox.describe().await?.into()))
}

impl From<Description> for IsolationBody {
    fn from(description: Description) -> IsolationBody {
        IsolationBody {
            ready: description.ready,
            waiting_for: description.waiting_for,
            tier: description.tier.to_string(),
            layers: description.layers.into_iter().map(LayerBody::from).collect(),
            libraries: description.libraries.into_iter().map(LibrariesBody::from).collect(),
            limits: description.limits,
            python: description.python,
        }
    }
}

impl From<protocol::Layer> for LayerBody {
    fn from(layer: protocol::Layer) -> LayerBody {
        LayerBody { name: layer.name, holds: layer.holds, detail: layer.detail }
    }
}

impl From<LibraryImage> for LibrariesBody {
    fn from(image: LibraryImage) -> LibrariesBody {
        LibrariesBody { kit: image.kit, form: image.form.to_string(), detail: image.detail }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ImageForm, PoolReport, Tier};

    use super::*;

    /// If the protocol gets a field, decide whether the API has it too.
    #[test]
    fn the_api_has_every_field_of_the_protocol() {
        let forms = [ImageForm::Pending, ImageForm::None, ImageForm::Split, ImageForm::Whole];
        let image = |form| LibraryImage {
            kit: "science".to_owned(),
            form,
            detail: "400 MiB in large pages".to_owned(),
        };
        for tier in [Tier::None, Tier::SeccompOnly, Tier::Landlocked, Tier::Namespaced] {
            let layer =
                protocol::Layer { name: "landlock".into(), holds: true, detail: "ABI 6".into() };
            let description = Description {
                ready: true,
                waiting_for: String::new(),
                tier,
                layers: vec![layer],
                libraries: forms.map(image).to_vec(),
                limits: CellLimits { wall_ms: 1, ..CellLimits::NOTHING },
                python: "3.12.1".into(),
                pool: PoolReport::default(),
            };
            let ours = serde_json::to_value(IsolationBody::from(description.clone()));
            let mut protocols = serde_json::to_value(&description).expect("it is JSON");
            // It changes all the time: `/metrics` has it.
            protocols.as_object_mut().expect("it is an object").remove("pool");
            assert_eq!(ours.expect("it is JSON"), protocols);
        }
    }
}
