//! The model names that the server lists.

use globset::{GlobSet, GlobSetBuilder};

use parse::glob::{self, GlobError};

/// Names of Gemini models that are listed if a configured pattern matches: clients offer such a
/// list to their users.
const GEMINIS: &[&str] = &[
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-3-flash-preview",
    "gemini-3.1-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash",
    "gemini-3.6-flash",
    "gemini-3.7-flash",
    "gemini-3.8-flash",
    "gemini-embedding-001",
    "gemini-embedding-2",
    "gemini-flash-latest",
    "gemini-flash-lite-latest",
    "gemini-pro-latest",
];

/// The names that a backend answers for.
#[derive(Debug, Clone, Default)]
pub struct ModelCatalog {
    patterns: GlobSet,
    /// In alphabetical order.
    names: Vec<String>,
}

impl ModelCatalog {
    /// Builds the catalog from names and glob patterns. Fails for an invalid pattern.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<ModelCatalog, GlobError> {
        let mut globs = GlobSetBuilder::new();
        let mut names: Vec<String> = GEMINIS.iter().map(|name| (*name).to_owned()).collect();
        for pattern in patterns {
            globs.add(glob::parse(pattern)?);
            if !pattern.contains(['*', '?', '[', '{', '\\']) {
                names.push(pattern.to_owned());
            }
        }
        let patterns = globs.build()?;
        names.retain(|name| patterns.is_match(name));
        names.sort();
        names.dedup();
        Ok(ModelCatalog { patterns, names })
    }

    /// Whether a backend answers for this name, listed or not.
    pub fn has(&self, name: &str) -> bool {
        self.patterns.is_match(name)
    }

    /// The listed names.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_and_globs_are_not() {
        let catalog =
            ModelCatalog::new(["direct", "qwen*", "gemini-2.5-*"]).expect("they are globs");
        assert_eq!(
            catalog.names(),
            ["direct", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"]
        );
        assert!(catalog.has("qwen3:8b"));
        assert!(!catalog.has("gemini-3-flash-preview"));
        assert!(ModelCatalog::new(["["]).is_err());
    }
}
