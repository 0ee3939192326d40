//! Steps, as they are written: begun, added to, closed.

use super::Run;
use crate::backend::Passthrough;
use crate::interaction::{
    AwaitingModel, Content, Delta, Event, FunctionCall, PassthroughStep, Sources, Step, StepStart,
    citations,
};

/// A step whose pieces are still coming.
#[derive(Debug)]
pub enum Open {
    Thought { index: usize, text: String },
    Text { index: usize, text: String },
    Passthrough { index: usize, step: PassthroughStep },
}

impl Run {
    /// Something to write down.
    pub fn record(&mut self, event: Event) {
        self.usage.add(&event);
        self.unwritten.push(event);
    }

    pub fn thought(&mut self, mut turn: AwaitingModel, piece: String) -> AwaitingModel {
        if !matches!(self.open, Some(Open::Thought { .. })) {
            turn = self.close(turn);
            let index = self.begin(StepStart::Thought);
            self.open = Some(Open::Thought { index, text: String::new() });
        }
        if let Some(Open::Thought { index, text }) = &mut self.open {
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
        if !matches!(self.open, Some(Open::Text { .. })) {
            turn = self.close(turn);
            let index = self.begin(StepStart::ModelOutput);
            self.open = Some(Open::Text { index, text: String::new() });
        }
        if let Some(Open::Text { index, text }) = &mut self.open {
            text.push_str(&piece);
            self.prompt.note.add_text(&piece);
            let (index, delta) = (*index, Delta::Text(piece));
            self.record(Event::StepDelta { index, delta });
        }
        turn
    }

    /// Writes down a text that was held back: it is not the answer, or it fits.
    pub fn flush_held_text(&mut self, turn: AwaitingModel) -> AwaitingModel {
        let text = std::mem::take(&mut self.held);
        self.text(turn, text)
    }

    /// Ends the step that is being written, if there is one.
    pub fn close(&mut self, turn: AwaitingModel) -> AwaitingModel {
        match self.open.take() {
            None => turn,
            Some(Open::Thought { index, text }) => {
                let signature = self.ids.signature();
                self.sealed(turn, index, text, signature)
            }
            Some(Open::Text { index, text }) => {
                // In JSON, brackets are lists.
                let citations = match self.format {
                    None if turn.has_sources() => citations(&text, &Sources::new(turn.steps())),
                    _ => Vec::new(),
                };
                if !citations.is_empty() {
                    let delta = Delta::Citations(citations.clone());
                    self.record(Event::StepDelta { index, delta });
                }
                self.record(Event::StepStopped { index });
                let content = Content::Text { text, annotations: Vec::new(), citations };
                turn.with_step(Step::ModelOutput(vec![content]))
            }
            Some(Open::Passthrough { index, step }) => {
                self.record(Event::StepStopped { index });
                turn.with_step(Step::Passthrough(step.into_value()))
            }
        }
    }

    /// Ends the thought that is being written with the signature that it came with. One without a
    /// summary has not begun yet.
    pub fn seal(&mut self, turn: AwaitingModel, signature: String) -> AwaitingModel {
        if let Some(Open::Thought { index, text }) = self.open.take_if(is_thought) {
            return self.sealed(turn, index, text, signature);
        }
        let turn = self.close(turn);
        let index = self.begin(StepStart::Thought);
        self.sealed(turn, index, String::new(), signature)
    }

    fn sealed(
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

    /// Hands on what record to a step elsewhere. Who makes whole steps sees to their form as well.
    pub fn passthrough(
        &mut self,
        mut turn: AwaitingModel,
        passthrough: Passthrough,
    ) -> AwaitingModel {
        match passthrough {
            Passthrough::Started(step) => {
                turn = self.flush_held_text(turn);
                turn = self.close(turn);
                self.format = None;
                let index = self.begin(StepStart::Passthrough(step.clone()));
                self.open = Some(Open::Passthrough { index, step: PassthroughStep::new(step) });
                turn
            }
            Passthrough::Delta(delta) => {
                if let Some(Open::Passthrough { index, step }) = &mut self.open {
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
        self.prompt.note.called(&call.name, &call.arguments);
        self.whole_step(start, vec![Delta::FunctionArguments(call.arguments.to_string())]);
        turn.with_step(Step::FunctionCall(call))
    }

    fn begin(&mut self, start: StepStart) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.record(Event::StepStarted { index, start });
        index
    }

    /// A step that is known from its first byte to its last.
    pub fn whole_step(&mut self, start: StepStart, deltas: Vec<Delta>) {
        let index = self.begin(start);
        for delta in deltas {
            self.record(Event::StepDelta { index, delta });
        }
        self.record(Event::StepStopped { index });
    }
}

fn is_thought(open: &mut Open) -> bool {
    matches!(open, Open::Thought { .. })
}
