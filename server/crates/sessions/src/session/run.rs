//! Runs code in a session, and interrupts it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbox_client::{CellClient, LivePiece, RunOutput, RunRequest, SandboxError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::end::SessionEnd;
use crate::error::SessionError;

/// How long an interruption waits for the code to end.
const INTERRUPTED_WITHIN: Duration = Duration::from_secs(5);

/// Code to run in a session.
#[derive(Debug)]
pub struct SessionRun {
    pub code: String,
    /// Written before the code runs.
    pub files: Vec<(String, Bytes)>,
    pub timeout: Option<Duration>,
}

/// A receiver of output while the code runs.
pub type PieceReceiver = Box<dyn FnMut(LivePiece) + Send>;

/// The effect of an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    NotRunning,
    /// The code has ended.
    Ended,
    /// The code continues: it handles the interruption, or is in a call that does not notice it.
    StillRunning,
}

#[derive(Debug, Clone, Default)]
pub(super) struct RunningCode {
    interrupts: Arc<Notify>,
    ended: CancellationToken,
}

impl Session {
    /// Runs code after all earlier requests. If the returned future is dropped, code that has not begun does
    /// not, and code that runs is interrupted.
    pub async fn execute(
        self: &Arc<Session>,
        run: SessionRun,
        on_piece: Option<PieceReceiver>,
    ) -> Result<RunOutput, SessionError> {
        let abandoned = CancellationToken::new();
        let _abandons = abandoned.clone().drop_guard();
        let session = Arc::clone(self);
        self.task(async move {
            let cell = session.cell();
            let Some(cell) = abandoned.run_until_cancelled(cell).await else {
                return Err(SessionError::Unknown(session.id.clone())); // its client is gone
            };
            let mut cell = cell?;
            let running = session.begin_run();
            let output = {
                let interrupts = &running.code.interrupts;
                let abandoning = async {
                    abandoned.cancelled().await;
                    interrupts.notify_one();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    output = session.run(&mut cell, &run, interrupts, on_piece) => output,
                    () = abandoning => unreachable!("an interruption does not end a run by itself"),
                }
            };
            drop(running);
            let output = session.used(output)?;
            session.ran(&output);
            Ok(output)
        })
        .await
    }

    async fn run(
        &self,
        cell: &mut CellClient,
        run: &SessionRun,
        interrupts: &Notify,
        mut on_piece: Option<PieceReceiver>,
    ) -> Result<RunOutput, SandboxError> {
        for (name, content) in &run.files {
            cell.write_file(name, content).await?;
        }
        let at_most = run.timeout.or(self.about.timeout);
        let request = RunRequest { code: &run.code, at_most, interrupts };
        match &mut on_piece {
            Some(on_piece) => cell.run_kept(request, Some(&mut **on_piece)).await,
            None => cell.run_kept(request, None).await,
        }
    }

    fn begin_run(&self) -> RunMark<'_> {
        let code = RunningCode::default();
        self.use_of.lock().running = Some(code.clone());
        RunMark { session: self, code }
    }

    /// Ends the session if the run has ended its cell, or holds too much memory.
    fn ran(&self, output: &RunOutput) {
        let finished = &output.finished;
        let Some(registry) = self.registry.upgrade() else { return };
        {
            let mut use_of = self.use_of.lock();
            use_of.runs += 1;
            use_of.held_bytes = finished.usage.held_memory_bytes;
        }
        if finished.cell_lost {
            registry.end(self, SessionEnd::Code(finished.outcome.clone()));
        } else if registry.held_by(&self.owner) > registry.limits.memory_bytes {
            registry.end(self, SessionEnd::Memory);
        }
    }

    /// Raises `KeyboardInterrupt` in the code that runs, and waits for its end.
    pub async fn interrupt(&self) -> Interruption {
        let Some(running) = self.use_of.lock().running.clone() else {
            return Interruption::NotRunning;
        };
        running.interrupts.notify_one();
        match tokio::time::timeout(INTERRUPTED_WITHIN, running.ended.cancelled()).await {
            Ok(()) => Interruption::Ended,
            Err(_) => Interruption::StillRunning,
        }
    }
}

/// A run in progress.
struct RunMark<'s> {
    session: &'s Session,
    code: RunningCode,
}

impl Drop for RunMark<'_> {
    fn drop(&mut self) {
        self.session.use_of.lock().running = None;
        self.code.ended.cancel();
    }
}
