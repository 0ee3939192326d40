//! Makes the prompt of the model from a request and the interactions before it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::input::{calls, files};
use super::{Engine, EngineError, MAX_CHAIN, MAX_CONVERSATION_BYTES, Request};
use crate::trace;
use backend::{Prompt, RequestContext};
use domain::interaction::Step;
use domain::namespace::Namespace;
use domain::owner::Owner;
use journal::RequestSummary;
use recording::RecordingSession;
use resources::budget::Share;

/// Conversations of this size are copied on a blocking thread.
const LARGE_BYTES: usize = 4 << 20;

/// What an interaction begins with.
#[derive(Debug)]
pub struct Preparation {
    pub prompt: Prompt,
    pub context: RequestContext,
    pub files: Vec<files::LoadedFile>,
    /// Reserves the memory of the earlier interactions, the input and fetched files.
    pub memory: Share,
}

/// What to do if the memory budget is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Refuse the request, which its client can repeat.
    None,
    /// Wait: the interaction was accepted before a restart.
    Long,
}

impl Engine {
    /// Reads the earlier interactions and the files, and adds the request to the journal.
    pub(super) async fn prepare(
        &self,
        namespace: &Namespace,
        request: &Request,
        patience: Patience,
    ) -> Result<Preparation, EngineError> {
        let last = request.previous_interaction_id.as_deref();
        let (mut steps, mut memory) = self.history(&request.owner, last, patience).await?;
        if let Some(call) = calls::unknown(&steps, &request.input) {
            return Err(EngineError::UnknownCall(call.to_owned()));
        }
        steps.extend(request.input.iter().cloned());
        let budget = &self.sandbox.budget().of(&request.owner);
        let (files, fetched) =
            files::of_input(&steps, &self.sources, &request.owner, budget).await?;
        memory.add(fetched);
        let journal = self.journal.write(namespace, summary(request, &steps, &files));
        let journal = journal.counting(self.counts.of(namespace));
        trace::asked(&journal);
        let mut tools = request.tools.clone();
        tools.google_search &= self.search.is_some();
        let context = RequestContext {
            namespace: namespace.clone(),
            journal,
            extensions: RecordingSession::for_client(Arc::clone(&request.keys)).into_extensions(),
        };
        let prompt = Prompt {
            model: request.model.clone(),
            system_instruction: request.system_instruction.clone(),
            tools,
            generation_config: request.generation_config.clone(),
            steps: steps.into(),
            files: files.iter().map(|file| file.about.clone()).collect(),
        };
        Ok(Preparation { prompt, context, files, memory })
    }

    /// The steps of a chain of this owner, oldest first, and their memory, which is reserved before they are
    /// read.
    async fn history(
        &self,
        owner: &Owner,
        last: Option<&str>,
        patience: Patience,
    ) -> Result<(Vec<Step>, Share), EngineError> {
        let budget = self.sandbox.budget().of(owner);
        let (mut ids, mut rows, mut blobs) = (Vec::new(), 0_usize, 0_usize);
        let mut id = last.map(str::to_owned);
        while let Some(wanted) = id {
            if ids.len() == MAX_CHAIN {
                return Err(EngineError::ChainTooLong);
            }
            let Some(size) = self.store.size(owner, &wanted).await? else {
                return Err(EngineError::UnknownPrevious(wanted));
            };
            rows = rows.saturating_add(size.row_bytes);
            blobs = blobs.saturating_add(size.blob_bytes);
            if rows > MAX_CONVERSATION_BYTES || rows.saturating_add(blobs) > budget.most() {
                return Err(EngineError::ConversationTooLarge);
            }
            ids.push(wanted);
            id = size.previous_id;
        }
        let memory = match patience {
            Patience::None => budget.take(rows + blobs).ok_or(EngineError::NoMemory)?,
            Patience::Long => budget.wait_for(rows + blobs).await,
        };
        let mut links = Vec::new();
        for id in ids.into_iter().rev() {
            let Some(log) = self.store.find(owner, &id).await? else {
                return Err(EngineError::UnknownPrevious(id));
            };
            if !log.has_ended() {
                return Err(EngineError::PreviousInProgress(id));
            }
            links.push(log);
        }
        let steps = move || {
            let steps = links.into_iter().map(|log| {
                let input = log.head().input.clone();
                input.into_iter().chain(log.projection().into_steps()).collect::<Vec<_>>()
            });
            steps.flatten().collect()
        };
        // Copies of much JSON take a while.
        let steps = if rows > LARGE_BYTES {
            spawn_blocking(steps).await.map_err(|_| EngineError::Stopping)?
        } else {
            steps()
        };
        Ok((steps, memory))
    }
}

/// For the journal.
fn summary(request: &Request, steps: &[Step], files: &[files::LoadedFile]) -> RequestSummary {
    let results = request.input.iter().filter_map(|step| match step {
        Step::FunctionResult(result) => Some(result.result.clone()),
        _ => None,
    });
    RequestSummary {
        model: request.model.clone(),
        input: steps.iter().rev().find_map(Step::user_text).unwrap_or_default(),
        system_instruction: request.system_instruction.clone(),
        tools: request.tools.offered.clone(),
        turn: steps.iter().filter(|step| matches!(step, Step::UserInput(_))).count(),
        files: files.iter().map(|file| file.about.name.clone()).collect(),
        function_results: results.collect(),
        generation_config: request.generation_config.as_json().clone(),
        previous_interaction_id: request.previous_interaction_id.clone(),
    }
}
