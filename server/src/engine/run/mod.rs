//! One interaction, from the model's first word to its last.

mod code;
pub mod report;
mod search;
pub mod steps;
pub mod usage;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::{
    Backend, BackendError, CallIdentity, End, Finish, ModelEvent, ModelStream, Prompt,
};
use crate::budget::Share;
use crate::engine::input::calls;
use crate::engine::input::files::File;
use crate::engine::response_format::{self, ResponseFormat};
use crate::engine::resume::replay::{DifferentCalls, ReplayFilter, Replayed};
use crate::ids::Ids;
use crate::interaction::{
    AwaitingModel, CodeResult, Content, Event, Failure, FailureKind, Finished, FunctionCall,
    Status, Step, Turn,
};
use crate::sandbox::{Cell, Sandbox, SandboxError};
use crate::search::Search;
use crate::store::{Files, Log, StoreError};
use steps::Open;
use usage::Counter;

/// Events that are kept back while a model goes on without a pause.
const MAX_UNWRITTEN: usize = 256;

/// All that an interaction needs while it runs.
#[derive(Debug)]
pub struct Run {
    pub backend: Arc<dyn Backend>,
    pub sandbox: Arc<Sandbox>,
    /// Where things are looked up, if they are.
    pub search: Option<Arc<dyn Search>>,
    pub log: Arc<Log>,
    /// The names of its calls and signatures.
    pub ids: Arc<Ids>,
    pub prompt: Prompt,
    pub files: Vec<File>,
    /// Where the files are that clients sent ahead.
    pub sent_ahead: Files,
    /// Opened at the first code, kept for the rest, so that variables and files stay.
    pub cell: Option<Cell>,
    /// The memory of all that was run, which the log holds.
    pub shares: Vec<Arc<Share>>,
    pub usage: Counter,
    /// What has happened and is not in the log yet. It goes there in one piece, before anybody has to wait.
    pub unwritten: Vec<Event>,
    /// The step that is being written.
    pub open: Option<Open>,
    pub next_index: usize,
    /// The form of the answer, where one was asked for. Until it is seen to fit, a text is held back.
    pub format: Option<ResponseFormat>,
    pub held: String,
    pub repaired: bool,
    /// How the model knows the call that comes next, where it says so.
    pub call_identity: Option<CallIdentity>,
    /// What another server left; nothing where this one began it.
    pub left: ResumedState,
}

/// An interaction that another server did not end.
#[derive(Debug, Default)]
pub struct ResumedState {
    /// What the model said of a turn that has no end.
    pub replay: ReplayFilter,
    /// Id of a call that is written already, and has no result.
    pub stored_call: Option<String>,
    /// Code whose variables and files are gone with its cell, and what came of it.
    pub earlier_runs: Vec<(String, CodeResult)>,
}

/// Why an interaction broke off.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the model's stream broke off without an end")]
    StreamEnded,
    #[error("code that was run again after a restart had another result")]
    DifferentResult,
    #[error("a model that was asked again after a restart called other functions")]
    DifferentCalls,
    #[error("the model's answer does not fit the form: {0}")]
    InvalidAnswer(String),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// For the log: without what the model or its script says.
    pub fn reason(&self) -> String {
        match self {
            RunError::Backend(BackendError::Failed(_)) => "the model failed".to_owned(),
            RunError::Backend(BackendError::Refused(_)) => "the model refused".to_owned(),
            RunError::Backend(BackendError::Unavailable(_)) => {
                "the model is unavailable".to_owned()
            }
            RunError::InvalidAnswer(_) => "the model's answer does not fit the form".to_owned(),
            other => other.to_string(),
        }
    }

    /// What the client gets to read, which says nothing about this machine.
    pub fn failure(&self) -> Failure {
        let (kind, message) = match self {
            RunError::Backend(BackendError::Failed(failure)) => return failure.clone(),
            RunError::Backend(BackendError::Refused(why)) => {
                (FailureKind::InvalidRequest, why.clone())
            }
            RunError::Backend(BackendError::Unavailable(why)) => {
                (FailureKind::Unavailable, why.clone())
            }
            RunError::StreamEnded => {
                (FailureKind::Unavailable, "The model broke off in the middle.".to_owned())
            }
            RunError::DifferentResult => (
                FailureKind::Internal,
                "The server was restarted, and code that it ran again had another result."
                    .to_owned(),
            ),
            RunError::DifferentCalls => (
                FailureKind::Internal,
                "The server was restarted, and the model then called other functions.".to_owned(),
            ),
            RunError::InvalidAnswer(why) => (
                FailureKind::Internal,
                format!("The model's answer does not fit 'response_format': {why}."),
            ),
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
            RunError::Store(error) => match error.unwritable() {
                Some(why) => (FailureKind::Unavailable, why.to_owned()),
                None => (FailureKind::Internal, "Internal error encountered.".to_owned()),
            },
        };
        Failure::new(kind, message)
    }
}

/// What the model did with its turn.
enum TurnOutcome {
    Code(String),
    End(End),
}

impl From<DifferentCalls> for RunError {
    fn from(DifferentCalls: DifferentCalls) -> RunError {
        RunError::DifferentCalls
    }
}

/// A model that speaks already, and its first word, where that has come.
pub type InFlightTurn = (ModelStream, Option<Result<ModelEvent, BackendError>>);

impl Run {
    /// Goes through the states until there is nothing more to do; the event is the last one.
    pub async fn run_to_completion(
        &mut self,
        mut turn: Turn,
        mut listening: Option<InFlightTurn>,
    ) -> Result<Event, RunError> {
        let mut finish = Finish::Stop;
        loop {
            turn = match turn {
                Turn::Model(waiting) if !waiting.may_ask() => Turn::Done(waiting.end()),
                Turn::Model(waiting) => {
                    let (words, first) = listening.take().unwrap_or_else(|| self.ask(&waiting));
                    let (waiting, said) = self.listen(waiting, words, first).await?;
                    match said {
                        TurnOutcome::Code(code) => self.code(waiting, code),
                        TurnOutcome::End(End { finish: Finish::Searched, .. }) => {
                            Turn::Model(waiting.searched())
                        }
                        TurnOutcome::End(end) => {
                            let (waiting, repair) =
                                self.enforce_response_format(waiting, end.finish).await?;
                            listening = repair;
                            finish = end.finish;
                            match listening {
                                Some(_) => Turn::Model(waiting),
                                None => Turn::Done(self.close(waiting).end()),
                            }
                        }
                    }
                }
                Turn::Code(waiting) => Turn::Model(self.execute(waiting).await?),
                Turn::Done(done) => return Ok(self.end(&done, finish)),
            }
        }
    }

    /// Calls that wait for the client outrank everything else the model may have wanted.
    fn end(&self, done: &Finished, finish: Finish) -> Event {
        let status = match finish {
            _ if calls::wait(done) => Status::RequiresAction,
            Finish::Stop | Finish::Searched => Status::Completed,
            Finish::MaxTokens => Status::Incomplete,
            Finish::Stopped(reason) => {
                let why = format!("The model stopped without an answer: {}.", reason.as_str());
                return Event::Failed(Failure::new(FailureKind::Stopped(reason), why));
            }
        };
        Event::Finished { status, usage: self.usage.total() }
    }

    /// Writes down what has happened. The last event of all is written by whoever carries this through.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if self.unwritten.is_empty() && self.log.has_begun() {
            return Ok(());
        }
        self.log.append_soon(std::mem::take(&mut self.unwritten)).await
    }

    /// The next word of a model. Who follows the log does not wait for it.
    async fn next_word(&mut self, words: &mut ModelStream) -> Result<ModelEvent, RunError> {
        if self.unwritten.len() >= MAX_UNWRITTEN {
            self.flush().await?;
        }
        let word = match words.try_recv() {
            Ok(word) => word,
            Err(_) => {
                self.flush().await?;
                words.recv().await.ok_or(RunError::StreamEnded)?
            }
        };
        Ok(word?)
    }

    /// Asks the model for its next turn. Where code would not be run, it is asked for its answer
    /// without the tool.
    fn ask(&mut self, turn: &AwaitingModel) -> InFlightTurn {
        let mut prompt = self.prompt.clone();
        self.usage.asked();
        prompt.steps = turn.steps().into();
        prompt.tools.code_execution &= turn.may_run_code();
        prompt.tools.google_search &= turn.may_search();
        (self.backend.generate(prompt), None)
    }

    /// Writes down what the model says, until it writes code or has nothing more to say.
    async fn listen(
        &mut self,
        mut turn: AwaitingModel,
        mut words: ModelStream,
        mut first: Option<Result<ModelEvent, BackendError>>,
    ) -> Result<(AwaitingModel, TurnOutcome), RunError> {
        let mut heard = VecDeque::new();
        loop {
            let word = match heard.pop_front() {
                Some(Replayed::Stored(step)) => {
                    turn = turn.with_step(step);
                    continue;
                }
                Some(Replayed::Unanswered(call)) => {
                    turn = turn.with_step(Step::SearchCall(call.clone()));
                    turn = self.look_up(turn, call).await?;
                    continue;
                }
                Some(Replayed::Interrupted) => {
                    turn = self.close(turn);
                    continue;
                }
                Some(Replayed::New(word)) => word,
                None => {
                    let word = match first.take() {
                        Some(word) => word?,
                        None => self.next_word(&mut words).await?,
                    };
                    if !self.left.replay.is_done() {
                        heard.extend(self.left.replay.filter(word)?);
                        continue;
                    }
                    word
                }
            };
            match word {
                ModelEvent::Thought(piece) => turn = self.thought(turn, piece),
                ModelEvent::Text(piece) if self.format.is_some() => self.held.push_str(&piece),
                ModelEvent::Text(piece) => turn = self.text(turn, piece),
                ModelEvent::Search { queries, found } => {
                    turn = self.flush_held_text(turn);
                    turn = self.close(turn);
                    turn = self.search(turn, queries, found);
                }
                ModelEvent::Lookup { queries } => {
                    turn = self.flush_held_text(turn);
                    turn = self.close(turn);
                    turn = self.search_for(turn, queries).await?;
                }
                ModelEvent::FunctionCall { name, arguments } => {
                    turn = self.flush_held_text(turn);
                    turn = self.close(turn);
                    let (id, signature) = self.names_of_call(self.ids.signature_of_call(&name));
                    let call = FunctionCall { id, name, arguments, signature };
                    turn = self.function_call(turn, call);
                }
                ModelEvent::CallIdentity(identity) => self.call_identity = Some(identity),
                ModelEvent::ThoughtSignature(signature) => turn = self.seal(turn, signature),
                ModelEvent::Passthrough(passthrough) => turn = self.passthrough(turn, passthrough),
                ModelEvent::UpstreamUsage(usage) => {
                    self.record(Event::UpstreamUsage(usage));
                }
                ModelEvent::Counted(usage) => self.usage.turn_counted(usage),
                ModelEvent::Code(code) => {
                    turn = self.flush_held_text(turn);
                    return Ok((self.close(turn), TurnOutcome::Code(code)));
                }
                ModelEvent::End(end) => {
                    if let Some(counted) = end.usage {
                        self.usage.counted(counted);
                    }
                    return Ok((self.close(turn), TurnOutcome::End(end)));
                }
            }
        }
    }

    /// Sees to it that an answer has the form that was asked for. One that has not is not written
    /// down, and the model is told, once.
    async fn enforce_response_format(
        &mut self,
        turn: AwaitingModel,
        finish: Finish,
    ) -> Result<(AwaitingModel, Option<InFlightTurn>), RunError> {
        let Some(format) = &self.format else { return Ok((turn, None)) };
        let calls = turn.steps().last().is_some_and(|step| matches!(step, Step::FunctionCall(_)));
        let why = match format.check(&self.held).await {
            Ok(json) => {
                self.held = json.to_owned();
                return Ok((self.flush_held_text(turn), None));
            }
            // What was cut short cannot fit, and calls are no answer.
            Err(_) if calls || finish != Finish::Stop => {
                return Ok((self.flush_held_text(turn), None));
            }
            Err(why) => why,
        };
        if std::mem::replace(&mut self.repaired, true) {
            return Err(RunError::InvalidAnswer(why));
        }
        let (answer, complaint) =
            (std::mem::take(&mut self.held), response_format::complaint(&why));
        self.usage.repaired(&answer, &complaint);
        let mut prompt = self.prompt.clone();
        prompt.tools.code_execution = false;
        prompt.tools.google_search = false;
        let mut steps = turn.steps().to_vec();
        steps.push(Step::ModelOutput(vec![Content::text(answer)]));
        steps.push(Step::UserInput(vec![Content::text(complaint)]));
        prompt.steps = steps.into();
        self.prompt.recording.discard_turn();
        let mut words = self.backend.generate(prompt);
        self.flush().await?;
        match words.recv().await {
            Some(Ok(first)) => Ok((turn, Some((words, Some(Ok(first)))))),
            // What it said before is what is wrong, and not that it will not be asked again.
            _ => Err(RunError::InvalidAnswer(why)),
        }
    }

    /// Id and signature of the call that the model makes now. `fresh` is the signature where the
    /// model gave none.
    pub fn names_of_call(&mut self, fresh: String) -> (String, String) {
        match self.call_identity.take() {
            Some(CallIdentity { id, signature }) => {
                (id.unwrap_or_else(|| self.ids.call()), signature)
            }
            None => (self.ids.call(), fresh),
        }
    }
}
