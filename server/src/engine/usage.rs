//! Counts tokens. A model that counts each of its turns is believed; for the others four characters
//! are a token, which the README says.

use super::Request;
use crate::backend::Prompt;
use crate::interaction::{Content, Step, Usage};

#[derive(Debug, Default)]
pub struct Counter {
    /// But for what the model writes, which comes in pieces.
    estimate: Usage,
    /// Letters of thoughts, and of code and text. How they were cut makes no difference.
    thought_letters: usize,
    output_letters: usize,
    /// Code and results, which the model reads again in every later turn of this interaction.
    between: u64,
    /// What the turns of the model counted that count.
    measured: Usage,
    measured_turns: u32,
    turns: u32,
    searches: u64,
    /// What a script says.
    counted: Option<Usage>,
}

impl Counter {
    /// The client's prompt: counted once.
    pub fn of_prompt(prompt: &Prompt) -> Counter {
        let system = prompt.system_instruction.as_deref().map_or(0, tokens);
        let input = system + prompt.steps.iter().map(of_step).sum::<u64>();
        Counter { estimate: Usage { input, ..Usage::default() }, turns: 1, ..Counter::default() }
    }

    pub fn thought(&mut self, piece: &str) {
        self.thought_letters += piece.chars().count();
    }

    pub fn wrote(&mut self, text: &str) {
        self.output_letters += text.chars().count();
    }

    /// Code was run, and the model is asked again with all that has happened.
    pub fn read_again(&mut self, code: &str, result: &str) {
        self.between += tokens(code) + tokens(result);
        self.estimate.tool_use += self.between;
    }

    /// An answer was not taken, and the model is asked again with the reason.
    pub fn repaired(&mut self, answer: &str, complaint: &str) {
        self.asked();
        self.wrote(answer);
        self.estimate.tool_use += self.between + tokens(answer) + tokens(complaint);
    }

    /// A search was made. What was found is not the client's to pay for.
    pub fn searched(&mut self) {
        self.searches += 1;
    }

    /// What was counted of these steps before the server was restarted.
    pub fn again(&mut self, steps: &[Step]) {
        let mut code = "";
        for step in steps {
            match step {
                Step::Thought { summary, .. } => self.thought(summary),
                Step::ModelOutput(_) => self.wrote(&step.model_text().unwrap_or_default()),
                Step::FunctionCall(call) => self.wrote(&call.arguments.to_string()),
                Step::CodeCall(call) => {
                    self.wrote(&call.code);
                    code = &call.code;
                }
                Step::CodeResult(result) => self.read_again(code, &result.result),
                Step::SearchResult(_) => self.searched(),
                _ => {}
            }
        }
    }

    /// The model is asked for another turn.
    pub fn asked(&mut self) {
        self.turns += 1;
    }

    /// The model's own count of a turn. The prompts of later turns are what was read between.
    pub fn turn_counted(&mut self, usage: Usage) {
        if self.measured_turns == 0 {
            self.measured.input = usage.input;
        } else {
            self.measured.tool_use += usage.input;
        }
        self.measured.output += usage.output;
        self.measured.thought += usage.thought;
        self.measured.cached += usage.cached;
        self.measured_turns += 1;
    }

    /// A count that replaces all others.
    pub fn counted(&mut self, usage: Usage) {
        self.counted = Some(usage);
    }

    pub fn total(&self) -> Usage {
        // A count with a hole in it says less than an estimate.
        let measured = (self.measured_turns == self.turns).then_some(self.measured);
        let estimate = Usage {
            output: of_letters(self.output_letters),
            thought: of_letters(self.thought_letters),
            ..self.estimate
        };
        let total = self.counted.or(measured).unwrap_or(estimate);
        Usage { searches: self.searches, ..total }
    }
}

/// How many tokens a request is to a model that does not count them itself.
pub fn count_tokens(request: &Request) -> u64 {
    let system = request.system_instruction.as_deref().map_or(0, tokens);
    system + request.input.iter().map(of_step).sum::<u64>()
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
        // What was found is not the client's to pay for.
        Step::SearchCall(_) | Step::SearchResult(_) => 0,
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
    of_letters(text.chars().count())
}

fn of_letters(letters: usize) -> u64 {
    letters.div_ceil(4) as u64
}
