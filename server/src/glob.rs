//! Patterns of model names, such as `gemini-*`.

use globset::{Glob, GlobMatcher};

/// Names of models are shorter.
const MAX_BYTES: usize = 256;
/// `{a,{b,c}}` is two. The compiler takes stack for each.
const MAX_DEPTH: usize = 8;

/// What is wrong with a pattern.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    #[error("a pattern of model names has {MAX_BYTES} bytes at most")]
    TooLong,
    #[error("a pattern of model names has {MAX_DEPTH} braces `{{` at most")]
    TooDeep,
    #[error(transparent)]
    Invalid(#[from] globset::Error),
}

pub fn parse(pattern: &str) -> Result<Glob, GlobError> {
    if pattern.len() > MAX_BYTES {
        return Err(GlobError::TooLong);
    }
    // Braces that are escaped or in a class count too.
    if pattern.matches('{').count() > MAX_DEPTH {
        return Err(GlobError::TooDeep);
    }
    Ok(Glob::new(pattern)?)
}

/// The same, ready to be compared with names.
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
