//! Wraps a model and records its prompts and output.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{RecordingSession, RecordingWriter, broke_off};
use crate::backend::scripted::{ScenarioError, Scripted};
use crate::backend::{
    Backend, Embedding, ModelEvent, ModelStream, Prompt, RequestContext, STREAM_CAPACITY,
};
use crate::embedding::Embed;

/// Forwards a model's output and records it.
#[derive(Debug)]
pub struct RecordingBackend {
    model: Arc<dyn Backend>,
    writer: Arc<RecordingWriter>,
    /// Recordings that are replayed instead of calling the model.
    known: Option<Scripted>,
}

impl RecordingBackend {
    pub fn new(
        model: Arc<dyn Backend>,
        writer: Arc<RecordingWriter>,
    ) -> Result<RecordingBackend, ScenarioError> {
        let known = writer.known()?;
        Ok(RecordingBackend { model, writer, known })
    }
}

impl Backend for RecordingBackend {
    /// Embeddings are not recorded.
    fn embed(&self, request: &Arc<Embed>) -> Option<Embedding> {
        self.model.embed(request)
    }

    fn has_own_signatures(&self, model: &str) -> bool {
        self.model.has_own_signatures(model)
    }

    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        let session = RecordingSession::of(context);
        // An interaction is recorded or replayed as a whole.
        if let Some(known) = &self.known
            && !session.has_started()
            && known.knows(&prompt, context)
        {
            return known.generate(prompt, context);
        }
        if !session.turn(&self.writer, &prompt) {
            return self.model.generate(prompt, context);
        }
        let mut output = self.model.generate(prompt, context);
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
                session.model_event(&event);
                if events.send(event).await.is_err() {
                    return;
                }
            }
            if !ended {
                session.model_event(&Err(broke_off()));
            }
        });
        stream
    }
}
