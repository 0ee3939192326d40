//! Begins interactions.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

use super::prompt::{Patience, Preparation};
use super::response_format::ResponseFormat;
use super::resume::state;
use super::run::usage;
use super::{Engine, EngineError, MAX_BACKGROUND, Request, recording};
use ::recording::RecordingSession;
use domain::chaos::fault::Fault;
use domain::ids;
use domain::interaction::{AwaitingModel, InteractionSettings, Step, Turn};
use domain::namespace::Namespace;
use journal::JournalHandle;
use resources::budget::Share;
use store::{Head, Log, Owner};

/// How long the start of an interaction waits for the model's first event, so that a refusal can
/// be the response itself instead of an error in a stream.
const FIRST_EVENT_WITHIN: Duration = Duration::from_secs(5);
/// The same for an interaction in the background, whose client expects an immediate response.
const FIRST_BACKGROUND_EVENT_WITHIN: Duration = Duration::from_millis(100);

/// An interaction that has begun. Dropping it cancels the rest of the interaction, unless that runs
/// in the background.
#[derive(Debug)]
pub struct Running {
    log: Arc<Log>,
    note: JournalHandle,
    _cancel: Option<DropGuard>,
}

impl Running {
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Identifies the response if the interaction is not stored.
    pub fn response_id(&self) -> String {
        ids::response(&self.log.head().id)
    }

    /// Faults that the scenario requests for the response.
    pub fn wanted(&self) -> Vec<Fault> {
        self.note.wanted()
    }
}

/// Copies of the input that an interaction has: for the log, for its resumption, and for the model.
const INPUT_COPIES: usize = 4;

impl Engine {
    /// Memory for an interaction's input while it runs.
    pub(super) fn reserve(&self, owner: &Owner, input: &[Step]) -> Result<Share, EngineError> {
        let bytes: usize = input.iter().map(Step::memory_bytes).sum();
        self.sandbox.budget().of(owner).take(INPUT_COPIES * bytes).ok_or(EngineError::NoMemory)
    }

    /// Begins an interaction in the default namespace.
    pub async fn start(self: &Arc<Self>, request: Request) -> Result<Running, EngineError> {
        self.start_in(&Namespace::default(), request).await
    }

    /// Begins an interaction. Returns after the model's first event, or after a timeout. Everything
    /// that happens later is in the log.
    pub async fn start_in(
        self: &Arc<Self>,
        namespace: &Namespace,
        request: Request,
    ) -> Result<Running, EngineError> {
        if self.stop.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        let counted = match request.background {
            true => {
                let counted = self.background.begin(&request.owner, MAX_BACKGROUND);
                Some(counted.ok_or(EngineError::TooManyInBackground)?)
            }
            false => None,
        };
        let checker = self.formats.of(&request.owner);
        let format = ResponseFormat::from_config(&request.generation_config, checker).await?;
        let mut prepared = self.prepare(namespace, &request, Patience::None).await?;
        if request.background {
            // The share of the request's body ends with the response.
            prepared.memory.add(self.reserve(&request.owner, &request.input)?);
        }
        let Preparation { prompt, context, files, .. } = &prepared;
        let uploads = &self.sources.uploads;
        let instruction = request.system_instruction.as_deref();
        let prompt_tokens = usage::of_prompt(instruction, &prompt.steps, files, uploads).await?;
        let settings = InteractionSettings {
            tier: request.service_tier,
            prompt: Some(prompt_tokens),
            summaries: request.generation_config.summaries(),
        };

        let mut events = self.backend.generate(prompt.clone(), context);
        let within =
            if request.background { FIRST_BACKGROUND_EVENT_WITHIN } else { FIRST_EVENT_WITHIN };
        let first = match tokio::time::timeout(within, events.recv()).await {
            Ok(Some(Err(refusal))) => {
                context.journal.failed(&refusal.to_string());
                recording::save(&RecordingSession::of(context), "refused", None, files, uploads)
                    .await;
                return Err(refusal.into());
            }
            Ok(event) => event,
            Err(_) => None,
        };

        let resume_state = request.background.then(|| state::encode(namespace, &request));
        let (ids, id) = self.ids.for_request(&request, context, &self.store).await?;
        let ids = Arc::new(ids);
        let head = Head {
            id,
            model: request.model,
            previous_interaction_id: request.previous_interaction_id,
            input: request.input,
            resume_state,
            owner: request.owner,
        };
        let cancel = self.stop.child_token();
        // From here on, a client that disconnects cancels the interaction.
        let guard = (!request.background).then(|| cancel.clone().drop_guard());
        let log = self.store.begin(head, request.persistence, settings);
        let note = context.journal.clone();
        note.began(&log.head().id);
        let listed = self.tasks.list(&log.head().id, cancel.clone());
        let turn = Turn::Model(AwaitingModel::begin(prompt.steps.to_vec(), self.limits));
        let run = self.run(Arc::clone(&log), ids, prepared, format);
        let engine = Arc::clone(self);
        // A task of its own, because the end is stored even if the client disconnects.
        self.running.spawn(async move {
            engine.drive(run, turn, Some((events, first)), cancel).await;
            drop((listed, counted));
        });
        log.exists().await?;
        Ok(Running { log, note, _cancel: guard })
    }
}
