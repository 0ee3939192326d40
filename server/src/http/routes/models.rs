//! `/models`: the list of models, and `generateContent` and the other methods of a model.

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::json;

use crate::engine::Running;
use crate::http::App;
use crate::http::batches::openapi::{BATCH, CREATE_BATCH};
use crate::http::cached_contents::resolve::{Resolved, resolve};
use crate::http::error::schema::CLASSIC_ERROR;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::{Body, aside, holding};
use crate::http::extract::credentials::Credentials;
use crate::http::extract::namespace::InNamespace;
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::generate_content::answer::{About, counted};
use crate::http::generate_content::model::model;
use crate::http::generate_content::openapi::{
    COUNT, COUNT_TOKENS_RESPONSE, GENERATE, GENERATE_CONTENT_RESPONSE,
};
use crate::http::generate_content::part_of_url;
use crate::http::generate_content::prefix::named;
use crate::http::generate_content::request::{self, Generate};
use crate::http::generate_content::stream::{Framing, stream};
use crate::http::generate_content::whole::{ended, whole};
use crate::http::middleware::deadline::Deadline;
use crate::http::middleware::quirk::{Api, ListStream, Wanted};
use crate::http::openapi::parameter::{in_path, in_query, namespace, page, version};
use crate::http::openapi::schema::{self, Schema, any_of, list as list_of, word};
use crate::http::openapi::{JSON, MODELS, Operation};
use crate::http::response::json::json;
use crate::http::response::pieces;
use crate::http::route::Route;
use crate::http::routes::batches;
use crate::http::wire::proto;
use domain::owner::Owner;

/// Google's page sizes.
const PAGE: (usize, usize) = (50, 1000);
const METHODS: [&str; 4] =
    ["generateContent", "streamGenerateContent", "countTokens", "batchGenerateContent"];

static MODEL: Schema = Schema::new("Model", |_| {
    let fields = json!({
        "name": {"type": "string"}, "version": {"type": "string"},
        "displayName": {"type": "string"}, "description": {"type": "string"},
        "inputTokenLimit": schema::count("Tokens."), "outputTokenLimit": schema::count("Tokens."),
        "supportedGenerationMethods": list_of(json!({"type": "string"})),
        "thinking": {"type": "boolean"},
    });
    schema::answer(&[], fields)
});

static LISTED: Schema = Schema::new("Models", |schemas| {
    let fields =
        json!({"models": list_of(schemas.named(&MODEL)), "nextPageToken": {"type": "string"}});
    schema::answer(&["nextPageToken"], fields)
});

static TUNED: Schema = Schema::new("TunedModels", |_| {
    schema::answer(&[], json!({"tunedModels": {"type": "array", "maxItems": 0, "items": {}}}))
});

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, MODELS, summary).with([version()]);
    let name = || {
        let schema =
            json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "examples": ["direct"]});
        in_path("model", schema)
    };
    let encoding = || in_query("$alt", word(&["json", "json;enum-encoding=int"]));
    vec![
        Route::get(
            "/models",
            list,
            new("listModels", "Lists the known models").with(page()).answers(&LISTED),
        ),
        Route::get(
            "/models/{*rest}",
            get,
            new("getModel", "A model").at("/models/{model}").with([name()]).answers(&MODEL),
        ),
        Route::post(
            "/models/{*rest}",
            call,
            new("generateContent", "Asks the model, runs its code, and returns every part")
                .at("/models/{model}:generateContent")
                .about(
                    "Requests are protobuf's JSON: each name may be written in `camelCase` or in \
                     `snake_case`, numbers as strings, and values of enums as numbers.",
                )
                .with([name(), namespace(), encoding()])
                .takes(&GENERATE)
                .answers(&GENERATE_CONTENT_RESPONSE),
        )
        .and(
            new(
                "streamGenerateContent",
                "Like `generateContent`, but streamed: as events, or as a list without `alt=sse`",
            )
            .at("/models/{model}:streamGenerateContent")
            .with([name(), namespace(), in_query("alt", word(&["sse", "json"])), encoding()])
            .takes(&GENERATE)
            .answers_as(JSON, |schemas| {
                list_of(any_of(&[
                    schemas.named(&GENERATE_CONTENT_RESPONSE),
                    schemas.named(&CLASSIC_ERROR),
                ]))
            })
            .streams(&GENERATE_CONTENT_RESPONSE),
        )
        .and(
            new("countTokens", "Estimates the number of tokens of a request")
                .at("/models/{model}:countTokens")
                .with([name()])
                .takes(&COUNT)
                .answers(&COUNT_TOKENS_RESPONSE),
        )
        .and(
            new("batchGenerateContent", "Runs many requests in the background")
                .at("/models/{model}:batchGenerateContent")
                .with([name(), namespace()])
                .takes(&CREATE_BATCH)
                .answers(&BATCH),
        ),
        Route::patch(
            "/models/{*rest}",
            change,
            new("changeModel", "For tuned models, which do not exist here: 404")
                .at("/models/{model}")
                .with([name()]),
        ),
        Route::delete(
            "/models/{*rest}",
            change,
            new("deleteModel", "For tuned models, which do not exist here: 404")
                .at("/models/{model}")
                .with([name()]),
        ),
        Route::get(
            "/tunedModels",
            list_tuned,
            new("listTunedModels", "Returns an empty list: tuning is not supported")
                .with(page())
                .answers(&TUNED),
        ),
    ]
}

pub async fn list(State(app): State<App>, GoogleApiQuery { page, .. }: GoogleApiQuery) -> Response {
    let after = page.after.as_deref().unwrap_or_default();
    let mut left = app.catalog.names().iter().filter(|name| name.as_str() > after);
    let (default, most) = PAGE;
    let names: Vec<&String> = left.by_ref().take(page.size(default, most)).collect();
    let mut body = json!({"models": names.iter().map(|name| model(name)).collect::<Vec<_>>()});
    if let (Some(_), Some(last)) = (left.next(), names.last()) {
        body["nextPageToken"] = Page::token(last).into();
    }
    json(&body)
}

/// Tuning is not supported, so the list is empty.
pub async fn list_tuned(_: GoogleApiQuery) -> Response {
    json(&json!({"tunedModels": []}))
}

pub async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let (_, method) = part_of_url(&name);
    if METHODS.contains(&method) {
        let why = format!("The method '{method}' of models requires POST.");
        return Err(ApiError::method("POST", why));
    }
    known(&app, &name, "getModel")?;
    Ok(json(&model(&name)))
}

/// `PATCH` and `DELETE` are for tuned models. Google's own tests call them for others and expect
/// 404.
pub async fn change(Path(name): Path<String>) -> ApiError {
    let (_, method) = part_of_url(&name);
    if METHODS.contains(&method) {
        let why = format!("The method '{method}' of models requires POST.");
        return ApiError::method("POST", why);
    }
    let why = format!("models/{name} is not found among those that can be changed or deleted.");
    ApiError::new(Code::NotFound, why)
}

/// `POST /models/{model}:{method}`
pub async fn call(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    (Extension(owner), Credentials(keys)): (Extension<Owner>, Credentials),
    Path(rest): Path<String>,
    query: GoogleApiQuery,
    deadline: Deadline,
    body: Result<Body, ApiError>,
) -> Result<Response, ApiError> {
    let (name, method) = part_of_url(&rest);
    known(&app, name, method)?;
    if method.is_empty() {
        let why = format!("models/{name} does not have this method.");
        return Err(ApiError::method("GET", why));
    }
    let Body(body) = body?;
    match method {
        "generateContent" | "streamGenerateContent" => {
            let own = app.engine.has_own_signatures(name);
            let model = name.to_owned();
            let Resolved { prefix, memory } = resolve(&app, &owner, name, named(&body)).await?;
            let read = move |body| request::generate(&model, body, own, prefix);
            let Generate { mut request, thoughts, cached } =
                aside(body, read).await.map_err(invalid_payload)?;
            request.owner = owner;
            request.keys = keys;
            let (model, tier) = (name.to_owned(), request.service_tier);
            let running = app.engine.start_in(&namespace, request).await?;
            let (id, enum_numbers) = (running.response_id(), query.enum_numbers);
            let about = About { model, id, tier, enum_numbers, cached };
            let wanted = Wanted(running.wanted());
            let mut response = if method == "generateContent" {
                whole_answer(&app, &running, &about, thoughts).await?
            } else {
                let framing = if query.sse { Framing::ServerSentEvents } else { Framing::List };
                let mut response = stream(running, about, thoughts, framing, deadline);
                if framing == Framing::List {
                    response.extensions_mut().insert(ListStream);
                }
                response
            };
            response.extensions_mut().insert(Api::Generate);
            response.extensions_mut().insert(wanted);
            Ok(if memory.is_empty() { response } else { holding(response, memory) })
        }
        "countTokens" => {
            let model = name.to_owned();
            let Resolved { prefix, memory: _memory } =
                resolve(&app, &owner, name, named(&body)).await?;
            let cached = prefix.as_ref().map(|prefix| prefix.tokens).unwrap_or_default();
            let read = move |body| request::count(&model, body, prefix);
            let mut request = aside(body, read).await.map_err(invalid_payload)?;
            request.owner = owner;
            let mut body = counted(&app.engine.count_tokens(&request).await?, &cached);
            if query.enum_numbers {
                proto::with_numbers(&mut body);
            }
            Ok(json(&body))
        }
        "batchGenerateContent" => {
            batches::create(&app, &namespace, (owner, keys), name, body).await
        }
        _ => Err(ApiError::new(
            Code::NotFound,
            format!("The method '{method}' of models is not supported by this server."),
        )),
    }
}

async fn whole_answer(
    app: &App,
    running: &Running,
    about: &About,
    thoughts: bool,
) -> Result<Response, ApiError> {
    let log = running.log();
    let (entries, end) = ended(log).await?;
    pieces::answer(&app.sandbox.budget().of(&log.head().owner), || {
        Ok(whole(&entries, end, about, thoughts).to_string())
    })
}

/// Rejects a model that no backend answers for, with the message of the real service.
pub fn known(app: &App, name: &str, method: &str) -> Result<(), ApiError> {
    if app.catalog.has(name) {
        return Ok(());
    }
    let why = format!(
        "models/{name} is not found, or is not supported for {method}. Call ModelService.ListModels \
         to see the list of available models and their supported methods."
    );
    Err(ApiError::new(Code::NotFound, why))
}
