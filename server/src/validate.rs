//! `belljar validate`: mistakes in scenario files, each with its place and a way out.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::backend::scripted::{self, ScenarioError};

/// Reads files, and all scenario files of folders, and says what is in them. Whether all are right.
pub fn check(paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
    let mut well = true;
    for path in paths {
        let files = if path.is_dir() { scripted::files(path) } else { Ok(vec![path.clone()]) };
        let mut files = match files {
            Ok(files) => files,
            Err(error) => {
                well = false;
                writeln!(to, "{error}")?;
                continue;
            }
        };
        files.sort();
        if files.is_empty() {
            well = false;
            writeln!(to, "{}: no scenario files (*.yaml, *.yml, *.json)", path.display())?;
        }
        for file in files {
            match count(&file) {
                Ok(1) => writeln!(to, "{}: 1 scenario", file.display())?,
                Ok(count) => writeln!(to, "{}: {count} scenarios", file.display())?,
                Err(explained) => {
                    well = false;
                    writeln!(to, "{explained}")?;
                }
            }
        }
    }
    Ok(well)
}

/// How many scenarios are in a file, or what is wrong with it.
fn count(file: &Path) -> Result<usize, String> {
    let text = scripted::text(file).map_err(|error: ScenarioError| error.to_string())?;
    let scenarios = scripted::parse(file, &text).map_err(|error| error.explained(&text))?;
    Ok(scenarios.len())
}
