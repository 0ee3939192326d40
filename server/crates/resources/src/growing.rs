//! A share of a budget that grows, for work of several parts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::{Budget, Share};

/// Bytes of a budget for one piece of work. Clones are the same share; the last one returns it.
#[derive(Debug, Clone)]
pub struct GrowingShare {
    budget: Budget,
    taken: Arc<Mutex<Share>>,
}

impl GrowingShare {
    pub fn new(budget: Budget) -> GrowingShare {
        GrowingShare { budget, taken: Arc::default() }
    }

    /// Takes more bytes, if they are free.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<()> {
        let share = self.budget.take(bytes)?;
        self.taken.lock().add(share);
        Some(())
    }

    pub fn bytes(&self) -> usize {
        self.taken.lock().bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_one_share() {
        let budget = Budget::new(4 << 10);
        let share = GrowingShare::new(budget.clone());
        let other = share.clone();
        assert!(share.take(1 << 10).is_some() && other.take(2 << 10).is_some());
        assert!(other.take(2 << 10).is_none(), "the budget has one more");
        assert_eq!((share.bytes(), budget.used()), (3 << 10, 3 << 10));
        drop(share);
        assert_eq!(budget.used(), 3 << 10);
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
