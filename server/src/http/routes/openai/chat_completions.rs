//! `POST /openai/chat/completions`

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;

use crate::engine::{Request, Running};
use crate::http::App;
use crate::http::cached_contents::resolve::{Resolved, resolve};
use crate::http::error::schema::OPENAI_ERROR;
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::{Body, aside, holding};
use crate::http::extract::credentials::Credentials;
use crate::http::extract::namespace::InNamespace;
use crate::http::generate_content::answer::PartEncoder;
use crate::http::generate_content::whole::ended;
use crate::http::middleware::deadline::Deadline;
use crate::http::openai::answer::{CompletionHead, choice, completion, usage};
use crate::http::openai::openapi::{CHAT, CHAT_COMPLETION, CHAT_COMPLETION_CHUNK};
use crate::http::openai::request::{self, ChatRequest, Delivery};
use crate::http::openai::stream::{StreamOptions, stream};
use crate::http::openapi::parameter::{namespace, version};
use crate::http::openapi::{OPENAI, Operation};
use crate::http::response::pieces;
use crate::http::route::Route;
use crate::http::routes::models::known;
use crate::http::vertex::Dialect;
use domain::interaction::Step;
use domain::namespace::Namespace;
use store::Owner;

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, OPENAI, summary).with([version()]);
    vec![Route::post("/openai/chat/completions", create, operation(new))]
}

pub fn operation(new: impl Fn(&'static str, &'static str) -> Operation) -> Operation {
    new("createChatCompletion", "Asks the model")
        .about(
            "The model has only the client's functions: code execution and Google's other tools have \
             no form in this API. `google` and `extra_body.google` are protobuf's JSON, whose names \
             may be written in `camelCase` or in `snake_case`.",
        )
        .fails_as(&OPENAI_ERROR)
        .with([namespace()])
        .takes(&CHAT)
        .answers(&CHAT_COMPLETION)
        .streams(&CHAT_COMPLETION_CHUNK)
}

async fn create(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    (Extension(owner), Credentials(keys)): (Extension<Owner>, Credentials),
    deadline: Deadline,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let engine = Arc::clone(&app.engine);
    let named = request::named(&body);
    let (model, cache) = named.map_or(("", None), |(model, name)| (model, Some(name)));
    let Resolved { prefix, memory } = resolve(&app, &owner, model, cache, &Dialect::Gemini).await?;
    let read = move |body| request::chat(body, |model| engine.has_own_signatures(model), prefix);
    let ChatRequest { mut request, choices, delivery, thoughts, cached } =
        aside(body, read).await.map_err(invalid_payload)?;
    known(&app, &Dialect::Gemini, &request.model, "generateContent")?;
    request.owner = owner;
    request.keys = keys;
    // Each choice has a copy of the conversation; the request's own memory is one of them.
    let bytes: usize = request.input.iter().map(Step::memory_bytes).sum();
    let budget = app.sandbox.budget().of(&request.owner);
    let mut memory = memory;
    memory.add(budget.take((choices - 1) * bytes).ok_or_else(ApiError::no_memory)?);
    let model = request.model.clone();
    let running = begin(&app, &namespace, request, choices).await?;
    let head = CompletionHead {
        id: running[0].response_id(),
        model,
        created: running[0].log().created().as_second(),
    };
    let response = match delivery {
        Delivery::Whole => whole(&app, &running, &head, thoughts, cached).await?,
        Delivery::Stream { usage } => {
            stream(running, head, StreamOptions { usage, thoughts, cached }, deadline)
        }
    };
    Ok(if memory.is_empty() { response } else { holding(response, memory) })
}

/// Begins one interaction for each choice, in order, so that the scripted model and seeded ids do not
/// depend on timing.
async fn begin(
    app: &App,
    namespace: &Namespace,
    request: Request,
    choices: usize,
) -> Result<Vec<Running>, ApiError> {
    let mut running = Vec::with_capacity(choices);
    for _ in 1..choices {
        running.push(app.engine.start_in(namespace, request.clone()).await?);
    }
    running.push(app.engine.start_in(namespace, request).await?);
    Ok(running)
}

async fn whole(
    app: &App,
    running: &[Running],
    head: &CompletionHead,
    thoughts: bool,
    cached: u64,
) -> Result<Response, ApiError> {
    let mut answers = Vec::with_capacity(running.len());
    for running in running {
        answers.push(ended(running.log()).await?);
    }
    let owner = &running[0].log().head().owner;
    pieces::answer(&app.sandbox.budget().of(owner), || {
        let choices = answers.iter().enumerate().map(|(index, (entries, end))| {
            let mut encoder = PartEncoder::new(thoughts);
            let parts: Vec<_> =
                entries.iter().filter_map(|entry| encoder.of(&entry.event)).collect();
            choice(index, &parts, *end)
        });
        let used: Vec<_> = answers.iter().filter_map(|(_, end)| end.usage).collect();
        Ok(completion(head, choices.collect(), usage(&used, cached)).to_string())
    })
}
