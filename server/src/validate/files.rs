//! Reads a file and reports all its format errors, where a parser stops at the first.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{CheckedFile, Mistake};
use parse::yaml::YamlNode;
use scenario::{Part, Position, Scenario, ScenarioError, When};

/// Maximum number of scenarios that are parsed one by one if the file as a whole is invalid.
const MAX_SINGLE: usize = 200;

impl CheckedFile {
    pub fn read(path: &Path) -> CheckedFile {
        let text = match scenario::text(path) {
            Ok(text) => text,
            Err(error) => return CheckedFile::unreadable(path, error.to_string()),
        };
        let tree = YamlNode::parse(&text);
        let (right, mistakes) = match scenario::parse(path, &text) {
            Ok(scenarios) => (scenarios.into_iter().enumerate().collect(), Vec::new()),
            Err(error) => all(path, &text, tree.as_ref(), &error),
        };
        let (numbers, scenarios) = right.into_iter().unzip();
        CheckedFile { path: path.to_owned(), text, tree, scenarios, numbers, mistakes }
    }

    pub fn unreadable(path: &Path, message: String) -> CheckedFile {
        let (place, kind) = (Position::nowhere(), "unreadable");
        let mistake = Mistake { place, kind, scenario: None, message, hint: None };
        let (text, tree, scenarios, numbers) = Default::default();
        CheckedFile {
            path: path.to_owned(),
            text,
            tree,
            scenarios,
            numbers,
            mistakes: vec![mistake],
        }
    }
}

/// Parses each scenario alone, and each part of the invalid ones. Returns the valid scenarios with
/// their numbers, and the errors of the others.
fn all(
    path: &Path,
    text: &str,
    tree: Option<&YamlNode>,
    whole: &ScenarioError,
) -> (Vec<(usize, Scenario)>, Vec<Mistake>) {
    let (mut right, mut mistakes) = (Vec::new(), Vec::new());
    let scenarios = tree.filter(|tree| !tree.has_aliases()).and_then(|tree| tree.get("scenarios"));
    let scenarios = scenarios.map(YamlNode::items).unwrap_or_default().iter().enumerate();
    for (number, scenario) in scenarios.take(MAX_SINGLE) {
        let mistake = match single::<Scenario>(path, text, scenario) {
            Ok(scenario) => {
                right.push((number, scenario));
                continue;
            }
            Err(None) => continue,
            Err(Some(mistake)) => mistake,
        };
        let before = mistakes.len();
        if let Some(when) = scenario.get("when") {
            mistakes.extend(single::<When>(path, text, when).err().flatten());
        }
        for part in scenario.get("script").map(YamlNode::items).unwrap_or_default() {
            mistakes.extend(single::<Part>(path, text, part).err().flatten());
        }
        // Errors of the scenario itself, or of the order of its parts.
        let is_reported = |reported: &Mistake| {
            reported.place == mistake.place || mistake.message.contains(reported.message.as_str())
        };
        if !mistakes[before..].iter().any(is_reported) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() {
        mistakes.extend(mistake(text, whole));
    }
    (right, mistakes)
}

/// Parses one value at its position in the file, or returns its error.
fn single<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    node: &YamlNode,
) -> Result<T, Option<Mistake>> {
    scenario::parse_value::<T>(path, &node.alone(text)).map_err(|error| {
        let mut mistake = mistake(text, &error)?;
        // The parser does not know the position of a value without anything around it.
        if mistake.place.line().is_none() {
            mistake.place = Position::at(node.line, node.column);
        }
        Some(mistake)
    })
}

fn mistake(text: &str, error: &ScenarioError) -> Option<Mistake> {
    let ScenarioError::Invalid { place, message, .. } = error else { return None };
    let (message, hint) = (message.clone(), error.hint(text));
    Some(Mistake { place: *place, kind: "form", scenario: None, message, hint })
}
