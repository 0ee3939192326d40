//! Serializes the request of a background interaction, so that it can be resumed after a restart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::Request;
use backend::{BuiltIn, Function, Tools};
use domain::interaction::{GenerationConfig, ServiceTier};
use domain::namespace::Namespace;
use store::{Head, Persistence};

#[derive(Debug, Serialize, Deserialize)]
struct ResumeState {
    namespace: String,
    system_instruction: Option<String>,
    code_execution: bool,
    #[serde(default)]
    google_search: bool,
    functions: Vec<FunctionState>,
    #[serde(default)]
    built_in: Vec<BuiltIn>,
    offered: Vec<String>,
    generation_config: GenerationConfig,
}

#[derive(Debug, Serialize, Deserialize)]
struct FunctionState {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

/// The parts of a request that are not in its head.
pub fn encode(namespace: &Namespace, request: &Request) -> String {
    let functions = request.tools.functions.iter().cloned();
    let state = ResumeState {
        namespace: namespace.name().to_owned(),
        system_instruction: request.system_instruction.clone(),
        code_execution: request.tools.code_execution,
        google_search: request.tools.google_search,
        functions: functions
            .map(|Function { name, description, parameters }| FunctionState {
                name,
                description,
                parameters,
            })
            .collect(),
        built_in: request.tools.built_in.clone(),
        offered: request.tools.offered.clone(),
        generation_config: request.generation_config.clone(),
    };
    serde_json::to_string(&state).expect("strings, lists and JSON have no way to fail")
}

/// The request that an interaction began with.
pub fn decode(head: &Head) -> Result<(Namespace, Request), serde_json::Error> {
    let state: ResumeState =
        serde_json::from_str(head.resume_state.as_deref().unwrap_or_default())?;
    // Older versions also stored the owner in this state; the row's owner counts.
    let owner = head.owner.clone();
    let namespace = Namespace::named(&state.namespace).unwrap_or_default().of(owner.clone());
    let functions = state.functions.into_iter();
    let request = Request {
        model: head.model.clone(),
        input: head.input.clone(),
        previous_interaction_id: head.previous_interaction_id.clone(),
        system_instruction: state.system_instruction,
        tools: Tools {
            code_execution: state.code_execution,
            google_search: state.google_search,
            functions: functions
                .map(|FunctionState { name, description, parameters }| Function {
                    name,
                    description,
                    parameters,
                })
                .collect(),
            built_in: state.built_in,
            offered: state.offered,
        },
        generation_config: state.generation_config,
        persistence: Persistence::Stored,
        background: true,
        // The log has already begun and contains it.
        service_tier: ServiceTier::default(),
        owner,
        // A resumed interaction is not recorded.
        keys: Arc::default(),
    };
    Ok((namespace, request))
}
