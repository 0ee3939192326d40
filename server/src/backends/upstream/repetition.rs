//! Stops models that run the same code repeatedly, with the same result, and never answer.
//!
//! ```text
//!   first run ──▶ same again: the model is warned ──▶ a third time: the tool is removed
//! ```

use backend::{End, ModelEvent, Prompt, Tools};
use domain::interaction::Step;

/// Number of identical runs after which the code tool is removed.
const MAX_RUNS: usize = 3;

const REPEATED_NOTICE: &str = "You have run the same code twice, and its result was the same. Do not run it again: \
     answer with what you have, or run other code.";
const REMOVED_NOTICE: &str = "You have run the same code three times with the same result, so you cannot run code \
     any more. Answer now with what you have.";

/// Adjusts the prompt if the model repeats itself.
pub fn without_repetition(mut prompt: Prompt) -> Prompt {
    if let Some(notice) = notice(&mut prompt) {
        let before = prompt.system_instruction.take();
        let texts: Vec<String> = before.into_iter().chain([notice.to_owned()]).collect();
        prompt.system_instruction = Some(texts.join("\n\n"));
    }
    prompt
}

/// If a model writes code without having the tool, its turn ends.
pub fn allowed(event: ModelEvent, tools: &Tools) -> ModelEvent {
    match event {
        ModelEvent::Code(_) if !tools.code_execution => ModelEvent::End(End::default()),
        event => event,
    }
}

/// A notice for a model that repeats itself, or `None`. If the model continues, the tool is removed
/// from the prompt.
///
/// Failed runs do not count, because they have their own limit.
fn notice(prompt: &mut Prompt) -> Option<&'static str> {
    if !prompt.tools.code_execution {
        return None;
    }
    match repeats(&prompt.steps) {
        0 | 1 => None,
        runs if runs < MAX_RUNS => Some(REPEATED_NOTICE),
        _ => {
            prompt.tools.code_execution = false;
            Some(REMOVED_NOTICE)
        }
    }
}

/// How many times in a row the newest code of this interaction ran with the same result.
fn repeats(steps: &[Step]) -> usize {
    let mut runs = runs(steps).into_iter().rev();
    let Some(newest) = runs.next() else { return 0 };
    1 + runs.take_while(|run| *run == newest).count()
}

/// Code and result of all successful runs since the newest input, oldest first.
fn runs(steps: &[Step]) -> Vec<(&str, &str)> {
    let newest = steps.iter().rposition(|step| matches!(step, Step::UserInput(_))).unwrap_or(0);
    let mut code = "";
    let mut runs = Vec::new();
    for step in &steps[newest..] {
        match step {
            Step::CodeCall(call) => code = call.code.trim(),
            Step::CodeResult(result) if result.outcome.is_error() => runs.clear(),
            Step::CodeResult(result) => runs.push((code, result.result.as_str())),
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::interaction::{CodeCall, CodeResult, Content, Outcome};

    fn run(code: &str, result: &str, outcome: Outcome) -> [Step; 2] {
        let call = CodeCall { id: "c".into(), code: code.into(), signature: String::new() };
        let result = CodeResult {
            call_id: "c".into(),
            outcome,
            result: result.into(),
            stdout: String::new(),
            images: 0,
            signature: String::new(),
        };
        [Step::CodeCall(call), Step::CodeResult(result)]
    }

    #[test]
    fn only_the_same_code_with_the_same_result_in_a_row_is_a_repetition() {
        let input = || vec![Step::UserInput(vec![Content::text("?")])];
        let a = || run("a", "1", Outcome::Ok);
        let count = |steps: Vec<Step>| repeats(&steps);
        assert_eq!(count(input()), 0);
        assert_eq!(count([input(), a().into(), run("a\n", "1", Outcome::Ok).into()].concat()), 2);
        assert_eq!(count([input(), a().into(), run("a", "2", Outcome::Ok).into()].concat()), 1);
        assert_eq!(count([input(), a().into(), run("b", "1", Outcome::Ok).into()].concat()), 1);
        let failed = run("a", "1", Outcome::Failed);
        assert_eq!(count([input(), a().into(), failed.into()].concat()), 0);
        assert_eq!(count([input(), a().into(), input(), a().into()].concat()), 1);
    }
}
