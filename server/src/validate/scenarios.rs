//! Checks of whole scenarios: scripts that cannot end properly, and scenarios that shadow each
//! other.

use std::collections::HashMap;
use std::path::Path;

use super::{CheckedFile, Mistake};
use parse::yaml::YamlNode;
use scenario::{Part, Position, Scenario};

/// Maximum number of scenarios in a folder that are compared with each other.
const MAX_COMPARED: usize = 2000;

/// Reports scripts whose last part is code.
pub fn check(file: &mut CheckedFile) {
    let ends = |(number, scenario): (usize, &Scenario)| {
        ends_in_code(&scenario.script).then(|| Mistake {
            place: place(file, number),
            kind: "ends_in_code",
            scenario: Some(scenario.name.clone()),
            message: "the script ends with code, and the model is called again after its result"
                .to_owned(),
            hint: Some("add a part after it, such as `text: \"{{ stdout }}\"`".to_owned()),
        })
    };
    let found: Vec<Mistake> = file.scenarios.iter().enumerate().filter_map(ends).collect();
    file.mistakes.extend(found);
}

/// Whether nothing follows some code. Repeated code may fail forever, so parts after it may never
/// run.
fn ends_in_code(script: &[Part]) -> bool {
    match script.iter().rev().find(|part| !matches!(part, Part::Expect(_))) {
        Some(Part::Code(_)) => true,
        Some(Part::IfError(parts) | Part::IfOk(parts)) => ends_in_code(parts),
        _ => false,
    }
}

/// Duplicate names, and scenarios that never answer, among the files of one folder.
pub fn check_together(files: &mut [CheckedFile]) {
    let mut folders: HashMap<&Path, Vec<(usize, usize)>> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        let numbers = (0..file.scenarios.len()).map(|number| (at, number));
        folders.entry(folder).or_default().extend(numbers);
    }
    let mut found: Vec<(usize, Mistake)> = Vec::new();
    for all in folders.values_mut() {
        // In matching order.
        all.sort_by_key(|(at, number)| (&files[*at].path, *number));
        all.dedup_by_key(|(at, number)| (&files[*at].path, *number));
        found.extend(twice(files, all));
        found.extend(shadowed(files, all));
    }
    for (at, mistake) in found {
        files[at].mistakes.push(mistake);
    }
}

fn twice(files: &[CheckedFile], all: &[(usize, usize)]) -> Vec<(usize, Mistake)> {
    let mut first: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut found = Vec::new();
    for &(at, number) in all {
        let scenario = &files[at].scenarios[number];
        if let Some(&earlier) = first.get(scenario.name.as_str()) {
            let message = format!("duplicate name, already used in {}", describe(files, earlier));
            let hint = "journal, errors and counts identify scenarios by their names".to_owned();
            found.push((at, mistake(files, at, number, "duplicate_name", message, hint)));
        } else {
            first.insert(&scenario.name, (at, number));
        }
    }
    found
}

fn shadowed(files: &[CheckedFile], all: &[(usize, usize)]) -> Vec<(usize, Mistake)> {
    let all = &all[..all.len().min(MAX_COMPARED)];
    let mut found = Vec::new();
    for (later, &(at, number)) in all.iter().enumerate() {
        let scenario = &files[at].scenarios[number];
        let earlier = all[..later]
            .iter()
            .find(|(at, number)| scenario::shadows(&files[*at].scenarios[*number], scenario));
        if let Some(&earlier) = earlier {
            let message = format!(
                "it never answers: whenever its conditions hold, so do those of {}",
                describe(files, earlier)
            );
            let hint = "put the one with more conditions first".to_owned();
            found.push((at, mistake(files, at, number, "shadowed", message, hint)));
        }
    }
    found
}

fn mistake(
    files: &[CheckedFile],
    at: usize,
    number: usize,
    kind: &'static str,
    message: String,
    hint: String,
) -> Mistake {
    let scenario = Some(files[at].scenarios[number].name.clone());
    Mistake { place: place(&files[at], number), kind, scenario, message, hint: Some(hint) }
}

/// `chart` (a.yaml:7)
fn describe(files: &[CheckedFile], (at, number): (usize, usize)) -> String {
    let file = &files[at];
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let line = place(file, number).line().map(|line| format!(":{line}")).unwrap_or_default();
    format!("`{}` ({name}{line})", file.scenarios[number].name)
}

fn place(file: &CheckedFile, number: usize) -> Position {
    let scenarios = file.tree.as_ref().and_then(|tree| tree.get("scenarios"));
    let scenario =
        scenarios.and_then(|scenarios| scenarios.items().get(*file.numbers.get(number)?));
    let name = scenario.map(|scenario| scenario.get("name").unwrap_or(scenario));
    name.map_or(Position::nowhere(), |YamlNode { line, column, .. }| Position::at(*line, *column))
}
