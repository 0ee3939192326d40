//! `belljar validate`: mistakes in scenario files, each with its place and a way out.
//!
//! All of them at once: those of the form, of templates, of Python, of scripts that cannot end well, and
//! of scenarios that stand in each other's way.

mod files;
mod parts;
mod python;
mod scenarios;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::backend::scripted::{self, Place, Scenario};
use crate::yaml::Node;
use python::Python;

/// How files are looked at.
#[derive(Debug, Default)]
pub struct Validate {
    /// The Python of the sandbox, where it is installed.
    pub python: Option<PathBuf>,
    /// Whether what is found is written as JSON.
    pub json: bool,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq)]
struct Mistake {
    place: Place,
    /// In a word, for those who read JSON.
    kind: &'static str,
    scenario: Option<String>,
    message: String,
    hint: Option<String>,
}

/// A file, and all that is known of it.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each value stands; nothing where it is no YAML.
    tree: Option<Node>,
    /// Those without a mistake in their form.
    scenarios: Vec<Scenario>,
    /// Which ones of the file these are, from 0 on.
    numbers: Vec<usize>,
    mistakes: Vec<Mistake>,
}

/// Reads files, and all scenario files of folders, and says what is in them. Whether all are right.
/// Python is not looked at.
pub fn check(paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(files_of(path));
    }
    look_at(&mut files);
    tell(&files, to)?;
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
            Some(None) => Some("code was not checked: there is no Python here".to_owned()),
            Some(Some(python)) => python.check(&mut files),
        };
        for file in &mut files {
            file.mistakes.sort_by_key(|it| (it.place.line(), it.place.column()));
        }
        if self.json {
            let all: Vec<Value> = files.iter().flat_map(File::json).collect();
            writeln!(
                to,
                "{}",
                serde_json::to_string_pretty(&json!({"mistakes": all, "note": note}))?
            )?;
        } else {
            tell(&files, to)?;
            if let Some(note) = note {
                writeln!(to, "note: {note}")?;
            }
        }
        Ok(files.iter().all(|file| file.mistakes.is_empty()))
    }
}

/// A file, or those of a folder, in the order in which they are tried.
fn files_of(path: &Path) -> Vec<File> {
    let files = if path.is_dir() { scripted::files(path) } else { Ok(vec![path.to_owned()]) };
    let mut files = match files {
        Ok(files) => files,
        Err(error) => return vec![File::unreadable(path, error.to_string())],
    };
    files.sort();
    if files.is_empty() {
        let why = format!("{}: no scenario files (*.yaml, *.yml, *.json)", path.display());
        return vec![File::unreadable(path, why)];
    }
    files.into_iter().map(|file| File::read(&file)).collect()
}

fn look_at(files: &mut [File]) {
    for file in files.iter_mut() {
        parts::check(file);
        scenarios::check(file);
    }
    scenarios::check_together(files);
    for file in files {
        file.mistakes.sort_by_key(|it| (it.place.line(), it.place.column()));
    }
}

fn tell(files: &[File], to: &mut impl Write) -> anyhow::Result<()> {
    for file in files {
        for mistake in &file.mistakes {
            writeln!(to, "{}", file.told(mistake))?;
        }
        match (file.mistakes.is_empty(), file.scenarios.len()) {
            (false, _) => {}
            (true, 1) => writeln!(to, "{}: 1 scenario", file.path.display())?,
            (true, count) => writeln!(to, "{}: {count} scenarios", file.path.display())?,
        }
    }
    Ok(())
}

impl File {
    fn told(&self, mistake: &Mistake) -> String {
        let Mistake { place, scenario, message, hint, .. } = mistake;
        if place.line().is_none() && self.text.is_empty() {
            return message.clone();
        }
        let scenario = scenario.as_ref().map(|name| format!("scenario `{name}`: "));
        let scenario = scenario.unwrap_or_default();
        format!("{}:{place}{scenario}{message}", self.path.display())
            + &scripted::frame(&self.text, *place, hint.as_deref())
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
