//! Counters of each namespace, kept until `POST /x/reset`: uses of scenarios, requests for recorded
//! questions and, with a seed, identical requests. Nothing else depends on earlier requests.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::namespace::{Namespace, PerNamespace};

/// Maximum number of counters of one namespace. Beyond it, each count starts at 0.
const MAX_THINGS: usize = 10_000;

/// Counters of all namespaces.
#[derive(Debug, Default)]
pub struct Counts(PerNamespace<Arc<Tally>>);

/// Counters of one namespace.
#[derive(Debug, Default)]
pub struct Tally(Mutex<HashMap<u64, u64>>);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted<'k> {
    /// Interactions answered by this scenario of this file.
    Uses { file: &'k str, scenario: &'k str },
    /// Interactions with this recorded question.
    Question(&'k str),
    /// Requests with this content.
    Request(&'k [u8]),
}

impl Counts {
    pub fn of(&self, namespace: &Namespace) -> Arc<Tally> {
        self.0.with(namespace, |tally| Arc::clone(tally))
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.0.clear(namespace);
    }
}

impl Tally {
    /// Increments the counter and returns its previous value.
    pub fn next(&self, what: Counted<'_>) -> u64 {
        let mut counts = self.0.lock();
        let key = key(what);
        if counts.len() >= MAX_THINGS && !counts.contains_key(&key) {
            return 0;
        }
        let count = counts.entry(key).or_default();
        *count += 1;
        *count - 1
    }

    pub fn get(&self, what: Counted<'_>) -> u64 {
        let counts = self.0.lock();
        counts.get(&key(what)).copied().unwrap_or_default()
    }
}

fn key(what: Counted<'_>) -> u64 {
    // Deterministic within one process, which is the lifetime of a tally.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_its_own_counters_until_it_is_reset() {
        let counts = Counts::default();
        let (mine, other) = (Namespace::named("mine").expect("it is a name"), Namespace::default());
        let question = Counted::Question("q");
        assert_eq!([0, 1].map(|_| counts.of(&mine).next(question)), [0, 1]);
        assert_eq!(counts.of(&other).next(question), 0);
        assert_eq!(counts.of(&mine).get(Counted::Question("other")), 0);
        counts.clear(&mine);
        assert_eq!(counts.of(&mine).next(question), 0);
        assert_eq!(counts.of(&other).get(question), 1);
    }

    #[test]
    fn the_number_of_counters_is_limited() {
        let tally = Tally::default();
        for number in 0..MAX_THINGS {
            tally.next(Counted::Question(&number.to_string()));
        }
        assert_eq!(
            (tally.next(Counted::Question("x")), tally.next(Counted::Question("x"))),
            (0, 0)
        );
        assert_eq!(tally.next(Counted::Question("7")), 1, "an existing counter continues");
    }
}
