//! Wraps a model and records its prompts and output.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::scripted::{ScenarioError, Scripted};
use super::{Backend, ModelEvent, ModelStream, Prompt, STREAM_CAPACITY};
use crate::recording::{self, Keeper};

/// Forwards a model's output and records it.
#[derive(Debug)]
pub struct Recorded {
    model: Arc<dyn Backend>,
    keeper: Arc<Keeper>,
    /// Recordings that are replayed instead of calling the model.
    known: Option<Scripted>,
}

impl Recorded {
    pub fn new(model: Arc<dyn Backend>, keeper: Arc<Keeper>) -> Result<Recorded, ScenarioError> {
        let known = keeper.known()?;
        Ok(Recorded { model, keeper, known })
    }
}

impl Backend for Recorded {
    fn has_own_signatures(&self, model: &str) -> bool {
        self.model.has_own_signatures(model)
    }

    fn generate(&self, prompt: Prompt) -> ModelStream {
        let tape = prompt.tape.clone();
        // An interaction is recorded or replayed as a whole.
        if let Some(known) = &self.known
            && !tape.has_begun()
            && known.knows(&prompt)
        {
            return known.generate(prompt);
        }
        if !tape.turn(&self.keeper, &prompt) {
            return self.model.generate(prompt);
        }
        let mut output = self.model.generate(prompt);
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        tokio::spawn(async move {
            let mut ended = false;
            loop {
                let event = tokio::select! {
                    event = output.recv() => event,
                    // Dropping the model's stream cancels the generation.
                    () = events.closed() => return,
                };
                let Some(event) = event else { break };
                ended = event.as_ref().map_or(true, ModelEvent::is_last);
                tape.heard(&event);
                if events.send(event).await.is_err() {
                    return;
                }
            }
            if !ended {
                tape.heard(&Err(recording::broke_off()));
            }
        });
        stream
    }
}
