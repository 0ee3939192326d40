//! Drops output of a model that is already in the log.
//!
//! After a restart in the middle of a turn, the model generates that turn again. Output that equals
//! the log is dropped. The first new output continues the open step. If the output differs from the
//! log, the logged steps stay, because clients may have seen them, and the new output follows them.

use std::collections::VecDeque;

use backend::{End, Finish, ModelEvent};
use domain::interaction::{FunctionCall, SearchCall, Step, ToolRequest};
use search;

/// The steps of an unfinished turn.
#[derive(Debug, Default)]
pub struct ReplayFilter {
    before: VecDeque<StoredStep>,
    /// Bytes of the first step's text that the model has generated again.
    matched: usize,
}

#[derive(Debug)]
struct StoredStep {
    step: Step,
    /// Text of the model in it.
    text: Option<String>,
    /// Whether it has not stopped.
    open: bool,
}

/// What to do about an event of the model.
#[derive(Debug, PartialEq)]
pub enum Replayed {
    /// A step in the log that the model has generated again.
    Stored(Step),
    /// The same for a search whose result is not in the log.
    Unanswered(SearchCall),
    /// The same for another tool.
    UnansweredTool {
        id: String,
        request: ToolRequest,
    },
    /// The open step will not be continued.
    Interrupted,
    New(ModelEvent),
}

/// The model calls other functions than before. A client may have seen the first calls.
#[derive(Debug, PartialEq, Eq)]
pub struct DifferentCalls;

impl ReplayFilter {
    /// `open` is true if the last step has not stopped.
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

    pub fn filter(&mut self, event: ModelEvent) -> Result<Vec<Replayed>, DifferentCalls> {
        let mut events = Vec::new();
        match event {
            ModelEvent::Counted(_) | ModelEvent::UpstreamUsage(_) | ModelEvent::CallIdentity(_) => {
                return Ok(vec![Replayed::New(event)]);
            }
            ModelEvent::End(End { finish: Finish::Searched, .. }) => {
                return Ok(vec![Replayed::New(event)]);
            }
            // The logged thought has a signature, or gets one when it stops.
            ModelEvent::ThoughtSignature(_) if !self.is_done() => return Ok(Vec::new()),
            _ => {}
        }
        while let Some(first) = self.before.front() {
            match (&first.step, &event) {
                (Step::Thought { .. }, ModelEvent::Thought(piece)) => {
                    events.extend(self.match_text(piece, ModelEvent::Thought)?);
                    return Ok(events);
                }
                (Step::ModelOutput(_), ModelEvent::Text(piece)) => {
                    events.extend(self.match_text(piece, ModelEvent::Text)?);
                    return Ok(events);
                }
                (Step::FunctionCall(call), event) if is_same_call(call, event) => {
                    events.extend(self.pop_stored());
                    return Ok(events);
                }
                (Step::SearchCall(call), event) if is_same_search(call, event) => {
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
                (Step::Passthrough(call), ModelEvent::Tool(used)) if used.request.is_of(call) => {
                    let id = call["id"].as_str().unwrap_or_default().to_owned();
                    let known = self.pop_stored();
                    events.extend(known);
                    let next = self.before.front().map(|before| &before.step);
                    if matches!(next, Some(Step::Passthrough(result)) if result["call_id"] == *id) {
                        events.extend(self.pop_stored());
                    } else {
                        let request = used.request.clone();
                        events.push(Replayed::UnansweredTool { id, request });
                    }
                    return Ok(events);
                }
                // The text is complete, and an event of another kind follows.
                _ if first.text.as_ref().is_some_and(|text| text.len() == self.matched) => {}
                _ => {
                    events.extend(self.diverge()?);
                    break;
                }
            }
            // An open step is stopped by the event that follows it.
            if first.open {
                self.before.pop_front();
                self.matched = 0;
            } else {
                events.extend(self.pop_stored());
            }
        }
        events.push(Replayed::New(event));
        Ok(events)
    }

    /// Compares a piece with the text of the first step.
    fn match_text(
        &mut self,
        piece: &str,
        event: fn(String) -> ModelEvent,
    ) -> Result<Vec<Replayed>, DifferentCalls> {
        let Some(StoredStep { text: Some(text), open, .. }) = self.before.front() else {
            return Ok(Vec::new());
        };
        let (matched, rest) = text.split_at(self.matched);
        if rest.starts_with(piece) {
            self.matched += piece.len();
            return Ok(Vec::new());
        }
        if let (true, Some(more)) = (open, piece.strip_prefix(rest)) {
            let new = Replayed::New(event(more.to_owned()));
            self.before.pop_front();
            self.matched = 0;
            return Ok(vec![new]);
        }
        let new = Replayed::New(event(format!("{matched}{piece}")));
        let mut events = self.diverge()?;
        events.push(new);
        Ok(events)
    }

    fn pop_stored(&mut self) -> Option<Replayed> {
        self.matched = 0;
        self.before.pop_front().map(|before| Replayed::Stored(before.step))
    }

    /// The remaining steps stay as they are.
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

fn is_same_call(call: &FunctionCall, event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::FunctionCall { name, arguments }
        if *name == call.name && *arguments == call.arguments)
}

fn is_same_search(call: &SearchCall, event: &ModelEvent) -> bool {
    match event {
        ModelEvent::Search { queries, .. } => *queries == call.queries,
        ModelEvent::Lookup { queries } => search::bounded(queries.clone()) == call.queries,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use domain::interaction::{Content, SearchResult, ToolResult, ToolStep, ToolUse};

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

    /// The results for these events, in order.
    fn filter(
        before: Vec<Step>,
        open: bool,
        events: Vec<ModelEvent>,
    ) -> Result<Vec<Replayed>, DifferentCalls> {
        let mut filter = ReplayFilter::new(before, open);
        let mut all = Vec::new();
        for event in events {
            all.extend(filter.filter(event)?);
        }
        assert!(filter.is_done(), "logged steps remain");
        Ok(all)
    }

    #[test]
    fn a_tool_whose_result_is_missing_runs_again() {
        let request = ToolRequest::UrlContext { urls: vec!["http://h/".into()] };
        let result = ToolResult::UrlContext(Vec::new());
        let call = Step::Passthrough(ToolStep::call("c", "s", &request).into_value());
        let answer = Step::Passthrough(ToolStep::result("c", "s", &result).into_value());
        let event = || ModelEvent::Tool(ToolUse { request: request.clone(), result: None });
        let replayed = filter(vec![call.clone(), answer.clone()], false, vec![event()]);
        let stored = |step: &Step| Replayed::Stored(step.clone());
        assert_eq!(replayed, Ok(vec![stored(&call), stored(&answer)]));
        let replayed = filter(vec![call.clone()], false, vec![event()]);
        let again = Replayed::UnansweredTool { id: "c".into(), request: request.clone() };
        assert_eq!(replayed, Ok(vec![stored(&call), again]));
    }

    fn new_text(replayed: &Replayed) -> &str {
        match replayed {
            Replayed::New(ModelEvent::Text(text)) => text,
            Replayed::New(ModelEvent::End(_)) => "",
            other => panic!("{other:?}"),
        }
    }

    fn end() -> ModelEvent {
        ModelEvent::End(End::default())
    }

    #[test]
    fn output_in_the_log_is_dropped_however_it_is_split() {
        let before = || vec![thought("Hm."), output("The ans")];
        for pieces in [&["The answer"][..], &["T", "he an", "swer"], &["The ans", "wer"]] {
            let mut events = vec![ModelEvent::Thought("Hm.".into())];
            events.extend(pieces.iter().map(|piece| text(piece)));
            events.push(end());
            let replayed = filter(before(), true, events).expect("there are no calls");
            let Some((Replayed::Stored(known), rest)) = replayed.split_first() else {
                panic!("{replayed:?}");
            };
            assert_eq!(known, &thought("Hm."));
            let new: String = rest.iter().map(new_text).collect();
            assert_eq!(new, "wer", "{pieces:?}");
        }
    }

    #[test]
    fn a_complete_step_is_followed_by_new_output() {
        let events = vec![text("a"), text("b"), end()];
        let replayed =
            filter(vec![output("ab")], true, events.clone()).expect("there are no calls");
        assert_eq!(replayed, [Replayed::New(end())]);
        let replayed = filter(vec![output("ab")], false, events).expect("there are no calls");
        assert_eq!(replayed, [Replayed::Stored(output("ab")), Replayed::New(end())]);
    }

    #[test]
    fn different_output_follows_the_logged_output() {
        let events = vec![text("The"), text("re is"), end()];
        let replayed = filter(vec![thought("Hm."), output("The ans")], true, events);
        let wanted = [
            Replayed::Stored(thought("Hm.")),
            Replayed::Interrupted,
            Replayed::New(text("The")),
            Replayed::New(text("re is")),
            Replayed::New(end()),
        ];
        assert_eq!(replayed.expect("there are no calls"), wanted);

        let replayed =
            filter(vec![output("The ans")], true, vec![text("The"), text("re is"), end()]);
        let wanted = [Replayed::Interrupted, Replayed::New(text("There is")), Replayed::New(end())];
        assert_eq!(replayed.expect("there are no calls"), wanted);
    }

    #[test]
    fn a_search_is_repeated_only_if_its_result_is_missing() {
        let call =
            SearchCall { id: "g".into(), queries: vec!["moss".into()], ..Default::default() };
        let result = SearchResult { call_id: "g".into(), ..SearchResult::default() };
        let events = || {
            let searched = ModelEvent::End(End { finish: Finish::Searched, usage: None });
            vec![
                ModelEvent::Lookup { queries: vec![" moss".into()] },
                searched,
                text("It is"),
                end(),
            ]
        };
        let searched = events().remove(1);
        let before =
            vec![Step::SearchCall(call.clone()), Step::SearchResult(result.clone()), output("It")];
        let replayed = filter(before, true, events()).expect("there are no calls of functions");
        let wanted = [
            Replayed::Stored(Step::SearchCall(call.clone())),
            Replayed::Stored(Step::SearchResult(result)),
            Replayed::New(searched.clone()),
            Replayed::New(text(" is")),
            Replayed::New(end()),
        ];
        assert_eq!(replayed, wanted);

        let replayed =
            filter(vec![Step::SearchCall(call.clone())], false, events()).expect("the same");
        let wanted = [
            Replayed::Unanswered(call),
            Replayed::New(searched),
            Replayed::New(text("It is")),
            Replayed::New(end()),
        ];
        assert_eq!(replayed, wanted);
    }

    #[test]
    fn different_function_calls_are_an_error() {
        let replayed = filter(vec![call("f")], false, vec![calls("f"), calls("g"), end()]);
        let wanted = [Replayed::Stored(call("f")), Replayed::New(calls("g")), Replayed::New(end())];
        assert_eq!(replayed.expect("it is the same one"), wanted);
        assert_eq!(filter(vec![call("f")], false, vec![calls("g")]), Err(DifferentCalls));
        assert_eq!(
            filter(vec![output("a"), call("f")], false, vec![text("b")]),
            Err(DifferentCalls)
        );
    }

    /// Copying or comparing the whole text for each piece would take quadratic time.
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
