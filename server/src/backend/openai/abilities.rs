//! What a model supports. Nothing has to be configured: rejections by its server are remembered.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::reading::Way;
use crate::backend::upstream::UpstreamError;

/// Maximum number of remembered models. Clients can name arbitrary models, so a limit is needed.
const MAX_MODELS: usize = 1000;

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

/// Abilities that models lack, and how models run code.
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
    pub fn has(&self, model: &str, ability: Ability, configured: Has) -> bool {
        match configured {
            Has::Yes => true,
            Has::No => false,
            Has::Auto => {
                let mut models = self.0.lock();
                !models.get_mut(model).is_some_and(|lacks| *lacks.of(ability))
            }
        }
    }

    /// The way in which the model last ran code, when it had a choice.
    pub fn way(&self, model: &str) -> Option<Way> {
        let models = self.0.lock();
        models.get(model).and_then(|known| known.way)
    }

    pub fn shown(&self, model: &str, way: Way) {
        self.about(model, |known| known.way = Some(way));
    }

    pub fn lacks(&self, model: &str, ability: Ability) {
        self.about(model, |known| *known.of(ability) = true);
    }

    fn about(&self, model: &str, learn: impl FnOnce(&mut Known)) {
        let mut models = self.0.lock();
        if !models.contains_key(model) && models.len() >= MAX_MODELS {
            models.clear(); // they are detected again
        }
        learn(models.entry(model.to_owned()).or_default());
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
