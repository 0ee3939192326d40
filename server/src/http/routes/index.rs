//! `GET /`: leads browsers to the console, and is an overview in JSON for other clients.

use axum::extract::{Extension, Request, State};
use axum::http::header::{ACCEPT, LOCATION, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::App;
use crate::http::console;
use crate::http::error::ApiError;
use crate::http::extract::namespace::PathPrefix;
use crate::http::middleware::drain;
use crate::http::openapi::{JSON, MODELS, OPERATORS, Operation};
use crate::http::response::json::json as answer;
use crate::http::route::Route;

/// Name, path and description.
const PLACES: [(&str, &str, &str); 8] = [
    ("docs", "docs", "API documentation"),
    ("openapi", "openapi.json", "the API as OpenAPI 3.1"),
    ("health", "healthz", "liveness of the server"),
    ("ready", "readyz", "readiness: whether code can run"),
    ("journal", "x/journal", "requests, and the scenarios that answered"),
    ("isolation", "x/isolation", "isolation of the sandbox"),
    ("models", "v1beta/models", "the models"),
    ("metrics", "metrics", "metrics for Prometheus"),
];

const NO_MODEL: &str = "The request names no model. google-genai for Python sends it if a client for Vertex AI \
                        has a base URL, and no 'project' and 'location' of its own. Pass both to the \
                        client, or set GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION to empty strings \
                        and use an API key: see docs/src/guides/vertex.md.";

pub fn routes() -> Vec<Route> {
    let summary =
        "An overview in JSON; browsers get the console, or without it an overview in HTML";
    let operation = Operation::new("index", OPERATORS, summary)
        .answers_as(JSON, |_| json!({"type": "object"}))
        .answers_as("text/html", |_| json!({"type": "string"}));
    let explained = Operation::new("withoutModel", MODELS, "For requests that name no model: 400");
    vec![Route::get("/", index, operation), Route::post("/", without_model, explained)]
}

/// google-genai for Python sends requests here, without the name of the model, if a client for
/// Vertex AI has a base URL and gets its project or its location from the environment.
async fn without_model(request: Request) -> Response {
    let (_, body) = drain::share(request);
    drain::before(ApiError::invalid(NO_MODEL).into_response(), body).await
}

/// Browsers accept HTML explicitly. They get the console, if it is on.
pub async fn index(
    State(app): State<App>,
    prefix: Option<Extension<PathPrefix>>,
    request: Request,
) -> Response {
    let accepts = request.headers().get_all(ACCEPT).iter();
    let wants_html = accepts.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|kind| kind.trim().to_ascii_lowercase().starts_with("text/html"))
    });
    let mut response = match (wants_html, app.console) {
        (true, true) => {
            let prefix = prefix.map(|Extension(prefix)| prefix.path).unwrap_or_default();
            let path = HeaderValue::try_from(format!("{prefix}{}", console::PATH));
            path.map(|path| (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response())
                .unwrap_or_else(|_| Html(page()).into_response())
        }
        (true, false) => Html(page()).into_response(),
        (false, is_on) => answer(&document(is_on)),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn document(has_console: bool) -> Value {
    let mut links: serde_json::Map<String, Value> = PLACES
        .iter()
        .map(|(name, path, _)| ((*name).to_owned(), json!(format!("/{path}"))))
        .collect();
    if has_console {
        links.insert("console".to_owned(), console::PATH.into());
    }
    json!({"name": "Belljar", "version": env!("CARGO_PKG_VERSION"), "links": links})
}

/// Links are relative, because the server may be behind a path prefix.
fn page() -> String {
    let links: String = PLACES
        .iter()
        .map(|(_, path, what)| format!("<li><a href=\"{path}\">/{path}</a>: {what}</li>\n"))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Belljar</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 3em auto; \
         padding: 0 1em; color-scheme: light dark; background: canvas; color: canvastext }}</style>\n\
         <h1>Belljar {version}</h1>\n\
         <p>Self-hosted server for Gemini's code execution. Point clients here with \
         <code>GOOGLE_GEMINI_BASE_URL</code>.</p>\n<ul>\n{links}</ul>\n\
         <p>If the server requires API keys, the last four need one: \
         <code>?key=…</code></p>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}
