//! Namespaces separate test suites that share a server: scenarios, journal and faults of one are
//! invisible to the others. Each owner has its own namespaces, even if names are equal.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::owner::Owner;

/// Maximum number of namespaces of one owner. Above it, the owner's least recently used one is
/// dropped.
const MAX_NAMESPACES: usize = 1000;
/// Maximum length of a name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Identifies the scenarios, journal and faults of a request. The empty name is the owner's default
/// namespace.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Namespace {
    owner: Owner,
    name: Arc<str>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid namespace: expected 1 to {MAX_NAME_BYTES} visible ASCII characters")]
pub struct NotAName;

impl Namespace {
    pub fn named(name: &str) -> Result<Namespace, NotAName> {
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name {
            Ok(Namespace { name: name.into(), owner: Owner::default() })
        } else {
            Err(NotAName)
        }
    }

    /// The namespace with the same name of this owner.
    #[must_use]
    pub fn of(self, owner: Owner) -> Namespace {
        Namespace { owner, ..self }
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.name)
    }
}

/// A value for each namespace, created on first use.
#[derive(Debug, Default)]
pub struct PerNamespace<T>(Mutex<NamespaceValues<T>>);

#[derive(Debug, Default)]
struct NamespaceValues<T> {
    values: HashMap<Namespace, (u64, T)>,
    /// Number of uses so far, to find the least recently used namespace.
    uses: u64,
}

impl<T: Default> PerNamespace<T> {
    pub fn with<R>(&self, namespace: &Namespace, act: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.0.lock();
        inner.uses += 1;
        let now = inner.uses;
        if !inner.values.contains_key(namespace) {
            inner.make_room(&namespace.owner);
        }
        let (used, value) = inner.values.entry(namespace.clone()).or_default();
        *used = now;
        act(value)
    }

    /// The sum over all namespaces of an owner.
    pub fn sum(&self, owner: &Owner, of: impl Fn(&T) -> usize) -> usize {
        let inner = self.0.lock();
        let of_owner = inner.values.iter().filter(|(namespace, _)| namespace.owner == *owner);
        of_owner.map(|(_, (_, value))| of(value)).sum()
    }

    /// Removes the namespace's value.
    pub fn clear(&self, namespace: &Namespace) {
        self.0.lock().values.remove(namespace);
    }
}

impl<T> NamespaceValues<T> {
    /// Drops this owner's least recently used namespace if the owner is at the limit.
    fn make_room(&mut self, owner: &Owner) {
        let of_owner = self.values.iter().filter(|(namespace, _)| namespace.owner == *owner);
        let oldest = of_owner.clone().min_by_key(|(_, (used, _))| used);
        let oldest = oldest.map(|(namespace, _)| namespace.clone());
        if of_owner.count() < MAX_NAMESPACES {
            return;
        }
        if let Some(oldest) = oldest {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Namespace {
        Namespace::named(name).expect("it is a name")
    }

    #[test]
    fn a_value_in_one_namespace_is_not_in_another() {
        let values = PerNamespace::<Vec<u8>>::default();
        values.with(&named("a"), |value| value.push(1));
        values.with(&named("b"), |value| value.push(2));
        values.clear(&named("b"));
        assert_eq!(values.with(&named("a"), |value| value.clone()), [1]);
        assert!(values.with(&named("b"), |value| value.is_empty()));
    }

    #[test]
    fn the_least_recently_used_namespace_is_dropped() {
        let values = PerNamespace::<u32>::default();
        for number in 0..MAX_NAMESPACES {
            values.with(&named(&number.to_string()), |value| *value = 1);
        }
        values.with(&named("0"), |value| assert_eq!(*value, 1));
        values.with(&named("one-more"), |_| ());
        assert_eq!(values.with(&named("0"), |value| *value), 1, "it was used again");
        assert_eq!(values.with(&named("1"), |value| *value), 0, "it was the oldest");
    }

    #[test]
    fn owners_have_separate_namespaces_and_limits() {
        let owner = |name: &str| Owner::named(name.to_owned());
        let values = PerNamespace::<u32>::default();
        values.with(&named("same").of(owner("a")), |value| *value = 1);
        for number in 0..2 * MAX_NAMESPACES {
            values.with(&named(&number.to_string()).of(owner("b")), |value| *value = 2);
        }
        values.clear(&named("same").of(owner("b")));
        assert_eq!(values.with(&named("same").of(owner("b")), |value| *value), 0);
        assert_eq!(values.with(&named("same"), |value| *value), 0, "without owner");
        assert_eq!(values.with(&named("same").of(owner("a")), |value| *value), 1);
    }

    #[test]
    fn a_name_is_short_and_visible() {
        for name in ["", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(Namespace::named(name), Err(NotAName), "{name:?}");
        }
        assert_eq!(named("tests/agent.py::test_1[x]").name(), "tests/agent.py::test_1[x]");
    }
}
