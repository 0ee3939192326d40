//! Splits documents into chunks of words, as file search stores do.

/// How a document is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunking {
    /// Words of a chunk. At least 1.
    pub words: usize,
    /// Words at the end of a chunk that the next one repeats. Fewer than `words`.
    pub overlap: usize,
}

/// Maximum size of a word in a chunk; a longer one is cut, because text without spaces is one word.
const MAX_WORD_BYTES: usize = 1000;

/// The chunks of a text, each with its spaces and line breaks.
pub fn chunks(text: &str, chunking: Chunking) -> Vec<&str> {
    let words = words(text);
    let step = chunking.words.saturating_sub(chunking.overlap).max(1);
    let mut chunks = Vec::new();
    let mut first = 0;
    while first < words.len() {
        let last = (first + chunking.words.max(1)).min(words.len());
        let (from, to) = (words[first].0, words[last - 1].1);
        chunks.push(&text[from..to]);
        if last == words.len() {
            break;
        }
        first += step;
    }
    chunks
}

/// Where the words begin and end.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut begin: Option<usize> = None;
    for (at, letter) in text.char_indices() {
        match begin {
            Some(from) if letter.is_whitespace() || at - from >= MAX_WORD_BYTES => {
                words.push((from, at));
                begin = (!letter.is_whitespace()).then_some(at);
            }
            None if !letter.is_whitespace() => begin = Some(at),
            _ => {}
        }
    }
    words.extend(begin.map(|from| (from, text.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, words: usize, overlap: usize) -> Vec<&str> {
        chunks(text, Chunking { words, overlap })
    }

    #[test]
    fn chunks_overlap_by_words() {
        assert_eq!(split("a b c d e", 2, 0), ["a b", "c d", "e"]);
        assert_eq!(split("a b c d e", 3, 1), ["a b c", "c d e"]);
        assert_eq!(split(" a\n b ", 3, 1), ["a\n b"]);
        assert_eq!(split("", 3, 1), [""; 0]);
        assert_eq!(split("ä ö ü", 1, 0), ["ä", "ö", "ü"]);
    }

    #[test]
    fn a_text_without_spaces_is_cut() {
        let text = "ä".repeat(1200);
        let chunks = split(&text, 1, 0);
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks.concat(), text);
    }
}
