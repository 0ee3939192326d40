//! Going on with what the last server did not end.
//!
//! ```text
//! the log ──▶ what was settled (all up to the last result)  ──▶ the state it led to
//!        └──▶ what the model said since ──▶ echo, while it says so again · or code that waits
//! ```

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::echo::Echo;
use super::form::Form;
use super::run::{Left, Run};
use super::steps::Open;
use super::{Engine, EngineError, carry, orders};
use crate::interaction::{
    AwaitingModel, CodeCall, CodeResult, Content, Event, Failure, FailureKind, ForeignStep, Status,
    Step, Turn,
};
use crate::recording::RecordingSession;
use crate::store::Log;

impl Engine {
    /// Goes on with the interactions in the background that the last server did not end, once there
    /// is a place for their code.
    pub fn resume(self: &Arc<Self>, ready: &watch::Receiver<bool>) {
        for log in self.store.unfinished() {
            let cancel = self.stop.child_token();
            let listed = self.tasks.list(&log.head().id, cancel.clone());
            // They were let in before, however many they are.
            let counted = self.background.begin(&log.head().owner, usize::MAX);
            let (engine, ready) = (Arc::clone(self), ready.clone());
            self.running.spawn(async move {
                engine.go_on(log, ready, cancel).await;
                drop((listed, counted));
            });
        }
    }

    async fn go_on(
        &self,
        log: Arc<Log>,
        mut ready: watch::Receiver<bool>,
        cancel: CancellationToken,
    ) {
        let place = async {
            // An error means that the server is stopping, and then it is cancelled.
            if ready.wait_for(|ready| *ready).await.is_err() {
                std::future::pending::<()>().await;
            }
            self.resuming.acquire().await
        };
        let _place = tokio::select! {
            place = place => place,
            () = cancel.cancelled() => {
                if self.stop.is_cancelled() {
                    return log.suspend();
                }
                let usage = log.fold().usage().unwrap_or_default();
                let cancelled = Event::Finished { status: Status::Cancelled, usage };
                return carry::end(&log, vec![cancelled]).await;
            }
        };
        match self.restored(&log).await {
            Ok((run, turn)) => {
                tracing::info!(interaction.id = %log.head().id, "an interaction goes on");
                self.carry(run, turn, None, cancel).await;
            }
            Err(_) => {
                // The reason may repeat what the client sent.
                tracing::warn!(interaction.id = %log.head().id, "interaction cannot be resumed");
                let why = "The server was restarted, and this interaction could not go on.";
                let failed = Event::Failed(Failure::new(FailureKind::Internal, why));
                carry::end(&log, vec![failed]).await;
            }
        }
    }

    /// An interaction as it was when its server died.
    async fn restored(&self, log: &Arc<Log>) -> anyhow::Result<(Run, Turn)> {
        let (namespace, request) = orders::read(log.head())?;
        let form = Form::of(&request.generation_config).await.map_err(EngineError::from)?;
        let (mut prompt, files) = self.prompt(&namespace, &request).await?;
        prompt.recording = RecordingSession::default(); // what was said before the restart is not on it
        prompt.note.began(&log.head().id);
        let turn = AwaitingModel::begin(prompt.steps.to_vec(), self.limits);
        let ids = self.names.after_restart(&log.head().id);
        let mut run = self.run(Arc::clone(log), Arc::new(ids), prompt, files, form);
        let fold = log.fold();
        let open = fold.is_open();
        let steps = fold.into_steps();
        run.next_index = steps.len();
        run.open = if open { open_step(&steps) } else { None };
        let (turn, left) = state(turn, steps, open);
        run.left = left;
        Ok((run, turn))
    }
}

/// The last step, where more of it may come.
fn open_step(steps: &[Step]) -> Option<Open> {
    let index = steps.len().checked_sub(1)?;
    match &steps[index] {
        Step::Thought { summary, .. } => Some(Open::Thought { index, text: summary.clone() }),
        Step::ModelOutput(_) => {
            let text = steps[index].model_text().unwrap_or_default();
            Some(Open::Text { index, text })
        }
        Step::Foreign(step) => Some(Open::Foreign { index, step: ForeignStep::new(step.clone()) }),
        // All others are written in one piece.
        _ => None,
    }
}

/// What an interaction's own steps have led to. `open` is about the last one.
fn state(mut turn: AwaitingModel, steps: Vec<Step>, open: bool) -> (Turn, Left) {
    let mut left = Left::default();
    let mut since: Vec<Step> = Vec::new();
    let mut call: Option<CodeCall> = None;
    for step in steps {
        match step {
            Step::CodeCall(code) => call = Some(code),
            Step::CodeResult(result) => {
                for step in since.drain(..) {
                    turn = turn.said(step);
                }
                turn = ran(turn, call.take(), result, &mut left);
            }
            Step::ModelOutput(contents) if since.is_empty() && is_pictures(&contents) => {
                turn = turn.said(Step::ModelOutput(contents));
            }
            step => since.push(step),
        }
    }
    let Some(call) = call else {
        left.echo = Echo::of(since, open);
        return (Turn::Model(turn), left);
    };
    for step in since {
        turn = turn.said(step);
    }
    left.called = Some(call.id.clone());
    match turn.code(call) {
        Ok(waiting) => (Turn::Code(waiting), left),
        Err(done) => (Turn::Done(done), left),
    }
}

fn ran(
    turn: AwaitingModel,
    call: Option<CodeCall>,
    result: CodeResult,
    left: &mut Left,
) -> AwaitingModel {
    let Some(call) = call else {
        // Nobody writes a result without its call.
        return turn.said(Step::CodeResult(result));
    };
    left.runs.push((call.code.clone(), result.clone()));
    match turn.code(call) {
        Ok(waiting) => waiting.finished(result),
        // The limits are others than they were. What was run has been run.
        Err(done) => AwaitingModel::exhausted(done).said(Step::CodeResult(result)),
    }
}

fn is_pictures(contents: &[Content]) -> bool {
    !contents.is_empty() && contents.iter().all(|content| matches!(content, Content::Media(_)))
}
