//! Finds the position in a script and its next output.
//!
//! Nothing is stored between two turns of the model. Each turn walks the script from the start,
//! along the results in the conversation: each part that waits takes one result, and the parts
//! after the last taken result are the next output. Concurrent requests, a restarted server, and a
//! client that continues an old interaction therefore all get the right output.

use std::collections::VecDeque;

use crate::condition::conversation::{Answers, AwaitedResult};
use crate::scenario::part::{Call, Expect, Part};
use domain::interaction::Usage;

/// The next step of a script.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    Output(Speech<'a>),
    /// The script ended with function calls, and these are their results.
    Answered(Answers<'a>),
    /// The script has finished, but the model is called again.
    Ended,
}

/// The output of one turn.
#[derive(Debug, Default, PartialEq)]
pub struct Speech<'a> {
    /// Without conditions. Code is always the last part.
    pub parts: Vec<&'a Part>,
    /// The token counts that the script has set so far.
    pub usage: Option<Usage>,
    /// The expected result of the code at its end.
    pub expect: Option<&'a Expect>,
    /// Parts that follow the code in the same interaction regardless of its result.
    pub rest: Vec<&'a Part>,
    /// Whether the script branches on the last result before it continues.
    pub looked: bool,
}

/// The script cannot have produced this conversation.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit;

/// `opening` is the result that the script began with, if it follows a function call.
pub fn next<'a>(
    script: &'a [Part],
    opening: Option<&AwaitedResult<'a>>,
    awaited: &[AwaitedResult<'a>],
) -> Result<Next<'a>, Misfit> {
    let mut walk = Walk {
        todo: script.iter().collect(),
        awaited: awaited.iter().cloned().collect(),
        last: opening.cloned(),
        speech: Speech::default(),
        at_awaited_result: false,
    };
    while let Some(part) = walk.todo.pop_front() {
        if let Part::Expect(_) = part {
            continue; // not part of the output
        }
        walk.at_awaited_result = false;
        match part {
            Part::IfError(parts) => walk.insert(parts, true),
            Part::IfOk(parts) => walk.insert(parts, false),
            Part::Usage(usage) => walk.speech.usage = Some(*usage),
            // It applies to the whole answer, regardless of its position.
            Part::Fault(_) => {}
            Part::Code(_) | Part::RepeatCodeUntilOk(_) => {
                walk.speech.parts.push(part);
                match walk.awaited.pop_front() {
                    None => {
                        if let Some(Part::Expect(expect)) = walk.todo.front() {
                            walk.speech.expect = Some(expect);
                        }
                        walk.speech.rest = walk.rest();
                        return Ok(Next::Output(walk.speech));
                    }
                    Some(awaited_result @ AwaitedResult::CodeResult { is_error }) => {
                        walk.take(awaited_result);
                        if is_error && matches!(part, Part::RepeatCodeUntilOk(_)) {
                            walk.todo.push_front(part);
                        }
                    }
                    Some(AwaitedResult::FunctionResults(_)) => return Err(Misfit),
                }
            }
            Part::FunctionCall(call) => {
                walk.speech.parts.push(part);
                let names = walk.calls_together_with(call);
                match walk.awaited.pop_front() {
                    None => return Ok(Next::Output(walk.speech)),
                    Some(AwaitedResult::FunctionResults(answers))
                        if answers.names.iter().all(|name| names.contains(name)) =>
                    {
                        walk.take(AwaitedResult::FunctionResults(answers));
                    }
                    Some(_) => return Err(Misfit),
                }
            }
            Part::Finish(_) | Part::Fail(_) | Part::Disconnect => {
                walk.speech.parts.push(part);
                break;
            }
            // All others are output: see `speech.rs`.
            _ => walk.speech.parts.push(part),
        }
    }
    walk.end()
}

struct Walk<'a> {
    todo: VecDeque<&'a Part>,
    awaited: VecDeque<AwaitedResult<'a>>,
    last: Option<AwaitedResult<'a>>,
    speech: Speech<'a>,
    /// Whether no part has been read since the last result.
    at_awaited_result: bool,
}

impl<'a> Walk<'a> {
    fn insert(&mut self, parts: &'a [Part], on_error: bool) {
        self.speech.looked = true;
        if self.last.as_ref().is_some_and(|awaited_result| awaited_result.is_error() == on_error) {
            for part in parts.iter().rev() {
                self.todo.push_front(part);
            }
        }
    }

    /// The remaining output in this interaction. A call of a client's function ends it.
    fn rest(&self) -> Vec<&'a Part> {
        let is_call = |part: &Part| matches!(part, Part::FunctionCall(_));
        let first = self.todo.iter().position(|part| is_call(part));
        let calls = first.map_or(0, |first| {
            self.todo.iter().skip(first).take_while(|part| is_call(part)).count()
        });
        let rest = first.map_or(self.todo.len(), |first| first + calls);
        self.todo.iter().take(rest).copied().collect()
    }

    /// Consecutive function calls form one turn and are answered together.
    fn calls_together_with(&mut self, call: &'a Call) -> Vec<&'a str> {
        let mut names = vec![call.name.as_str()];
        while let Some(part @ Part::FunctionCall(call)) = self.todo.front().copied() {
            names.push(&call.name);
            self.speech.parts.push(part);
            self.todo.pop_front();
        }
        names
    }

    /// Output before this result belongs to earlier turns.
    fn take(&mut self, awaited_result: AwaitedResult<'a>) {
        self.speech.parts.retain(|part| matches!(part, Part::Pace(_)));
        self.speech.looked = false;
        self.last = Some(awaited_result);
        self.at_awaited_result = true;
    }

    fn end(self) -> Result<Next<'a>, Misfit> {
        match self.last {
            Some(AwaitedResult::FunctionResults(answers)) if self.at_awaited_result => {
                Ok(Next::Answered(answers))
            }
            _ if !self.awaited.is_empty() => Err(Misfit),
            _ if self.at_awaited_result => Ok(Next::Ended),
            _ => Ok(Next::Output(self.speech)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::interaction::Tokens;

    const OK: AwaitedResult<'static> = AwaitedResult::CodeResult { is_error: false };
    const ERROR: AwaitedResult<'static> = AwaitedResult::CodeResult { is_error: true };

    fn answers(names: &[&'static str]) -> AwaitedResult<'static> {
        AwaitedResult::FunctionResults(Answers {
            steps: 0..1,
            names: names.to_vec(),
            is_error: false,
        })
    }

    /// The script's output as `kind:text`.
    fn output(script: &str, awaited: &[AwaitedResult<'static>]) -> String {
        let script: Vec<Part> = serde_saphyr::from_str(script).expect(script);
        match next(&script, None, awaited) {
            Err(Misfit) => "misfit".into(),
            Ok(Next::Ended) => "ended".into(),
            Ok(Next::Answered(answers)) => format!("answered {:?}", answers.names),
            Ok(Next::Output(speech)) => {
                let parts: Vec<String> = speech.parts.iter().map(|part| spoken(part)).collect();
                parts.join(" ")
            }
        }
    }

    fn spoken(part: &Part) -> String {
        match part {
            Part::Thought(text) | Part::Text(text) => format!("{text:?}"),
            Part::Code(code) | Part::RepeatCodeUntilOk(code) => format!("run {code:?}"),
            Part::FunctionCall(call) => format!("call {}", call.name),
            other => other.kind().into(),
        }
    }

    #[test]
    fn each_result_advances_the_script_to_the_next_code() {
        let script = "[thought: a, code: b, text: c, code: d, text: e]";
        assert_eq!(output(script, &[]), r#""a" run "b""#);
        assert_eq!(output(script, &[OK]), r#""c" run "d""#);
        assert_eq!(output(script, &[OK, ERROR]), r#""e""#);
        assert_eq!(output(script, &[OK, ERROR, OK]), "misfit");
    }

    #[test]
    fn a_script_that_ends_with_code_has_no_output_after_its_result() {
        assert_eq!(output("[code: a]", &[OK]), "ended");
        assert_eq!(
            output("[code: a, if_error: [text: b]]", &[OK]),
            "",
            "it ends its turn in silence"
        );
    }

    #[test]
    fn an_error_branch_runs_only_after_an_error() {
        let script = "[code: a, if_error: [text: b, code: c], if_ok: [text: d], text: e]";
        assert_eq!(output(script, &[OK]), r#""d" "e""#);
        assert_eq!(output(script, &[ERROR]), r#""b" run "c""#);
        assert_eq!(output(script, &[ERROR, OK]), r#""d" "e""#);
        assert_eq!(output(script, &[ERROR, ERROR]), r#""e""#);
    }

    #[test]
    fn code_is_repeated_for_as_long_as_it_fails() {
        let script = "[text: a, repeat_code_until_ok: b, text: c]";
        assert_eq!(output(script, &[]), r#""a" run "b""#);
        assert_eq!(output(script, &[ERROR]), r#"run "b""#);
        assert_eq!(output(script, &vec![ERROR; 6]), r#"run "b""#);
        assert_eq!(output(script, &[ERROR, ERROR, OK]), r#""c""#);
    }

    #[test]
    fn function_calls_in_a_row_are_made_and_answered_together() {
        let script = "[function_call: {name: f}, function_call: {name: g}, text: a]";
        assert_eq!(output(script, &[]), "call f call g");
        assert_eq!(output(script, &[answers(&["g", "f"])]), r#""a""#);
        assert_eq!(output(script, &[answers(&["other"])]), "misfit");
        assert_eq!(output(script, &[OK]), "misfit");
    }

    #[test]
    fn a_script_that_ends_with_a_call_leaves_the_answer_to_another_one() {
        let script = "[function_call: {name: f}]";
        assert_eq!(output(script, &[answers(&["f"])]), r#"answered ["f"]"#);
        assert_eq!(output(script, &[answers(&["f"]), OK]), r#"answered ["f"]"#);
        assert_eq!(output("[text: a]", &[answers(&["f"])]), "misfit");
    }

    #[test]
    fn nothing_follows_finish() {
        assert_eq!(output("[text: a, if_ok: [text: b], finish: MAX_TOKENS]", &[]), r#""a" finish"#);
        assert_eq!(output("[finish: STOP]", &[OK]), "misfit");
    }

    #[test]
    fn an_expectation_belongs_to_its_code_and_is_not_output() {
        let script = "[code: a, expect: {result: x}, if_ok: [text: b], code: c]";
        assert_eq!(output(script, &[]), r#"run "a""#);
        assert_eq!(output(script, &[OK]), r#""b" run "c""#);
        assert_eq!(output("[code: a, expect: {}]", &[OK]), "ended");
        let script: Vec<Part> = serde_saphyr::from_str(script).expect("valid");
        let expected = |awaited: &[AwaitedResult<'static>]| match next(&script, None, awaited) {
            Ok(Next::Output(speech)) => speech.expect.and_then(|expect| expect.result.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(expected(&[]).as_deref(), Some("x"));
        assert_eq!(expected(&[OK]), None);
    }

    #[test]
    fn token_counts_stay_set() {
        let script: Vec<Part> =
            serde_saphyr::from_str("[usage: {total_input_tokens: 7}, code: a, text: b]")
                .expect("valid");
        let Ok(Next::Output(speech)) = next(&script, None, &[OK]) else { panic!("it goes on") };
        assert_eq!(speech.usage, Some(Usage { input: Tokens::text(7), ..Usage::default() }));
    }
}
