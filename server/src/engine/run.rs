//! One interaction, from the model's first word to its last.

use std::sync::Arc;

use bytes::Bytes;

use super::files::File;
use super::report;
use super::usage::Counter;
use crate::backend::{Backend, BackendError, End, Finish, ModelEvent, ModelStream, Prompt};
use crate::ids;
use crate::interaction::{
    AwaitingCode, AwaitingModel, CodeCall, CodeResult, Content, Delta, Event, Failure, FailureKind,
    Finished, FunctionCall, Media, MediaKind, Shell, Source, Status, Step, Turn,
};
use crate::sandbox::{Cell, Sandbox, SandboxError};
use crate::store::{Log, StoreError};

/// All that an interaction needs while it runs.
#[derive(Debug)]
pub struct Run {
    pub backend: Arc<dyn Backend>,
    pub sandbox: Arc<Sandbox>,
    pub log: Arc<Log>,
    pub prompt: Prompt,
    pub files: Vec<File>,
    /// Opened at the first code, kept for the rest, so that variables and files stay.
    pub cell: Option<Cell>,
    pub usage: Counter,
    /// The step that is being written.
    pub open: Option<Open>,
    pub next_index: usize,
}

/// A step whose pieces are still coming.
#[derive(Debug)]
pub enum Open {
    Thought { index: usize, text: String },
    Text { index: usize, text: String },
}

/// Why an interaction broke off.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the model's stream broke off without an end")]
    BrokenOff,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// What the client gets to read, which says nothing about this machine.
    pub fn failure(&self) -> Failure {
        let (kind, message) = match self {
            RunError::Backend(BackendError::Refused(why)) => {
                (FailureKind::InvalidRequest, why.clone())
            }
            RunError::Backend(BackendError::Unavailable(why)) => {
                (FailureKind::Unavailable, why.clone())
            }
            RunError::BrokenOff => {
                (FailureKind::Unavailable, "The model broke off in the middle.".to_owned())
            }
            RunError::Sandbox(SandboxError::Busy) => (
                FailureKind::ResourceExhausted,
                "All places for code are taken. Try again later.".to_owned(),
            ),
            RunError::Sandbox(SandboxError::Invalid(why)) => {
                (FailureKind::InvalidRequest, format!("The sandbox refuses this: {why}."))
            }
            RunError::Sandbox(_) => {
                (FailureKind::Unavailable, "The sandbox is not available at the moment.".to_owned())
            }
            RunError::Store(_) => (FailureKind::Internal, "Internal error encountered.".to_owned()),
        };
        Failure { kind, message }
    }
}

/// What the model did with its turn.
enum Said {
    Code(String),
    End(End),
}

impl Run {
    /// Goes through the states until there is nothing more to do; the event is the last one.
    pub async fn carry_through(
        &mut self,
        turn: AwaitingModel,
        words: ModelStream,
        first: Option<Result<ModelEvent, BackendError>>,
    ) -> Result<Event, RunError> {
        self.usage.prompt(&self.prompt);
        let mut listening = Some((words, first));
        let mut finish = Finish::Stop;
        let mut turn = Turn::Model(turn);
        loop {
            turn = match turn {
                Turn::Model(waiting) if !waiting.may_ask() => Turn::Done(waiting.end()),
                Turn::Model(waiting) => {
                    let (words, first) = listening.take().unwrap_or_else(|| self.ask(&waiting));
                    let (waiting, said) = self.listen(waiting, words, first).await?;
                    match said {
                        Said::Code(code) => self.code(waiting, code),
                        Said::End(end) => {
                            finish = end.finish;
                            Turn::Done(waiting.end())
                        }
                    }
                }
                Turn::Code(waiting) => Turn::Model(self.execute(waiting).await?),
                Turn::Done(done) => {
                    let status = status(&done, finish);
                    return Ok(Event::Finished { status, usage: self.usage.total() });
                }
            }
        }
    }

    /// Writes one event down.
    pub async fn record(&self, event: Event) -> Result<(), StoreError> {
        self.log.append(vec![event]).await
    }

    /// Asks the model for its next turn. Where code would not be run, it is asked for its answer
    /// without the tool.
    fn ask(
        &mut self,
        turn: &AwaitingModel,
    ) -> (ModelStream, Option<Result<ModelEvent, BackendError>>) {
        let mut prompt = self.prompt.clone();
        prompt.steps = turn.steps().into();
        prompt.tools.code_execution &= turn.may_run_code();
        (self.backend.generate(prompt), None)
    }

    /// Writes down what the model says, until it writes code or has nothing more to say.
    async fn listen(
        &mut self,
        mut turn: AwaitingModel,
        mut words: ModelStream,
        mut first: Option<Result<ModelEvent, BackendError>>,
    ) -> Result<(AwaitingModel, Said), RunError> {
        loop {
            let word = match first.take() {
                Some(word) => word,
                None => words.recv().await.ok_or(RunError::BrokenOff)?,
            }?;
            match word {
                ModelEvent::Thought(piece) => turn = self.thought(turn, piece).await?,
                ModelEvent::Text(piece) => turn = self.text(turn, piece).await?,
                ModelEvent::FunctionCall { name, arguments } => {
                    turn = self.close(turn).await?;
                    let call = FunctionCall {
                        id: ids::call(),
                        name,
                        arguments,
                        signature: ids::signature(),
                    };
                    self.usage.wrote(&call.arguments.to_string());
                    turn = self.function_call(turn, call).await?;
                }
                ModelEvent::Code(code) => {
                    return Ok((self.close(turn).await?, Said::Code(code)));
                }
                ModelEvent::End(end) => {
                    if let Some(counted) = end.usage {
                        self.usage.counted(counted);
                    }
                    return Ok((self.close(turn).await?, Said::End(end)));
                }
            }
        }
    }

    fn code(&mut self, turn: AwaitingModel, code: String) -> Turn {
        self.usage.wrote(&code);
        let call = CodeCall { id: ids::call(), code, signature: ids::signature() };
        match turn.code(call) {
            Ok(waiting) => Turn::Code(waiting),
            Err(done) => Turn::Done(done),
        }
    }

    /// Runs the code that waits, and writes down call, result and pictures.
    async fn execute(&mut self, turn: AwaitingCode) -> Result<AwaitingModel, RunError> {
        let call = turn.call().clone();
        self.whole_step(
            Shell::CodeCall { id: call.id.clone() },
            vec![Delta::CodeCall { code: call.code.clone(), signature: call.signature.clone() }],
        )
        .await?;

        let output = self.run_in_cell(&call.code).await?;
        let told = report::tell(&output);
        let result = CodeResult {
            call_id: call.id,
            outcome: told.outcome,
            result: told.result,
            stdout: told.stdout,
            images: output.images.len(),
            signature: ids::signature(),
        };
        self.usage.read_again(&call.code, &result.result);
        self.whole_step(
            Shell::CodeResult { call_id: result.call_id.clone() },
            vec![Delta::CodeResult(result.clone())],
        )
        .await?;

        let mut turn = turn.finished(result);
        let pictures: Vec<Media> = output
            .images
            .into_iter()
            .map(|image| Media {
                kind: MediaKind::Image,
                mime_type: Some(image.mime_type),
                source: Source::Inline(image.data),
            })
            .collect();
        if !pictures.is_empty() {
            // A step of their own, before the text: the SDKs' `output_text` is then the whole
            // answer, and their `output_image` finds the picture.
            let deltas = pictures.iter().cloned().map(Delta::Media).collect();
            self.whole_step(Shell::ModelOutput, deltas).await?;
            let contents = pictures.into_iter().map(Content::Media).collect();
            turn = turn.said(Step::ModelOutput(contents));
        }
        Ok(turn)
    }

    async fn run_in_cell(&mut self, code: &str) -> Result<crate::sandbox::RunOutput, SandboxError> {
        if self.cell.is_none() {
            let files: Vec<(&str, &Bytes)> =
                self.files.iter().map(|file| (file.about.name.as_str(), &file.content)).collect();
            self.cell = Some(self.sandbox.open(files).await?);
        }
        let cell = self.cell.as_mut().expect("it was opened above");
        let output = cell.run(code).await?;
        if output.finished.cell_lost {
            // The next code starts in a fresh one, with the input's files and nothing else.
            self.cell = None;
        }
        Ok(output)
    }

    async fn thought(
        &mut self,
        mut turn: AwaitingModel,
        piece: String,
    ) -> Result<AwaitingModel, RunError> {
        self.usage.thought(&piece);
        if !matches!(self.open, Some(Open::Thought { .. })) {
            turn = self.close(turn).await?;
            let index = self.begin(Shell::Thought).await?;
            self.open = Some(Open::Thought { index, text: String::new() });
        }
        if let Some(Open::Thought { index, text }) = &mut self.open {
            text.push_str(&piece);
            let (index, delta) = (*index, Delta::ThoughtSummary(piece));
            self.record(Event::StepDelta { index, delta }).await?;
        }
        Ok(turn)
    }

    async fn text(
        &mut self,
        mut turn: AwaitingModel,
        piece: String,
    ) -> Result<AwaitingModel, RunError> {
        if piece.is_empty() {
            return Ok(turn);
        }
        self.usage.wrote(&piece);
        if !matches!(self.open, Some(Open::Text { .. })) {
            turn = self.close(turn).await?;
            let index = self.begin(Shell::ModelOutput).await?;
            self.open = Some(Open::Text { index, text: String::new() });
        }
        if let Some(Open::Text { index, text }) = &mut self.open {
            text.push_str(&piece);
            let (index, delta) = (*index, Delta::Text(piece));
            self.record(Event::StepDelta { index, delta }).await?;
        }
        Ok(turn)
    }

    /// Ends the step that is being written, if there is one.
    async fn close(&mut self, turn: AwaitingModel) -> Result<AwaitingModel, RunError> {
        match self.open.take() {
            None => Ok(turn),
            Some(Open::Thought { index, text }) => {
                let signature = ids::signature();
                let delta = Delta::ThoughtSignature(signature.clone());
                let events = vec![Event::StepDelta { index, delta }, Event::StepStopped { index }];
                self.log.append(events).await?;
                Ok(turn.said(Step::Thought { summary: text, signature }))
            }
            Some(Open::Text { index, text }) => {
                self.record(Event::StepStopped { index }).await?;
                Ok(turn.said(Step::ModelOutput(vec![Content::text(text)])))
            }
        }
    }

    async fn function_call(
        &mut self,
        turn: AwaitingModel,
        call: FunctionCall,
    ) -> Result<AwaitingModel, RunError> {
        let shell = Shell::FunctionCall {
            id: call.id.clone(),
            name: call.name.clone(),
            signature: call.signature.clone(),
        };
        self.whole_step(shell, vec![Delta::FunctionArguments(call.arguments.to_string())]).await?;
        Ok(turn.said(Step::FunctionCall(call)))
    }

    async fn begin(&mut self, shell: Shell) -> Result<usize, StoreError> {
        let index = self.next_index;
        self.next_index += 1;
        self.record(Event::StepStarted { index, shell }).await?;
        Ok(index)
    }

    /// A step that is known from its first byte to its last.
    async fn whole_step(&mut self, shell: Shell, deltas: Vec<Delta>) -> Result<(), StoreError> {
        let index = self.next_index;
        self.next_index += 1;
        let mut events = vec![Event::StepStarted { index, shell }];
        events.extend(deltas.into_iter().map(|delta| Event::StepDelta { index, delta }));
        events.push(Event::StepStopped { index });
        self.log.append(events).await
    }
}

/// Calls that wait for the client outrank everything else the model may have wanted.
fn status(done: &Finished, finish: Finish) -> Status {
    let waits = done
        .steps
        .iter()
        .rev()
        .take_while(|step| !matches!(step, Step::UserInput(_) | Step::FunctionResult(_)))
        .any(|step| matches!(step, Step::FunctionCall(_)));
    match finish {
        _ if waits => Status::RequiresAction,
        Finish::Stop => Status::Completed,
        Finish::MaxTokens => Status::Incomplete,
    }
}
