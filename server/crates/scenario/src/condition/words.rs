//! Text functions that work on words.

use std::collections::HashSet;

/// The beginning of a text on one line, cut between words if it is too long.
pub fn beginning(text: &str, max_chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((end, _)) = line.char_indices().nth(max_chars) else { return line };
    let cut = &line[..end];
    let is_between = line[end..].starts_with(' ');
    // A text without spaces is cut within a word.
    let whole = if is_between { cut } else { cut.rsplit_once(' ').map_or(cut, |(whole, _)| whole) };
    format!("{} …", whole.trim_end())
}

/// Only the beginning of a text is compared.
const MAX_COMPARED_BYTES: usize = 4 << 10;

/// The words of the beginning of a text. Regular expressions are compared by the words in them.
#[derive(Debug)]
pub struct WordSet(HashSet<String>);

impl WordSet {
    pub fn of(text: &str) -> WordSet {
        let text = &text[..text.floor_char_boundary(MAX_COMPARED_BYTES)];
        // `\w` and `\s` are not letters of a word.
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter == '\\' {
                letters.next();
                plain.push(' ');
            } else {
                plain.push(letter);
            }
        }
        let words = plain.split(|letter: char| !letter.is_alphanumeric());
        WordSet(words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect())
    }

    /// The share of words that two texts have in common, from 0 to 1.
    pub fn likeness(&self, other: &WordSet) -> f64 {
        let (one, other) = (&self.0, &other.0);
        if one.is_empty() || other.is_empty() {
            return 0.0;
        }
        2.0 * one.intersection(other).count() as f64 / (one.len() + other.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_words() {
        for (text, wanted) in [
            ("short", "short"),
            ("the median of sales in north, please", "the median of …"),
            ("the median of s", "the median of s"),
            ("the median of sa", "the median of …"),
            ("the  median\nof x y", "the median of x …"),
            ("ก็ไม่มีเว้นวรรคอยู่เลยนะครับผม", "ก็ไม่มีเว้นวรรค …"),
        ] {
            assert_eq!(beginning(text, 15), wanted);
        }
    }

    #[test]
    fn similarity_is_measured_in_words() {
        let likeness = |one, other| WordSet::of(one).likeness(&WordSet::of(other));
        let asked = "What is the median of sales in north?";
        let near = likeness(asked, r"average of sales in (\w+)");
        assert!(near > likeness(asked, "a chart of the temperatures"), "{near}");
        assert_eq!(likeness("a b", "B A"), 1.0);
        assert_eq!(likeness("", "x"), 0.0);
    }
}
