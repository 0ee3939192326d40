//! Steps, as they are written: begun, added to, closed.

use super::run::Run;
use crate::backend::Foreign;
use crate::interaction::{
    AwaitingModel, Content, Delta, Event, ForeignStep, FunctionCall, Shell, Sources, Step,
    citations,
};

/// A step whose pieces are still coming.
#[derive(Debug)]
pub enum Open {
    Thought { index: usize, text: String },
    Text { index: usize, text: String },
    Foreign { index: usize, step: ForeignStep },
}

impl Run {
    /// Something to write down.
    pub fn happens(&mut self, event: Event) {
        self.usage.hear(&event);
        self.unwritten.push(event);
    }

    pub fn thought(&mut self, mut turn: AwaitingModel, piece: String) -> AwaitingModel {
        if !matches!(self.open, Some(Open::Thought { .. })) {
            turn = self.close(turn);
            let index = self.begin(Shell::Thought);
            self.open = Some(Open::Thought { index, text: String::new() });
        }
        if let Some(Open::Thought { index, text }) = &mut self.open {
            text.push_str(&piece);
            let (index, delta) = (*index, Delta::ThoughtSummary(piece));
            self.happens(Event::StepDelta { index, delta });
        }
        turn
    }

    pub fn text(&mut self, mut turn: AwaitingModel, piece: String) -> AwaitingModel {
        if piece.is_empty() {
            return turn;
        }
        if !matches!(self.open, Some(Open::Text { .. })) {
            turn = self.close(turn);
            let index = self.begin(Shell::ModelOutput);
            self.open = Some(Open::Text { index, text: String::new() });
        }
        if let Some(Open::Text { index, text }) = &mut self.open {
            text.push_str(&piece);
            self.prompt.note.said(&piece);
            let (index, delta) = (*index, Delta::Text(piece));
            self.happens(Event::StepDelta { index, delta });
        }
        turn
    }

    /// Writes down a text that was held back: it is not the answer, or it fits.
    pub fn let_go(&mut self, turn: AwaitingModel) -> AwaitingModel {
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
                let citations = match self.form {
                    None if turn.has_sources() => citations(&text, &Sources::of(turn.steps())),
                    _ => Vec::new(),
                };
                if !citations.is_empty() {
                    let delta = Delta::Citations(citations.clone());
                    self.happens(Event::StepDelta { index, delta });
                }
                self.happens(Event::StepStopped { index });
                let content = Content::Text { text, annotations: Vec::new(), citations };
                turn.said(Step::ModelOutput(vec![content]))
            }
            Some(Open::Foreign { index, step }) => {
                self.happens(Event::StepStopped { index });
                turn.said(Step::Foreign(step.into_value()))
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
        let index = self.begin(Shell::Thought);
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
        self.happens(Event::StepDelta { index, delta });
        self.happens(Event::StepStopped { index });
        turn.said(Step::Thought { summary, signature })
    }

    /// Hands on what happens to a step elsewhere. Who makes whole steps sees to their form as well.
    pub fn foreign(&mut self, mut turn: AwaitingModel, foreign: Foreign) -> AwaitingModel {
        match foreign {
            Foreign::Started(step) => {
                turn = self.let_go(turn);
                turn = self.close(turn);
                self.form = None;
                let index = self.begin(Shell::Foreign(step.clone()));
                self.open = Some(Open::Foreign { index, step: ForeignStep::new(step) });
                turn
            }
            Foreign::Delta(delta) => {
                if let Some(Open::Foreign { index, step }) = &mut self.open {
                    step.add(&delta);
                    let (index, delta) = (*index, Delta::Foreign(delta));
                    self.happens(Event::StepDelta { index, delta });
                }
                turn
            }
            Foreign::Stopped => self.close(turn),
        }
    }

    pub fn function_call(&mut self, turn: AwaitingModel, call: FunctionCall) -> AwaitingModel {
        let shell = Shell::FunctionCall {
            id: call.id.clone(),
            name: call.name.clone(),
            signature: call.signature.clone(),
        };
        self.prompt.note.called(&call.name, &call.arguments);
        self.whole_step(shell, vec![Delta::FunctionArguments(call.arguments.to_string())]);
        turn.said(Step::FunctionCall(call))
    }

    fn begin(&mut self, shell: Shell) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.happens(Event::StepStarted { index, shell });
        index
    }

    /// A step that is known from its first byte to its last.
    pub fn whole_step(&mut self, shell: Shell, deltas: Vec<Delta>) {
        let index = self.begin(shell);
        for delta in deltas {
            self.happens(Event::StepDelta { index, delta });
        }
        self.happens(Event::StepStopped { index });
    }
}

fn is_thought(open: &mut Open) -> bool {
    matches!(open, Open::Thought { .. })
}
