//! One running interaction, from the model's first event to its last.
//!
//! ```text
//!   model ──▶ ReplayFilter ──▶ Run ──▶ ResponseGate ──▶ StepWriter ──▶ log
//!                               └────▶ CodeRunner ──▶ cell
//! ```

mod code;
mod error;
mod gate;
mod generated;
pub mod report;
pub mod steps;
mod tools;
pub mod usage;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::input::calls;
use crate::engine::resume::ResumedState;
use crate::engine::resume::replay::Replayed;
use backend::{
    Backend, BackendError, CallIdentity, End, Finish, ModelEvent, ModelStream, Passthrough, Prompt,
    RequestContext,
};
pub use code::CodeRunner;
use domain::interaction::{
    AwaitingCode, AwaitingModel, CodeCall, CodeResult, Content, Event, Failure, FailureKind,
    Finished, Found, FunctionCall, Media, MediaKind, SearchCall, Source, Status, Step, ToolRequest,
    ToolUse, Turn,
};
pub use error::RunError;
pub use gate::ResponseGate;
use gate::{Checked, Correction};
pub use generated::Generated;
use journal::outputs::WholeOutput;
use recording::RecordingSession;
use report::RunReport;
use resources::budget::Share;
use sandbox_client::RunOutput;
use search::Search;
pub use steps::StepWriter;
use store::StoreError;
pub use tools::ToolRunner;

/// An interaction while it runs.
#[derive(Debug)]
pub struct Run {
    pub backend: Arc<dyn Backend>,
    /// Absent if the server has no search backend.
    pub search: Option<Arc<dyn Search>>,
    pub tools: ToolRunner,
    pub prompt: Prompt,
    pub context: RequestContext,
    pub steps: StepWriter,
    pub code: CodeRunner,
    pub gate: ResponseGate,
    /// Id and signature of the next call, if the model provides them.
    pub call_identity: Option<CallIdentity>,
    /// Empty unless the interaction began before a restart.
    pub resumed: ResumedState,
    /// What the model has generated so far.
    pub generated: Generated,
    /// Reserves the memory of the earlier interactions, the input and fetched files.
    pub _memory: Share,
}

/// How a turn of the model ended.
enum TurnOutcome {
    Code(String),
    End(End),
}

/// A model that is already generating, and its first event, if that has arrived.
pub type InFlightTurn = (ModelStream, Option<Result<ModelEvent, BackendError>>);

impl Run {
    /// Goes through the states until the interaction is finished. Returns its last event.
    pub async fn run_to_completion(
        &mut self,
        mut turn: Turn,
        mut in_flight: Option<InFlightTurn>,
    ) -> Result<Event, RunError> {
        let mut finish = Finish::Stop;
        loop {
            turn = match turn {
                Turn::Model(waiting) if !waiting.may_ask() => Turn::Done(waiting.end()),
                Turn::Model(waiting) => {
                    let (events, first) = in_flight.take().unwrap_or_else(|| self.ask(&waiting));
                    let (waiting, outcome) = self.read_turn(waiting, events, first).await?;
                    match outcome {
                        TurnOutcome::Code(code) => self.request_code(waiting, code),
                        TurnOutcome::End(End { finish: Finish::Searched, .. }) => {
                            Turn::Model(waiting.searched())
                        }
                        TurnOutcome::End(end) => {
                            let (waiting, correction) =
                                self.enforce_response_format(waiting, end.finish).await?;
                            in_flight = correction;
                            finish = end.finish;
                            match in_flight {
                                Some(_) => Turn::Model(waiting),
                                None => Turn::Done(self.steps.close(waiting).end()),
                            }
                        }
                    }
                }
                Turn::Code(waiting) => Turn::Model(self.execute(waiting).await?),
                Turn::Done(done) => return Ok(self.last_event(&done, finish)),
            }
        }
    }

    /// Function calls that the client has to answer take precedence over how the model finished.
    fn last_event(&self, done: &Finished, finish: Finish) -> Event {
        let status = match finish {
            _ if calls::are_pending(done) => Status::RequiresAction,
            Finish::Stop | Finish::Searched => Status::Completed,
            Finish::MaxTokens => Status::Incomplete,
            Finish::Stopped(reason) => {
                let why = format!("The model stopped without an answer: {}.", reason.as_str());
                return Event::Failed(Failure::new(FailureKind::Stopped(reason), why));
            }
        };
        Event::Finished { status, usage: self.steps.usage.total() }
    }

    /// Starts the model's next turn. If code would not run, the model does not get the tool.
    fn ask(&mut self, turn: &AwaitingModel) -> InFlightTurn {
        let mut prompt = self.prompt.clone();
        self.steps.usage.asked();
        prompt.steps = turn.steps().into();
        prompt.tools.code_execution &= turn.may_run_code();
        if !turn.may_search() {
            prompt.tools.google_search = false;
            prompt.tools.built_in.clear();
        }
        (self.backend.generate(prompt, &self.context), None)
    }

    /// Writes the steps of one turn of the model, until it writes code or ends its turn.
    async fn read_turn(
        &mut self,
        mut turn: AwaitingModel,
        mut events: ModelStream,
        mut first: Option<Result<ModelEvent, BackendError>>,
    ) -> Result<(AwaitingModel, TurnOutcome), RunError> {
        let mut replayed = VecDeque::new();
        loop {
            let event = match replayed.pop_front() {
                Some(Replayed::New(event)) => event,
                Some(stored) => {
                    turn = self.replay(turn, stored).await?;
                    continue;
                }
                None => {
                    let event = match first.take() {
                        Some(event) => event?,
                        None => self.next_event(&mut events).await?,
                    };
                    if !self.resumed.replay.is_done() {
                        replayed.extend(self.resumed.replay.filter(event)?);
                        continue;
                    }
                    event
                }
            };
            self.generated.add(&event, self.steps.count())?;
            turn = match event {
                ModelEvent::Code(code) => {
                    let turn = self.end_step(turn);
                    return Ok((turn, TurnOutcome::Code(code)));
                }
                ModelEvent::End(end) => {
                    if let Some(usage) = end.usage {
                        self.steps.usage.replace(usage);
                    }
                    return Ok((self.steps.close(turn), TurnOutcome::End(end)));
                }
                event => self.write(turn, event).await?,
            };
        }
    }

    /// The next event of a model. Buffered events are appended to the log before the wait.
    async fn next_event(&mut self, events: &mut ModelStream) -> Result<ModelEvent, RunError> {
        if self.steps.is_full() {
            self.steps.flush().await?;
        }
        let event = match events.try_recv() {
            Ok(event) => event,
            Err(_) => {
                self.steps.flush().await?;
                events.recv().await.ok_or(RunError::StreamEnded)?
            }
        };
        Ok(event?)
    }

    /// Takes over a step from the log, which the model has generated again after a restart.
    async fn replay(
        &mut self,
        turn: AwaitingModel,
        replayed: Replayed,
    ) -> Result<AwaitingModel, RunError> {
        match replayed {
            Replayed::Stored(step) => Ok(turn.with_step(step)),
            Replayed::Unanswered(call) => {
                let turn = turn.with_step(Step::SearchCall(call.clone()));
                Ok(self.search(turn, call).await?)
            }
            Replayed::UnansweredTool { id, request } => self.use_tool(turn, &id, request).await,
            Replayed::Interrupted => Ok(self.steps.close(turn)),
            Replayed::New(event) => self.write(turn, event).await,
        }
    }

    /// Writes an event that does not end the turn.
    async fn write(
        &mut self,
        turn: AwaitingModel,
        event: ModelEvent,
    ) -> Result<AwaitingModel, RunError> {
        Ok(match event {
            ModelEvent::Thought(piece) => self.steps.thought(turn, piece),
            ModelEvent::Text(piece) if !self.gate.is_open() => {
                self.gate.hold(&piece);
                turn
            }
            ModelEvent::Text(piece) => self.steps.text(turn, piece),
            ModelEvent::Search { queries, found } => {
                let turn = self.end_step(turn);
                self.completed_search(turn, queries, found)
            }
            ModelEvent::Lookup { queries } => {
                let turn = self.end_step(turn);
                let (turn, call) = self.steps.search_call(turn, search::bounded(queries));
                self.search(turn, call).await?
            }
            ModelEvent::Tool(ToolUse { request, result }) => {
                let turn = self.end_step(turn);
                let (turn, id) = self.steps.tool_call(turn, &request);
                match result {
                    Some(result) => self.steps.tool_result(turn, &id, &result),
                    None => self.use_tool(turn, &id, request).await?,
                }
            }
            ModelEvent::FunctionCall { name, arguments } => {
                let turn = self.end_step(turn);
                let signature = self.steps.ids.signature_of_call(&name);
                let (id, signature) = self.next_call_identity(signature);
                let call = FunctionCall { id, name, arguments, signature };
                self.steps.function_call(turn, call)
            }
            ModelEvent::CallIdentity(identity) => {
                self.call_identity = Some(identity);
                turn
            }
            ModelEvent::ThoughtSignature(signature) => self.steps.sign_thought(turn, signature),
            ModelEvent::Passthrough(stage) => {
                let is_start = matches!(stage, Passthrough::Started(_));
                let turn = if is_start { self.end_step(turn) } else { turn };
                if is_start {
                    self.gate.disable();
                    self.steps.cites = true;
                }
                self.steps.passthrough(turn, stage)
            }
            ModelEvent::UpstreamUsage(usage) => {
                self.steps.record(Event::UpstreamUsage(usage));
                turn
            }
            ModelEvent::Counted(usage) => {
                self.steps.usage.turn_counted(usage);
                turn
            }
            // They end the turn: see `read_turn`.
            ModelEvent::Code(_) | ModelEvent::End(_) => turn,
        })
    }

    /// Writes text that the gate holds, and stops the open step.
    fn end_step(&mut self, turn: AwaitingModel) -> AwaitingModel {
        let turn = self.flush_held_text(turn);
        self.steps.close(turn)
    }

    /// Writes text that the gate holds: it matches the format, or it is not the answer.
    fn flush_held_text(&mut self, turn: AwaitingModel) -> AwaitingModel {
        let text = self.gate.take();
        self.steps.text(turn, text)
    }

    /// An answer that does not match the requested format is not written. The model gets one
    /// chance to correct it.
    async fn enforce_response_format(
        &mut self,
        turn: AwaitingModel,
        finish: Finish,
    ) -> Result<(AwaitingModel, Option<InFlightTurn>), RunError> {
        let calls = turn.steps().last().is_some_and(|step| matches!(step, Step::FunctionCall(_)));
        let is_final = !calls && finish == Finish::Stop;
        let Correction { answer, prompt: text, why } = match self.gate.check(is_final).await? {
            Checked::Release => return Ok((self.flush_held_text(turn), None)),
            Checked::Correct(correction) => correction,
        };
        self.steps.usage.corrected(&answer, &text);
        let mut prompt = self.prompt.clone();
        prompt.tools.code_execution = false;
        prompt.tools.google_search = false;
        prompt.tools.built_in.clear();
        let mut steps = turn.steps().to_vec();
        steps.push(Step::ModelOutput(vec![Content::text(answer)]));
        steps.push(Step::UserInput(vec![Content::text(text)]));
        prompt.steps = steps.into();
        RecordingSession::of(&self.context).discard_turn();
        let mut events = self.backend.generate(prompt, &self.context);
        self.steps.flush().await?;
        match events.recv().await {
            Some(Ok(first)) => Ok((turn, Some((events, Some(Ok(first)))))),
            // The invalid answer is the cause, not the failure of the second attempt.
            _ => Err(RunError::InvalidAnswer(why)),
        }
    }

    /// Id and signature of the call that the model makes now. `signature` is used if the model
    /// provides none.
    fn next_call_identity(&mut self, signature: String) -> (String, String) {
        let ids = &self.steps.ids;
        match self.call_identity.take() {
            Some(CallIdentity { id, signature }) => (id.unwrap_or_else(|| ids.call()), signature),
            None => (ids.call(), signature),
        }
    }

    fn request_code(&mut self, turn: AwaitingModel, code: String) -> Turn {
        if !turn.may_run_code() {
            self.steps.usage.add_unseen_text(&code);
        }
        let (id, signature) = self.next_call_identity(self.steps.ids.signature());
        match turn.code(CodeCall { id, code, signature }) {
            Ok(waiting) => Turn::Code(waiting),
            Err(done) => Turn::Done(done),
        }
    }

    /// Runs the waiting code. Writes its call, its result and its pictures.
    async fn execute(&mut self, turn: AwaitingCode) -> Result<AwaitingModel, RunError> {
        let call = turn.call().clone();
        if self.resumed.stored_call.take().as_ref() != Some(&call.id) {
            self.steps.code_call(&call);
        }
        self.steps.flush().await?;

        let output = self.code.run(&call.code).await?;
        let report = RunReport::new(&output);
        self.log_run(&call.code, &report, &output);
        let result = CodeResult {
            call_id: call.id,
            outcome: report.outcome,
            result: report.result,
            stdout: report.stdout,
            images: output.images.len(),
            signature: self.steps.ids.signature(),
        };
        self.steps.code_result(result.clone());
        let pictures: Vec<Media> = output
            .images
            .into_iter()
            .map(|image| Media {
                kind: MediaKind::Image,
                mime_type: Some(image.mime_type),
                source: Source::Inline(image.data),
            })
            .collect();
        RecordingSession::of(&self.context).ran(&result, &pictures);
        let turn = self.steps.pictures(turn.finished(result), pictures);
        // Result and pictures are appended together, so that no reader sees only the result.
        self.steps.flush().await?;
        Ok(turn)
    }

    /// The log gets the outcome of failed code; the journal also gets the code itself.
    fn log_run(&self, code: &str, report: &RunReport, output: &RunOutput) {
        let wall_ms = output.finished.usage.wall_us as f64 / 1000.0;
        if report.outcome.is_error() {
            tracing::warn!(
                interaction.id = %self.steps.log.head().id,
                scenario = self.context.journal.scenario(),
                outcome = report.outcome.as_str(),
                wall_ms,
                "code failed"
            );
        }
        let whole = WholeOutput {
            code: code.to_owned(),
            stdout: report.stdout.clone(),
            stderr: report.stderr.clone(),
            images: output.images.clone(),
            files: output.files.clone(),
        };
        self.context.journal.code_ran(report.outcome, whole, wall_ms);
    }

    /// A search that the model's provider has already made.
    fn completed_search(
        &mut self,
        turn: AwaitingModel,
        queries: Vec<String>,
        found: Vec<Found>,
    ) -> AwaitingModel {
        let (turn, call) = self.steps.search_call(turn, queries);
        self.steps.search_result(turn, call, found, false)
    }

    /// Makes a search whose call is already written. A failed search is a result too: the model
    /// may continue without it.
    async fn search(
        &mut self,
        turn: AwaitingModel,
        call: SearchCall,
    ) -> Result<AwaitingModel, StoreError> {
        // Clients that follow the log see the queries during the search.
        self.steps.flush().await?;
        let found = match &self.search {
            Some(search) => search::find(search.as_ref(), &call.queries).await,
            None => Ok(Vec::new()),
        };
        let is_error = found.is_err();
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(interaction.id = %self.steps.log.head().id, %error, "search failed");
            Vec::new()
        });
        RecordingSession::of(&self.context).searched(&call.queries, &found);
        Ok(self.steps.search_result(turn, call, found, is_error))
    }

    /// Runs a tool whose call is already written.
    async fn use_tool(
        &mut self,
        turn: AwaitingModel,
        call_id: &str,
        request: ToolRequest,
    ) -> Result<AwaitingModel, RunError> {
        // Clients that follow the log see the call while the tool runs.
        self.steps.flush().await?;
        let result = self.tools.run(&request, &self.prompt).await?;
        RecordingSession::of(&self.context).used(&request, &result);
        let used = ModelEvent::Tool(ToolUse { request, result: Some(result.clone()) });
        self.generated.add(&used, self.steps.count())?;
        Ok(self.steps.tool_result(turn, call_id, &result))
    }
}
