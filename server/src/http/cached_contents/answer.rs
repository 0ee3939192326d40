//! Writes cached contents. As in the real service, their content is never returned.

use serde_json::{Value, json};

use store::CachedContent;

pub fn to_json(cached: &CachedContent) -> Value {
    json!({
        "name": format!("cachedContents/{}", cached.id),
        "model": format!("models/{}", cached.model),
        "displayName": cached.display_name,
        "createTime": format!("{:.6}", cached.created),
        "updateTime": format!("{:.6}", cached.updated),
        "expireTime": format!("{:.9}", cached.expires),
        "usageMetadata": {"totalTokenCount": cached.tokens.total()},
    })
}
