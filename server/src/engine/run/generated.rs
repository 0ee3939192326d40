//! Limits of what a model generates in one interaction. All of it is in memory until the interaction
//! ends.

use super::RunError;
use crate::backend::{MAX_JSON_VALUES, MAX_TEXT_BYTES, ModelEvent};

/// Maximum number of steps.
const MAX_STEPS: usize = 10_000;
/// Maximum number of pieces in which a model streams. Each piece is an event of the log.
const MAX_PIECES: usize = 200_000;

/// Counts what a model has generated.
#[derive(Debug, Default)]
pub struct Generated {
    text_bytes: usize,
    json_values: usize,
    pieces: usize,
}

impl Generated {
    /// Counts another event, before which the interaction has this many steps.
    pub fn add(&mut self, event: &ModelEvent, steps: usize) -> Result<(), RunError> {
        let size = event.size();
        self.text_bytes += size.text_bytes;
        self.json_values += size.excess();
        self.pieces += 1;
        if self.json_values > MAX_JSON_VALUES {
            return Err(RunError::TooMuch(format!("{MAX_JSON_VALUES} JSON values")));
        }
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
        let call = |values: usize| ModelEvent::FunctionCall {
            name: String::new(),
            arguments: vec![0; values - 1].into(),
        };
        let wanted = |limit: &str| Some(format!("the model generated more than {limit}"));
        assert_eq!(error(&text(1 << 20), 16, 0), None);
        assert_eq!(error(&text(1 << 20), 17, 0), wanted("16 MiB of text"));
        assert_eq!(error(&text(1), MAX_PIECES, MAX_STEPS), None);
        assert_eq!(error(&text(1), MAX_PIECES + 1, 0), wanted("200000 pieces of text"));
        assert_eq!(error(&call(16), MAX_PIECES, 0), None);
        assert_eq!(error(&call(50_016), 2, 0), None);
        assert_eq!(error(&call(50_017), 2, 0), wanted("100000 JSON values"));
        assert_eq!(error(&text(1), 1, MAX_STEPS + 1), wanted("10000 steps"));
    }
}
