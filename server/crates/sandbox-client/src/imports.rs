//! Finds the imports in code by a scan of its lines, as a hint for the choice of an interpreter
//! that has them loaded.

/// Only this much of the code is scanned; imports usually come first.
const LOOKED_AT_BYTES: usize = 64 << 10;
/// Maximum number of packages; more do not help the choice.
const MOST: usize = 64;
/// Longer names are ignored.
const NAME_BYTES: usize = 64;

/// The imported top-level packages, without duplicates: `["numpy", "matplotlib"]`. A line of a
/// string that looks like an import counts too.
pub fn of(code: &str) -> Vec<String> {
    let start = code.floor_char_boundary(LOOKED_AT_BYTES);
    let mut found: Vec<String> = Vec::new();
    for statement in code[..start].lines().flat_map(|line| line.split(';')) {
        for name in named(statement.trim()) {
            if found.len() < MOST && !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

/// The packages of one statement.
fn named(statement: &str) -> impl Iterator<Item = &str> {
    let (modules, most) = match statement.split_once(char::is_whitespace) {
        Some(("import", modules)) => (modules, usize::MAX),
        Some(("from", modules)) => (modules, 1), // the rest are names from the module
        _ => ("", 0),
    };
    modules.split(',').take(most).filter_map(package)
}

/// `scipy` of `scipy.stats as st`.
fn package(module: &str) -> Option<&str> {
    let path = module.split_whitespace().next()?;
    let package = path.split('.').next()?;
    let is_name = !package.is_empty()
        && package.len() <= NAME_BYTES
        && package.chars().all(|one| one.is_alphanumeric() || one == '_');
    is_name.then_some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_wherever_they_are_imported() {
        for (code, wanted) in [
            ("print(1)", &[][..]),
            ("import numpy as np, scipy.stats\nimport numpy", &["numpy", "scipy"]),
            ("from matplotlib import pyplot, cm", &["matplotlib"]),
            ("from matplotlib.pyplot import (\n    plot,\n)", &["matplotlib"]),
            ("def f():\n\timport pandas  # later\nimport os; import sys", &["pandas", "os", "sys"]),
            ("from . import x\nfrom .y import z\nimportant = 1\nimport", &[]),
            ("import caf\u{e9}", &["caf\u{e9}"]),
        ] {
            assert_eq!(of(code), wanted, "{code}");
        }
    }

    #[test]
    fn the_scan_of_long_code_is_bounded() {
        let many: String = (0..10_000).map(|n| format!("import module{n}\n")).collect();
        assert_eq!(of(&many).len(), MOST);
        let far = format!("{}\nimport numpy", "\u{e9}".repeat(LOOKED_AT_BYTES));
        assert_eq!(of(&far), [""; 0]);
        assert_eq!(of(&format!("import {}", "a".repeat(NAME_BYTES + 1))), [""; 0]);
    }
}
