//! Runs recorded code again, as an interaction runs it, with a script in the place of a model.

use bytes::Bytes;

use super::RunReport;
use domain::interaction::{AwaitingModel, CodeCall, CodeResult, Limits, Step};
use redaction::Secrets;
use sandbox_client::{CellClient, Expected, RunOutput, Sandbox, SandboxError};

/// One conversation, whose code runs in one cell as long as that cell lives.
#[derive(Debug)]
pub struct Rerun<'s> {
    sandbox: &'s Sandbox,
    secrets: &'s Secrets,
    /// Name and content of the input files.
    files: Vec<(String, Bytes)>,
    cell: Option<CellClient>,
    runs: usize,
}

impl<'s> Rerun<'s> {
    /// `secrets` are removed from results.
    pub fn new(
        sandbox: &'s Sandbox,
        secrets: &'s Secrets,
        files: Vec<(String, Bytes)>,
    ) -> Rerun<'s> {
        Rerun { sandbox, secrets, files, cell: None, runs: 0 }
    }

    /// Runs every code that `next` returns, until it returns none or the limits are reached. `next`
    /// gets the conversation so far, and whether code may run; `ran` gets each result.
    pub async fn run<T, E: From<SandboxError>>(
        mut self,
        steps: Vec<Step>,
        limits: Limits,
        next: impl Fn(&[Step], bool) -> Result<Option<(String, T)>, E>,
        mut ran: impl FnMut(T, &CodeResult, &RunOutput) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut turn = AwaitingModel::begin(steps, limits);
        while turn.may_ask() {
            let Some((code, about)) = next(turn.steps(), turn.may_run_code())? else { break };
            let id = self.runs.to_string();
            let Ok(waiting) = turn.code(CodeCall { id, code, signature: String::new() }) else {
                break;
            };
            let output = self.output(&waiting.call().code).await?;
            let result = self.result(&waiting.call().id, &output);
            self.runs += 1;
            ran(about, &result, &output)?;
            turn = waiting.finished(result);
        }
        Ok(())
    }

    async fn output(&mut self, code: &str) -> Result<RunOutput, SandboxError> {
        let cell = match self.cell.take() {
            Some(cell) => cell,
            None => {
                let files = self.files.iter().map(|(name, content)| (name.as_str(), content));
                self.sandbox.open(Expected::First(code), files).await?
            }
        };
        let output = self.cell.insert(cell).run(code).await?;
        if output.finished.cell_lost {
            self.cell = None;
        }
        Ok(output)
    }

    fn result(&self, call_id: &str, output: &RunOutput) -> CodeResult {
        let report = RunReport::new(output);
        CodeResult {
            call_id: call_id.to_owned(),
            outcome: report.outcome,
            result: self.secrets.redact(&report.result).into_owned(),
            stdout: report.stdout,
            images: output.images.len(),
            signature: String::new(),
        }
    }
}
