//! Intended differences, and their reasons.

const BELOW: &str = "a debugger shows the frames below those of the code";

/// A part of the code, and the reason why its result differs in a cell.
const MEANT: &[(&str, &str)] = &[
    ("'-l', '/dev/null'", "system files have no named owner in a cell"),
    ("/bin/kill", "a cell does not have this tool"),
    ("show_versions", "the cell's pip is a stub with its own version"),
    ("PdbTestInput(['w',", BELOW),
    ("'bt', 'list', 'down'", BELOW),
];

/// The reason why this code may have another result in a cell.
pub fn to_differ(code: &str) -> Option<&'static str> {
    MEANT.iter().find(|(word, _)| code.contains(word)).map(|(_, reason)| *reason)
}
