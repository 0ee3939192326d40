//! `belljar verify`: replays the scripts of scenarios, runs their code again, and compares the
//! results with the recorded ones. This shows the changes that a library upgrade causes.

mod update;

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use similar::{ChangeTag, TextDiff};

use crate::engine::Rerun;
use domain::interaction::{CodeResult, Limits, Step};
use recording::same_picture;
use redaction::Secrets;
use sandbox_client::{RunOutput, Sandbox, SandboxError};
use scenario::{DryRun, Expect, Scenario};
use update::Accepted;

/// Maximum number of displayed lines of one run's differences.
const MAX_LINES: usize = 200;
/// Context lines around a difference.
const CONTEXT: usize = 2;

/// Runs the code of scenarios again.
#[derive(Debug)]
pub struct Verifier<'v> {
    pub sandbox: &'v Sandbox,
    pub limits: Limits,
    /// Secrets that are removed from the new results, as from the recorded ones.
    pub secrets: Secrets,
    pub changes: Changes,
}

/// How runs with a different result are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// They are shown and count as failures.
    Refuse,
    /// They are shown, and the files are updated.
    Accept,
}

/// The totals of a check.
#[derive(Debug, Default)]
struct Totals {
    same: usize,
    changed: usize,
    /// Runs without an expected result.
    open: usize,
    /// Files, scenarios and pictures that cannot be used.
    broken: usize,
    /// Changed runs whose new results were accepted.
    updated: usize,
    /// Accepted results of the current file that are not written yet.
    accepted: Vec<Accepted>,
    /// Number of the current scenario in its file.
    scenario: usize,
}

/// Why a scenario did not run to its end.
enum Ended {
    /// Its script does not fit the new results.
    Script(String),
    Failed(anyhow::Error),
}

impl From<SandboxError> for Ended {
    fn from(error: SandboxError) -> Ended {
        Ended::Failed(error.into())
    }
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Ended {
        Ended::Failed(error)
    }
}

impl Verifier<'_> {
    /// Checks files and all scenario files of folders. Returns whether all results are unchanged.
    pub async fn check(&self, paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
        let mut tally = Totals::default();
        for path in paths {
            let files = if path.is_dir() { scenario::files(path) } else { Ok(vec![path.clone()]) };
            let mut files = match files {
                Ok(files) => files,
                Err(error) => {
                    tally.broken += 1;
                    writeln!(to, "{error}")?;
                    continue;
                }
            };
            files.sort();
            if files.is_empty() {
                tally.broken += 1;
                writeln!(to, "{}: no scenario files (*.yaml, *.yml, *.json)", path.display())?;
            }
            for file in files {
                self.file(&file, &mut tally, to).await?;
            }
        }
        let Totals { same, changed, open, broken, updated, .. } = tally;
        write!(to, "{same} runs unchanged, {changed} changed, {open} without an expected result")?;
        match self.changes {
            Changes::Refuse => writeln!(to)?,
            Changes::Accept => writeln!(to, ", {updated} updated")?,
        }
        Ok(changed == 0 && broken == 0)
    }

    async fn file(
        &self,
        file: &Path,
        tally: &mut Totals,
        to: &mut impl Write,
    ) -> anyhow::Result<()> {
        let scenarios = match read(file) {
            Ok(scenarios) => scenarios,
            Err(why) => {
                tally.broken += 1;
                return Ok(writeln!(to, "{why}")?);
            }
        };
        let with_code = scenarios.iter().enumerate().filter(|(_, scenario)| scenario.has_code());
        for (number, scenario) in with_code {
            writeln!(to, "{}: {}", file.display(), scenario.name)?;
            tally.scenario = number;
            self.scenario(scenario, file, tally, to).await?;
        }
        let accepted = std::mem::take(&mut tally.accepted);
        if accepted.is_empty() {
            return Ok(());
        }
        match update::write(file, &accepted) {
            Ok(()) => {
                tally.updated += accepted.len();
                writeln!(to, "{}: updated", file.display())?;
            }
            Err(why) => {
                tally.changed += accepted.len();
                writeln!(to, "{}: not updated: {why}", file.display())?;
            }
        }
        Ok(())
    }

    async fn scenario(
        &self,
        scenario: &Scenario,
        file: &Path,
        tally: &mut Totals,
        to: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for given in scenario.given() {
            match beside(file, &given.file) {
                Ok(content) => files.push((given.name.clone(), content)),
                Err(why) => {
                    tally.broken += 1;
                    return Ok(writeln!(to, "  {why}")?);
                }
            }
        }
        let sizes: Vec<u64> = files.iter().map(|(_, content)| content.len() as u64).collect();
        let script = DryRun::of(scenario, &sizes);
        let next = |steps: &[Step], may_run_code| {
            let next = script.next(steps, may_run_code).map_err(Ended::Script)?;
            Ok(next.map(|next| (next.code, next.expect)))
        };
        let mut run = 0;
        let ran = |expect: Option<Expect>, result: &CodeResult, output: &RunOutput| {
            run += 1;
            Ok(self.compare(run, expect.as_ref(), result, output, file, tally, to)?)
        };
        let rerun = Rerun::new(self.sandbox, &self.secrets, files);
        match rerun.run(script.steps(), self.limits, next, ran).await {
            Ok(()) => Ok(()),
            Err(Ended::Script(why)) => {
                tally.changed += 1;
                Ok(writeln!(to, "  the script cannot continue: {why}")?)
            }
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is about one run")]
    fn compare(
        &self,
        run: usize,
        expect: Option<&Expect>,
        result: &CodeResult,
        output: &RunOutput,
        file: &Path,
        tally: &mut Totals,
        to: &mut impl Write,
    ) -> anyhow::Result<()> {
        let Some(expect) = expect else {
            tally.open += 1;
            return Ok(writeln!(to, "  run {run}: no expected result")?);
        };
        let mut changes = Vec::new();
        let word = |is_error: bool| if is_error { "an error" } else { "no error" };
        let is_error = result.outcome.is_error();
        if expect.is_error != is_error {
            changes.push(format!("expected {}, got {}", word(expect.is_error), word(is_error)));
        }
        if let Some(wanted) = &expect.result
            && *wanted != result.result
        {
            changes.extend(differences(wanted, &result.result));
        }
        if let Some(pictures) = &expect.pictures {
            changes.extend(other_pictures(pictures, output, file));
        }
        if changes.is_empty() {
            tally.same += 1;
            return Ok(writeln!(to, "  run {run}: unchanged")?);
        }
        match self.changes {
            Changes::Refuse => tally.changed += 1,
            Changes::Accept => {
                tally.accepted.push(Accepted::of(tally.scenario, expect, result, output));
            }
        }
        writeln!(to, "  run {run}: changed")?;
        for line in changes.iter().take(MAX_LINES) {
            writeln!(to, "    {line}")?;
        }
        if changes.len() > MAX_LINES {
            writeln!(to, "    … and {} more lines", changes.len() - MAX_LINES)?;
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<Scenario>, String> {
    let text = scenario::text(file).map_err(|error| error.to_string())?;
    scenario::parse(file, &text).map_err(|error| error.explained(&text))
}

/// A file that a scenario refers to. It must be below the folder of the scenario, because scenarios
/// are shared.
fn beside(file: &Path, name: &Path) -> Result<Bytes, String> {
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{} is not a file below the folder of its scenario", name.display()));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let content = std::fs::read(folder.join(name));
    content.map(Bytes::from).map_err(|error| format!("{}: {error}", folder.join(name).display()))
}

/// The differences in diff format.
fn differences(was: &str, is: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(was, is);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push("…".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign} {}", change.value().trim_end_matches('\n')));
            if change.missing_newline() {
                lines.push("\\ no line break at the end".to_owned());
            }
        }
    }
    lines
}

fn other_pictures(wanted: &[PathBuf], output: &RunOutput, file: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    if wanted.len() != output.images.len() {
        lines.push(format!("expected {} pictures, got {}", wanted.len(), output.images.len()));
    }
    for (number, (name, image)) in wanted.iter().zip(&output.images).enumerate() {
        let same = beside(file, name).and_then(|wanted| same_picture(&wanted, &image.data));
        if let Err(why) = same {
            lines.push(format!("picture {} ({}): {why}", number + 1, name.display()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_cannot_refer_to_files_outside_its_folder() {
        for name in ["/etc/passwd", "../secret", "files/../../secret", "./x"] {
            let error = beside(Path::new("recorded/a.yaml"), Path::new(name));
            assert!(error.expect_err(name).contains("is not a file below"), "{name}");
        }
    }

    #[test]
    fn differences_are_shown_with_context() {
        let lines = differences("a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nD\ne\nf\ng");
        let wanted = ["  b", "  c", "- d", "+ D", "  e", "  f", "- g", "+ g"];
        assert_eq!(lines[..wanted.len()], wanted);
        assert_eq!(lines.last().map(String::as_str), Some("\\ no line break at the end"));
    }
}
