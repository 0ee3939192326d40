//! `belljar verify`: says the scripts of scenarios again, runs their code again, and compares what
//! comes of it with what came of it when they were recorded. An upgrade of a library shows what it
//! changed.

mod update;

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use similar::{ChangeTag, TextDiff};

use crate::backend::scripted::{self, Expect, DryRun, Scenario};
use crate::engine::tell;
use crate::interaction::{AwaitingModel, CodeCall, CodeResult, Limits};
use crate::recording::{Secrets, same_picture};
use crate::sandbox::{Cell, Expected, RunOutput, Sandbox};
use update::Accepted;

/// Lines of one run's differences that are shown.
const MAX_LINES: usize = 200;
/// Lines around a difference.
const CONTEXT: usize = 2;

/// Runs code again.
#[derive(Debug)]
pub struct Verifier<'v> {
    pub sandbox: &'v Sandbox,
    pub limits: Limits,
    /// Taken out of what comes now, as they were out of what came then.
    pub secrets: Secrets,
    pub changes: Changes,
}

/// What becomes of runs that came to something else than is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// They are shown, and are a failure.
    Refuse,
    /// They are shown, and written into their files.
    Accept,
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    changed: usize,
    /// Runs that nothing is expected of.
    open: usize,
    /// Files, scenarios and pictures that cannot be used.
    broken: usize,
    /// Changed runs that are expected from now on.
    updated: usize,
    /// Those of the file that is looked at, which are not written yet.
    accepted: Vec<Accepted>,
    /// Which scenario of its file is looked at.
    scenario: usize,
}

impl Verifier<'_> {
    /// Files, and all scenario files of folders. Whether all is as it was.
    pub async fn check(&self, paths: &[PathBuf], to: &mut impl Write) -> anyhow::Result<bool> {
        let mut tally = Tally::default();
        for path in paths {
            let files = if path.is_dir() { scripted::files(path) } else { Ok(vec![path.clone()]) };
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
        let Tally { same, changed, open, broken, updated, .. } = tally;
        write!(to, "{same} runs as they were, {changed} changed, {open} with nothing to compare")?;
        match self.changes {
            Changes::Refuse => writeln!(to)?,
            Changes::Accept => writeln!(to, ", {updated} updated")?,
        }
        Ok(changed == 0 && broken == 0)
    }

    async fn file(
        &self,
        file: &Path,
        tally: &mut Tally,
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
        tally: &mut Tally,
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
        let dry_run = DryRun::of(scenario, &sizes);
        let mut turn = AwaitingModel::begin(dry_run.steps(), self.limits);
        let mut cell: Option<Cell> = None;
        let mut run = 0;
        while turn.may_ask() {
            let next = match dry_run.next(turn.steps(), turn.may_run_code()) {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(why) => {
                    tally.changed += 1;
                    return Ok(writeln!(to, "  the script cannot go on: {why}")?);
                }
            };
            let call = CodeCall { id: run.to_string(), code: next.code, signature: String::new() };
            let Ok(waiting) = turn.code(call) else { break };
            run += 1;
            let code = &waiting.call().code;
            let opened = match cell.take() {
                Some(cell) => cell,
                None => {
                    let files = files.iter().map(|(name, content)| (name.as_str(), content));
                    self.sandbox.open(Expected::First(code), files).await?
                }
            };
            let opened = cell.insert(opened);
            let output = opened.run(code).await?;
            if output.finished.cell_lost {
                cell = None;
            }
            let result = self.result(run, &output);
            self.compare(run, next.expect.as_ref(), &result, &output, file, tally, to)?;
            turn = waiting.finished(result);
        }
        Ok(())
    }

    fn result(&self, run: usize, output: &RunOutput) -> CodeResult {
        let told = tell(output);
        CodeResult {
            call_id: (run - 1).to_string(),
            outcome: told.outcome,
            result: self.secrets.redact(&told.result).into_owned(),
            stdout: told.stdout,
            images: output.images.len(),
            signature: String::new(),
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
        tally: &mut Tally,
        to: &mut impl Write,
    ) -> anyhow::Result<()> {
        let Some(expect) = expect else {
            tally.open += 1;
            return Ok(writeln!(to, "  run {run}: nothing is expected of it")?);
        };
        let mut changes = Vec::new();
        let word = |is_error: bool| if is_error { "an error" } else { "no error" };
        let is_error = result.outcome.is_error();
        if expect.is_error != is_error {
            changes.push(format!("it was {}, and is {}", word(expect.is_error), word(is_error)));
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
            return Ok(writeln!(to, "  run {run}: as it was")?);
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
            writeln!(to, "    … and {} lines more", changes.len() - MAX_LINES)?;
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<Scenario>, String> {
    let text = scripted::text(file).map_err(|error| error.to_string())?;
    scripted::parse(file, &text).map_err(|error| error.explained(&text))
}

/// A file that a scenario names. It lies below the folder that the scenario is in, and nowhere else:
/// scenarios are passed around.
fn beside(file: &Path, name: &Path) -> Result<Bytes, String> {
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{} is no file below the folder of its scenario", name.display()));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let content = std::fs::read(folder.join(name));
    content.map(Bytes::from).map_err(|error| format!("{}: {error}", folder.join(name).display()))
}

/// What was and what is, as people are used to see it.
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
                lines.push("\\ without a line break at its end".to_owned());
            }
        }
    }
    lines
}

fn other_pictures(wanted: &[PathBuf], output: &RunOutput, file: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    if wanted.len() != output.images.len() {
        lines.push(format!("it made {} pictures, and makes {}", wanted.len(), output.images.len()));
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
    fn a_scenario_names_no_file_of_anybody_elses() {
        for name in ["/etc/passwd", "../secret", "files/../../secret", "./x"] {
            let error = beside(Path::new("recorded/a.yaml"), Path::new(name));
            assert!(error.expect_err(name).contains("is no file below"), "{name}");
        }
    }

    #[test]
    fn what_differs_is_shown_between_lines_that_do_not() {
        let lines = differences("a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nD\ne\nf\ng");
        let wanted = ["  b", "  c", "- d", "+ D", "  e", "  f", "- g", "+ g"];
        assert_eq!(lines[..wanted.len()], wanted);
        assert_eq!(lines.last().map(String::as_str), Some("\\ without a line break at its end"));
    }
}
