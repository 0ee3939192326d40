//! Highlights Python. The pieces together are the code, whatever it is.

use std::ops::Range;

use maud::{Markup, html};

use super::text::visible;

const KEYWORDS: [&str; 37] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "case", "class",
    "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if",
    "import", "in", "is", "lambda", "match", "nonlocal", "not", "or", "pass", "raise", "return",
    "try", "while", "with", "yield",
];

/// What a piece of code is; each is a class of the stylesheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeToken {
    Plain,
    Comment,
    Text,
    Keyword,
    Number,
}

impl CodeToken {
    fn class(self) -> Option<&'static str> {
        Some(match self {
            CodeToken::Plain => return None,
            CodeToken::Comment => "c",
            CodeToken::Text => "s",
            CodeToken::Keyword => "k",
            CodeToken::Number => "n",
        })
    }
}

/// Code in spans.
pub fn highlighted(code: &str) -> Markup {
    let pieces = pieces(code);
    html! {
        @for (token, range) in pieces {
            @match token.class() {
                None => (visible(&code[range])),
                Some(class) => span class=(class) { (visible(&code[range])) },
            }
        }
    }
}

/// The pieces in their order; neighbours of the same kind are one.
fn pieces(code: &str) -> Vec<(CodeToken, Range<usize>)> {
    let mut found: Vec<(CodeToken, Range<usize>)> = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let (token, length) = match first {
            '#' => (CodeToken::Comment, rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' => (CodeToken::Text, quoted(rest)),
            first if first.is_alphabetic() || first == '_' => word(rest),
            first if first.is_ascii_digit() => (CodeToken::Number, number(rest)),
            first => (CodeToken::Plain, first.len_utf8()),
        };
        match found.last_mut() {
            Some((last, range)) if *last == token => range.end = at + length,
            _ => found.push((token, at..at + length)),
        }
        at += length;
    }
    found
}

/// A name, a keyword, or a string with a prefix such as `rb`.
fn word(rest: &str) -> (CodeToken, usize) {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let length = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
    let is_prefix = length <= 2
        && rest[..length].chars().all(|char| "rbfutRBFUT".contains(char))
        && rest[length..].starts_with(['"', '\'']);
    match &rest[..length] {
        _ if is_prefix => (CodeToken::Text, length + quoted(&rest[length..])),
        name if KEYWORDS.contains(&name) => (CodeToken::Keyword, length),
        _ => (CodeToken::Plain, length),
    }
}

fn number(rest: &str) -> usize {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '.' || char == '_';
    rest.find(|char| !is_part(char)).unwrap_or(rest.len())
}

/// The length of a string that begins with a quote. One that does not end goes to the end of its line, or with
/// three quotes to the end of the code.
fn quoted(rest: &str) -> usize {
    let mark = &rest[..1];
    let tripled = mark.repeat(3);
    let end = if rest.starts_with(&tripled) { tripled.as_str() } else { mark };
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(end.len()) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if end.len() == 1 => return at,
            _ if rest[at..].starts_with(end) => return at + end.len(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(code: &str) -> Vec<(CodeToken, &str)> {
        pieces(code).into_iter().map(|(token, range)| (token, &code[range])).collect()
    }

    #[test]
    fn python_is_split_into_its_tokens() {
        let code = "def f(x): # add\n    return rb'a\\'b' + x1 * 0x1f\n";
        let marked: Vec<_> =
            tokens(code).into_iter().filter(|(token, _)| *token != CodeToken::Plain).collect();
        assert_eq!(
            marked,
            [
                (CodeToken::Keyword, "def"),
                (CodeToken::Comment, "# add"),
                (CodeToken::Keyword, "return"),
                (CodeToken::Text, "rb'a\\'b'"),
                (CodeToken::Number, "0x1f"),
            ]
        );
        let text = "'''a\n'b\"\n'''";
        assert_eq!(tokens(&format!("{text}+1"))[0], (CodeToken::Text, text));
        assert_eq!(tokens("'open\n1")[0], (CodeToken::Text, "'open"));
        assert_eq!(tokens("'")[0], (CodeToken::Text, "'"));
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_code(code in "[ a-z0-9'\"\\\\#\n_rbfä\u{1b}]{0,80}") {
            let pieces: String = tokens(&code).into_iter().map(|(_, piece)| piece).collect();
            prop_assert_eq!(pieces, code);
        }
    }
}
