//! Code: running it, and writing down what came of it.

use std::sync::Arc;

use super::report::RunReport;
use super::{Run, RunError};
use crate::engine::input::files::FileData;
use crate::interaction::{
    AwaitingCode, AwaitingModel, CodeCall, CodeResult, Content, Delta, Media, MediaKind, Source,
    Step, StepStart, Turn,
};
use crate::journal::CodeRun;
use crate::sandbox::{Again, Cell, Expected, RunOutput};

impl Run {
    pub fn code(&mut self, turn: AwaitingModel, code: String) -> Turn {
        if !turn.may_run_code() {
            self.usage.add_unseen_text(&code);
        }
        let (id, signature) = self.names_of_call(self.ids.signature());
        let call = CodeCall { id, code, signature };
        match turn.code(call) {
            Ok(waiting) => Turn::Code(waiting),
            Err(done) => Turn::Done(done),
        }
    }

    /// Runs the code that waits, and writes down call, result and pictures.
    pub async fn execute(&mut self, turn: AwaitingCode) -> Result<AwaitingModel, RunError> {
        let call = turn.call().clone();
        if self.left.stored_call.take().as_ref() != Some(&call.id) {
            let (code, signature) = (call.code.clone(), call.signature.clone());
            let start = StepStart::CodeCall { id: call.id.clone() };
            self.whole_step(start, vec![Delta::CodeCall { code, signature }]);
        }
        self.flush().await?;

        self.run_again().await?;
        let output = self.run_in_cell(&call.code).await?;
        self.shares.push(Arc::clone(&output.share));
        let report = RunReport::new(&output);
        self.note_run(&call.code, &report, &output);
        let result = CodeResult {
            call_id: call.id,
            outcome: report.outcome,
            result: report.result,
            stdout: report.stdout,
            images: output.images.len(),
            signature: self.ids.signature(),
        };
        let start = StepStart::CodeResult { call_id: result.call_id.clone() };
        self.whole_step(start, vec![Delta::CodeResult(result.clone())]);
        let pictures: Vec<Media> = output
            .images
            .into_iter()
            .map(|image| Media {
                kind: MediaKind::Image,
                mime_type: Some(image.mime_type),
                source: Source::Inline(image.data),
            })
            .collect();
        self.prompt.recording.ran(&result, &pictures);
        let mut turn = turn.finished(result);
        if !pictures.is_empty() {
            // A step of their own, before the text: the SDKs' `output_text` is then the whole
            // answer, and their `output_image` finds the picture.
            let deltas = pictures.iter().cloned().map(Delta::Media).collect();
            self.whole_step(StepStart::ModelOutput, deltas);
            let contents = pictures.into_iter().map(Content::Media).collect();
            turn = turn.with_step(Step::ModelOutput(contents));
        }
        // In one piece: a result without its pictures would be half of it.
        self.flush().await?;
        Ok(turn)
    }

    /// For those who wonder why the answer is what it is. The log says that code failed, and the journal
    /// has the code.
    fn note_run(&self, code: &str, report: &RunReport, output: &RunOutput) {
        let wall_ms = output.finished.usage.wall_us as f64 / 1000.0;
        if report.outcome.is_error() {
            tracing::warn!(
                interaction.id = %self.log.head().id,
                scenario = self.prompt.note.scenario(),
                outcome = report.outcome.as_str(),
                wall_ms,
                "code failed"
            );
        }
        self.prompt.note.code_ran(CodeRun {
            code: code.to_owned(),
            outcome: report.outcome,
            stdout: report.stdout.clone(),
            stderr: report.stderr.clone(),
            pictures: output.images.len(),
            wall_ms,
        });
    }

    /// Brings a fresh cell to where that of another server was. Code in a cell reaches nothing
    /// outside, so running it twice harms nobody, unless it goes differently.
    async fn run_again(&mut self) -> Result<(), RunError> {
        for (code, before) in std::mem::take(&mut self.left.earlier_runs) {
            let report = RunReport::new(&self.run_in_cell(&code).await?);
            if (report.outcome, &report.result) != (before.outcome, &before.result) {
                return Err(RunError::DifferentResult);
            }
        }
        Ok(())
    }

    async fn run_in_cell(&mut self, code: &str) -> Result<RunOutput, RunError> {
        let output = match &mut self.cell {
            Some(cell) => cell.run(code).await?,
            None => self.run_in_fresh_cell(code).await?,
        };
        if output.finished.cell_lost {
            // The next code starts in a fresh one, with the input's files and nothing else.
            self.cell = None;
        }
        Ok(output)
    }

    async fn run_in_fresh_cell(&mut self, code: &str) -> Result<RunOutput, RunError> {
        let mut again = Again::new();
        loop {
            let ran = match self.open_cell(code).await {
                Ok(mut cell) => cell.run(code).await.map(|output| (cell, output)),
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

    /// A cell with the input's files in it. Those on the disk are read one at a time.
    async fn open_cell(&self, code: &str) -> Result<Cell, RunError> {
        let mut in_memory = Vec::new();
        for file in &self.files {
            if let FileData::InMemory(content) = &file.content {
                in_memory.push((file.about.name.as_str(), content));
            }
        }
        let mut cell = self.sandbox.open(Expected::First(code), in_memory).await?;
        for file in &self.files {
            if let FileData::OnDisk(stored) = &file.content {
                let content = self.sent_ahead.content(stored).await?;
                cell.put(&file.about.name, &content).await?;
            }
        }
        Ok(cell)
    }
}
