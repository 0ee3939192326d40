//! What is meant to differ, and why.

/// A word of the code, and the reason why a cell answers differently.
const MEANT: &[(&str, &str)] = &[
    ("'-l', '/dev/null'", "files of the system belong to nobody who has a name in a cell"),
    ("/bin/kill", "a cell has a few tools, and this is none of them"),
];

/// The reason for which this code may do something else in a cell.
pub fn to_differ(code: &str) -> Option<&'static str> {
    MEANT.iter().find(|(word, _)| code.contains(word)).map(|(_, reason)| *reason)
}
