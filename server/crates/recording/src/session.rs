//! Collects the events of one interaction for a recording. Cheap to clone, and empty unless the
//! request is recorded.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::RecordingWriter;
use backend::{BackendError, End, ModelEvent, Passthrough, Prompt, RequestContext};
use domain::failure;
use domain::interaction::{
    CodeResult, Found, Media, PassthroughStep, Step, ToolRequest, ToolResult, ToolUse,
};
use parse::json::JsonSize;

/// Maximum size of all texts of a recording. It equals the maximum size of a scenario file.
const MAX_BYTES: usize = 16 << 20;

/// The recording session of a request, or a disabled one.
#[derive(Debug, Clone, Default)]
pub struct RecordingSession(Option<Arc<SessionState>>);

#[derive(Debug, Default)]
struct SessionState {
    recording: Mutex<Option<Recording>>,
    /// The client's keys, which must not be recorded.
    keys: Arc<[SecretString]>,
}

/// The output exceeds the maximum size of a recording.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording exceeds {MAX_BYTES} bytes")]
pub struct TooLong;

/// All events of an interaction.
#[derive(Debug)]
pub struct Recording {
    pub writer: Arc<RecordingWriter>,
    /// The first prompt: the client's request.
    pub asked: Prompt,
    /// The client's keys, which must not be recorded.
    pub keys: Arc<[SecretString]>,
    pub events: Vec<RecordedEvent>,
    started: Instant,
    /// Index of the first event of the newest turn.
    turn: usize,
    /// A step of an upstream server that is still streaming.
    passthrough: Option<PassthroughStep>,
    /// Total size of the recorded texts.
    bytes: usize,
}

/// An event with its time since the request.
#[derive(Debug)]
pub struct RecordedEvent {
    pub at: Duration,
    /// Of its last piece.
    pub until: Duration,
    pub pieces: usize,
    pub kind: RecordedEventKind,
}

#[derive(Debug)]
pub enum RecordedEventKind {
    Thought(String),
    Text(String),
    Code(String),
    Call {
        name: String,
        arguments: Value,
    },
    Search {
        queries: Vec<String>,
        found: Vec<Found>,
    },
    Tool(ToolUse),
    /// A complete step of an upstream server.
    Step(Value),
    /// Token counts that the model reported.
    Counted,
    Ended(End),
    /// The model failed, or its stream ended early.
    Failed(BackendError),
    /// The result of the preceding code.
    Ran(CodeResult, Vec<Media>),
}

impl RecordingSession {
    /// The session of a request. Without one, nothing is recorded.
    pub fn of(context: &RequestContext) -> RecordingSession {
        context.extensions.get::<RecordingSession>().cloned().unwrap_or_default()
    }

    /// As a value of a request's context.
    pub fn into_extensions(self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self);
        extensions
    }

    /// An enabled session, which starts when a model with a writer gets the prompt.
    pub fn enabled() -> RecordingSession {
        RecordingSession::for_client(Arc::default())
    }

    /// The same for a client with these keys.
    pub fn for_client(keys: Arc<[SecretString]>) -> RecordingSession {
        RecordingSession(Some(Arc::new(SessionState { recording: Mutex::default(), keys })))
    }

    /// Whether the session has started.
    pub fn has_started(&self) -> bool {
        self.lock().is_some_and(|recording| recording.is_some())
    }

    /// Starts a turn of the model. Returns whether it is recorded.
    pub fn turn(&self, writer: &Arc<RecordingWriter>, prompt: &Prompt) -> bool {
        let (Some(mut recording), Some(state)) = (self.lock(), &self.0) else { return false };
        let recording = recording.get_or_insert_with(|| Recording {
            keys: Arc::clone(&state.keys),
            writer: Arc::clone(writer),
            asked: prompt.clone(),
            events: Vec::new(),
            started: Instant::now(),
            turn: 0,
            passthrough: None,
            bytes: given_bytes(prompt),
        });
        recording.turn = recording.events.len();
        true
    }

    pub fn model_event(&self, event: &Result<ModelEvent, BackendError>) {
        self.with(|recording| match event {
            Ok(event) => recording.model_event(event),
            Err(error) => recording.push(RecordedEventKind::Failed(error.clone())),
        });
    }

    pub fn ran(&self, result: &CodeResult, pictures: &[Media]) {
        self.with(|recording| {
            if recording.has_room(result.result.len()) {
                recording.push(RecordedEventKind::Ran(result.clone(), pictures.to_vec()));
            }
        });
    }

    /// The result of a search that the model requested.
    pub fn searched(&self, queries: &[String], pages: &[Found]) {
        self.with(|recording| {
            let asked = recording.events.iter_mut().rev().find_map(|event| match &mut event.kind {
                RecordedEventKind::Search { queries: asked, found } if asked == queries => {
                    Some(found)
                }
                _ => None,
            });
            if let Some(found) = asked {
                *found = pages.to_vec();
            }
        });
    }

    /// The result of a tool that the model requested.
    pub fn used(&self, request: &ToolRequest, result: &ToolResult) {
        self.with(|recording| {
            let used = ToolUse { request: request.clone(), result: Some(result.clone()) };
            if !recording.has_room(used.size().text_bytes) {
                return;
            }
            let asked = recording.events.iter_mut().rev().find_map(|event| match &mut event.kind {
                RecordedEventKind::Tool(asked) if asked.request == *request => Some(asked),
                _ => None,
            });
            if let Some(asked) = asked {
                *asked = used;
            }
        });
    }

    /// Discards the output of the newest turn, because the model is called again.
    pub fn discard_turn(&self) {
        self.with(|recording| recording.events.truncate(recording.turn));
    }

    /// Takes the recording out, or the error that it is too large. The session is then empty again.
    pub fn finish(&self) -> Option<Result<Recording, TooLong>> {
        let recording = self.lock()?.take()?;
        Some(if recording.bytes > MAX_BYTES { Err(TooLong) } else { Ok(recording) })
    }

    fn with(&self, act: impl FnOnce(&mut Recording)) {
        if let Some(mut recording) = self.lock()
            && let Some(recording) = recording.as_mut()
        {
            act(recording);
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Option<Recording>>> {
        self.0.as_ref().map(|state| state.recording.lock())
    }
}

impl Recording {
    /// Whether the model failed.
    pub fn has_failed(&self) -> bool {
        self.events.iter().any(|event| matches!(event.kind, RecordedEventKind::Failed(_)))
    }

    /// All recorded texts, the client's included.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for step in self.asked.steps.iter() {
            texts.extend(step.user_text());
            texts.extend(step.model_text());
            match step {
                Step::FunctionResult(result) => texts.push(result.result.to_string()),
                Step::CodeCall(call) => texts.push(call.code.clone()),
                _ => {}
            }
        }
        texts.extend(self.asked.system_instruction.clone());
        for event in &self.events {
            match &event.kind {
                RecordedEventKind::Thought(text)
                | RecordedEventKind::Text(text)
                | RecordedEventKind::Code(text) => {
                    texts.push(text.clone());
                }
                RecordedEventKind::Call { arguments, .. } => texts.push(arguments.to_string()),
                RecordedEventKind::Step(step) => texts.push(step.to_string()),
                RecordedEventKind::Ran(result, _) => texts.push(result.result.clone()),
                RecordedEventKind::Search { .. }
                | RecordedEventKind::Tool(_)
                | RecordedEventKind::Counted
                | RecordedEventKind::Ended(_)
                | RecordedEventKind::Failed(_) => {}
            }
        }
        texts
    }

    /// Whether this many more bytes are allowed. Nothing is added to a recording that is already
    /// too large.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            self.events.clear();
            self.turn = 0;
        }
        self.bytes <= MAX_BYTES
    }

    fn model_event(&mut self, event: &ModelEvent) {
        if !self.has_room(length(event)) {
            return;
        }
        match event {
            ModelEvent::Thought(piece) => self.piece(piece, RecordedEventKind::Thought),
            ModelEvent::Text(piece) => self.piece(piece, RecordedEventKind::Text),
            ModelEvent::Code(code) => self.push(RecordedEventKind::Code(code.clone())),
            ModelEvent::FunctionCall { name, arguments } => {
                self.push(RecordedEventKind::Call {
                    name: name.clone(),
                    arguments: arguments.clone(),
                });
            }
            ModelEvent::Search { queries, found } => {
                self.push(RecordedEventKind::Search {
                    queries: queries.clone(),
                    found: found.clone(),
                });
            }
            // The results are not known yet.
            ModelEvent::Lookup { queries } => {
                let queries = search::bounded(queries.clone());
                self.push(RecordedEventKind::Search { queries, found: Vec::new() });
            }
            ModelEvent::Tool(used) => self.push(RecordedEventKind::Tool(used.clone())),
            ModelEvent::Passthrough(Passthrough::Started(step)) => {
                self.push(RecordedEventKind::Step(Value::Null));
                self.passthrough = Some(PassthroughStep::new(step.clone()));
            }
            ModelEvent::Passthrough(Passthrough::Delta(delta)) => {
                if let Some(passthrough) = &mut self.passthrough {
                    passthrough.add(delta);
                }
                self.extend_last();
            }
            ModelEvent::Passthrough(Passthrough::Stopped) => self.step_stopped(),
            ModelEvent::Counted(_) | ModelEvent::UpstreamUsage(_) => {
                self.push(RecordedEventKind::Counted)
            }
            ModelEvent::End(end) => self.push(RecordedEventKind::Ended(*end)),
            // A replay assigns its own ids and signatures.
            ModelEvent::CallIdentity(_) | ModelEvent::ThoughtSignature(_) => {}
        }
    }

    fn step_stopped(&mut self) {
        if let (
            Some(passthrough),
            Some(RecordedEvent { kind: RecordedEventKind::Step(step), .. }),
        ) = (self.passthrough.take(), self.events.last_mut())
        {
            *step = passthrough.into_value();
        }
    }

    fn piece(&mut self, piece: &str, kind: fn(String) -> RecordedEventKind) {
        if piece.is_empty() {
            return;
        }
        let new = kind(piece.to_owned());
        let same = self.events.last_mut().filter(|last| last.kind.is_like(&new));
        match same.map(|last| &mut last.kind) {
            Some(RecordedEventKind::Thought(text) | RecordedEventKind::Text(text)) => {
                text.push_str(piece);
                self.extend_last();
            }
            _ => self.push(new),
        }
    }

    fn extend_last(&mut self) {
        let now = self.started.elapsed();
        if let Some(last) = self.events.last_mut() {
            last.until = now;
            last.pieces += 1;
        }
    }

    fn push(&mut self, kind: RecordedEventKind) {
        // An unfinished step is recorded as far as it arrived.
        self.step_stopped();
        let now = self.started.elapsed();
        self.events.push(RecordedEvent { at: now, until: now, pieces: 1, kind });
    }
}

impl RecordedEventKind {
    fn is_like(&self, other: &RecordedEventKind) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Size of an event in bytes.
fn length(event: &ModelEvent) -> usize {
    match event {
        ModelEvent::Thought(text) | ModelEvent::Text(text) | ModelEvent::Code(text) => text.len(),
        ModelEvent::FunctionCall { name, arguments } => name.len() + arguments.to_string().len(),
        ModelEvent::Lookup { queries } => queries.iter().map(String::len).sum(),
        ModelEvent::Search { queries, found } => {
            let pages =
                found.iter().map(|page| page.title.len() + page.url.len() + page.snippet.len());
            queries.iter().map(String::len).sum::<usize>() + pages.sum::<usize>()
        }
        ModelEvent::Tool(used) => used.size().text_bytes,
        ModelEvent::Passthrough(Passthrough::Started(value) | Passthrough::Delta(value)) => {
            value.to_string().len()
        }
        ModelEvent::Passthrough(Passthrough::Stopped)
        | ModelEvent::CallIdentity(_)
        | ModelEvent::ThoughtSignature(_)
        | ModelEvent::UpstreamUsage(_)
        | ModelEvent::Counted(_)
        | ModelEvent::End(_) => 0,
    }
}

/// The error of a model whose stream closed before its last event.
pub fn broke_off() -> BackendError {
    BackendError::Failed(failure::stream_ended())
}

/// Bytes of what the model is given, which a recording contains as texts. Files are files of their own.
fn given_bytes(prompt: &Prompt) -> usize {
    let steps = prompt.steps.iter().map(|step| match step {
        Step::UserInput(_) => step.user_text().map_or(0, |text| text.len()),
        Step::FunctionResult(result) => JsonSize::of(&result.result).text_bytes,
        _ => 0,
    });
    let config = prompt.generation_config.fields().into_iter().flat_map(|fields| fields.values());
    let config = config.map(|value| JsonSize::of(value).text_bytes);
    let instruction = prompt.system_instruction.as_ref().map_or(0, String::len);
    instruction + steps.chain(config).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redaction::Secrets;

    #[test]
    fn a_recording_has_a_maximum_size() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let writer = RecordingWriter::open(folder.path(), Secrets::default()).expect("it is ours");
        let writer = Arc::new(writer);
        let long = "x".repeat(16 << 20);
        for (input, pieces, is_kept) in
            [("?", 15, true), ("?", 17, false), ("?", 40, false), (&long, 1, false)]
        {
            let session = RecordingSession::enabled();
            assert!(session.turn(&writer, &Prompt::text("m", input)));
            for _ in 0..pieces {
                session.model_event(&Ok(ModelEvent::Text("x".repeat(1 << 20))));
            }
            session.model_event(&Ok(ModelEvent::End(End::default())));
            session.discard_turn();
            let recording = session.finish().expect("it has events");
            assert_eq!(recording.is_ok(), is_kept, "{pieces} MiB");
            assert!(session.finish().is_none(), "it is empty again");
        }
        assert!(
            !RecordingSession::default().turn(&writer, &Prompt::text("m", "?")),
            "this session is disabled"
        );
    }
}
