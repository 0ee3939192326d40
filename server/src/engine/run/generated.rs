//! Limits of what a model generates in one interaction. All of it is in memory until the interaction
//! ends.

use super::RunError;
use crate::backend::{MAX_TEXT_BYTES, ModelEvent};

/// Maximum number of steps.
const MAX_STEPS: usize = 10_000;
/// Maximum number of pieces in which a model streams. Each piece is an event of the log.
const MAX_PIECES: usize = 200_000;

/// Counts what a model has generated.
#[derive(Debug, Default)]
pub struct Generated {
    text_bytes: usize,
    pieces: usize,
}

impl Generated {
    /// Counts another event, before which the interaction has this many steps.
    pub fn add(&mut self, event: &ModelEvent, steps: usize) -> Result<(), RunError> {
        self.text_bytes += event.text_bytes();
        self.pieces += 1;
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(RunError::TooMuch(format!("{} MiB of text", MAX_TEXT_BYTES >> 20)));
        }
        if self.pieces > MAX_PIECES {
            return Err(RunError::TooMuch(format!("{MAX_PIECES} pieces of text")));
        }
        if steps > MAX_STEPS {
            return Err(RunError::TooMuch(format!("{MAX_STEPS} steps")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(event: &ModelEvent, events: usize, steps: usize) -> Option<String> {
        let mut generated = Generated::default();
        (0..events).find_map(|_| generated.add(event, steps).err()).map(|error| error.to_string())
    }

    #[test]
    fn each_limit_has_its_error() {
        let text = |bytes: usize| ModelEvent::Text("a".repeat(bytes));
        let wanted = |limit: &str| Some(format!("the model generated more than {limit}"));
        assert_eq!(error(&text(1 << 20), 16, 0), None);
        assert_eq!(error(&text(1 << 20), 17, 0), wanted("16 MiB of text"));
        assert_eq!(error(&text(1), MAX_PIECES, MAX_STEPS), None);
        assert_eq!(error(&text(1), MAX_PIECES + 1, 0), wanted("200000 pieces of text"));
        assert_eq!(error(&text(1), 1, MAX_STEPS + 1), wanted("10000 steps"));
    }
}
