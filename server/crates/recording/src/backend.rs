//! Wraps a model and records its prompts and output.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{RecordingSession, RecordingWriter, broke_off};
use backend::{
    Backend, BackendError, Embed, Embedding, ModelEvent, ModelStream, Prompt, RequestContext,
    STREAM_CAPACITY,
};
use scenario::{ScenarioError, Scripted};

/// Forwards a model's output and records it.
#[derive(Debug)]
pub struct RecordingBackend {
    recorder: Recorder,
    /// Recordings that are replayed instead of calling the model.
    known: Option<Arc<Scripted>>,
}

/// A model whose output is written.
#[derive(Debug, Clone)]
struct Recorder {
    model: Arc<dyn Backend>,
    writer: Arc<RecordingWriter>,
}

impl RecordingBackend {
    pub fn new(
        model: Arc<dyn Backend>,
        writer: Arc<RecordingWriter>,
    ) -> Result<RecordingBackend, ScenarioError> {
        let known = writer.known()?.map(Arc::new);
        Ok(RecordingBackend { recorder: Recorder { model, writer }, known })
    }
}

impl Backend for RecordingBackend {
    /// Embeddings are not recorded.
    fn embed(&self, request: &Arc<Embed>) -> Option<Embedding> {
        self.recorder.model.embed(request)
    }

    fn has_own_signatures(&self, model: &str) -> bool {
        self.recorder.model.has_own_signatures(model)
    }

    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        // An interaction is recorded or replayed as a whole.
        let has_started = RecordingSession::of(context).has_started();
        let Some(known) = self.known.as_ref().filter(|_| !has_started) else {
            return self.recorder.generate(prompt, context);
        };
        match known.knows(&prompt, context) {
            Some(true) => known.generate(prompt, context),
            Some(false) => self.recorder.generate(prompt, context),
            None => {
                let (events, stream) = mpsc::channel(STREAM_CAPACITY);
                let (known, recorder) = (Arc::clone(known), self.recorder.clone());
                let context = context.clone();
                tokio::spawn(async move {
                    let output = match known.knows_after_all(&prompt, &context, &events).await {
                        true => known.generate(prompt, &context),
                        false => recorder.generate(prompt, &context),
                    };
                    forward(output, &events, |_| {}).await;
                });
                stream
            }
        }
    }
}

impl Recorder {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        let session = RecordingSession::of(context);
        if !session.turn(&self.writer, &prompt) {
            return self.model.generate(prompt, context);
        }
        let output = self.model.generate(prompt, context);
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        tokio::spawn(async move {
            let mut ended = false;
            let is_whole = forward(output, &events, |event| {
                ended = event.as_ref().map_or(true, ModelEvent::is_last);
                session.model_event(event);
            });
            if is_whole.await && !ended {
                session.model_event(&Err(broke_off()));
            }
        });
        stream
    }
}

/// Forwards a model's output. Returns whether there was a receiver until its end; dropping the stream
/// cancels the generation.
async fn forward(
    mut output: ModelStream,
    events: &mpsc::Sender<Result<ModelEvent, BackendError>>,
    mut seen: impl FnMut(&Result<ModelEvent, BackendError>),
) -> bool {
    loop {
        let event = tokio::select! {
            event = output.recv() => event,
            () = events.closed() => return false,
        };
        let Some(event) = event else { return true };
        seen(&event);
        if events.send(event).await.is_err() {
            return false;
        }
    }
}
