//! Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, a gateway.
//!
//! ```text
//!   prompt ──▶ request (history) ──▶ upstream ──▶ answer ──▶ fence ──▶ events
//!                   ▲                    │
//!                   └─── abilities ◀─────┘   what the model turned out not to have
//! ```
//!
//! Such servers deviate from one another, so what they say is read leniently, and what they refuse
//! is left out from then on.

use std::sync::Arc;

use tokio::sync::mpsc;

use self::abilities::{Ability, Memory};
use self::answer::{Answer, Piece};
use self::fence::Blocks;
use self::reading::{Reading, Way, ends_turn, is_search};
use self::request::Asking;
use super::upstream::{self, Address, Events, Login, Upstream, UpstreamError};
use super::{Backend, End, Finish, ModelEvent, ModelStream, Prompt, STREAM_CAPACITY, Tools};

mod abilities;
mod answer;
mod fence;
mod history;
mod reading;
mod request;

pub use abilities::Has;

/// A model on another server.
#[derive(Debug)]
pub struct OpenAi {
    core: Arc<Core>,
}

/// What is known about the model beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What the other server is asked for, where that is another name than the client's.
    pub name: Option<String>,
    /// Whether it calls functions. One that does not writes its code into fenced blocks.
    pub tools: Has,
    /// Whether it sees pictures.
    pub images: Has,
}

#[derive(Debug)]
struct Core {
    upstream: Upstream,
    model: Model,
    memory: Memory,
}

impl OpenAi {
    pub fn new(address: Address, model: Model) -> Result<OpenAi, reqwest::Error> {
        let upstream = Upstream::new(address, Login::Bearer)?;
        let core = Core { upstream, model, memory: Memory::default() };
        Ok(OpenAi { core: core.into() })
    }
}

impl Backend for OpenAi {
    fn generate(&self, prompt: Prompt) -> ModelStream {
        prompt.note.answered_by("openai");
        let prompt = upstream::without_repetition(prompt);
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            upstream::carry(core.turn(&prompt, &events), &events, core.name(&prompt)).await;
        });
        stream
    }
}

impl Core {
    fn name<'a>(&'a self, prompt: &'a Prompt) -> &'a str {
        self.model.name.as_deref().unwrap_or(&prompt.model)
    }

    /// Asks, and asks again without what the other server refuses.
    async fn turn(&self, prompt: &Prompt, events: &Events) -> Result<(), UpstreamError> {
        let name = self.name(prompt);
        loop {
            let asking = Asking {
                model: name,
                tools: self.calls_functions(name, prompt),
                images: self.memory.has(name, Ability::Images, self.model.images),
                usage: self.memory.has(name, Ability::Usage, Has::Auto),
            };
            let body = asking.body(prompt).map_err(UpstreamError::Refused)?;
            let is_known = |error: &UpstreamError| abilities::missing(error).is_some();
            match self.upstream.ask("/chat/completions", &[], &body, is_known).await {
                Ok(reply) => {
                    let reading = self.reading(&asking, prompt);
                    let shown = say(Answer::of(reply), reading, &prompt.tools, events).await?;
                    if let Some(way) = shown.filter(|_| self.is_open(Ability::Tools)) {
                        self.memory.shown(name, way);
                    }
                    return Ok(());
                }
                Err(error) => {
                    let lacks =
                        abilities::missing(&error).filter(|ability| asking.uses(*ability, prompt));
                    let Some(ability) = lacks.filter(|ability| self.is_open(*ability)) else {
                        return Err(error);
                    };
                    tracing::info!(model = name, ?ability, "the model turned out not to have it");
                    self.memory.lacks(name, ability);
                }
            }
        }
    }

    /// Whether it is offered functions. The client's own can only be called, even by a model that
    /// writes its code into blocks.
    fn calls_functions(&self, name: &str, prompt: &Prompt) -> bool {
        self.memory.has(name, Ability::Tools, self.model.tools)
            && !(self.is_open(Ability::Tools)
                && prompt.tools.functions.is_empty()
                && self.memory.way(name) == Some(Way::Blocks))
    }

    fn reading(&self, asking: &Asking, prompt: &Prompt) -> Reading {
        let offered = Blocks {
            unmarked: false,
            python: prompt.tools.code_execution,
            search: prompt.tools.google_search,
        };
        let in_doubt = self.is_open(Ability::Tools)
            && offered != Blocks::default()
            && self.memory.way(asking.model) != Some(Way::Calls);
        let blocks = asking.blocks(prompt);
        if blocks != Blocks::default() {
            Reading::Blocks(fence::Reader::new(blocks))
        } else if in_doubt {
            Reading::Either(reading::Held::new(offered))
        } else {
            Reading::Text
        }
    }

    /// Whether nobody has said that the model has it.
    fn is_open(&self, ability: Ability) -> bool {
        let said = match ability {
            Ability::Tools => self.model.tools,
            Ability::Images => self.model.images,
            Ability::Usage => Has::Auto,
        };
        said == Has::Auto
    }
}

/// Hands on what the model says, to its end or to its first block, and says in which way it ran that,
/// where that shows something new.
async fn say(
    mut answer: Answer,
    mut reading: Reading,
    tools: &Tools,
    events: &Events,
) -> Result<Option<Way>, UpstreamError> {
    while let Some(piece) = answer.next().await? {
        let said = match piece {
            Piece::Thought(thought) => vec![ModelEvent::Thought(thought)],
            Piece::Text(text) => reading.read(text),
        };
        for event in said {
            let (is_last, is_search) = (ends_turn(&event), is_search(&event));
            if events.send(Ok(event)).await.is_err() {
                return Ok(None);
            }
            if is_search {
                let _ = events.send(Ok(searched())).await; // nobody may want to know
            }
            if is_last {
                return Ok(None); // what comes after a block is made up
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
    // The counts come first, for code and an end are the last word.
    let counted = last.usage.map(ModelEvent::Counted);
    for event in counted.into_iter().chain(rest).chain(end) {
        if events.send(Ok(event)).await.is_err() {
            break;
        }
    }
    Ok(shown)
}

/// The end of a turn that wants to know what was found.
fn searched() -> ModelEvent {
    ModelEvent::End(End { finish: Finish::Searched, usage: None })
}
