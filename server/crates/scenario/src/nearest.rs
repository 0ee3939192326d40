//! Which known name a misspelt one probably means.

use strsim::damerau_levenshtein;

/// Maximum edit distance between a written name and a suggestion.
const TYPOS: usize = 2;

/// The known name that was probably meant.
pub fn nearest<'n>(written: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = known.map(|name| (damerau_levenshtein(written, name), name));
    let near = near.filter(|(distance, name)| *distance <= TYPOS && *distance < name.len());
    near.min().map(|(_, name)| name)
}
