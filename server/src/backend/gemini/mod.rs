//! Gemini itself, or whatever speaks it: the real service, a gateway, another server like this one.
//!
//! ```text
//!   prompt ──▶ request ──▶ upstream ──▶ answer ──▶ events
//! ```
//!
//! It is asked through the Interactions API, as a stream, without being stored there. That API has a
//! step for whatever this server has one for, with an id and a signature of its own, so that a
//! conversation goes back as it came; `generateContent` has parts without names, and does not let
//! functions stand beside tools that run there. The history is sent each time, so that nothing
//! depends on what the other server still remembers.
//!
//! Signatures are opaque. Those of the other server become those of our steps, and go back to it
//! with the steps, whether it is this server that kept them or the client.

use std::sync::Arc;

use tokio::sync::mpsc;

use self::answer::Answer;
use super::upstream::{self, Address, Events, Login, Upstream, UpstreamError};
use super::{Backend, ModelStream, Prompt, STREAM_CAPACITY};

mod answer;
mod request;

/// Where the real service is.
pub const GOOGLE: &str = "https://generativelanguage.googleapis.com";
/// The schema with steps, for those who still know another.
const REVISION: (&str, &str) = ("api-revision", "2026-05-20");
/// What an address ends with that names its version.
const VERSIONS: [&str; 3] = ["/v1", "/v1beta", "/v1alpha"];
const USUAL_VERSION: &str = "/v1beta";

/// A model of Gemini's.
#[derive(Debug)]
pub struct Gemini {
    core: Arc<Core>,
}

/// What is known about the model beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What the other server is asked for, where that is another name than the client's.
    pub name: Option<String>,
    pub execution: Execution,
}

/// Who runs the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// We do. The model calls a function for it.
    #[default]
    Sandbox,
    /// The other server does, and all its steps are handed on as they come.
    Upstream,
}

#[derive(Debug)]
struct Core {
    upstream: Upstream,
    model: Model,
}

impl Gemini {
    /// The address may have a version at its end, and need not.
    pub fn new(mut address: Address, model: Model) -> Result<Gemini, reqwest::Error> {
        let base_url = address.base_url.trim_end_matches('/');
        let has_version = VERSIONS.iter().any(|version| base_url.ends_with(version));
        address.base_url = format!("{base_url}{}", if has_version { "" } else { USUAL_VERSION });
        let upstream = Upstream::new(address, Login::GoogleKey)?;
        Ok(Gemini { core: Core { upstream, model }.into() })
    }
}

impl Backend for Gemini {
    fn generate(&self, prompt: Prompt) -> ModelStream {
        prompt.note.answered_by("gemini");
        let prompt = match self.core.model.execution {
            Execution::Sandbox => upstream::without_repetition(prompt),
            Execution::Upstream => prompt,
        };
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            let model = core.model.name.as_deref().unwrap_or(&prompt.model);
            upstream::carry(core.turn(model, &prompt, &events), &events, model).await;
        });
        stream
    }

    fn has_own_signatures(&self, _: &str) -> bool {
        true
    }
}

impl Core {
    async fn turn(
        &self,
        model: &str,
        prompt: &Prompt,
        events: &Events,
    ) -> Result<(), UpstreamError> {
        let body = request::body(model, prompt, self.model.execution);
        let reply = self.upstream.ask("/interactions", &[REVISION], &body, |_| false).await?;
        let mut answer = Answer::of(reply, self.model.execution);
        while let Some(said) = answer.next().await? {
            let said = match self.model.execution {
                Execution::Sandbox => upstream::allowed(said, &prompt.tools),
                Execution::Upstream => said,
            };
            let is_last = said.is_last();
            if events.send(Ok(said)).await.is_err() || is_last {
                break;
            }
        }
        Ok(())
    }
}
