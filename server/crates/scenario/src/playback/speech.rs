//! Converts the parts of a script to model events.

use std::time::Duration;

use minijinja::Value;

use crate::matching::matcher::Matched;
use crate::scenario::keys::SearchKeys;
use crate::scenario::part::Part;
use crate::scenario::tool_keys::ToolKeys;
use crate::template::{Template, TemplateError, child};
use backend::{BackendError, End, Finish, MAX_TEXT_BYTES, ModelEvent};
use domain::interaction::{Failure, FailureDelivery, FailureKind};

/// Shown in the stored interaction.
const DISCONNECTED: &str = "The scenario dropped the connection here.";

/// Length of a streamed piece of text, if it has spaces to split at.
const PIECE_CHARS: std::ops::Range<usize> = 20..40;
/// A longer text has longer pieces, about this many: each piece costs more memory than its letters.
const MAX_PIECES: usize = 1000;

/// One action of the sender.
#[derive(Debug, PartialEq)]
pub enum Line {
    Wait(Duration),
    Event(ModelEvent),
    /// The last event, if any.
    Fail(Failure),
}

impl Line {
    /// The event for the receiver, if any.
    pub fn word(self) -> Option<Result<ModelEvent, BackendError>> {
        match self {
            Line::Wait(_) => None,
            Line::Event(event) => Some(Ok(event)),
            Line::Fail(failure) => Some(Err(BackendError::Failed(failure))),
        }
    }
}

/// All actions of a matched scenario. Templates are rendered before the first event, so that an error fails the
/// request instead of the running stream.
pub fn lines(matched: &Matched<'_>, names: &Value) -> Result<Vec<Line>, String> {
    let mut writer = SpeechWriter {
        names,
        lines: Vec::new(),
        text_bytes: 0,
        pace: None,
        end: Some(End { finish: Finish::Stop, usage: matched.speech.usage }),
    };
    child::begin_answer();
    for part in &matched.speech.parts {
        writer.add(part).map_err(|error| {
            format!(
                "The scenario `{}` has a `{}` that fails: {error}",
                matched.scenario.name,
                part.kind()
            )
        })?;
    }
    let SpeechWriter { mut lines, end, .. } = writer;
    lines.extend(end.map(|end| Line::Event(ModelEvent::End(end))));
    Ok(lines)
}

/// Whether a text uses the result of the last run.
pub fn uses_result(part: &Part) -> bool {
    const RESULTS: [&str; 4] = ["stdout", "result", "results", "images"];
    match part {
        Part::Thought(text) | Part::Text(text) => text.uses(&RESULTS),
        Part::FunctionCall(call) => call.arguments.uses(&RESULTS),
        _ => false,
    }
}

struct SpeechWriter<'a> {
    names: &'a Value,
    lines: Vec<Line>,
    text_bytes: usize,
    pace: Option<Duration>,
    /// The last event, unless code or a failure is the end itself.
    end: Option<End>,
}

impl SpeechWriter<'_> {
    fn add(&mut self, part: &Part) -> Result<(), TemplateError> {
        if self.text_bytes > MAX_TEXT_BYTES {
            // The engine refuses what is there already.
            return Ok(());
        }
        match part {
            Part::Thought(text) => self.stream(ModelEvent::Thought, text)?,
            Part::Text(text) => self.stream(ModelEvent::Text, text)?,
            Part::Code(code) | Part::RepeatCodeUntilOk(code) => {
                self.emit(ModelEvent::Code(code.render(self.names)?));
                self.end = None;
            }
            Part::FunctionCall(call) => {
                let arguments = call.arguments.render(self.names)?;
                self.emit(ModelEvent::FunctionCall { name: call.name.clone(), arguments });
            }
            Part::Search(search) => {
                let filled = search.render(self.names)?;
                let SearchKeys { queries, results } =
                    serde_json::from_value(filled).expect("filling holes leaves strings strings");
                self.emit(match results {
                    Some(results) => {
                        let found = results.into_iter().map(Into::into).collect();
                        ModelEvent::Search { queries, found }
                    }
                    None => ModelEvent::Lookup { queries },
                });
            }
            Part::Tool(_, value) => {
                let keys: ToolKeys = serde_json::from_value(value.render(self.names)?)
                    .expect("filling holes leaves strings strings");
                self.emit(ModelEvent::Tool(keys.into_use()));
            }
            Part::Delay(time) => self.lines.push(Line::Wait(*time)),
            Part::Pace(time) => self.pace = Some(*time),
            Part::Finish(finish) => self.end = self.end.map(|end| End { finish: *finish, ..end }),
            Part::Fail(fail) => self.fail(Failure {
                kind: fail.kind,
                message: fail.message.render(self.names)?,
                retry_after: fail.retry_after,
                delivery: if fail.told {
                    FailureDelivery::Reported
                } else {
                    FailureDelivery::HttpError
                },
            }),
            Part::Disconnect => self.fail(Failure {
                delivery: FailureDelivery::ConnectionDrop,
                ..Failure::new(FailureKind::Unavailable, DISCONNECTED)
            }),
            // These parts were already consumed by the script walk.
            Part::IfError(_)
            | Part::IfOk(_)
            | Part::Usage(_)
            | Part::Expect(_)
            | Part::Fault(_) => {}
        }
        Ok(())
    }

    fn stream(
        &mut self,
        event: fn(String) -> ModelEvent,
        text: &Template,
    ) -> Result<(), TemplateError> {
        for piece in pieces(&text.render(self.names)?) {
            self.lines.extend(self.pace.map(Line::Wait));
            self.emit(event(piece.into()));
        }
        Ok(())
    }

    fn emit(&mut self, event: ModelEvent) {
        self.text_bytes += event.size().text_bytes;
        self.lines.push(Line::Event(event));
    }

    fn fail(&mut self, failure: Failure) {
        self.lines.push(Line::Fail(failure));
        self.end = None;
    }
}

/// The text in pieces, as a model streams it. Joined, the pieces equal the text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let least = PIECE_CHARS.start.max(text.len() / MAX_PIECES);
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(piece_end(rest, least));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The end of a piece of at least this many letters.
fn piece_end(text: &str, least: usize) -> usize {
    let mut chars = text.char_indices().skip(least);
    let room = PIECE_CHARS.len();
    let after_space = chars
        .by_ref()
        .take(room)
        .find(|(_, char)| char.is_whitespace())
        .map(|(at, space)| at + space.len_utf8());
    let cut = || text.char_indices().nth(least + room).map(|(at, _)| at);
    after_space.or_else(cut).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_streamed_in_pieces_that_end_between_words() {
        let text = "The sum of the first 50 prime numbers is 5117, and I checked it twice.";
        let pieces: Vec<&str> = pieces(text).collect();
        assert_eq!(
            pieces,
            ["The sum of the first ", "50 prime numbers is 5117, ", "and I checked it twice."]
        );
    }

    #[test]
    fn a_long_text_has_longer_pieces() {
        let text = "ä b ".repeat(1 << 20);
        let pieces: Vec<&str> = pieces(&text).collect();
        assert_eq!(pieces.concat(), text);
        assert!((500..=MAX_PIECES).contains(&pieces.len()), "{}", pieces.len());
    }

    #[test]
    fn the_joined_pieces_equal_the_text() {
        for text in
            ["", " ", "short", "ก็ไม่มีเว้นวรรค".repeat(20).as_str(), "a\n\nb  c\t".repeat(30).as_str()]
        {
            let pieces: Vec<&str> = pieces(text).collect();
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.chars().count() <= 40));
        }
    }
}
