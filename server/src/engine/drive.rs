//! Runs an interaction to its end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::prompt::Preparation;
use super::response_format::ResponseFormat;
use super::resume::ResumedState;
use super::run::{
    CodeRunner, Generated, InFlightTurn, ResponseGate, Run, RunError, StepWriter, ToolRunner,
};
use super::{Engine, recording};
use ::recording::RecordingSession;
use domain::ids::Ids;
use domain::interaction::{Event, Status, Turn};
use journal::JournalHandle;
use metrics::{EndedInteraction, TokenCounts};
use store::Log;

impl Engine {
    /// The run of an interaction that has not begun.
    pub(super) fn run(
        &self,
        log: Arc<Log>,
        ids: Arc<Ids>,
        prepared: Preparation,
        format: Option<ResponseFormat>,
    ) -> Run {
        let Preparation { prompt, context, files, memory } = prepared;
        let owner = log.head().owner.clone();
        let budget = self.sandbox.budget().of(&owner);
        let uploads = self.sources.uploads.clone();
        let mut steps = StepWriter::new(log, ids, context.journal.clone());
        steps.cites = format.is_none();
        let code = CodeRunner::new(Arc::clone(&self.sandbox), files, uploads, budget.clone());
        let code = code.keeping_files(context.journal.keeps_outputs());
        Run {
            backend: Arc::clone(&self.backend),
            search: self.search.clone(),
            tools: ToolRunner {
                fetcher: self.sources.fetcher.clone(),
                stores: self.store.file_search_stores(),
                owner,
                budget: budget.clone(),
            },
            prompt,
            context,
            steps,
            code,
            gate: ResponseGate::new(format),
            call_identity: None,
            resumed: ResumedState::default(),
            generated: Generated::new(budget),
            _memory: memory,
        }
    }

    /// Runs an interaction to its end and writes its last event, unless it is left to the next
    /// server.
    pub(super) async fn drive(
        &self,
        mut run: Run,
        turn: Turn,
        in_flight: Option<InFlightTurn>,
        cancel: CancellationToken,
    ) {
        let ended = tokio::select! {
            ended = run.run_to_completion(turn, in_flight) => ended,
            () = cancel.cancelled() => {
                if self.stop.is_cancelled() && run.steps.log.head().in_background() {
                    return run.steps.log.suspend_running();
                }
                Ok(Event::Finished { status: Status::Cancelled, usage: run.steps.usage.total() })
            }
        };
        // Before the last event: a client that has the answer finds the recording.
        save_recording(&run, &ended).await;
        // Kills the code's processes before any client sees the end.
        run.code.close();
        let log = Arc::clone(&run.steps.log);
        let last = ended.unwrap_or_else(|error| {
            tracing::warn!(interaction.id = %log.head().id, error = error.reason(), "interaction failed");
            Event::Failed(error.failure())
        });
        note_end(&run.context.journal, &last);
        self.metrics.ended(&measured(&log, &run.context.journal, &last));
        if log.head().in_background() {
            log_end(&log, &run.context.journal);
        }
        let generated = Arc::new(std::mem::take(&mut run.generated.memory));
        log.reserve(run.code.shares.drain(..).chain([generated]));
        let mut events = run.steps.take_unwritten();
        events.push(last);
        end(&log, events).await;
    }
}

async fn save_recording(run: &Run, ended: &Result<Event, RunError>) {
    let session = &RecordingSession::of(&run.context);
    match recording::status(ended) {
        Some(status) => {
            let usage = Some(run.steps.usage.total());
            recording::save(session, status, usage, &run.code.files, &run.code.uploads).await;
        }
        None => recording::discard(session, &run.steps.log.head().id),
    }
}

fn note_end(note: &JournalHandle, last: &Event) {
    match last {
        Event::Failed(failure) => {
            note.failed(&failure.message);
            note.ended(Status::Failed);
        }
        Event::Finished { status, .. } => note.ended(*status),
        _ => {}
    }
}

fn measured(log: &Log, note: &JournalHandle, last: &Event) -> EndedInteraction {
    let (status, usage) = match last {
        Event::Finished { status, usage } => (*status, Some(usage)),
        _ => (Status::Failed, None),
    };
    let taken = store::now().duration_since(log.created());
    EndedInteraction {
        status: status.as_str(),
        backend: note.backend().unwrap_or("none"),
        // Negative if the clock was set back.
        duration: taken.try_into().unwrap_or_default(),
        tokens: usage.map(|usage| TokenCounts {
            input: usage.input.total(),
            output: usage.output.total(),
            thought: usage.thought,
            tool_use: usage.tool_use.total(),
            cached: usage.cached,
        }),
    }
}

fn log_end(log: &Log, note: &JournalHandle) {
    let outcome = note.outcome_so_far();
    tracing::info!(
        interaction.id = %log.head().id,
        interaction.status = outcome.status.map(tracing::field::debug),
        scenario = outcome.scenario.as_deref(),
        runs = outcome.runs,
        failed_runs = outcome.failed_runs,
        "background interaction ended"
    );
}

/// Appends the last events.
pub async fn end(log: &Arc<Log>, events: Vec<Event>) {
    if let Err(error) = log.append(events).await {
        tracing::error!(
            interaction.id = %log.head().id,
            error = %error,
            "could not store interaction's end",
        );
    }
}
