//! `belljar validate`: reports all errors in scenario files, each with its position and a hint.
//!
//! All are reported at once: format, templates, Python, scripts that cannot end properly, and
//! scenarios that shadow each other.

mod files;
mod parts;
mod python;
mod scenarios;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use parse::yaml::YamlNode;
use python::Python;
use scenario::{Position, Scenario};

/// Options of the check.
#[derive(Debug, Default)]
pub struct Validate {
    /// The sandbox's Python, if it is installed.
    pub python: Option<PathBuf>,
    /// Whether the result is written as JSON.
    pub json: bool,
}

/// An error in a scenario file.
#[derive(Debug, Clone, PartialEq)]
struct Mistake {
    place: Position,
    /// The category of the error, for the JSON output.
    kind: &'static str,
    scenario: Option<String>,
    message: String,
    hint: Option<String>,
}

/// A file with its scenarios and errors.
#[derive(Debug)]
struct CheckedFile {
    path: PathBuf,
    text: String,
    /// The YAML nodes with their positions; none if the file is not YAML.
    tree: Option<YamlNode>,
    /// Scenarios without format errors.
    scenarios: Vec<Scenario>,
    /// Their numbers in the file, starting with 0.
    numbers: Vec<usize>,
    mistakes: Vec<Mistake>,
}

/// Reads files, and all scenario files of folders, and reports their contents. Returns whether all
/// are valid. Python is not checked.
pub fn check(paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(files_of(path));
    }
    look_at(&mut files);
    report(&files, to)?;
    Ok(files.iter().all(|file| file.mistakes.is_empty()))
}

impl Validate {
    /// The same, with Python.
    pub fn check(&self, paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
        let mut files = Vec::new();
        for path in paths {
            files.extend(files_of(path));
        }
        look_at(&mut files);
        let codes = files.iter().any(|file| !parts::codes(file).is_empty());
        let python = codes.then(|| Python::find(self.python.as_deref()));
        let note = match &python {
            None => None,
            Some(None) => Some("code was not checked: no Python found".to_owned()),
            Some(Some(python)) => python.check(&mut files),
        };
        for file in &mut files {
            file.mistakes.sort_by_key(|it| (it.place.line(), it.place.column()));
        }
        if self.json {
            let all: Vec<Value> = files.iter().flat_map(CheckedFile::json).collect();
            writeln!(
                to,
                "{}",
                serde_json::to_string_pretty(&json!({"mistakes": all, "note": note}))?
            )?;
        } else {
            report(&files, to)?;
            if let Some(note) = note {
                writeln!(to, "note: {note}")?;
            }
        }
        Ok(files.iter().all(|file| file.mistakes.is_empty()))
    }
}

/// A file, or the files of a folder in matching order.
fn files_of(path: &Path) -> Vec<CheckedFile> {
    let files = if path.is_dir() { scenario::files(path) } else { Ok(vec![path.to_owned()]) };
    let mut files = match files {
        Ok(files) => files,
        Err(error) => return vec![CheckedFile::unreadable(path, error.to_string())],
    };
    files.sort();
    if files.is_empty() {
        let why = format!("{}: no scenario files (*.yaml, *.yml, *.json)", path.display());
        return vec![CheckedFile::unreadable(path, why)];
    }
    files.into_iter().map(|file| CheckedFile::read(&file)).collect()
}

fn look_at(files: &mut [CheckedFile]) {
    for file in files.iter_mut() {
        parts::check(file);
        scenarios::check(file);
    }
    scenarios::check_together(files);
    for file in files {
        file.mistakes.sort_by_key(|it| (it.place.line(), it.place.column()));
    }
}

fn report(files: &[CheckedFile], to: &mut impl Write) -> anyhow::Result<()> {
    for file in files {
        for mistake in &file.mistakes {
            writeln!(to, "{}", file.describe(mistake))?;
        }
        match (file.mistakes.is_empty(), file.scenarios.len()) {
            (false, _) => {}
            (true, 1) => writeln!(to, "{}: 1 scenario", file.path.display())?,
            (true, count) => writeln!(to, "{}: {count} scenarios", file.path.display())?,
        }
    }
    Ok(())
}

impl CheckedFile {
    fn describe(&self, mistake: &Mistake) -> String {
        let Mistake { place, scenario, message, hint, .. } = mistake;
        if place.line().is_none() && self.text.is_empty() {
            return message.clone();
        }
        let scenario = scenario.as_ref().map(|name| format!("scenario `{name}`: "));
        let scenario = scenario.unwrap_or_default();
        format!("{}:{place}{scenario}{message}", self.path.display())
            + &scenario::frame(&self.text, *place, hint.as_deref())
    }

    fn json(&self) -> impl Iterator<Item = Value> {
        self.mistakes.iter().map(|mistake| {
            json!({
                "file": self.path.to_string_lossy(),
                "line": mistake.place.line(),
                "column": mistake.place.column(),
                "kind": mistake.kind,
                "scenario": mistake.scenario,
                "message": mistake.message,
                "hint": mistake.hint,
            })
        })
    }
}
