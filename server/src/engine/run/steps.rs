//! Writes the steps of an interaction to its log: starts them, adds to them, and stops them.

use std::sync::Arc;

use super::usage::Counter;
use backend::Passthrough;
use domain::ids::Ids;
use domain::interaction::{
    AwaitingModel, CitedPages, CodeCall, CodeResult, Content, Delta, Event, Found, FunctionCall,
    MAX_CITATION_BYTES, Media, PassthroughStep, SearchCall, SearchResult, Step, StepStart,
    ToolRequest, ToolResult, ToolStep, citations,
};
use journal::JournalHandle;
use search;
use store::{Log, StoreError};

/// Maximum number of buffered events while a model generates without a pause.
const MAX_UNWRITTEN: usize = 256;

#[derive(Debug)]
pub struct StepWriter {
    pub log: Arc<Log>,
    /// Creates the ids and signatures of the steps.
    pub ids: Arc<Ids>,
    pub usage: Counter,
    note: JournalHandle,
    /// Events that are not in the log yet. They are appended together before anything is awaited.
    unwritten: Vec<Event>,
    /// The step that is being written.
    open: Option<OpenStep>,
    next_index: usize,
    /// What the citations of the interaction may still take.
    citation_bytes: usize,
    /// The pages that texts may cite.
    sources: CitedPages,
    /// Whether texts are searched for citations. In JSON, brackets are lists.
    pub cites: bool,
}

/// A step that has started and not stopped.
#[derive(Debug)]
pub enum OpenStep {
    Thought { index: usize, text: String },
    Text { index: usize, text: String },
    Passthrough { index: usize, step: PassthroughStep },
}

impl StepWriter {
    pub fn new(log: Arc<Log>, ids: Arc<Ids>, note: JournalHandle) -> StepWriter {
        let mut usage = Counter::new(log.entries_from(0).iter().map(|entry| &entry.event));
        if !log.has_begun() {
            usage.add(&Event::Created(log.settings()));
        }
        StepWriter {
            log,
            ids,
            usage,
            note,
            unwritten: Vec::new(),
            open: None,
            next_index: 0,
            citation_bytes: MAX_CITATION_BYTES,
            sources: CitedPages::default(),
            cites: true,
        }
    }

    /// Continues after these many steps of the log, of which the last may still be open.
    pub fn restore(&mut self, steps: usize, open: Option<OpenStep>) {
        self.next_index = steps;
        self.open = open;
    }

    /// The number of steps so far.
    pub fn count(&self) -> usize {
        self.next_index
    }

    pub fn record(&mut self, event: Event) {
        self.usage.add(&event);
        self.unwritten.push(event);
    }

    pub fn is_full(&self) -> bool {
        self.unwritten.len() >= MAX_UNWRITTEN
    }

    /// Appends the buffered events to the log. The last event of the interaction is appended by
    /// `Engine::drive`.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if self.unwritten.is_empty() && self.log.has_begun() {
            return Ok(());
        }
        self.log.append_soon(std::mem::take(&mut self.unwritten)).await
    }

    /// Removes the buffered events, to append them together with the last one.
    pub fn take_unwritten(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.unwritten)
    }

    pub fn thought(&mut self, mut turn: AwaitingModel, piece: String) -> AwaitingModel {
        if !matches!(self.open, Some(OpenStep::Thought { .. })) {
            turn = self.close(turn);
            let index = self.start(StepStart::Thought);
            self.open = Some(OpenStep::Thought { index, text: String::new() });
        }
        if let Some(OpenStep::Thought { index, text }) = &mut self.open {
            text.push_str(&piece);
            let (index, delta) = (*index, Delta::ThoughtSummary(piece));
            self.record(Event::StepDelta { index, delta });
        }
        turn
    }

    pub fn text(&mut self, mut turn: AwaitingModel, piece: String) -> AwaitingModel {
        if piece.is_empty() {
            return turn;
        }
        if !matches!(self.open, Some(OpenStep::Text { .. })) {
            turn = self.close(turn);
            let index = self.start(StepStart::ModelOutput);
            self.open = Some(OpenStep::Text { index, text: String::new() });
        }
        if let Some(OpenStep::Text { index, text }) = &mut self.open {
            text.push_str(&piece);
            self.note.add_text(&piece);
            let (index, delta) = (*index, Delta::Text(piece));
            self.record(Event::StepDelta { index, delta });
        }
        turn
    }

    /// Stops the open step, if there is one.
    pub fn close(&mut self, turn: AwaitingModel) -> AwaitingModel {
        match self.open.take() {
            None => turn,
            Some(OpenStep::Thought { index, text }) => {
                let signature = self.ids.signature();
                self.stop_thought(turn, index, text, signature)
            }
            Some(OpenStep::Text { index, text }) => {
                let citations = if self.cites && turn.has_sources() && text.contains('[') {
                    self.sources.add(turn.steps());
                    citations(&text, &self.sources, &mut self.citation_bytes)
                } else {
                    Vec::new()
                };
                if !citations.is_empty() {
                    let delta = Delta::Citations(citations.clone());
                    self.record(Event::StepDelta { index, delta });
                }
                self.record(Event::StepStopped { index });
                let content = Content::Text { text, annotations: Vec::new(), citations };
                turn.with_step(Step::ModelOutput(vec![content]))
            }
            Some(OpenStep::Passthrough { index, step }) => {
                self.record(Event::StepStopped { index });
                turn.with_step(Step::Passthrough(step.into_value()))
            }
        }
    }

    /// Stops the open thought with the model's own signature. A thought without a summary has not
    /// started yet.
    pub fn sign_thought(&mut self, turn: AwaitingModel, signature: String) -> AwaitingModel {
        if let Some(OpenStep::Thought { index, text }) = self.open.take_if(is_thought) {
            return self.stop_thought(turn, index, text, signature);
        }
        let turn = self.close(turn);
        let index = self.start(StepStart::Thought);
        self.stop_thought(turn, index, String::new(), signature)
    }

    fn stop_thought(
        &mut self,
        turn: AwaitingModel,
        index: usize,
        summary: String,
        signature: String,
    ) -> AwaitingModel {
        let delta = Delta::ThoughtSignature(signature.clone());
        self.record(Event::StepDelta { index, delta });
        self.record(Event::StepStopped { index });
        turn.with_step(Step::Thought { summary, signature })
    }

    /// One stage of a step that is passed through.
    pub fn passthrough(&mut self, turn: AwaitingModel, stage: Passthrough) -> AwaitingModel {
        match stage {
            Passthrough::Started(step) => {
                let turn = self.close(turn);
                let index = self.start(StepStart::Passthrough(step.clone()));
                self.open = Some(OpenStep::Passthrough { index, step: PassthroughStep::new(step) });
                turn
            }
            Passthrough::Delta(delta) => {
                if let Some(OpenStep::Passthrough { index, step }) = &mut self.open {
                    step.add(&delta);
                    let (index, delta) = (*index, Delta::Passthrough(delta));
                    self.record(Event::StepDelta { index, delta });
                }
                turn
            }
            Passthrough::Stopped => self.close(turn),
        }
    }

    pub fn function_call(&mut self, turn: AwaitingModel, call: FunctionCall) -> AwaitingModel {
        let start = StepStart::FunctionCall {
            id: call.id.clone(),
            name: call.name.clone(),
            signature: call.signature.clone(),
        };
        self.note.called(&call.name, &call.arguments);
        self.whole_step(start, vec![Delta::FunctionArguments(call.arguments.to_string())]);
        turn.with_step(Step::FunctionCall(call))
    }

    /// The state of the turn changes only with the code's result.
    pub fn code_call(&mut self, call: &CodeCall) {
        let (code, signature) = (call.code.clone(), call.signature.clone());
        let start = StepStart::CodeCall { id: call.id.clone() };
        self.whole_step(start, vec![Delta::CodeCall { code, signature }]);
    }

    pub fn code_result(&mut self, result: CodeResult) {
        let start = StepStart::CodeResult { call_id: result.call_id.clone() };
        self.whole_step(start, vec![Delta::CodeResult(result)]);
    }

    /// Pictures of a run are a step of their own before the text: the SDKs' `output_text` is then
    /// the whole answer, and their `output_image` finds the picture.
    pub fn pictures(&mut self, turn: AwaitingModel, pictures: Vec<Media>) -> AwaitingModel {
        if pictures.is_empty() {
            return turn;
        }
        let deltas = pictures.iter().cloned().map(Delta::Media).collect();
        self.whole_step(StepStart::ModelOutput, deltas);
        let contents = pictures.into_iter().map(Content::Media).collect();
        turn.with_step(Step::ModelOutput(contents))
    }

    pub fn search_call(
        &mut self,
        turn: AwaitingModel,
        queries: Vec<String>,
    ) -> (AwaitingModel, SearchCall) {
        let call = SearchCall { id: self.ids.call(), queries, signature: self.ids.signature() };
        let delta =
            Delta::SearchCall { queries: call.queries.clone(), signature: call.signature.clone() };
        self.whole_step(StepStart::SearchCall { id: call.id.clone() }, vec![delta]);
        (turn.with_step(Step::SearchCall(call.clone())), call)
    }

    pub fn search_result(
        &mut self,
        turn: AwaitingModel,
        call: SearchCall,
        found: Vec<Found>,
        is_error: bool,
    ) -> AwaitingModel {
        let result = SearchResult {
            call_id: call.id,
            found,
            suggestions: search::suggestions(&call.queries),
            is_error,
            signature: self.ids.signature(),
        };
        let start = StepStart::SearchResult { call_id: result.call_id.clone() };
        self.whole_step(start, vec![Delta::SearchResult(result.clone())]);
        turn.with_step(Step::SearchResult(result))
    }

    /// The call of a tool, and its id.
    pub fn tool_call(
        &mut self,
        turn: AwaitingModel,
        request: &ToolRequest,
    ) -> (AwaitingModel, String) {
        let id = self.ids.call();
        let step = ToolStep::call(&id, &self.ids.signature(), request);
        (self.tool_step(turn, step), id)
    }

    pub fn tool_result(
        &mut self,
        turn: AwaitingModel,
        call_id: &str,
        result: &ToolResult,
    ) -> AwaitingModel {
        let step = ToolStep::result(call_id, &self.ids.signature(), result);
        self.tool_step(turn, step)
    }

    fn tool_step(&mut self, turn: AwaitingModel, step: ToolStep) -> AwaitingModel {
        let delta = Delta::Passthrough(step.delta.clone());
        self.whole_step(StepStart::Tool(step.start.clone()), vec![delta]);
        turn.with_step(Step::Passthrough(step.into_value()))
    }

    fn start(&mut self, start: StepStart) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.record(Event::StepStarted { index, start });
        index
    }

    /// A step that is complete from the beginning.
    fn whole_step(&mut self, start: StepStart, deltas: Vec<Delta>) {
        let index = self.start(start);
        for delta in deltas {
            self.record(Event::StepDelta { index, delta });
        }
        self.record(Event::StepStopped { index });
    }
}

fn is_thought(open: &mut OpenStep) -> bool {
    matches!(open, OpenStep::Thought { .. })
}
