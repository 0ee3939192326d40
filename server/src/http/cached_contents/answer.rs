//! Writes cached contents. As in the real services, their content is never returned.

use serde_json::{Value, json};

use crate::http::vertex::Dialect;
use store::CachedContent;

pub fn to_json(cached: &CachedContent, dialect: &Dialect) -> Value {
    // Vertex AI returns whole names, which the client sends back.
    let place = match dialect {
        Dialect::Gemini => String::new(),
        Dialect::Vertex(scope) => scope.prefix(),
    };
    let publisher = if place.is_empty() { "" } else { "publishers/google/" };
    json!({
        "name": format!("{place}cachedContents/{}", cached.id),
        "model": format!("{place}{publisher}models/{}", cached.model),
        "displayName": cached.display_name,
        "createTime": format!("{:.6}", cached.created),
        "updateTime": format!("{:.6}", cached.updated),
        "expireTime": format!("{:.9}", cached.expires),
        "usageMetadata": {"totalTokenCount": cached.tokens.total()},
    })
}
