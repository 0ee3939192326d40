//! Runs the code of one interaction in its cell.

use std::sync::Arc;

use super::RunError;
use super::report::RunReport;
use crate::engine::input::files::{FileData, LoadedFile};
use domain::interaction::CodeResult;
use journal::outputs::MAX_FILES_BYTES;
use resources::budget::{Budget, Share};
use sandbox_client::{Again, CellClient, Expected, RunOutput, Sandbox, SandboxError};
use store::Files;

#[derive(Debug)]
pub struct CodeRunner {
    sandbox: Arc<Sandbox>,
    /// The input files, which a new cell gets.
    pub files: Vec<LoadedFile>,
    /// The uploaded files on disk.
    pub uploads: Files,
    /// For outputs, and for files while they are read.
    budget: Budget,
    /// Opened for the first code and kept for later code, so that variables and files persist.
    cell: Option<CellClient>,
    /// Reserve the memory of all outputs, which the log has.
    pub shares: Vec<Arc<Share>>,
    /// Whether the journal keeps the files that the code creates.
    keeps_files: bool,
    /// Code that ran before a restart, with its results. Its cell no longer exists.
    earlier_runs: Vec<(String, CodeResult)>,
}

impl CodeRunner {
    pub fn new(
        sandbox: Arc<Sandbox>,
        files: Vec<LoadedFile>,
        uploads: Files,
        budget: Budget,
    ) -> CodeRunner {
        CodeRunner {
            sandbox,
            files,
            uploads,
            budget,
            cell: None,
            shares: Vec::new(),
            keeps_files: false,
            earlier_runs: Vec::new(),
        }
    }

    #[must_use]
    pub fn keeping_files(self, keeps_files: bool) -> CodeRunner {
        CodeRunner { keeps_files, ..self }
    }

    /// Code to run again before any other code.
    pub fn restore(&mut self, earlier_runs: Vec<(String, CodeResult)>) {
        self.earlier_runs = earlier_runs;
    }

    pub async fn run(&mut self, code: &str) -> Result<RunOutput, RunError> {
        self.repeat_earlier_runs().await?;
        let output = self.run_in_cell(code).await?;
        self.shares.push(Arc::clone(&output.share));
        Ok(output)
    }

    /// Kills every process that the code started.
    pub fn close(&mut self) {
        self.cell = None;
    }

    /// Restores the variables and files of the cell from before a restart. Code in a cell affects
    /// nothing outside it, so running it twice is harmless, unless its result differs.
    async fn repeat_earlier_runs(&mut self) -> Result<(), RunError> {
        for (code, before) in std::mem::take(&mut self.earlier_runs) {
            let report = RunReport::new(&self.run_in_cell(&code).await?);
            if (report.outcome, &report.result) != (before.outcome, &before.result) {
                return Err(RunError::DifferentResult);
            }
        }
        Ok(())
    }

    async fn run_in_cell(&mut self, code: &str) -> Result<RunOutput, RunError> {
        let output = match &mut self.cell {
            Some(cell) => run_in(cell, code, self.keeps_files).await?,
            None => self.run_in_new_cell(code).await?,
        };
        if output.finished.cell_lost {
            // The next code starts in a new cell, with only the input files.
            self.cell = None;
        }
        Ok(output)
    }

    async fn run_in_new_cell(&mut self, code: &str) -> Result<RunOutput, RunError> {
        let mut again = Again::new();
        loop {
            let ran = match self.open_cell(code).await {
                Ok(mut cell) => {
                    let ran = run_in(&mut cell, code, self.keeps_files).await;
                    ran.map(|output| (cell, output))
                }
                Err(RunError::Sandbox(error)) => Err(error),
                Err(error) => return Err(error),
            };
            match ran {
                Err(error) if again.after(&error).await => {}
                Err(error) => return Err(error.into()),
                Ok((cell, output)) => {
                    self.cell = Some(cell);
                    return Ok(output);
                }
            }
        }
    }

    /// A cell with the input files. Files on disk are read one at a time.
    async fn open_cell(&self, code: &str) -> Result<CellClient, RunError> {
        let mut in_memory = Vec::new();
        for file in &self.files {
            if let FileData::InMemory(content) = &file.content {
                in_memory.push((file.about.name.as_str(), content));
            }
        }
        let cell = self.sandbox.open(Expected::First(code), in_memory).await?;
        let mut cell = cell.charged_to(self.budget.clone());
        for file in &self.files {
            if let FileData::OnDisk(stored) = &file.content {
                let bytes = usize::try_from(stored.bytes).unwrap_or(usize::MAX);
                let _memory = self.budget.take(bytes).ok_or(RunError::NoMemory)?;
                let content = self.uploads.content(stored).await?;
                cell.put(&file.about.name, &content).await?;
            }
        }
        Ok(cell)
    }
}

async fn run_in(
    cell: &mut CellClient,
    code: &str,
    keeps_files: bool,
) -> Result<RunOutput, SandboxError> {
    match keeps_files {
        true => cell.run_with_files(code, MAX_FILES_BYTES).await,
        false => cell.run(code).await,
    }
}
