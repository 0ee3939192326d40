//! Gemini itself, or any server with its API: the real service, a gateway, another Belljar.
//!
//! ```text
//!   prompt ──▶ request ──▶ upstream ──▶ answer ──▶ events
//! ```
//!
//! The backend uses the Interactions API as a stream, without storing the interaction there. That
//! API has a step for everything this server has a step for, with its own id and signature, so a
//! conversation is sent back unchanged; `generateContent` has unnamed parts and does not allow
//! functions beside tools that run upstream. The history is sent each time, so nothing depends on
//! what the upstream still stores.
//!
//! Signatures are opaque. The upstream's signatures become those of our steps and are sent back
//! with the steps, whether this server or the client stored them.

use std::sync::Arc;

use tokio::sync::mpsc;

use self::answer::GeminiTurn;
use super::upstream::{self, Address, Events, Login, OwnersUpstream, Upstream, UpstreamError};
use backend::{Backend, Embed, Embedding, ModelStream, Prompt, RequestContext, STREAM_CAPACITY};
use resources::budget::Budget;

mod answer;
mod embed;
mod kind;
mod request;

pub use kind::KIND;

/// Base URL of the real service.
pub const GOOGLE: &str = "https://generativelanguage.googleapis.com";
/// Version of the schema with steps, for servers that support several.
const REVISION: (&str, &str) = ("api-revision", "2026-05-20");
/// Suffixes of a base URL that name its API version.
const VERSIONS: [&str; 3] = ["/v1", "/v1beta", "/v1alpha"];
const USUAL_VERSION: &str = "/v1beta";

/// A Gemini model.
#[derive(Debug)]
pub struct Gemini {
    core: Arc<GeminiCore>,
}

/// Configuration of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeminiModel {
    /// Name of the model upstream, if it differs from the client's.
    pub name: Option<String>,
    pub execution: Execution,
}

/// Which server runs the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Execution {
    /// This server. The model requests it with a function call.
    #[default]
    Sandbox,
    /// The upstream, and all its steps are passed through.
    Upstream,
}

#[derive(Debug)]
struct GeminiCore {
    upstream: Upstream,
    model: GeminiModel,
}

impl Gemini {
    /// The base URL may end with a version.
    pub fn new(
        mut address: Address,
        model: GeminiModel,
        received: Budget,
    ) -> Result<Gemini, reqwest::Error> {
        let base_url = address.base_url.trim_end_matches('/');
        let has_version = VERSIONS.iter().any(|version| base_url.ends_with(version));
        address.base_url = format!("{base_url}{}", if has_version { "" } else { USUAL_VERSION });
        let upstream = Upstream::new(address, Login::GoogleKey, received)?;
        Ok(Gemini { core: GeminiCore { upstream, model }.into() })
    }
}

impl Backend for Gemini {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        context.journal.answered_by("gemini");
        let prompt = match self.core.model.execution {
            Execution::Sandbox => upstream::without_repetition(prompt),
            Execution::Upstream => prompt,
        };
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let (core, owner) = (Arc::clone(&self.core), context.namespace.owner().clone());
        tokio::spawn(async move {
            let upstream = core.upstream.of(&owner);
            let model = core.model.name.as_deref().unwrap_or(&prompt.model);
            upstream::run_turn(core.turn(&upstream, model, &prompt, &events), &events, model).await;
        });
        stream
    }

    fn embed(&self, request: &Arc<Embed>) -> Option<Embedding> {
        let (core, request) = (Arc::clone(&self.core), Arc::clone(request));
        Some(Box::pin(async move {
            let model = core.model.name.as_deref().unwrap_or(&request.model);
            let embedded = embed::embed(&core.upstream.of(&request.owner), model, &request).await;
            embedded.map_err(|error| error.for_client(model))
        }))
    }

    fn has_own_signatures(&self, _: &str) -> bool {
        true
    }
}

impl GeminiCore {
    async fn turn(
        &self,
        upstream: &OwnersUpstream<'_>,
        model: &str,
        prompt: &Prompt,
        events: &Events,
    ) -> Result<(), UpstreamError> {
        let body = request::body(model, prompt, self.model.execution);
        let reply = upstream.ask("/interactions", &[REVISION], &body, |_| false).await?;
        let mut answer = GeminiTurn::of(reply, self.model.execution);
        while let Some(event) = answer.next().await? {
            let event = match self.model.execution {
                Execution::Sandbox => upstream::allowed(event, &prompt.tools),
                Execution::Upstream => event,
            };
            let is_last = event.is_last();
            if events.send(Ok(event)).await.is_err() || is_last {
                break;
            }
        }
        Ok(())
    }
}
