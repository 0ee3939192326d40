//! Patterns of model names, such as `gemini-*`.

use globset::{Glob, GlobMatcher};

/// Model names are shorter.
const MAX_BYTES: usize = 256;
/// `{a,{b,c}}` has two. The compiler recurses for each.
const MAX_DEPTH: usize = 8;

/// Why a pattern is invalid.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    #[error("invalid model name pattern: more than {MAX_BYTES} bytes")]
    TooLong,
    #[error("invalid model name pattern: more than {MAX_DEPTH} braces `{{`")]
    TooDeep,
    #[error(transparent)]
    Invalid(#[from] globset::Error),
}

pub fn parse(pattern: &str) -> Result<Glob, GlobError> {
    if pattern.len() > MAX_BYTES {
        return Err(GlobError::TooLong);
    }
    // Counts escaped braces and those in a class too.
    if pattern.matches('{').count() > MAX_DEPTH {
        return Err(GlobError::TooDeep);
    }
    Ok(Glob::new(pattern)?)
}

/// Compiles the pattern for matching.
pub fn matcher(pattern: &str) -> Result<GlobMatcher, GlobError> {
    parse(pattern).map(|glob| glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded_before_they_are_compiled() {
        assert!(matcher("gemini-{2.5,3}-*").expect("it is a pattern").is_match("gemini-3-flash"));
        for depth in [9, 300, 60_000] {
            let nested = "{".repeat(depth) + "a" + &"}".repeat(depth);
            assert!(matcher(&nested).is_err(), "{depth}");
        }
        assert!(matcher(&"*a".repeat(129)).is_err());
        assert!(matcher(&"*a".repeat(128)).is_ok());
        assert!(matcher(&("{a,".repeat(8) + &"}".repeat(8))).is_ok());
    }
}
