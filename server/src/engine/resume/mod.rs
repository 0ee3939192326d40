//! Resumes the background interactions that the last server did not finish.
//!
//! ```text
//!   log ──▶ steps up to the last result ──▶ state of the turn
//!      └──▶ model output since then ──────▶ ReplayFilter, or code that waits to run
//! ```

pub mod replay;
pub mod state;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::prompt::Patience;
use super::response_format::ResponseFormat;
use super::run::Run;
use super::run::steps::OpenStep;
use super::{Engine, drive};
use domain::interaction::{
    AwaitingModel, CodeCall, CodeResult, Content, Event, Failure, FailureKind, PassthroughStep,
    Status, Step, Turn,
};
use recording::RecordingSession;
use replay::ReplayFilter;
use store::Log;

/// What is already in the log of an interaction that began before a restart.
#[derive(Debug, Default)]
pub struct ResumedState {
    /// Output of a turn of the model that has not ended.
    pub replay: ReplayFilter,
    /// Id of a code call that has no result yet.
    pub stored_call: Option<String>,
}

/// The steps of a log, converted to the state they led to.
struct Restored {
    turn: Turn,
    resumed: ResumedState,
    /// Code whose cell no longer exists, with its results.
    runs: Vec<(String, CodeResult)>,
}

/// Maximum number of servers that resume an interaction and end without a shutdown. An interaction that
/// ends the server would end it after each start. That it adds events before does not matter: a model that
/// writes something else each time does so.
const MAX_RESUMES: u32 = 5;

impl Engine {
    /// Resumes the background interactions that the last server did not finish, as soon as cells
    /// are available.
    pub fn resume(self: &Arc<Self>, ready: &watch::Receiver<bool>) {
        for log in self.store.unfinished() {
            let cancel = self.stop.child_token();
            let listed = self.tasks.list(&log.head().id, cancel.clone());
            // They were accepted before the restart, so the limit does not apply.
            let counted = self.background.begin(&log.head().owner, usize::MAX);
            let (engine, ready) = (Arc::clone(self), ready.clone());
            self.running.spawn(async move {
                engine.resume_one(log, ready, cancel).await;
                drop((listed, counted));
            });
        }
    }

    async fn resume_one(
        &self,
        log: Arc<Log>,
        mut ready: watch::Receiver<bool>,
        cancel: CancellationToken,
    ) {
        let permit = async {
            // An error means that the server is stopping, and then `cancel` fires.
            if ready.wait_for(|ready| *ready).await.is_err() {
                std::future::pending::<()>().await;
            }
            self.resuming.of(&log.head().owner).take().await
        };
        let _permit = tokio::select! {
            permit = permit => permit,
            () = cancel.cancelled() => {
                if self.stop.is_cancelled() {
                    return log.suspend();
                }
                let usage = log.projection().usage().unwrap_or_default();
                let cancelled = Event::Finished { status: Status::Cancelled, usage };
                return drive::end(&log, vec![cancelled]).await;
            }
        };
        let attempts = match log.count_resume().await {
            Ok(attempts) => attempts,
            Err(error) => {
                // On a full disk it could not write events either. The next server may resume it.
                tracing::error!(interaction.id = %log.head().id, %error, "interaction not resumed");
                return log.suspend();
            }
        };
        if attempts > MAX_RESUMES {
            tracing::error!(interaction.id = %log.head().id, "interaction resumed too often");
            let why = "The server stopped each time it resumed this interaction.";
            let failed = Event::Failed(Failure::new(FailureKind::Internal, why));
            return drive::end(&log, vec![failed]).await;
        }
        match self.restore(&log).await {
            Ok((run, turn)) => {
                tracing::info!(interaction.id = %log.head().id, "interaction resumed");
                self.drive(run, turn, None, cancel).await;
            }
            Err(_) => {
                // The error is not logged: it may contain parts of the request.
                tracing::warn!(interaction.id = %log.head().id, "could not resume interaction");
                let why = "The server was restarted, and this interaction could not go on.";
                let failed = Event::Failed(Failure::new(FailureKind::Internal, why));
                drive::end(&log, vec![failed]).await;
            }
        }
    }

    /// The run of an interaction, as it was when its server ended.
    async fn restore(&self, log: &Arc<Log>) -> anyhow::Result<(Run, Turn)> {
        let (namespace, request) = state::decode(log.head())?;
        let checker = self.formats.of(&request.owner);
        let format = ResponseFormat::accepted(&request.generation_config, checker);
        let mut prepared = self.prepare(&namespace, &request, Patience::Long).await?;
        // Without a share it runs all the same: it is in memory already.
        prepared.memory.add(self.reserve(&request.owner, &request.input).unwrap_or_default());
        // Disabled, because output from before the restart would be missing.
        prepared.context.extensions = RecordingSession::default().into_extensions();
        prepared.context.journal.began(&log.head().id);
        let turn = AwaitingModel::begin(prepared.prompt.steps.to_vec(), self.limits);
        let ids = self.ids.after_restart(&log.head().id);
        let mut run = self.run(Arc::clone(log), Arc::new(ids), prepared, format);
        let projection = log.projection();
        let open = projection.is_open();
        let steps = projection.into_steps();
        run.steps.restore(steps.len(), if open { open_step(&steps) } else { None });
        let Restored { turn, resumed, runs } = Restored::new(turn, steps, open);
        run.resumed = resumed;
        run.code.restore(runs);
        Ok((run, turn))
    }
}

/// The last step, if it has not stopped and can be continued.
fn open_step(steps: &[Step]) -> Option<OpenStep> {
    let index = steps.len().checked_sub(1)?;
    match &steps[index] {
        Step::Thought { summary, .. } => Some(OpenStep::Thought { index, text: summary.clone() }),
        Step::ModelOutput(_) => {
            let text = steps[index].model_text().unwrap_or_default();
            Some(OpenStep::Text { index, text })
        }
        Step::Passthrough(step) => {
            Some(OpenStep::Passthrough { index, step: PassthroughStep::new(step.clone()) })
        }
        // All other steps are written at once.
        _ => None,
    }
}

impl Restored {
    /// `steps` are those of the interaction itself; `open` is true if the last one has not stopped.
    fn new(mut turn: AwaitingModel, steps: Vec<Step>, open: bool) -> Restored {
        let mut runs = Vec::new();
        let mut since: Vec<Step> = Vec::new();
        let mut call: Option<CodeCall> = None;
        for step in steps {
            match step {
                Step::CodeCall(code) => call = Some(code),
                Step::CodeResult(result) => {
                    for step in since.drain(..) {
                        turn = turn.with_step(step);
                    }
                    turn = repeat_run(turn, call.take(), result, &mut runs);
                }
                Step::ModelOutput(contents) if since.is_empty() && is_pictures(&contents) => {
                    turn = turn.with_step(Step::ModelOutput(contents));
                }
                step => since.push(step),
            }
        }
        let Some(call) = call else {
            let replay = ReplayFilter::new(since, open);
            let resumed = ResumedState { replay, stored_call: None };
            return Restored { turn: Turn::Model(turn), resumed, runs };
        };
        for step in since {
            turn = turn.with_step(step);
        }
        let resumed =
            ResumedState { stored_call: Some(call.id.clone()), ..ResumedState::default() };
        let turn = match turn.code(call) {
            Ok(waiting) => Turn::Code(waiting),
            Err(done) => Turn::Done(done),
        };
        Restored { turn, resumed, runs }
    }
}

fn repeat_run(
    turn: AwaitingModel,
    call: Option<CodeCall>,
    result: CodeResult,
    runs: &mut Vec<(String, CodeResult)>,
) -> AwaitingModel {
    let Some(call) = call else {
        // The engine never writes a result without its call.
        return turn.with_step(Step::CodeResult(result));
    };
    runs.push((call.code.clone(), result.clone()));
    match turn.code(call) {
        Ok(waiting) => waiting.finished(result),
        // The limits are lower than before the restart, but this code has already run.
        Err(done) => AwaitingModel::exhausted(done).with_step(Step::CodeResult(result)),
    }
}

fn is_pictures(contents: &[Content]) -> bool {
    !contents.is_empty() && contents.iter().all(|content| matches!(content, Content::Media(_)))
}
