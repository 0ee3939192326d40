//! Carrying an interaction to its end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::files::File;
use super::form::Form;
use super::run::{Left, Run, Speaking};
use super::usage::Counter;
use super::{Engine, record};
use crate::backend::Prompt;
use crate::ids::Ids;
use crate::interaction::{Event, Status, Turn};
use crate::store::Log;

impl Engine {
    /// All that an interaction needs, before anything has happened.
    pub(super) fn run(
        &self,
        log: Arc<Log>,
        ids: Arc<Ids>,
        prompt: Prompt,
        files: Vec<File>,
        form: Option<Form>,
    ) -> Run {
        let mut usage = Counter::of(log.entries_from(0).iter().map(|entry| &entry.event));
        if !log.has_begun() {
            usage.hear(&Event::Created(log.terms()));
        }
        Run {
            backend: Arc::clone(&self.backend),
            sandbox: Arc::clone(&self.sandbox),
            search: self.search.clone(),
            usage,
            log,
            ids,
            prompt,
            files,
            sent_ahead: self.sources.sent_ahead.clone(),
            cell: None,
            shares: Vec::new(),
            unwritten: Vec::new(),
            open: None,
            next_index: 0,
            form,
            held: String::new(),
            repaired: false,
            mark: None,
            left: Left::default(),
        }
    }

    /// Carries an interaction to its end, which is always written down, but for one that is left to
    /// the next server.
    pub(super) async fn carry(
        &self,
        mut run: Run,
        turn: Turn,
        speaking: Option<Speaking>,
        cancel: CancellationToken,
    ) {
        let ended = tokio::select! {
            ended = run.carry_through(turn, speaking) => ended,
            () = cancel.cancelled() => {
                if self.stop.is_cancelled() && run.log.head().in_background() {
                    return run.log.suspend();
                }
                Ok(Event::Finished { status: Status::Cancelled, usage: run.usage.total() })
            }
        };
        // Whoever has the answer finds the recording.
        match record::word(&ended) {
            Some(word) => {
                let usage = Some(run.usage.total());
                record::keep(&run.prompt.recording, word, usage, &run.files, &run.sent_ahead).await;
            }
            None => record::discard(&run.prompt.recording, &run.log.head().id),
        }
        // With the cell goes every process that the code started, before anyone reads of the end.
        run.cell = None;
        let last = ended.unwrap_or_else(|error| {
            tracing::warn!(interaction.id = %run.log.head().id, error = error.reason(), "interaction failed");
            Event::Failed(error.failure())
        });
        match &last {
            Event::Failed(failure) => {
                run.prompt.note.failed(&failure.message);
                run.prompt.note.ended(Status::Failed);
            }
            Event::Finished { status, .. } => run.prompt.note.ended(*status),
            _ => {}
        }
        if run.log.head().in_background() {
            let fate = run.prompt.note.outcome_so_far();
            tracing::info!(
                interaction.id = %run.log.head().id,
                interaction.status = fate.status.map(tracing::field::debug),
                scenario = fate.scenario.as_deref(),
                runs = fate.runs,
                failed_runs = fate.failed_runs,
                "background interaction ended"
            );
        }
        let mut events = std::mem::take(&mut run.unwritten);
        events.push(last);
        end(&run.log, events).await;
    }
}

/// Writes down the last events.
pub async fn end(log: &Arc<Log>, events: Vec<Event>) {
    if let Err(error) = log.append(events).await {
        tracing::error!(
            interaction.id = %log.head().id,
            error = %error,
            "the end of an interaction could not be written",
        );
    }
}
