//! Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, a gateway.
//!
//! ```text
//!   prompt ──▶ request (history) ──▶ upstream ──▶ answer ──▶ fence ──▶ events
//!                   ▲                    │
//!                   └─── abilities ◀─────┘   abilities that the model lacks
//! ```
//!
//! These servers differ from one another, so responses are read leniently, and rejected options are
//! not sent again.

use std::sync::Arc;

use tokio::sync::mpsc;

use self::abilities::{Ability, Memory, OwnersMemory};
use self::answer::{ChatTurn, Piece};
use self::fence::Blocks;
use self::reading::{Reading, Way, ends_turn, is_search};
use self::request::Asking;
use super::upstream::{self, Address, Events, Login, OwnersUpstream, Upstream, UpstreamError};
use backend::{
    Backend, Embed, Embedding, End, Finish, ModelEvent, ModelStream, Prompt, RequestContext,
    STREAM_CAPACITY, Tools,
};
use resources::budget::Budget;

mod abilities;
mod answer;
mod built_in;
mod embed;
mod fence;
mod history;
mod kind;
mod reading;
mod request;

pub use abilities::Has;
pub use kind::KIND;

/// A model on an OpenAI-compatible server.
#[derive(Debug)]
pub struct OpenAi {
    core: Arc<Core>,
}

/// Configuration of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiModel {
    /// Name of the model upstream, if it differs from the client's.
    pub name: Option<String>,
    /// Whether the model calls functions. If not, it writes its code in fenced blocks.
    pub tools: Has,
    /// Whether the model accepts images.
    pub images: Has,
}

#[derive(Debug)]
struct Core {
    upstream: Upstream,
    model: OpenAiModel,
    memory: Memory,
}

impl OpenAi {
    pub fn new(
        address: Address,
        model: OpenAiModel,
        received: Budget,
    ) -> Result<OpenAi, reqwest::Error> {
        let upstream = Upstream::new(address, Login::Bearer, received)?;
        let core = Core { upstream, model, memory: Memory::default() };
        Ok(OpenAi { core: core.into() })
    }
}

impl Backend for OpenAi {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        context.journal.answered_by("openai");
        let prompt = upstream::without_repetition(prompt);
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let (core, owner) = (Arc::clone(&self.core), context.namespace.owner().clone());
        tokio::spawn(async move {
            let memory = core.memory.of(&owner, core.name(&prompt));
            let upstream = core.upstream.of(&owner);
            let turn = core.turn(&upstream, memory, &prompt, &events);
            upstream::run_turn(turn, &events, core.name(&prompt)).await;
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
}

impl Core {
    fn name<'a>(&'a self, prompt: &'a Prompt) -> &'a str {
        self.model.name.as_deref().unwrap_or(&prompt.model)
    }

    /// Sends the request, and repeats it without options that the upstream rejects.
    async fn turn(
        &self,
        upstream: &OwnersUpstream<'_>,
        memory: OwnersMemory<'_>,
        prompt: &Prompt,
        events: &Events,
    ) -> Result<(), UpstreamError> {
        let name = self.name(prompt);
        // Remembered once a request without them is accepted: a rejection may have another reason.
        let mut missing = Vec::new();
        loop {
            let has = |ability, configured| {
                memory.has(ability, configured) && !missing.contains(&ability)
            };
            let asking = Asking {
                model: name,
                tools: has(Ability::Tools, self.model.tools) && !self.uses_blocks(memory, prompt),
                images: has(Ability::Images, self.model.images),
                usage: has(Ability::Usage, Has::Auto),
            };
            let body = asking.body(prompt).map_err(UpstreamError::Refused)?;
            let is_known = |error: &UpstreamError| abilities::missing(error).is_some();
            match upstream.ask("/chat/completions", &[], &body, is_known).await {
                Ok(reply) => {
                    for ability in missing {
                        tracing::info!(model = name, ?ability, "model lacks ability; disabled");
                        memory.lacks(ability);
                    }
                    let reading = self.reading(memory, &asking, prompt);
                    let shown =
                        forward(ChatTurn::of(reply), reading, &prompt.tools, events).await?;
                    if let Some(way) = shown.filter(|_| self.is_open(Ability::Tools)) {
                        memory.shown(way);
                    }
                    return Ok(());
                }
                Err(error) => {
                    let lacks =
                        abilities::missing(&error).filter(|ability| asking.uses(*ability, prompt));
                    let Some(ability) = lacks.filter(|ability| self.is_open(*ability)) else {
                        return Err(error);
                    };
                    missing.push(ability);
                }
            }
        }
    }

    /// Whether the model writes its code in blocks although it could call a tool. The client's functions
    /// need calls.
    fn uses_blocks(&self, memory: OwnersMemory<'_>, prompt: &Prompt) -> bool {
        self.is_open(Ability::Tools)
            && prompt.tools.functions.is_empty()
            && memory.way() == Some(Way::Blocks)
    }

    fn reading(&self, memory: OwnersMemory<'_>, asking: &Asking, prompt: &Prompt) -> Reading {
        let offered = Blocks {
            unmarked: false,
            python: prompt.tools.code_execution,
            search: prompt.tools.google_search,
        };
        let in_doubt = self.is_open(Ability::Tools)
            && offered != Blocks::default()
            && memory.way() != Some(Way::Calls);
        let blocks = asking.blocks(prompt);
        if blocks != Blocks::default() {
            Reading::Blocks(fence::Reader::new(blocks))
        } else if in_doubt {
            Reading::Either(reading::Held::new(offered).into())
        } else {
            Reading::Text
        }
    }

    /// Whether the ability is not configured.
    fn is_open(&self, ability: Ability) -> bool {
        let configured = match ability {
            Ability::Tools => self.model.tools,
            Ability::Images => self.model.images,
            Ability::Usage => Has::Auto,
        };
        configured == Has::Auto
    }
}

/// Forwards the model's output up to its end or its first block. Returns how the model ran code, if
/// that is new information.
async fn forward(
    mut answer: ChatTurn,
    mut reading: Reading,
    tools: &Tools,
    events: &Events,
) -> Result<Option<Way>, UpstreamError> {
    while let Some(piece) = answer.next().await? {
        let parsed = match piece {
            Piece::Thought(thought) => vec![ModelEvent::Thought(thought)],
            Piece::Text(text) => reading.read(text),
        };
        for event in parsed {
            let (is_last, is_search) = (ends_turn(&event), is_search(&event));
            if events.send(Ok(event)).await.is_err() {
                return Ok(None);
            }
            if is_search {
                let _ = events.send(Ok(searched())).await; // the receiver may be gone
            }
            if is_last {
                return Ok(None); // text after a block is made up
            }
        }
    }
    let mut last = answer.end(tools)?;
    last.events = last.events.into_iter().map(|event| upstream::allowed(event, tools)).collect();
    let (rest, shown) = reading.end(&last);
    let end = match rest.last() {
        Some(event) if is_search(event) => vec![searched()],
        Some(event) if ends_turn(event) => Vec::new(),
        _ => last.events,
    };
    // Counts come first, because code or an end must be the last event.
    let counted = last.usage.map(ModelEvent::Counted);
    for event in counted.into_iter().chain(rest).chain(end) {
        if events.send(Ok(event)).await.is_err() {
            break;
        }
    }
    Ok(shown)
}

/// The end of a turn that needs search results.
fn searched() -> ModelEvent {
    ModelEvent::End(End { finish: Finish::Searched, usage: None })
}
