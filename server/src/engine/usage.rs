//! Counts tokens. A model that counts its own is believed; for the others four characters are a
//! token, which the README says.

use crate::backend::Prompt;
use crate::interaction::{Content, Step, Usage};

#[derive(Debug, Default)]
pub struct Counter {
    estimate: Usage,
    /// Code and results, which the model reads again in every later turn of this interaction.
    between: u64,
    counted: Option<Usage>,
}

impl Counter {
    /// The client's prompt: counted once.
    pub fn prompt(&mut self, prompt: &Prompt) {
        let system = prompt.system_instruction.as_deref().map_or(0, tokens);
        self.estimate.input = system + prompt.steps.iter().map(of_step).sum::<u64>();
    }

    pub fn thought(&mut self, piece: &str) {
        self.estimate.thought += tokens(piece);
    }

    pub fn wrote(&mut self, text: &str) {
        self.estimate.output += tokens(text);
    }

    /// Code was run, and the model is asked again with all that has happened.
    pub fn read_again(&mut self, code: &str, result: &str) {
        self.between += tokens(code) + tokens(result);
        self.estimate.tool_use += self.between;
    }

    /// The model's own count of a turn replaces the estimate.
    pub fn counted(&mut self, usage: Usage) {
        self.counted = Some(usage);
    }

    pub fn total(&self) -> Usage {
        self.counted.unwrap_or(self.estimate)
    }
}

fn of_step(step: &Step) -> u64 {
    match step {
        Step::UserInput(contents) | Step::ModelOutput(contents) => {
            contents.iter().map(of_content).sum()
        }
        Step::Thought { summary, .. } => tokens(summary),
        Step::CodeCall(call) => tokens(&call.code),
        Step::CodeResult(result) => tokens(&result.result),
        Step::FunctionCall(call) => tokens(&call.arguments.to_string()),
        Step::FunctionResult(result) => tokens(&result.result.to_string()),
        Step::Foreign(step) => tokens(&step.to_string()),
    }
}

/// Pictures and the like have no text to estimate from.
fn of_content(content: &Content) -> u64 {
    match content {
        Content::Text { text, .. } => tokens(text),
        Content::Media(_) | Content::Foreign(_) => 0,
    }
}

fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}
