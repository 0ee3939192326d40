//! Resources of Google's APIs that this server does not have.

/// The page that lists them.
pub const COMPATIBILITY_PAGE: &str = "docs/src/reference/compatibility.md";

/// Names of collections, and of other parts of a path.
const ABSENT: [&str; 17] = [
    "agents",
    "auth_tokens",
    "batchPredictionJobs",
    "corpora",
    "credentials",
    "decisions",
    "endpoints",
    "environments",
    "fileSearchStores",
    "live",
    "operations",
    "ragCorpora",
    "triggers",
    "tuningJobs",
    "voices",
    "webhooks",
    "ws",
];

/// The message for a path without a route.
pub fn explanation(path: &str) -> String {
    let absent = path.split(['/', ':']).find(|segment| ABSENT.contains(segment));
    match absent {
        Some(name) => {
            format!(
                "Path not found: {path}. This server does not have '{name}': see {COMPATIBILITY_PAGE}."
            )
        }
        None => format!("Path not found: {path}."),
    }
}
