//! From the parts of a script to the events of a model.

use std::time::Duration;

use minijinja::Value;

use super::cue::Cue;
use super::part::Part;
use super::template::TemplateError;
use crate::backend::{End, Finish, ModelEvent};

/// How long a piece of streamed text is, as long as there are words to break it between.
const PIECE_CHARS: std::ops::Range<usize> = 20..40;

/// One thing to do for the one who speaks.
#[derive(Debug, PartialEq)]
pub enum Line {
    Wait(Duration),
    Say(ModelEvent),
}

/// All that a cue comes to. Templates are filled before the first word is said, so that a mistake
/// in one fails the request and not the middle of a stream.
pub fn lines(cue: &Cue<'_>, names: &Value) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut end = Some(End { finish: Finish::Stop, usage: cue.speech.usage });
    for part in &cue.speech.parts {
        let said = say(part, names, &mut lines).map_err(|error| {
            format!(
                "The scenario `{}` has a `{}` that fails: {error}",
                cue.scenario.name,
                part.kind()
            )
        })?;
        match said {
            Said::InPassing => {}
            Said::Finish(finish) => end = end.map(|end| End { finish, ..end }),
            Said::Code => end = None,
        }
    }
    lines.extend(end.map(|end| Line::Say(ModelEvent::End(end))));
    Ok(lines)
}

/// What a part means for the end of the turn.
enum Said {
    InPassing,
    Finish(Finish),
    /// Code is the end itself.
    Code,
}

fn say(part: &Part, names: &Value, lines: &mut Vec<Line>) -> Result<Said, TemplateError> {
    match part {
        Part::Thought(text) => {
            let text = text.render(names)?;
            lines.extend(pieces(&text).map(|piece| Line::Say(ModelEvent::Thought(piece.into()))));
        }
        Part::Text(text) => {
            let text = text.render(names)?;
            lines.extend(pieces(&text).map(|piece| Line::Say(ModelEvent::Text(piece.into()))));
        }
        Part::Code(code) | Part::RepeatCodeUntilOk(code) => {
            lines.push(Line::Say(ModelEvent::Code(code.render(names)?)));
            return Ok(Said::Code);
        }
        Part::FunctionCall(call) => lines.push(Line::Say(ModelEvent::FunctionCall {
            name: call.name.clone(),
            arguments: call.arguments.render(names)?,
        })),
        Part::Delay(time) => lines.push(Line::Wait(*time)),
        Part::Finish(finish) => return Ok(Said::Finish(*finish)),
        // The walk through the script has taken these for itself.
        Part::IfError(_) | Part::IfOk(_) | Part::Usage(_) => {}
    }
    Ok(Said::InPassing)
}

/// The text as a model streams it: joined, the pieces are the text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(piece_end(rest));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn piece_end(text: &str) -> usize {
    let mut chars = text.char_indices().skip(PIECE_CHARS.start);
    let room = PIECE_CHARS.len();
    let after_space = chars
        .by_ref()
        .take(room)
        .find(|(_, char)| char.is_whitespace())
        .map(|(at, space)| at + space.len_utf8());
    let cut = || text.char_indices().nth(PIECE_CHARS.end).map(|(at, _)| at);
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
    fn joined_the_pieces_are_the_text() {
        for text in
            ["", " ", "short", "ก็ไม่มีเว้นวรรค".repeat(20).as_str(), "a\n\nb  c\t".repeat(30).as_str()]
        {
            let pieces: Vec<&str> = pieces(text).collect();
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.chars().count() <= 40));
        }
    }
}
