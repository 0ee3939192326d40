//! Text of clients, models and code, as a page shows it: each character that would change how others are
//! shown becomes visible. Markup is escaped by `maud`.

use std::borrow::Cow;

/// Longest text of a block.
pub const MAX_BLOCK_BYTES: usize = 128 << 10;

/// Replaces control characters and those that change the direction of text by visible ones.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            // Line ends of Windows.
            '\r' if chars.peek() == Some(&'\n') => {}
            char if is_hidden(char) => shown.push_str(&escape(char)),
            char => shown.push(char),
        }
    }
    Cow::Owned(shown)
}

/// As Python writes it.
fn escape(char: char) -> String {
    match u32::from(char) {
        code @ ..0x100 => format!("\\x{code:02x}"),
        code @ ..0x10000 => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}

fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Joiners and marks of direction, embeddings, isolates, and tags.
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The beginning of a text that a page has room for, and the number of bytes that are left out.
pub fn block(text: &str) -> (&str, usize) {
    let end = text.floor_char_boundary(MAX_BLOCK_BYTES);
    (&text[..end], text.len() - end)
}

/// The beginning of a text, on one line.
pub fn line(text: &str, chars: usize) -> String {
    let mut line = String::new();
    let mut left = chars;
    for word in text.split_whitespace() {
        let space = if line.is_empty() { "" } else { " " };
        for char in space.chars().chain(word.chars()) {
            if left == 0 {
                line.push('…');
                return visible(&line).into_owned();
            }
            line.push(char);
            left -= 1;
        }
    }
    visible(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_act_on_a_page_or_a_terminal_are_shown() {
        for (text, wanted) in [
            ("plain ä 字\n\tindented", "plain ä 字\n\tindented"),
            ("\u{1b}[31mred", "\\x1b[31mred"),
            ("a\r\nb\rc", "a\nb\\x0dc"),
            ("\u{8}\u{7}\u{0}\u{7f}", "\\x08\\x07\\x00\\x7f"),
            ("abc\u{202e}fed", "abc\\u202efed"),
            ("\u{9b}31m", "\\x9b31m"),
        ] {
            assert_eq!(visible(text), wanted);
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "ä".repeat(MAX_BLOCK_BYTES);
        let (shown, left_out) = block(&long);
        assert_eq!((shown.len(), left_out), (MAX_BLOCK_BYTES, MAX_BLOCK_BYTES));
        assert_eq!(line("a\n  b   c", 3), "a b…");
        assert_eq!(line(" a\n  b   c ", 5), "a b c");
        assert_eq!(line("äöü", 2), "äö…");
    }
}
