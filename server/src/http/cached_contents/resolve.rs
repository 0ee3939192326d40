//! Finds the cached content that a request names.

use crate::http::App;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::blocking;
use crate::http::generate_content::prefix::CachedPrefix;
use crate::http::vertex::Dialect;
use parse::json;
use resources::budget::Share;
use store::{self, Owner};

/// Copies of the content while a request uses it: its JSON, and the steps of the interaction.
const COPIES: usize = 6;
/// Larger contents are parsed on a blocking thread.
const LARGE_BYTES: usize = 1 << 20;

/// The cached content of one request, if it names one, and its memory, which is needed until the
/// response has been sent.
#[derive(Debug, Default)]
pub struct Resolved {
    pub prefix: Option<CachedPrefix>,
    pub memory: Share,
}

/// Messages of the real services, which do not reveal whether another key has it.
pub fn not_found(id: &str, dialect: &Dialect) -> ApiError {
    match dialect {
        Dialect::Gemini => {
            ApiError::new(Code::PermissionDenied, "CachedContent not found (or permission denied)")
        }
        Dialect::Vertex(_) => {
            let why = format!("Not found: cached content metadata for {id}.");
            ApiError::new(Code::NotFound, why)
        }
    }
}

/// `abc` of `cachedContents/abc`, on Vertex AI also below a project. `None` for the name of something
/// else.
fn id_of<'n>(name: &'n str, dialect: &Dialect) -> Option<&'n str> {
    let (place, id) = name.rsplit_once("cachedContents/").unwrap_or(("", name));
    let is_here = place.is_empty() || dialect.is_vertex() && place.ends_with('/');
    Some(id).filter(|id| is_here && !id.contains('/'))
}

/// The content under this name, for a request to this model.
pub async fn resolve(
    app: &App,
    owner: &Owner,
    model: &str,
    name: Option<&str>,
    dialect: &Dialect,
) -> Result<Resolved, ApiError> {
    let Some(name) = name else { return Ok(Resolved::default()) };
    let caches = app.store.cached_contents();
    let Some(id) = id_of(name, dialect) else {
        let why = format!("Invalid value for 'cachedContent': '{name}' is not the name of one.");
        return Err(ApiError::invalid(why));
    };
    let missing = || not_found(id, dialect);
    let cached = caches.find(owner, id, store::now()).await?.ok_or_else(missing)?;
    if cached.model != model {
        return Err(ApiError::invalid(format!(
            "Model used by GenerateContent request (models/{model}) and CachedContent (models/{}) has \
             to be the same.",
            cached.model
        )));
    }
    let bytes = usize::try_from(cached.bytes).unwrap_or(usize::MAX);
    let budget = app.sandbox.budget().of(owner);
    let memory = budget.take(bytes.saturating_mul(COPIES)).ok_or_else(ApiError::no_memory)?;
    let content = caches.content(owner, id).await?.ok_or_else(missing)?;
    let dialect = dialect.clone();
    let read = move || {
        let content = json::parse(content.as_bytes()).map_err(ApiError::internal)?;
        CachedPrefix::read(content, &dialect).map_err(invalid_payload)
    };
    let prefix = if bytes > LARGE_BYTES { blocking(read).await? } else { read()? };
    Ok(Resolved { prefix: Some(CachedPrefix { tokens: cached.tokens, ..prefix }), memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_something_else_is_no_id() {
        let vertex = Dialect::Vertex(Default::default());
        for (name, gemini, of_vertex) in [
            ("cachedContents/a", Some("a"), Some("a")),
            ("a", Some("a"), Some("a")),
            ("projects/p/locations/l/cachedContents/a", None, Some("a")),
            ("batchPredictionJobs/a", None, None),
            ("cachedContents/a/b", None, None),
            ("xcachedContents/a", None, None),
        ] {
            assert_eq!(id_of(name, &Dialect::Gemini), gemini, "{name}");
            assert_eq!(id_of(name, &vertex), of_vertex, "{name}");
        }
    }
}
