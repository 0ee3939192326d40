//! The states of a running interaction. Each transition consumes the state before it, so a result
//! without a call, two calls at once, or a step after the end does not compile.
//!
//! ```text
//!         with_step, searched
//!               ┌──────┐
//!               │      ▼           code
//! begin ──▶ AwaitingModel ────────────────▶ AwaitingCode
//!                 │   ▲                          │
//!                 │   └──────────────────────────┘
//!                 │                finished
//!                 │ end, or code when retries or turns are used up
//!                 ▼
//!             Finished
//! ```

use super::step::{CodeCall, CodeResult, Step};

/// Limits of a model in one interaction. There is no default: the settings decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often the model may write new code after a failed run.
    pub regenerations: u32,
    /// Maximum number of turns of the model.
    pub model_turns: u32,
}

/// The state of an interaction.
#[derive(Debug)]
pub enum Turn {
    Model(AwaitingModel),
    Code(AwaitingCode),
    Done(Finished),
}

/// The model generates, or is about to.
#[derive(Debug)]
pub struct AwaitingModel {
    limits: Limits,
    steps: Vec<Step>,
    failed_runs: u32,
    turns: u32,
    /// Whether a tool of the conversation found something to cite.
    has_sources: bool,
}

/// Code waits to run.
#[derive(Debug)]
pub struct AwaitingCode {
    turn: AwaitingModel,
    call: CodeCall,
}

/// The final state.
#[derive(Debug)]
pub struct Finished {
    pub steps: Vec<Step>,
}

impl AwaitingModel {
    /// `history` is the whole chain, oldest first, this interaction's input included.
    pub fn begin(history: Vec<Step>, limits: Limits) -> AwaitingModel {
        let has_sources = history.iter().any(has_sources);
        AwaitingModel { limits, steps: history, failed_runs: 0, turns: 0, has_sources }
    }

    /// A model that has used up its turns and can only finish its answer.
    pub fn exhausted(done: Finished) -> AwaitingModel {
        let limits = Limits { regenerations: 0, model_turns: 0 };
        AwaitingModel::begin(done.steps, limits)
    }

    /// The conversation so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether a tool found something that a text may cite.
    pub fn has_sources(&self) -> bool {
        self.has_sources
    }

    /// Whether code that the model writes now would run. Gemini lets the model try again up to five
    /// times after an error; then the model must answer without code.
    pub fn may_run_code(&self) -> bool {
        self.failed_runs <= self.limits.regenerations && self.turns + 1 < self.limits.model_turns
    }

    /// Whether the model would get the results of a search, or of another tool.
    pub fn may_search(&self) -> bool {
        self.turns + 1 < self.limits.model_turns
    }

    /// The model ended its turn to wait for the results of searches and other tools.
    pub fn searched(mut self) -> AwaitingModel {
        self.turns += 1;
        self
    }

    /// Whether the model may have another turn.
    pub fn may_ask(&self) -> bool {
        self.turns < self.limits.model_turns
    }

    /// Adds a step that needs no action of the server.
    pub fn with_step(mut self, step: Step) -> AwaitingModel {
        self.has_sources |= has_sources(&step);
        self.steps.push(step);
        self
    }

    /// The model wrote code, which ends its turn. If the code may not run, the interaction ends.
    pub fn code(mut self, call: CodeCall) -> Result<AwaitingCode, Finished> {
        if !self.may_run_code() {
            return Err(self.end());
        }
        self.turns += 1;
        self.steps.push(Step::CodeCall(call.clone()));
        Ok(AwaitingCode { turn: self, call })
    }

    /// The model has finished its answer.
    pub fn end(self) -> Finished {
        Finished { steps: self.steps }
    }
}

fn has_sources(step: &Step) -> bool {
    !step.sources().is_empty()
}

impl AwaitingCode {
    pub fn call(&self) -> &CodeCall {
        &self.call
    }

    pub fn finished(self, result: CodeResult) -> AwaitingModel {
        let mut turn = self.turn;
        turn.failed_runs += u32::from(result.outcome.is_error());
        turn.steps.push(Step::CodeResult(result));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::{Content, Outcome};

    const LIMITS: Limits = Limits { regenerations: 5, model_turns: 20 };

    fn begin(limits: Limits) -> AwaitingModel {
        AwaitingModel::begin(vec![Step::UserInput(vec![Content::text("6 * 7?")])], limits)
    }

    fn call() -> CodeCall {
        CodeCall { id: "c".into(), code: "1/0".into(), signature: String::new() }
    }

    fn result(outcome: Outcome) -> CodeResult {
        CodeResult {
            call_id: "c".into(),
            outcome,
            result: String::new(),
            stdout: String::new(),
            images: 0,
            signature: String::new(),
        }
    }

    #[test]
    fn a_model_whose_code_always_fails_gets_six_runs() {
        let mut turn = begin(LIMITS);
        for run in 0..6 {
            assert!(turn.may_run_code(), "run {run} was refused");
            turn = turn.code(call()).expect("may run").finished(result(Outcome::Failed));
        }
        assert!(!turn.may_run_code());
        assert!(turn.may_ask(), "it still gets a turn for its answer");
        let finished = turn.code(call()).expect_err("a seventh run was allowed");
        assert_eq!(finished.steps.len(), 1 + 6 * 2, "code that is not run is no step");
    }

    #[test]
    fn a_successful_run_is_no_regeneration() {
        let mut turn = begin(LIMITS);
        for _ in 0..12 {
            turn = turn.code(call()).expect("may run").finished(result(Outcome::Ok));
        }
        assert!(turn.may_run_code());
    }

    #[test]
    fn a_deadline_counts_as_a_failure() {
        let limits = Limits { regenerations: 0, ..LIMITS };
        let turn = begin(limits).code(call()).expect("the first run is no regeneration");
        assert!(!turn.finished(result(Outcome::DeadlineExceeded)).may_run_code());
    }

    #[test]
    fn searches_use_up_turns_and_leave_the_last_one_for_the_answer() {
        let mut turn = begin(Limits { regenerations: 5, model_turns: 3 });
        for _ in 0..2 {
            assert!(turn.may_search());
            turn = turn.searched();
        }
        assert!(!turn.may_search() && !turn.may_run_code());
        assert!(turn.may_ask());
        assert!(!turn.searched().may_ask());
    }

    #[test]
    fn the_last_model_turn_is_kept_for_the_answer() {
        let mut turn = begin(Limits { regenerations: 5, model_turns: 3 });
        for _ in 0..2 {
            turn = turn.code(call()).expect("may run").finished(result(Outcome::Ok));
        }
        assert!(!turn.may_run_code());
        assert!(turn.may_ask());
    }
}
