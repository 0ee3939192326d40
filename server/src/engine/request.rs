//! A request for an interaction, independent of the API that it came from.

use std::sync::Arc;

use secrecy::SecretString;

use backend::Tools;
use domain::interaction::{GenerationConfig, ServiceTier, Step};
use store::{Owner, Persistence};

#[derive(Debug, Clone)]
pub struct Request {
    /// Without `models/`.
    pub model: String,
    /// At least one `UserInput` or `FunctionResult`.
    pub input: Vec<Step>,
    pub previous_interaction_id: Option<String>,
    pub system_instruction: Option<String>,
    pub tools: Tools,
    pub generation_config: GenerationConfig,
    pub persistence: Persistence,
    /// Whether it continues without its client, and after a restart. If so, it is stored.
    pub background: bool,
    pub service_tier: ServiceTier,
    /// Owns the interaction; the request may use this owner's files and earlier interactions.
    pub owner: Owner,
    /// Keys that the client sent, which must not be recorded.
    pub keys: Arc<[SecretString]>,
}
