//! Resources of Google's APIs that this server does not have.

use crate::http::wire::COMPATIBILITY_PAGE;

/// Names of collections, and of other parts of a path.
const ABSENT: [&str; 16] = [
    "agents",
    "auth_tokens",
    "batchPredictionJobs",
    "corpora",
    "credentials",
    "decisions",
    "endpoints",
    "environments",
    "live",
    "operations",
    "ragCorpora",
    "triggers",
    "tuningJobs",
    "voices",
    "webhooks",
    "ws",
];

/// What precedes the paths of the OpenAI-compatible API.
const OPENAI: &str = "/openai/";

/// The message for a path without a route.
pub fn explanation(path: &str) -> String {
    let absent = match path.split_once(OPENAI) {
        Some((_, rest)) => Some(format!("'{rest}' of the OpenAI-compatible API")),
        None => {
            let absent = path.split(['/', ':']).find(|segment| ABSENT.contains(segment));
            absent.map(|name| format!("'{name}'"))
        }
    };
    match absent {
        Some(what) => {
            format!(
                "Path not found: {path}. This server does not have {what}: see {COMPATIBILITY_PAGE}."
            )
        }
        None => format!("Path not found: {path}."),
    }
}
