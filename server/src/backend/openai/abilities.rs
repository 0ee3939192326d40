//! What a model can do. Nobody has to say so beforehand: what its server refuses is remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::reading::Way;
use crate::backend::upstream::UpstreamError;

/// Models that are remembered. A client may name any, so there is a limit.
const MAX_MODELS: usize = 1000;

/// What somebody has said about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Has {
    Yes,
    No,
    /// It is tried, and left out once it was refused.
    #[default]
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    Tools,
    Images,
    /// Counting its tokens in a stream.
    Usage,
}

/// What models turned out not to have, and how they run code.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Known>>);

#[derive(Debug, Default)]
struct Known {
    tools: bool,
    images: bool,
    usage: bool,
    way: Option<Way>,
}

impl Known {
    fn of(&mut self, ability: Ability) -> &mut bool {
        match ability {
            Ability::Tools => &mut self.tools,
            Ability::Images => &mut self.images,
            Ability::Usage => &mut self.usage,
        }
    }
}

impl Memory {
    pub fn has(&self, model: &str, ability: Ability, said: Has) -> bool {
        match said {
            Has::Yes => true,
            Has::No => false,
            Has::Auto => {
                let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                !models.get_mut(model).is_some_and(|lacks| *lacks.of(ability))
            }
        }
    }

    /// The way that the model went last, when it had the choice.
    pub fn way(&self, model: &str) -> Option<Way> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(model).and_then(|known| known.way)
    }

    pub fn shown(&self, model: &str, way: Way) {
        self.about(model, |known| known.way = Some(way));
    }

    pub fn lacks(&self, model: &str, ability: Ability) {
        self.about(model, |known| *known.of(ability) = true);
    }

    fn about(&self, model: &str, learn: impl FnOnce(&mut Known)) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !models.contains_key(model) && models.len() >= MAX_MODELS {
            models.clear(); // they will be found out again
        }
        learn(models.entry(model.to_owned()).or_default());
    }
}

/// What the other server cannot do with the request, as its words tell.
pub fn missing(error: &UpstreamError) -> Option<Ability> {
    let UpstreamError::Status { status: 400 | 404 | 415 | 422 | 500 | 501, message, .. } = error
    else {
        return None;
    };
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["stream_options", "include_usage"]) {
        Some(Ability::Usage)
    } else if says(&["tool", "--jinja", "function call"]) {
        Some(Ability::Tools)
    } else if says(&["image", "vision", "multimodal", "mmproj"]) {
        Some(Ability::Images)
    } else {
        None
    }
}
