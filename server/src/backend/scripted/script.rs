//! Finds the position in a script and its next output.
//!
//! Nothing is stored between two turns of the model. Each turn walks the script from the start,
//! along the results in the conversation: each part that waits takes one result, and the parts
//! after the last taken result are the next output. Concurrent requests, a restarted server, and a
//! client that continues an old interaction therefore all get the right output.

use std::collections::VecDeque;

use super::chain::{Answers, Beat};
use super::part::{Call, Expect, Part};
use crate::interaction::Usage;

/// The next step of a script.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    Say(Speech<'a>),
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
    opening: Option<&Beat<'a>>,
    beats: &[Beat<'a>],
) -> Result<Next<'a>, Misfit> {
    let mut walk = Walk {
        todo: script.iter().collect(),
        beats: beats.iter().cloned().collect(),
        last: opening.cloned(),
        speech: Speech::default(),
        at_beat: false,
    };
    while let Some(part) = walk.todo.pop_front() {
        if let Part::Expect(_) = part {
            continue; // not part of the output
        }
        walk.at_beat = false;
        match part {
            Part::IfError(parts) => walk.insert(parts, true),
            Part::IfOk(parts) => walk.insert(parts, false),
            Part::Usage(usage) => walk.speech.usage = Some(*usage),
            // It applies to the whole answer, regardless of its position.
            Part::Fault(_) => {}
            Part::Code(_) | Part::RepeatCodeUntilOk(_) => {
                walk.speech.parts.push(part);
                match walk.beats.pop_front() {
                    None => {
                        if let Some(Part::Expect(expect)) = walk.todo.front() {
                            walk.speech.expect = Some(expect);
                        }
                        walk.speech.rest = walk.rest();
                        return Ok(Next::Say(walk.speech));
                    }
                    Some(beat @ Beat::CodeResult { is_error }) => {
                        walk.take(beat);
                        if is_error && matches!(part, Part::RepeatCodeUntilOk(_)) {
                            walk.todo.push_front(part);
                        }
                    }
                    Some(Beat::FunctionResults(_)) => return Err(Misfit),
                }
            }
            Part::FunctionCall(call) => {
                walk.speech.parts.push(part);
                let names = walk.calls_together_with(call);
                match walk.beats.pop_front() {
                    None => return Ok(Next::Say(walk.speech)),
                    Some(Beat::FunctionResults(answers))
                        if answers.names.iter().all(|name| names.contains(name)) =>
                    {
                        walk.take(Beat::FunctionResults(answers));
                    }
                    Some(_) => return Err(Misfit),
                }
            }
            Part::Finish(_) | Part::Fail(_) | Part::Disconnect => {
                walk.speech.parts.push(part);
                break;
            }
            Part::Thought(_)
            | Part::Text(_)
            | Part::Search(_)
            | Part::Delay(_)
            | Part::Pace(_)
            | Part::Expect(_) => walk.speech.parts.push(part),
        }
    }
    walk.end()
}

struct Walk<'a> {
    todo: VecDeque<&'a Part>,
    beats: VecDeque<Beat<'a>>,
    last: Option<Beat<'a>>,
    speech: Speech<'a>,
    /// Whether no part has been read since the last result.
    at_beat: bool,
}

impl<'a> Walk<'a> {
    fn insert(&mut self, parts: &'a [Part], on_error: bool) {
        self.speech.looked = true;
        if self.last.as_ref().is_some_and(|beat| beat.is_error() == on_error) {
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
    fn take(&mut self, beat: Beat<'a>) {
        self.speech.parts.retain(|part| matches!(part, Part::Pace(_)));
        self.speech.looked = false;
        self.last = Some(beat);
        self.at_beat = true;
    }

    fn end(self) -> Result<Next<'a>, Misfit> {
        match self.last {
            Some(Beat::FunctionResults(answers)) if self.at_beat => Ok(Next::Answered(answers)),
            _ if !self.beats.is_empty() => Err(Misfit),
            _ if self.at_beat => Ok(Next::Ended),
            _ => Ok(Next::Say(self.speech)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::Tokens;

    const OK: Beat<'static> = Beat::CodeResult { is_error: false };
    const ERROR: Beat<'static> = Beat::CodeResult { is_error: true };

    fn answers(names: &[&'static str]) -> Beat<'static> {
        Beat::FunctionResults(Answers { steps: 0..1, names: names.to_vec(), is_error: false })
    }

    /// The script's output as `kind:text`.
    fn said(script: &str, beats: &[Beat<'static>]) -> String {
        let script: Vec<Part> = serde_saphyr::from_str(script).expect(script);
        match next(&script, None, beats) {
            Err(Misfit) => "misfit".into(),
            Ok(Next::Ended) => "ended".into(),
            Ok(Next::Answered(answers)) => format!("answered {:?}", answers.names),
            Ok(Next::Say(speech)) => {
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
    fn each_result_moves_the_script_on_to_the_next_code() {
        let script = "[thought: a, code: b, text: c, code: d, text: e]";
        assert_eq!(said(script, &[]), r#""a" run "b""#);
        assert_eq!(said(script, &[OK]), r#""c" run "d""#);
        assert_eq!(said(script, &[OK, ERROR]), r#""e""#);
        assert_eq!(said(script, &[OK, ERROR, OK]), "misfit");
    }

    #[test]
    fn a_script_that_ends_with_code_has_no_output_after_its_result() {
        assert_eq!(said("[code: a]", &[OK]), "ended");
        assert_eq!(
            said("[code: a, if_error: [text: b]]", &[OK]),
            "",
            "it ends its turn in silence"
        );
    }

    #[test]
    fn a_list_for_errors_is_said_only_after_one() {
        let script = "[code: a, if_error: [text: b, code: c], if_ok: [text: d], text: e]";
        assert_eq!(said(script, &[OK]), r#""d" "e""#);
        assert_eq!(said(script, &[ERROR]), r#""b" run "c""#);
        assert_eq!(said(script, &[ERROR, OK]), r#""d" "e""#);
        assert_eq!(said(script, &[ERROR, ERROR]), r#""e""#);
    }

    #[test]
    fn code_is_repeated_for_as_long_as_it_fails() {
        let script = "[text: a, repeat_code_until_ok: b, text: c]";
        assert_eq!(said(script, &[]), r#""a" run "b""#);
        assert_eq!(said(script, &[ERROR]), r#"run "b""#);
        assert_eq!(said(script, &vec![ERROR; 6]), r#"run "b""#);
        assert_eq!(said(script, &[ERROR, ERROR, OK]), r#""c""#);
    }

    #[test]
    fn function_calls_in_a_row_are_made_and_answered_together() {
        let script = "[function_call: {name: f}, function_call: {name: g}, text: a]";
        assert_eq!(said(script, &[]), "call f call g");
        assert_eq!(said(script, &[answers(&["g", "f"])]), r#""a""#);
        assert_eq!(said(script, &[answers(&["other"])]), "misfit");
        assert_eq!(said(script, &[OK]), "misfit");
    }

    #[test]
    fn a_script_that_ends_with_a_call_leaves_the_answer_to_another_one() {
        let script = "[function_call: {name: f}]";
        assert_eq!(said(script, &[answers(&["f"])]), r#"answered ["f"]"#);
        assert_eq!(said(script, &[answers(&["f"]), OK]), r#"answered ["f"]"#);
        assert_eq!(said("[text: a]", &[answers(&["f"])]), "misfit");
    }

    #[test]
    fn nothing_is_said_after_finish() {
        assert_eq!(said("[text: a, if_ok: [text: b], finish: MAX_TOKENS]", &[]), r#""a" finish"#);
        assert_eq!(said("[finish: STOP]", &[OK]), "misfit");
    }

    #[test]
    fn what_is_expected_is_known_with_its_code_and_said_by_nobody() {
        let script = "[code: a, expect: {result: x}, if_ok: [text: b], code: c]";
        assert_eq!(said(script, &[]), r#"run "a""#);
        assert_eq!(said(script, &[OK]), r#""b" run "c""#);
        assert_eq!(said("[code: a, expect: {}]", &[OK]), "ended");
        let script: Vec<Part> = serde_saphyr::from_str(script).expect("valid");
        let expected = |beats: &[Beat<'static>]| match next(&script, None, beats) {
            Ok(Next::Say(speech)) => speech.expect.and_then(|expect| expect.result.clone()),
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
        let Ok(Next::Say(speech)) = next(&script, None, &[OK]) else { panic!("it goes on") };
        assert_eq!(speech.usage, Some(Usage { input: Tokens::text(7), ..Usage::default() }));
    }
}
