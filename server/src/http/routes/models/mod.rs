//! `/models`: the list of models, and `generateContent` and the other methods of a model.

pub mod catalog;
mod description;
mod documented;
mod embed;
mod generate;
mod tokens;

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::body::Body;
use crate::http::extract::credentials::Credentials;
use crate::http::extract::namespace::InNamespace;
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::generate_content::part_of_url;
use crate::http::middleware::deadline::Deadline;
use crate::http::response::json::json as answer;
use crate::http::routes::batches;
use crate::http::vertex::{Dialect, VertexScope};
use crate::http::wire::COMPATIBILITY_PAGE;
use crate::http::wire::request::MAX_MODEL_BYTES;
use crate::trace;
use domain::namespace::Namespace;
use domain::owner::Owner;
use store::BatchMethod;

use description::{model, publisher_model};
use embed::EmbedMethod;
use generate::AnswerDelivery;

pub use documented::{routes, vertex_operations};

/// Google's page sizes.
const PAGE: (usize, usize) = (50, 1000);

/// A method of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Generate(AnswerDelivery),
    CountTokens,
    /// Of Vertex AI alone.
    ComputeTokens,
    Embed(EmbedMethod),
    /// Of the Gemini API alone.
    CreateBatch(BatchMethod),
}

impl Method {
    const ALL: [Method; 9] = [
        Method::Generate(AnswerDelivery::Whole),
        Method::Generate(AnswerDelivery::Stream),
        Method::CountTokens,
        Method::ComputeTokens,
        Method::Embed(EmbedMethod::Single),
        Method::Embed(EmbedMethod::Batch),
        Method::Embed(EmbedMethod::Predict),
        Method::CreateBatch(BatchMethod::GenerateContent),
        Method::CreateBatch(BatchMethod::EmbedContent),
    ];

    /// Its name in paths.
    fn name(self) -> &'static str {
        match self {
            Method::Generate(AnswerDelivery::Whole) => "generateContent",
            Method::Generate(AnswerDelivery::Stream) => "streamGenerateContent",
            Method::CountTokens => "countTokens",
            Method::ComputeTokens => "computeTokens",
            Method::Embed(EmbedMethod::Single) => "embedContent",
            Method::Embed(EmbedMethod::Batch) => "batchEmbedContents",
            Method::Embed(EmbedMethod::Predict) => "predict",
            Method::CreateBatch(BatchMethod::GenerateContent) => "batchGenerateContent",
            Method::CreateBatch(BatchMethod::EmbedContent) => "asyncBatchEmbedContent",
        }
    }

    fn is_of(self, dialect: &Dialect) -> bool {
        match self {
            Method::ComputeTokens | Method::Embed(EmbedMethod::Predict) => dialect.is_vertex(),
            Method::CreateBatch(_) => !dialect.is_vertex(),
            _ => true,
        }
    }

    fn of(name: &str, dialect: &Dialect) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name && method.is_of(dialect))
    }
}

/// A call of a method, without its body.
pub struct ModelCall {
    app: App,
    namespace: Namespace,
    owner: Owner,
    keys: Arc<[SecretString]>,
    dialect: Dialect,
    model: String,
    query: GoogleApiQuery,
    deadline: Deadline,
}

pub async fn list(
    State(app): State<App>,
    dialect: Dialect,
    GoogleApiQuery { page, .. }: GoogleApiQuery,
) -> Response {
    let publisher = match &dialect {
        Dialect::Gemini => None,
        Dialect::Vertex(scope) => match &scope.publisher {
            Some(publisher) => Some(publisher),
            // The models that a project has tuned: none.
            None => return answer(&json!({"models": []})),
        },
    };
    let after = page.after.as_deref().unwrap_or_default();
    let mut left = app.catalog.names().iter().filter(|name| name.as_str() > after);
    let (default, most) = PAGE;
    let names: Vec<&String> = left.by_ref().take(page.size(default, most)).collect();
    let listed = names.iter().map(|name| match publisher {
        Some(publisher) => publisher_model(publisher, name),
        None => model(name),
    });
    let listed: Vec<Value> = listed.collect();
    let field = if publisher.is_some() { "publisherModels" } else { "models" };
    let mut body = json!({field: listed});
    if let (Some(_), Some(last)) = (left.next(), names.last()) {
        body["nextPageToken"] = Page::token(last).into();
    }
    answer(&body)
}

/// Tuning is not supported, so the list is empty.
pub async fn list_tuned(_: GoogleApiQuery) -> Response {
    answer(&json!({"tunedModels": []}))
}

pub async fn get(
    State(app): State<App>,
    dialect: Dialect,
    Path(name): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    needs_post(&name, &dialect)?;
    known(&app, &dialect, &name, "getModel")?;
    Ok(answer(&match &dialect {
        Dialect::Gemini => model(&name),
        Dialect::Vertex(scope) => publisher_model(publisher_of(scope), &name),
    }))
}

/// `PATCH` and `DELETE` are for tuned models. Google's own tests call them for others and expect
/// 404.
pub async fn change(dialect: Dialect, Path(name): Path<String>) -> ApiError {
    if let Err(error) = needs_post(&name, &dialect) {
        return error;
    }
    let why = format!("models/{name} is not found among those that can be changed or deleted.");
    ApiError::new(Code::NotFound, why)
}

/// `POST /models/{model}:{method}`
pub async fn call(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    (Extension(owner), Credentials(keys)): (Extension<Owner>, Credentials),
    (dialect, Path(rest)): (Dialect, Path<String>),
    query: GoogleApiQuery,
    deadline: Deadline,
    body: Result<Body, ApiError>,
) -> Result<Response, ApiError> {
    let (name, method) = part_of_url(&rest);
    known(&app, &dialect, name, method)?;
    if method.is_empty() {
        let why = format!("models/{name} does not have this method.");
        return Err(ApiError::method("GET", why));
    }
    let Body(body) = body?;
    let method = Method::of(method, &dialect).ok_or_else(|| {
        let why =
            format!("The method '{method}' of models is not supported by this server: see {COMPATIBILITY_PAGE}.");
        ApiError::new(Code::NotFound, why)
    })?;
    trace::called(method.name());
    let model = name.to_owned();
    let call = ModelCall { app, namespace, owner, keys, dialect, model, query, deadline };
    match method {
        Method::Generate(delivery) => generate::generate(call, delivery, body).await,
        Method::CountTokens => tokens::count(call, body).await,
        Method::ComputeTokens => tokens::compute(call, body).await,
        Method::CreateBatch(method) => {
            let ModelCall { app, namespace, owner, keys, dialect, model, .. } = call;
            if method == BatchMethod::EmbedContent {
                embeds(&app, &dialect, &model, "asyncBatchEmbedContent")?;
            }
            batches::create(&app, &namespace, (owner, keys), (&model, method), body).await
        }
        Method::Embed(method) => embed::embed(call, method, body).await,
    }
}

/// The error for a method of models that was not called by `POST`.
fn needs_post(name: &str, dialect: &Dialect) -> Result<(), ApiError> {
    let (_, method) = part_of_url(name);
    match Method::of(method, dialect) {
        None => Ok(()),
        Some(_) => {
            let why = format!("The method '{method}' of models requires POST.");
            Err(ApiError::method("POST", why))
        }
    }
}

/// Rejects a model that no backend answers for.
pub fn known(app: &App, dialect: &Dialect, name: &str, method: &str) -> Result<(), ApiError> {
    let is_known = name.len() <= MAX_MODEL_BYTES && app.catalog.has(name);
    if is_known { Ok(()) } else { Err(not_found(dialect, name, method)) }
}

/// Rejects a model that is not there or has no embeddings.
pub fn embeds(app: &App, dialect: &Dialect, name: &str, method: &str) -> Result<(), ApiError> {
    known(app, dialect, name, method)?;
    if app.engine.embeds(name) { Ok(()) } else { Err(not_found(dialect, name, method)) }
}

/// The model is not there, or does not have this method. The messages are of the real services.
fn not_found(dialect: &Dialect, name: &str, method: &str) -> ApiError {
    let why = match dialect {
        Dialect::Gemini => format!(
            "models/{name} is not found, or is not supported for {method}. Call \
             ModelService.ListModels to see the list of available models and their supported \
             methods."
        ),
        Dialect::Vertex(scope) => {
            let named = |name: &Option<String>| name.clone().unwrap_or_default();
            format!(
                "Publisher Model `projects/{}/locations/{}/publishers/{}/models/{name}` was not \
                 found or your project does not have access to it. Please ensure you are using a \
                 valid model version.",
                named(&scope.project),
                named(&scope.location),
                publisher_of(scope),
            )
        }
    };
    ApiError::new(Code::NotFound, why)
}

fn publisher_of(scope: &VertexScope) -> &str {
    scope.publisher.as_deref().unwrap_or("google")
}
