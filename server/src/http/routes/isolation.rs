//! `GET /x/isolation`: the isolation of the sandbox, layer by layer, and the limits of a cell.
//!
//! The types are separate from those of the warden's protocol, so that a change of the protocol does
//! not change the API.

use axum::extract::State;
use protocol::{CellLimits, Description};
use serde::Serialize;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::response::json::Json;

#[derive(Debug, Serialize)]
pub struct Isolation {
    ready: bool,
    waiting_for: String,
    tier: String,
    layers: Vec<Layer>,
    limits: Limits,
    python: String,
}

#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    holds: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Limits {
    wall_ms: u64,
    cpu_ms: u64,
    memory_bytes: u64,
    processes: u64,
    threads: u64,
    open_files: u64,
    mappings: u64,
    locks: u64,
    watches: u64,
    scratch_bytes: u64,
    scratch_files: u64,
    output_bytes: u64,
    images: u32,
    image_bytes: u64,
    all_images_bytes: u64,
    files: u32,
    files_bytes: u64,
    code_bytes: u64,
}

pub async fn isolation(State(app): State<App>) -> Result<Json<Isolation>, ApiError> {
    Ok(Json(app.sandbox.describe().await?.into()))
}

impl From<Description> for Isolation {
    fn from(description: Description) -> Isolation {
        Isolation {
            ready: description.ready,
            waiting_for: description.waiting_for,
            tier: description.tier.to_string(),
            layers: description.layers.into_iter().map(Layer::from).collect(),
            limits: description.limits.into(),
            python: description.python,
        }
    }
}

impl From<protocol::Layer> for Layer {
    fn from(layer: protocol::Layer) -> Layer {
        Layer { name: layer.name, holds: layer.holds, detail: layer.detail }
    }
}

impl From<CellLimits> for Limits {
    fn from(limits: CellLimits) -> Limits {
        Limits {
            wall_ms: limits.wall_ms,
            cpu_ms: limits.cpu_ms,
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
            threads: limits.threads,
            open_files: limits.open_files,
            mappings: limits.mappings,
            locks: limits.locks,
            watches: limits.watches,
            scratch_bytes: limits.scratch_bytes,
            scratch_files: limits.scratch_files,
            output_bytes: limits.output_bytes,
            images: limits.images,
            image_bytes: limits.image_bytes,
            all_images_bytes: limits.all_images_bytes,
            files: limits.files,
            files_bytes: limits.files_bytes,
            code_bytes: limits.code_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Tier;

    use super::*;

    /// If the protocol gets a field, decide whether the API has it too.
    #[test]
    fn the_api_has_every_field_of_the_protocol() {
        for tier in [Tier::None, Tier::SeccompOnly, Tier::Landlocked, Tier::Namespaced] {
            let layer =
                protocol::Layer { name: "landlock".into(), holds: true, detail: "ABI 6".into() };
            let description = Description {
                ready: true,
                waiting_for: String::new(),
                tier,
                layers: vec![layer],
                limits: CellLimits {
                    wall_ms: 1,
                    cpu_ms: 2,
                    memory_bytes: 3,
                    processes: 4,
                    threads: 5,
                    open_files: 6,
                    mappings: 7,
                    locks: 8,
                    watches: 9,
                    scratch_bytes: 10,
                    scratch_files: 11,
                    output_bytes: 12,
                    images: 13,
                    image_bytes: 14,
                    all_images_bytes: 15,
                    files: 16,
                    files_bytes: 17,
                    code_bytes: 18,
                },
                python: "3.12.1".into(),
            };
            let ours = serde_json::to_string(&Isolation::from(description.clone()));
            let protocols = serde_json::to_string(&description);
            assert_eq!(ours.expect("it is JSON"), protocols.expect("it is JSON"));
        }
    }
}
