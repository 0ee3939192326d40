//! What a model supports. Nothing has to be configured: rejections by its server are remembered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::reading::Way;
use crate::backends::upstream::UpstreamError;
use domain::owner::Owner;

/// Maximum number of remembered models of all owners. Clients can name arbitrary models, so a limit is needed.
const MAX_MODELS: usize = 1000;
/// An ability that was missing is tried again after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Configured support for an ability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Has {
    Yes,
    No,
    /// Tried, and disabled after the first rejection.
    #[default]
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    Tools,
    Images,
    /// Reports token usage in a stream.
    Usage,
}

/// Abilities that models lack, and how models run code, as the requests of each owner have shown: a request
/// with a mistake must not take an ability from others.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<(Owner, String), Known>>);

/// What one owner's requests have shown of one model.
#[derive(Debug, Clone, Copy)]
pub struct OwnersMemory<'m> {
    memory: &'m Memory,
    owner: &'m Owner,
    model: &'m str,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    tools: Option<Instant>,
    images: Option<Instant>,
    usage: Option<Instant>,
    way: Option<Way>,
}

impl Known {
    /// Since when the ability is known to be missing.
    fn of(&mut self, ability: Ability) -> &mut Option<Instant> {
        match ability {
            Ability::Tools => &mut self.tools,
            Ability::Images => &mut self.images,
            Ability::Usage => &mut self.usage,
        }
    }
}

impl Memory {
    pub fn of<'m>(&'m self, owner: &'m Owner, model: &'m str) -> OwnersMemory<'m> {
        OwnersMemory { memory: self, owner, model }
    }
}

impl OwnersMemory<'_> {
    pub fn has(self, ability: Ability, configured: Has) -> bool {
        match configured {
            Has::Yes => true,
            Has::No => false,
            Has::Auto => {
                let since = self.known().and_then(|mut known| *known.of(ability));
                since.is_none_or(|since| since.elapsed() > FORGOTTEN_AFTER)
            }
        }
    }

    /// The way in which the model last ran code, when it had a choice.
    pub fn way(self) -> Option<Way> {
        self.known()?.way
    }

    pub fn shown(self, way: Way) {
        self.learn(|known| known.way = Some(way));
    }

    pub fn lacks(self, ability: Ability) {
        self.learn(|known| *known.of(ability) = Some(Instant::now()));
    }

    fn known(self) -> Option<Known> {
        let models = self.memory.0.lock();
        models.get(&(self.owner.clone(), self.model.to_owned())).copied()
    }

    fn learn(self, learn: impl FnOnce(&mut Known)) {
        let mut models = self.memory.0.lock();
        let key = (self.owner.clone(), self.model.to_owned());
        if !models.contains_key(&key) && models.len() >= MAX_MODELS {
            models.clear(); // they are detected again
        }
        learn(models.entry(key).or_default());
    }
}

/// The ability that the upstream lacks, according to its error message.
pub fn missing(error: &UpstreamError) -> Option<Ability> {
    let UpstreamError::Status { status: 400 | 404 | 415 | 422 | 500 | 501, message, .. } = error
    else {
        return None;
    };
    let message = message.to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if mentions(&["stream_options", "include_usage"]) {
        Some(Ability::Usage)
    } else if mentions(&["tool", "--jinja", "function call"]) {
        Some(Ability::Tools)
    } else if mentions(&["image", "vision", "multimodal", "mmproj"]) {
        Some(Ability::Images)
    } else {
        None
    }
}
