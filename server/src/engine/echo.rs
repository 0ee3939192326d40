//! A model that is asked again because the server died in the middle of its turn.
//!
//! What it said before is in the log, and has been seen. As long as it says the same again, it is
//! heard and not written; from the first new word on it is written, in the step that stands open.
//! Where it says something else, what was said before stays, and the new words come after it.

use std::collections::VecDeque;

use crate::backend::{End, Finish, ModelEvent};
use crate::interaction::{FunctionCall, SearchCall, Step};
use crate::search;

/// What was said of an unfinished turn.
#[derive(Debug, Default)]
pub struct Echo {
    before: VecDeque<Before>,
    /// Bytes of the first one's text that were heard again.
    heard: usize,
}

#[derive(Debug)]
struct Before {
    step: Step,
    /// What the model thought or said in it.
    text: Option<String>,
    /// More of it may come.
    open: bool,
}

/// What to do about a word.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A step that is in the log, and was said again.
    Known(Step),
    /// A search that is in the log and was said again, whose result is not there.
    Unanswered(SearchCall),
    /// The step that stands open will not go on.
    Broken,
    New(ModelEvent),
}

/// The model called functions and now calls others. A client may have seen the first ones.
#[derive(Debug, PartialEq, Eq)]
pub struct OtherCalls;

impl Echo {
    /// `open` is about the last step.
    pub fn of(steps: Vec<Step>, open: bool) -> Echo {
        let last = steps.len().saturating_sub(1);
        let before = steps.into_iter().enumerate();
        let before = before.map(|(at, step)| {
            let text = match &step {
                Step::Thought { summary, .. } => Some(summary.clone()),
                step => step.model_text(),
            };
            Before { step, text, open: open && at == last }
        });
        Echo { before: before.collect(), heard: 0 }
    }

    pub fn is_over(&self) -> bool {
        self.before.is_empty()
    }

    pub fn hear(&mut self, word: ModelEvent) -> Result<Vec<Heard>, OtherCalls> {
        let mut told = Vec::new();
        match word {
            ModelEvent::Counted(_) | ModelEvent::CountedElsewhere(_) | ModelEvent::Mark(_) => {
                return Ok(vec![Heard::New(word)]);
            }
            ModelEvent::End(End { finish: Finish::Searched, .. }) => {
                return Ok(vec![Heard::New(word)]);
            }
            // The thought has a signature, or will have one.
            ModelEvent::Sealed(_) if !self.is_over() => return Ok(Vec::new()),
            _ => {}
        }
        while let Some(first) = self.before.front() {
            match (&first.step, &word) {
                (Step::Thought { .. }, ModelEvent::Thought(piece)) => {
                    told.extend(self.piece(piece, ModelEvent::Thought)?);
                    return Ok(told);
                }
                (Step::ModelOutput(_), ModelEvent::Text(piece)) => {
                    told.extend(self.piece(piece, ModelEvent::Text)?);
                    return Ok(told);
                }
                (Step::FunctionCall(call), word) if is_call(call, word) => {
                    told.extend(self.known());
                    return Ok(told);
                }
                (Step::SearchCall(call), word) if is_search(call, word) => {
                    let call = call.clone();
                    let known = self.known();
                    let next = self.before.front().map(|before| &before.step);
                    if matches!(next, Some(Step::SearchResult(result)) if result.call_id == call.id)
                    {
                        told.extend(known);
                        told.extend(self.known());
                    } else {
                        told.push(Heard::Unanswered(call));
                    }
                    return Ok(told);
                }
                // A text that was said to its end, and another kind of word.
                _ if first.text.as_ref().is_some_and(|text| text.len() == self.heard) => {}
                _ => {
                    told.extend(self.differs()?);
                    break;
                }
            }
            // One that is open is closed by the word that comes after it.
            if first.open {
                self.before.pop_front();
                self.heard = 0;
            } else {
                told.extend(self.known());
            }
        }
        told.push(Heard::New(word));
        Ok(told)
    }

    /// A piece of the first text, or not.
    fn piece(
        &mut self,
        piece: &str,
        word: fn(String) -> ModelEvent,
    ) -> Result<Vec<Heard>, OtherCalls> {
        let Some(Before { text: Some(text), open, .. }) = self.before.front() else {
            return Ok(Vec::new());
        };
        let (heard, left) = text.split_at(self.heard);
        if left.starts_with(piece) {
            self.heard += piece.len();
            return Ok(Vec::new());
        }
        if let (true, Some(more)) = (open, piece.strip_prefix(left)) {
            let new = Heard::New(word(more.to_owned()));
            self.before.pop_front();
            self.heard = 0;
            return Ok(vec![new]);
        }
        let new = Heard::New(word(format!("{heard}{piece}")));
        let mut told = self.differs()?;
        told.push(new);
        Ok(told)
    }

    fn known(&mut self) -> Option<Heard> {
        self.heard = 0;
        self.before.pop_front().map(|before| Heard::Known(before.step))
    }

    /// All that is left of it stays, and does not go on.
    fn differs(&mut self) -> Result<Vec<Heard>, OtherCalls> {
        self.heard = 0;
        let mut told = Vec::new();
        for before in self.before.drain(..) {
            match before.step {
                Step::FunctionCall(_) => return Err(OtherCalls),
                _ if before.open => told.push(Heard::Broken),
                step => told.push(Heard::Known(step)),
            }
        }
        Ok(told)
    }
}

fn is_call(call: &FunctionCall, word: &ModelEvent) -> bool {
    matches!(word, ModelEvent::FunctionCall { name, arguments }
        if *name == call.name && *arguments == call.arguments)
}

fn is_search(call: &SearchCall, word: &ModelEvent) -> bool {
    match word {
        ModelEvent::Search { queries, .. } => *queries == call.queries,
        ModelEvent::Lookup { queries } => search::bounded(queries.clone()) == call.queries,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::interaction::{Content, SearchResult};

    fn thought(summary: &str) -> Step {
        Step::Thought { summary: summary.into(), signature: "s".into() }
    }

    fn said(text: &str) -> Step {
        Step::ModelOutput(vec![Content::text(text)])
    }

    fn text(text: &str) -> ModelEvent {
        ModelEvent::Text(text.into())
    }

    fn call(name: &str) -> Step {
        Step::FunctionCall(FunctionCall {
            id: "c".into(),
            name: name.into(),
            arguments: json!({}),
            signature: "s".into(),
        })
    }

    fn calls(name: &str) -> ModelEvent {
        ModelEvent::FunctionCall { name: name.into(), arguments: json!({}) }
    }

    /// All that is heard of these words, one after the other.
    fn hear(
        before: Vec<Step>,
        open: bool,
        words: Vec<ModelEvent>,
    ) -> Result<Vec<Heard>, OtherCalls> {
        let mut echo = Echo::of(before, open);
        let mut all = Vec::new();
        for word in words {
            all.extend(echo.hear(word)?);
        }
        assert!(echo.is_over(), "something is left");
        Ok(all)
    }

    fn new_text(heard: &Heard) -> &str {
        match heard {
            Heard::New(ModelEvent::Text(text)) => text,
            Heard::New(ModelEvent::End(_)) => "",
            other => panic!("{other:?}"),
        }
    }

    fn end() -> ModelEvent {
        ModelEvent::End(End::default())
    }

    #[test]
    fn what_was_said_is_not_said_again_however_it_is_cut() {
        let before = || vec![thought("Hm."), said("The ans")];
        for pieces in [&["The answer"][..], &["T", "he an", "swer"], &["The ans", "wer"]] {
            let mut words = vec![ModelEvent::Thought("Hm.".into())];
            words.extend(pieces.iter().map(|piece| text(piece)));
            words.push(end());
            let heard = hear(before(), true, words).expect("there are no calls");
            // However the new words come, they are these.
            let Some((Heard::Known(known), rest)) = heard.split_first() else {
                panic!("{heard:?}");
            };
            assert_eq!(known, &thought("Hm."));
            let new: String = rest.iter().map(new_text).collect();
            assert_eq!(new, "wer", "{pieces:?}");
        }
    }

    #[test]
    fn a_step_that_was_whole_is_followed_by_what_comes_next() {
        let words = vec![text("a"), text("b"), end()];
        let heard = hear(vec![said("ab")], true, words.clone()).expect("there are no calls");
        assert_eq!(heard, [Heard::New(end())]);
        let heard = hear(vec![said("ab")], false, words).expect("there are no calls");
        assert_eq!(heard, [Heard::Known(said("ab")), Heard::New(end())]);
    }

    #[test]
    fn other_words_come_after_those_that_were_seen() {
        let words = vec![text("The"), text("re is"), end()];
        let heard = hear(vec![thought("Hm."), said("The ans")], true, words);
        let wanted = [
            Heard::Known(thought("Hm.")),
            Heard::Broken,
            Heard::New(text("The")),
            Heard::New(text("re is")),
            Heard::New(end()),
        ];
        assert_eq!(heard.expect("there are no calls"), wanted);

        let heard = hear(vec![said("The ans")], true, vec![text("The"), text("re is"), end()]);
        let wanted = [Heard::Broken, Heard::New(text("There is")), Heard::New(end())];
        assert_eq!(heard.expect("there are no calls"), wanted);
    }

    #[test]
    fn a_search_is_known_with_its_result_and_made_where_that_is_missing() {
        let call =
            SearchCall { id: "g".into(), queries: vec!["moss".into()], ..Default::default() };
        let result = SearchResult { call_id: "g".into(), ..SearchResult::default() };
        let words = || {
            let searched = ModelEvent::End(End { finish: Finish::Searched, usage: None });
            vec![
                ModelEvent::Lookup { queries: vec![" moss".into()] },
                searched,
                text("It is"),
                end(),
            ]
        };
        let searched = words().remove(1);
        let before =
            vec![Step::SearchCall(call.clone()), Step::SearchResult(result.clone()), said("It")];
        let heard = hear(before, true, words()).expect("there are no calls of functions");
        let wanted = [
            Heard::Known(Step::SearchCall(call.clone())),
            Heard::Known(Step::SearchResult(result)),
            Heard::New(searched.clone()),
            Heard::New(text(" is")),
            Heard::New(end()),
        ];
        assert_eq!(heard, wanted);

        let heard = hear(vec![Step::SearchCall(call.clone())], false, words()).expect("the same");
        let wanted = [
            Heard::Unanswered(call),
            Heard::New(searched),
            Heard::New(text("It is")),
            Heard::New(end()),
        ];
        assert_eq!(heard, wanted);
    }

    #[test]
    fn calls_of_functions_are_the_same_or_nothing_goes_on() {
        let heard = hear(vec![call("f")], false, vec![calls("f"), calls("g"), end()]);
        let wanted = [Heard::Known(call("f")), Heard::New(calls("g")), Heard::New(end())];
        assert_eq!(heard.expect("it is the same one"), wanted);
        assert_eq!(hear(vec![call("f")], false, vec![calls("g")]), Err(OtherCalls));
        assert_eq!(hear(vec![said("a"), call("f")], false, vec![text("b")]), Err(OtherCalls));
    }

    /// All that was heard was copied and compared again for each piece.
    #[test]
    fn a_long_text_in_small_pieces_takes_time_that_grows_with_its_length() {
        const LETTERS: usize = 1 << 18;
        let mut echo =
            Echo::of(vec![thought(&"a".repeat(LETTERS)), said(&"b".repeat(LETTERS))], true);
        for _ in 0..LETTERS {
            assert_eq!(echo.hear(ModelEvent::Thought("a".into())), Ok(Vec::new()));
        }
        let known = Heard::Known(thought(&"a".repeat(LETTERS)));
        assert_eq!(echo.hear(text("b")), Ok(vec![known]));
        for _ in 1..LETTERS {
            assert_eq!(echo.hear(text("b")), Ok(Vec::new()));
        }
        assert_eq!(echo.hear(text("c")), Ok(vec![Heard::New(text("c"))]));
    }
}
