//! Creates the ids of an interaction: at random, or from a seed so that equal requests get equal ids.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use super::Request;
use backend::RequestContext;
use domain::counts::Counted;
use domain::ids::Ids;
use domain::interaction::Step;
use store::{Persistence, Store, StoreError};

/// Holds the seed, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdGenerator(pub Option<u64>);

impl IdGenerator {
    /// The ids of a new interaction, and its own id, which is unique.
    ///
    /// With a seed they depend only on the namespace, the content of the request, and how often it was
    /// sent there since the last reset. Other tests at the same time do not change them.
    pub async fn for_request(
        self,
        request: &Request,
        context: &RequestContext,
        store: &Store,
    ) -> Result<(Ids, String), StoreError> {
        let Some(seed) = self.0 else {
            let ids = Ids::random();
            let id = ids.interaction();
            return Ok((ids, id));
        };
        let content = content(request);
        let sent = context.journal.tally().next(Counted::Request(&content));
        // An old data folder may already contain this id.
        let mut attempt: u64 = 0;
        loop {
            let numbers = [seed, sent, attempt].map(u64::to_le_bytes).concat();
            let namespace = context.namespace.name().as_bytes();
            let ids =
                Ids::seeded([&numbers, namespace, request.owner.name().as_bytes(), &content[..]]);
            let id = ids.interaction();
            if !store.contains(&request.owner, &id).await? {
                return Ok((ids, id));
            }
            attempt += 1;
        }
    }

    /// The ids for the rest of a resumed interaction.
    pub fn after_restart(self, id: &str) -> Ids {
        match self.0 {
            None => Ids::random(),
            Some(seed) => Ids::seeded([&seed.to_le_bytes()[..], id.as_bytes(), b"restarted"]),
        }
    }
}

/// A hash of the content of a request, without ids that clients or this server create for each
/// request.
fn content(request: &Request) -> [u8; 32] {
    let mut hash = Hash(Sha256::new());
    let Request { model, previous_interaction_id, system_instruction, tools, .. } = request;
    // Part of the hash: another word would change the ids of every seed.
    let persistence = match request.persistence {
        Persistence::Stored => "Stored",
        Persistence::Ephemeral => "Forgotten",
    };
    let mut write = || -> fmt::Result {
        write!(hash, "{model:?} {previous_interaction_id:?} {system_instruction:?}")?;
        write!(hash, "{:?} {:?}", tools.offered, tools.functions)?;
        write!(hash, "{} {}", request.generation_config.as_json(), persistence)?;
        for step in &request.input {
            match step {
                Step::FunctionCall(call) => write!(hash, "c{:?}{}", call.name, call.arguments)?,
                Step::FunctionResult(result) => {
                    write!(hash, "r{:?}{}", result.name, result.result)?
                }
                Step::CodeCall(call) => write!(hash, "p{:?}", call.code)?,
                Step::CodeResult(result) => write!(hash, "o{:?}", result.result)?,
                Step::Thought { summary, .. } => write!(hash, "t{summary:?}")?,
                other => write!(hash, "{other:?}")?,
            }
        }
        Ok(())
    };
    write().expect("writing to a hash cannot fail");
    hash.0.finalize().into()
}

struct Hash(Sha256);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}
