//! Reading a file: all mistakes in its form, where a parser stops at the first.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{File, Mistake};
use crate::backend::scripted::{self, Part, Place, Scenario, ScenarioError, When};
use crate::yaml::Node;

/// Scenarios of one file that are read one by one, where the file cannot be read as a whole.
const MAX_SINGLE: usize = 200;

impl File {
    pub fn read(path: &Path) -> File {
        let text = match scripted::text(path) {
            Ok(text) => text,
            Err(error) => return File::unreadable(path, error.to_string()),
        };
        let tree = Node::parse(&text);
        let (scenarios, mistakes) = match scripted::parse(path, &text) {
            Ok(scenarios) => (scenarios, Vec::new()),
            Err(error) => (Vec::new(), all(path, &text, tree.as_ref(), &error)),
        };
        File { path: path.to_owned(), text, tree, scenarios, mistakes }
    }

    pub fn unreadable(path: &Path, message: String) -> File {
        let (place, kind) = (Place::nowhere(), "unreadable");
        let mistake = Mistake { place, kind, scenario: None, message, hint: None };
        let (text, tree, scenarios) = Default::default();
        File { path: path.to_owned(), text, tree, scenarios, mistakes: vec![mistake] }
    }
}

/// Each scenario is read alone, and each part of those that cannot be read.
fn all(path: &Path, text: &str, tree: Option<&Node>, whole: &ScenarioError) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let scenarios = tree.filter(|tree| !tree.has_aliases()).and_then(|tree| tree.get("scenarios"));
    for scenario in scenarios.map(Node::items).unwrap_or_default().iter().take(MAX_SINGLE) {
        let Some(mistake) = single::<Scenario>(path, text, scenario) else { continue };
        let before = mistakes.len();
        if let Some(when) = scenario.get("when") {
            mistakes.extend(single::<When>(path, text, when));
        }
        for part in scenario.get("script").map(Node::items).unwrap_or_default() {
            mistakes.extend(single::<Part>(path, text, part));
        }
        // What is wrong with the scenario itself, or with the order of its parts.
        let is_told = |told: &Mistake| {
            told.place == mistake.place || mistake.message.contains(told.message.as_str())
        };
        if !mistakes[before..].iter().any(is_told) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() {
        mistakes.extend(mistake(text, whole));
    }
    mistakes
}

/// What is wrong with one value, read where it stands in the file.
fn single<T: DeserializeOwned>(path: &Path, text: &str, node: &Node) -> Option<Mistake> {
    let mut mistake = mistake(text, &scripted::parse_value::<T>(path, &node.alone(text)).err()?)?;
    // The parser does not know where a value begins that has nothing around it.
    if mistake.place.line().is_none() {
        mistake.place = Place::at(node.line, node.column);
    }
    Some(mistake)
}

fn mistake(text: &str, error: &ScenarioError) -> Option<Mistake> {
    let ScenarioError::Invalid { place, message, .. } = error else { return None };
    let (message, hint) = (message.clone(), error.hint(text));
    Some(Mistake { place: *place, kind: "form", scenario: None, message, hint })
}
