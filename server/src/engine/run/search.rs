//! Searches: making them, and writing down what was found.

use super::Run;
use crate::interaction::{AwaitingModel, Delta, Found, SearchCall, SearchResult, Step, StepStart};
use crate::search;
use crate::store::StoreError;

impl Run {
    /// A search that was made elsewhere.
    pub fn search(
        &mut self,
        turn: AwaitingModel,
        queries: Vec<String>,
        found: Vec<Found>,
    ) -> AwaitingModel {
        let (turn, call) = self.search_call(turn, queries);
        self.search_result(turn, call, found, false)
    }

    /// Searches for as much of this as one search may.
    pub async fn search_for(
        &mut self,
        turn: AwaitingModel,
        queries: Vec<String>,
    ) -> Result<AwaitingModel, StoreError> {
        let (turn, call) = self.search_call(turn, search::bounded(queries));
        self.look_up(turn, call).await
    }

    /// Makes a search whose call is told already. One that fails is a result too, and the model may
    /// go on without.
    pub async fn look_up(
        &mut self,
        turn: AwaitingModel,
        call: SearchCall,
    ) -> Result<AwaitingModel, StoreError> {
        // Who follows the log sees what is looked for while it is looked for.
        self.flush().await?;
        let found = match &self.search {
            Some(search) => search::find(search.as_ref(), &call.queries).await,
            None => Ok(Vec::new()),
        };
        let is_error = found.is_err();
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(interaction.id = %self.log.head().id, %error, "a search failed");
            Vec::new()
        });
        self.prompt.recording.searched(&call.queries, &found);
        Ok(self.search_result(turn, call, found, is_error))
    }

    fn search_call(
        &mut self,
        turn: AwaitingModel,
        queries: Vec<String>,
    ) -> (AwaitingModel, SearchCall) {
        let call = SearchCall { id: self.ids.call(), queries, signature: self.ids.signature() };
        let delta =
            Delta::SearchCall { queries: call.queries.clone(), signature: call.signature.clone() };
        self.whole_step(StepStart::SearchCall { id: call.id.clone() }, vec![delta]);
        (turn.with_step(Step::SearchCall(call.clone())), call)
    }

    fn search_result(
        &mut self,
        turn: AwaitingModel,
        call: SearchCall,
        found: Vec<Found>,
        is_error: bool,
    ) -> AwaitingModel {
        let result = SearchResult {
            call_id: call.id,
            found,
            suggestions: search::suggestions(&call.queries),
            is_error,
            signature: self.ids.signature(),
        };
        let start = StepStart::SearchResult { call_id: result.call_id.clone() };
        self.whole_step(start, vec![Delta::SearchResult(result.clone())]);
        turn.with_step(Step::SearchResult(result))
    }
}
