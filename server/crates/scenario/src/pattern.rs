//! Regular expressions with limits of memory, number and time.
//!
//! The time of a search is proportional to the length of the text and to the size of the pattern, and a
//! search cannot be interrupted. So long texts are searched only with small patterns.

use std::cell::Cell;

use regex::{Regex, RegexBuilder};

/// Sizes of compiled patterns in bytes, and for how long a text each may search. A search takes at most
/// about six seconds, an ordinary one a thousandth of it.
const SIZES: [(usize, usize); 3] =
    [(16 << 10, 4 << 20), (64 << 10, 1 << 20), (256 << 10, 256 << 10)];

thread_local! {
    /// Number of patterns that this thread may still compile.
    static PATTERNS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub regex: Regex,
    /// Maximum length of a text that it may search, in bytes.
    pub max_text_bytes: usize,
}

impl Pattern {
    /// Compiles a pattern, and takes it from the limit of [`with_patterns`].
    pub fn compile(pattern: &str) -> Result<Pattern, String> {
        count_pattern()?;
        let [_, _, (largest, _)] = SIZES;
        let built = |size: usize| {
            RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(largest).build()
        };
        let mut error = String::new();
        for (size, max_text_bytes) in SIZES {
            match built(size) {
                Ok(regex) => return Ok(Pattern { regex, max_text_bytes }),
                Err(why) => error = why.to_string(),
            }
        }
        Err(error)
    }
}

/// Runs `work` with a limit on the patterns that it compiles on this thread. The pattern after the
/// last is an error, so that a file with too many is refused before all of them are in memory.
pub fn with_patterns<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = PATTERNS_LEFT.replace(most);
    let done = work();
    PATTERNS_LEFT.set(before);
    done
}

/// Takes one pattern from the limit of [`with_patterns`].
pub fn count_pattern() -> Result<(), String> {
    let left = PATTERNS_LEFT.get().checked_sub(1).ok_or("there are too many patterns")?;
    PATTERNS_LEFT.set(left);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_pattern_searches_shorter_texts() {
        let most = |pattern: &str| Pattern::compile(pattern).map(|pattern| pattern.max_text_bytes);
        assert_eq!(most(r"sum of (the )?first [0-9]+"), Ok(4 << 20));
        assert_eq!(most("[ab]{900}c"), Ok(1 << 20));
        assert_eq!(most("[ab]*a[ab]{900}b[ab]{900}c"), Ok(256 << 10));
        assert!(most(r"\w{200}{200}").expect_err("it is too large").contains("size limit"));
    }
}
