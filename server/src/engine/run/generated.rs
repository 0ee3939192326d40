//! Limits of what a model generates in one interaction. All of it is in memory until the interaction
//! ends.

use super::RunError;
use backend::{MAX_JSON_VALUES, MAX_TEXT_BYTES, ModelEvent};
use resources::budget::{Budget, Share};

/// Maximum number of steps.
const MAX_STEPS: usize = 10_000;
/// Maximum number of pieces in which a model streams. Each piece is an event of the log.
const MAX_PIECES: usize = 200_000;

/// Estimated memory of a byte of text: the events, the steps and the conversation each have a copy.
const BYTES_PER_TEXT_BYTE: usize = 4;
/// The same of a JSON value.
const BYTES_PER_VALUE: usize = 300;
/// The same of a piece without its text.
const BYTES_PER_PIECE: usize = 400;
/// Memory that is taken from the budget at once. The first of it is free, because the number of
/// interactions that run at once is limited.
const STEP_BYTES: usize = 1 << 20;

/// Counts what a model has generated, and reserves memory for it.
#[derive(Debug)]
pub struct Generated {
    text_bytes: usize,
    json_values: usize,
    pieces: usize,
    budget: Budget,
    reserved_bytes: usize,
    pub memory: Share,
}

impl Generated {
    pub fn new(budget: Budget) -> Generated {
        let memory = Share::default();
        let reserved_bytes = STEP_BYTES;
        Generated { text_bytes: 0, json_values: 0, pieces: 0, budget, reserved_bytes, memory }
    }

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
        self.reserve()
    }

    fn reserve(&mut self) -> Result<(), RunError> {
        let needed = self.text_bytes * BYTES_PER_TEXT_BYTE
            + self.json_values * BYTES_PER_VALUE
            + self.pieces * BYTES_PER_PIECE;
        let missing = needed.saturating_sub(self.reserved_bytes);
        if missing > 0 {
            let bytes = missing.next_multiple_of(STEP_BYTES);
            self.memory.add(self.budget.take(bytes).ok_or(RunError::NoMemory)?);
            self.reserved_bytes += bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(event: &ModelEvent, events: usize, steps: usize) -> Option<String> {
        let mut generated = Generated::new(Budget::new(1 << 30));
        (0..events).find_map(|_| generated.add(event, steps).err()).map(|error| error.to_string())
    }

    fn text(bytes: usize) -> ModelEvent {
        ModelEvent::Text("a".repeat(bytes))
    }

    #[test]
    fn each_limit_has_its_error() {
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

    #[test]
    fn output_stays_within_the_memory_budget() {
        let budget = Budget::new(4 << 20);
        let mut generated = Generated::new(budget.clone());
        let mut other = Generated::new(budget.clone());
        assert!(generated.add(&text(1 << 20), 0).is_ok());
        assert!(matches!(other.add(&text(1 << 20), 0), Err(RunError::NoMemory)));
        assert!(other.add(&text(10), 0).is_err(), "its text before is still there");
        drop(generated);
        assert!(other.add(&text(10), 0).is_ok());
        drop(other);
        assert!(budget.take(4 << 20).is_some(), "all memory is released");
    }
}
