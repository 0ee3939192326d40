//! What is meant to differ, and why.

const BELOW: &str = "a debugger tells whose frames lie below those of the code";

/// A word of the code, and the reason why a cell answers differently.
const MEANT: &[(&str, &str)] = &[
    ("'-l', '/dev/null'", "files of the system belong to nobody who has a name in a cell"),
    ("/bin/kill", "a cell has a few tools, and this is none of them"),
    ("show_versions", "what answers to pip is our own, and has a version of its own"),
    ("PdbTestInput(['w',", BELOW),
    ("'bt', 'list', 'down'", BELOW),
];

/// The reason for which this code may do something else in a cell.
pub fn to_differ(code: &str) -> Option<&'static str> {
    MEANT.iter().find(|(word, _)| code.contains(word)).map(|(_, reason)| *reason)
}
