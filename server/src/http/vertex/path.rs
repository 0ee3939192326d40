//! Reads the paths of Vertex AI and of Firebase.

use super::{Traffic, VERSION};

/// The version that serves requests for [`VERSION`].
const SERVED_AS: &str = "v1beta";

/// Words with which a path of Vertex AI begins.
const SCOPES: [&str; 3] = ["projects", "locations", "publishers"];

/// What the SDKs write for a project that they do not have, in Python and in JavaScript.
const NO_PROJECT: [&str; 2] = ["None", "undefined"];

/// Collections below a location. A client without a location sends an empty one, which leaves no
/// segment.
const BELOW_LOCATION: [&str; 8] = [
    "agents",
    "batchPredictionJobs",
    "cachedContents",
    "endpoints",
    "environments",
    "interactions",
    "models",
    "publishers",
];

/// What a request of Vertex AI names beside its resource. Any name is accepted, and none is required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexScope {
    pub project: Option<String>,
    pub location: Option<String>,
    pub publisher: Option<String>,
    /// From the headers.
    pub traffic: Traffic,
}

impl VertexScope {
    /// What precedes the names of resources: `projects/p/locations/l/`. Empty if the client names no
    /// project.
    pub fn prefix(&self) -> String {
        match (&self.project, &self.location) {
            (Some(project), _) if NO_PROJECT.contains(&project.as_str()) => String::new(),
            (Some(project), Some(location)) => format!("projects/{project}/locations/{location}/"),
            _ => String::new(),
        }
    }
}

/// A path of the Gemini API.
#[derive(Debug, PartialEq, Eq)]
pub struct RewrittenPath {
    pub path: String,
    /// `None` if the path was one of the Gemini API, except for its project or its encoding.
    pub scope: Option<VertexScope>,
}

/// The path of the Gemini API for the same resource. `None` if the path is one already.
pub fn rewritten(path: &str) -> Option<RewrittenPath> {
    let is_encoded = path.contains("%2F") || path.contains("%2f");
    let (version, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
    let has_scope = SCOPES.iter().any(|word| rest.starts_with(word));
    if !(is_encoded || has_scope || version == VERSION) {
        return None; // most requests
    }
    let decoded = path.replace("%2F", "/").replace("%2f", "/");
    let mut segments = decoded.split('/').filter(|segment| !segment.is_empty()).peekable();
    let version = segments.next()?;
    let is_new = version == VERSION;
    if !(is_new || ["v1", "v1beta", "v1alpha"].contains(&version)) {
        return None;
    }
    let mut scope = VertexScope::default();
    let mut has_project = false;
    if segments.next_if_eq(&"projects").is_some() {
        has_project = true;
        let name = segments.next_if(|next| *next != "locations" && !BELOW_LOCATION.contains(next));
        scope.project = name.map(str::to_owned);
    }
    let has_location = segments.next_if_eq(&"locations").is_some();
    if has_location {
        let name = segments.next_if(|next| !BELOW_LOCATION.contains(next));
        scope.location = name.map(str::to_owned);
    }
    let has_publisher = segments.next_if_eq(&"publishers").is_some();
    if has_publisher {
        let name = segments.next_if(|next| *next != "models");
        scope.publisher = name.map(str::to_owned);
    }
    let is_vertex = is_new || has_location || has_publisher;
    if !is_vertex && !has_project && decoded == path {
        return None;
    }
    let mut new = format!("/{}", if is_new { SERVED_AS } else { version });
    if segments.next_if_eq(&"endpoints").is_some() {
        // One endpoint is the OpenAI-compatible API. The others are models that the client has
        // deployed, and are models of that name.
        let is_openai = segments.next_if_eq(&"openapi").is_some();
        new.push_str(if is_openai { "/openai" } else { "/models/endpoints" });
    }
    for segment in segments {
        new.push('/');
        new.push_str(segment);
    }
    Some(RewrittenPath { path: new, scope: is_vertex.then_some(scope) })
}

/// `m` of `models/m`, `publishers/google/models/m` and `projects/p/locations/l/publishers/google/models/m`.
pub fn model_name(resource: &str) -> &str {
    let is_of_vertex = SCOPES.iter().any(|word| resource.starts_with(word));
    match resource.split_once("/models/") {
        Some((_, name)) if is_of_vertex => name,
        _ => resource.strip_prefix("models/").unwrap_or(resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(project: &str, location: &str, publisher: &str) -> VertexScope {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        VertexScope {
            project: name(project),
            location: name(location),
            publisher: name(publisher),
            ..VertexScope::default()
        }
    }

    #[test]
    fn paths_of_vertex_lead_to_those_of_the_gemini_api() {
        for (path, wanted, of) in [
            (
                "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
                "/v1beta/models/m:generateContent",
                scope("p", "l", "google"),
            ),
            (
                "/v1/projects/123/locations/global/publishers/anthropic/models/c:countTokens",
                "/v1/models/c:countTokens",
                scope("123", "global", "anthropic"),
            ),
            ("/v1beta1/publishers/google/models", "/v1beta/models", scope("", "", "google")),
            ("/v1beta1/models/m:x", "/v1beta/models/m:x", scope("", "", "")),
            (
                "/v1beta1/projects/p/locations/l/models/m:x",
                "/v1beta/models/m:x",
                scope("p", "l", ""),
            ),
            (
                "/v1beta1/projects/p/locations/l/endpoints/7:generateContent",
                "/v1beta/models/endpoints/7:generateContent",
                scope("p", "l", ""),
            ),
            (
                "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
                "/v1/openai/chat/completions",
                scope("p", "l", ""),
            ),
            (
                "/v1beta1/projects/None/locations/undefined/cachedContents/1",
                "/v1beta/cachedContents/1",
                scope("None", "undefined", ""),
            ),
            // Empty names leave no segment in a normalized path.
            (
                "/v1beta1/projects/locations/publishers/google/models/m:x",
                "/v1beta/models/m:x",
                scope("", "", "google"),
            ),
            ("/v1beta1/projects/locations/interactions", "/v1beta/interactions", scope("", "", "")),
            ("/v1beta1/interactions/v1_a", "/v1beta/interactions/v1_a", scope("", "", "")),
            (
                "/v1beta1%2Fprojects%2Fp%2flocations%2Fl/interactions",
                "/v1beta/interactions",
                scope("p", "l", ""),
            ),
        ] {
            let wanted = RewrittenPath { path: wanted.to_owned(), scope: Some(of) };
            assert_eq!(rewritten(path), Some(wanted), "{path}");
        }
    }

    #[test]
    fn firebase_names_a_project_of_the_gemini_api() {
        let found = rewritten("/v1beta/projects/p/models/m:generateContent");
        let path = "/v1beta/models/m:generateContent".to_owned();
        assert_eq!(found, Some(RewrittenPath { path, scope: None }));
        let found = rewritten("/v1beta/models%2Fm:generateContent");
        let path = "/v1beta/models/m:generateContent".to_owned();
        assert_eq!(found, Some(RewrittenPath { path, scope: None }));
    }

    #[test]
    fn other_paths_are_left() {
        for path in [
            "/",
            "/v1",
            "/v1beta/models",
            "/v1beta/models/m:generateContent",
            "/v1beta/models/projects/p",
            "/v1/interactions",
            "/v1alpha/files/a",
            "/v1beta10/projects/p",
            "/v1x/projects/p/models/m",
            "/v2/projects/p/models/m",
            "/x/journal",
            "/upload/v1beta/files",
        ] {
            assert_eq!(rewritten(path), None, "{path}");
        }
    }
}
