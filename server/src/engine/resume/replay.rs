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
pub struct ReplayFilter {
    before: VecDeque<StoredStep>,
    /// Bytes of the first one's text that were heard again.
    matched: usize,
}

#[derive(Debug)]
struct StoredStep {
    step: Step,
    /// What the model thought or said in it.
    text: Option<String>,
    /// More of it may come.
    open: bool,
}

/// What to do about a word.
#[derive(Debug, PartialEq)]
pub enum Replayed {
    /// A step that is in the log, and was said again.
    Stored(Step),
    /// A search that is in the log and was said again, whose result is not there.
    Unanswered(SearchCall),
    /// The step that stands open will not go on.
    Interrupted,
    New(ModelEvent),
}

/// The model called functions and now calls others. A client may have seen the first ones.
#[derive(Debug, PartialEq, Eq)]
pub struct DifferentCalls;

impl ReplayFilter {
    /// `open` is about the last step.
    pub fn new(steps: Vec<Step>, open: bool) -> ReplayFilter {
        let last = steps.len().saturating_sub(1);
        let before = steps.into_iter().enumerate();
        let before = before.map(|(at, step)| {
            let text = match &step {
                Step::Thought { summary, .. } => Some(summary.clone()),
                step => step.model_text(),
            };
            StoredStep { step, text, open: open && at == last }
        });
        ReplayFilter { before: before.collect(), matched: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.before.is_empty()
    }

    pub fn filter(&mut self, word: ModelEvent) -> Result<Vec<Replayed>, DifferentCalls> {
        let mut events = Vec::new();
        match word {
            ModelEvent::Counted(_) | ModelEvent::UpstreamUsage(_) | ModelEvent::CallIdentity(_) => {
                return Ok(vec![Replayed::New(word)]);
            }
            ModelEvent::End(End { finish: Finish::Searched, .. }) => {
                return Ok(vec![Replayed::New(word)]);
            }
            // The thought has a signature, or will have one.
            ModelEvent::ThoughtSignature(_) if !self.is_done() => return Ok(Vec::new()),
            _ => {}
        }
        while let Some(first) = self.before.front() {
            match (&first.step, &word) {
                (Step::Thought { .. }, ModelEvent::Thought(piece)) => {
                    events.extend(self.match_text(piece, ModelEvent::Thought)?);
                    return Ok(events);
                }
                (Step::ModelOutput(_), ModelEvent::Text(piece)) => {
                    events.extend(self.match_text(piece, ModelEvent::Text)?);
                    return Ok(events);
                }
                (Step::FunctionCall(call), word) if is_same_call(call, word) => {
                    events.extend(self.pop_stored());
                    return Ok(events);
                }
                (Step::SearchCall(call), word) if is_same_search(call, word) => {
                    let call = call.clone();
                    let known = self.pop_stored();
                    let next = self.before.front().map(|before| &before.step);
                    if matches!(next, Some(Step::SearchResult(result)) if result.call_id == call.id)
                    {
                        events.extend(known);
                        events.extend(self.pop_stored());
                    } else {
                        events.push(Replayed::Unanswered(call));
                    }
                    return Ok(events);
                }
                // A text that was said to its end, and another kind of word.
                _ if first.text.as_ref().is_some_and(|text| text.len() == self.matched) => {}
                _ => {
                    events.extend(self.diverge()?);
                    break;
                }
            }
            // One that is open is closed by the word that comes after it.
            if first.open {
                self.before.pop_front();
                self.matched = 0;
            } else {
                events.extend(self.pop_stored());
            }
        }
        events.push(Replayed::New(word));
        Ok(events)
    }

    /// A piece of the first text, or not.
    fn match_text(
        &mut self,
        piece: &str,
        word: fn(String) -> ModelEvent,
    ) -> Result<Vec<Replayed>, DifferentCalls> {
        let Some(StoredStep { text: Some(text), open, .. }) = self.before.front() else {
            return Ok(Vec::new());
        };
        let (heard, left) = text.split_at(self.matched);
        if left.starts_with(piece) {
            self.matched += piece.len();
            return Ok(Vec::new());
        }
        if let (true, Some(more)) = (open, piece.strip_prefix(left)) {
            let new = Replayed::New(word(more.to_owned()));
            self.before.pop_front();
            self.matched = 0;
            return Ok(vec![new]);
        }
        let new = Replayed::New(word(format!("{heard}{piece}")));
        let mut events = self.diverge()?;
        events.push(new);
        Ok(events)
    }

    fn pop_stored(&mut self) -> Option<Replayed> {
        self.matched = 0;
        self.before.pop_front().map(|before| Replayed::Stored(before.step))
    }

    /// All that is left of it stays, and does not go on.
    fn diverge(&mut self) -> Result<Vec<Replayed>, DifferentCalls> {
        self.matched = 0;
        let mut events = Vec::new();
        for before in self.before.drain(..) {
            match before.step {
                Step::FunctionCall(_) => return Err(DifferentCalls),
                _ if before.open => events.push(Replayed::Interrupted),
                step => events.push(Replayed::Stored(step)),
            }
        }
        Ok(events)
    }
}

fn is_same_call(call: &FunctionCall, word: &ModelEvent) -> bool {
    matches!(word, ModelEvent::FunctionCall { name, arguments }
        if *name == call.name && *arguments == call.arguments)
}

fn is_same_search(call: &SearchCall, word: &ModelEvent) -> bool {
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

    fn output(text: &str) -> Step {
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
    fn filter(
        before: Vec<Step>,
        open: bool,
        words: Vec<ModelEvent>,
    ) -> Result<Vec<Replayed>, DifferentCalls> {
        let mut filter = ReplayFilter::new(before, open);
        let mut all = Vec::new();
        for word in words {
            all.extend(filter.filter(word)?);
        }
        assert!(filter.is_done(), "something is left");
        Ok(all)
    }

    fn new_text(heard: &Replayed) -> &str {
        match heard {
            Replayed::New(ModelEvent::Text(text)) => text,
            Replayed::New(ModelEvent::End(_)) => "",
            other => panic!("{other:?}"),
        }
    }

    fn end() -> ModelEvent {
        ModelEvent::End(End::default())
    }

    #[test]
    fn what_was_said_is_not_said_again_however_it_is_cut() {
        let before = || vec![thought("Hm."), output("The ans")];
        for pieces in [&["The answer"][..], &["T", "he an", "swer"], &["The ans", "wer"]] {
            let mut words = vec![ModelEvent::Thought("Hm.".into())];
            words.extend(pieces.iter().map(|piece| text(piece)));
            words.push(end());
            let heard = filter(before(), true, words).expect("there are no calls");
            // However the new words come, they are these.
            let Some((Replayed::Stored(known), rest)) = heard.split_first() else {
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
        let heard = filter(vec![output("ab")], true, words.clone()).expect("there are no calls");
        assert_eq!(heard, [Replayed::New(end())]);
        let heard = filter(vec![output("ab")], false, words).expect("there are no calls");
        assert_eq!(heard, [Replayed::Stored(output("ab")), Replayed::New(end())]);
    }

    #[test]
    fn other_words_come_after_those_that_were_seen() {
        let words = vec![text("The"), text("re is"), end()];
        let heard = filter(vec![thought("Hm."), output("The ans")], true, words);
        let wanted = [
            Replayed::Stored(thought("Hm.")),
            Replayed::Interrupted,
            Replayed::New(text("The")),
            Replayed::New(text("re is")),
            Replayed::New(end()),
        ];
        assert_eq!(heard.expect("there are no calls"), wanted);

        let heard = filter(vec![output("The ans")], true, vec![text("The"), text("re is"), end()]);
        let wanted = [Replayed::Interrupted, Replayed::New(text("There is")), Replayed::New(end())];
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
            vec![Step::SearchCall(call.clone()), Step::SearchResult(result.clone()), output("It")];
        let heard = filter(before, true, words()).expect("there are no calls of functions");
        let wanted = [
            Replayed::Stored(Step::SearchCall(call.clone())),
            Replayed::Stored(Step::SearchResult(result)),
            Replayed::New(searched.clone()),
            Replayed::New(text(" is")),
            Replayed::New(end()),
        ];
        assert_eq!(heard, wanted);

        let heard = filter(vec![Step::SearchCall(call.clone())], false, words()).expect("the same");
        let wanted = [
            Replayed::Unanswered(call),
            Replayed::New(searched),
            Replayed::New(text("It is")),
            Replayed::New(end()),
        ];
        assert_eq!(heard, wanted);
    }

    #[test]
    fn calls_of_functions_are_the_same_or_nothing_goes_on() {
        let heard = filter(vec![call("f")], false, vec![calls("f"), calls("g"), end()]);
        let wanted = [Replayed::Stored(call("f")), Replayed::New(calls("g")), Replayed::New(end())];
        assert_eq!(heard.expect("it is the same one"), wanted);
        assert_eq!(filter(vec![call("f")], false, vec![calls("g")]), Err(DifferentCalls));
        assert_eq!(
            filter(vec![output("a"), call("f")], false, vec![text("b")]),
            Err(DifferentCalls)
        );
    }

    /// All that was heard was copied and compared again for each piece.
    #[test]
    fn a_long_text_in_small_pieces_takes_time_that_grows_with_its_length() {
        const LETTERS: usize = 1 << 18;
        let mut filter = ReplayFilter::new(
            vec![thought(&"a".repeat(LETTERS)), output(&"b".repeat(LETTERS))],
            true,
        );
        for _ in 0..LETTERS {
            assert_eq!(filter.filter(ModelEvent::Thought("a".into())), Ok(Vec::new()));
        }
        let known = Replayed::Stored(thought(&"a".repeat(LETTERS)));
        assert_eq!(filter.filter(text("b")), Ok(vec![known]));
        for _ in 1..LETTERS {
            assert_eq!(filter.filter(text("b")), Ok(Vec::new()));
        }
        assert_eq!(filter.filter(text("c")), Ok(vec![Replayed::New(text("c"))]));
    }
}
