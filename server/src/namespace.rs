//! Rooms for those who test against one server at the same time: what one of them sets up or looks
//! at is not there for another. Each owner has rooms of its own, whatever their names are.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::Owner;

/// Namespaces of one owner that something is kept for. One more, and that owner's least recently used
/// one is dropped.
const MAX_NAMESPACES: usize = 1000;
/// Limit of a name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Whose scenarios, journal and faults a request is about. Without a name it is all of its owner's.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Namespace {
    owner: Owner,
    name: Arc<str>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a namespace has 1 to {MAX_NAME_BYTES} visible characters of ASCII")]
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

    /// The one of the same name that belongs to this owner.
    #[must_use]
    pub fn of(self, owner: Owner) -> Namespace {
        Namespace { owner, ..self }
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

/// Something for each namespace, made when it is first asked for.
#[derive(Debug, Default)]
pub struct Rooms<T>(Mutex<Inner<T>>);

#[derive(Debug, Default)]
struct Inner<T> {
    rooms: HashMap<Namespace, (u64, T)>,
    /// Counts the uses, to tell which one is the oldest.
    uses: u64,
}

impl<T: Default> Rooms<T> {
    pub fn with<R>(&self, namespace: &Namespace, act: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.uses += 1;
        let now = inner.uses;
        if !inner.rooms.contains_key(namespace) {
            inner.make_room(&namespace.owner);
        }
        let (used, room) = inner.rooms.entry(namespace.clone()).or_default();
        *used = now;
        act(room)
    }

    /// As if nobody had ever been there.
    pub fn clear(&self, namespace: &Namespace) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rooms.remove(namespace);
    }
}

impl<T> Inner<T> {
    /// Drops a namespace of this owner if it has as many as it may have.
    fn make_room(&mut self, owner: &Owner) {
        let of_owner = self.rooms.iter().filter(|(namespace, _)| namespace.owner == *owner);
        let oldest = of_owner.clone().min_by_key(|(_, (used, _))| used);
        let oldest = oldest.map(|(namespace, _)| namespace.clone());
        if of_owner.count() < MAX_NAMESPACES {
            return;
        }
        if let Some(oldest) = oldest {
            self.rooms.remove(&oldest);
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
    fn what_is_in_one_room_is_not_in_another() {
        let rooms = Rooms::<Vec<u8>>::default();
        rooms.with(&named("a"), |room| room.push(1));
        rooms.with(&named("b"), |room| room.push(2));
        rooms.clear(&named("b"));
        assert_eq!(rooms.with(&named("a"), |room| room.clone()), [1]);
        assert!(rooms.with(&named("b"), |room| room.is_empty()));
    }

    #[test]
    fn the_one_that_was_not_used_for_the_longest_time_goes() {
        let rooms = Rooms::<u32>::default();
        for number in 0..MAX_NAMESPACES {
            rooms.with(&named(&number.to_string()), |room| *room = 1);
        }
        rooms.with(&named("0"), |room| assert_eq!(*room, 1));
        rooms.with(&named("one-more"), |_| ());
        assert_eq!(rooms.with(&named("0"), |room| *room), 1, "it was used again");
        assert_eq!(rooms.with(&named("1"), |room| *room), 0, "it was the oldest");
    }

    #[test]
    fn owners_have_rooms_of_their_own_and_take_none_from_each_other() {
        let owner = |name: &str| Owner::named(name.to_owned());
        let rooms = Rooms::<u32>::default();
        rooms.with(&named("same").of(owner("a")), |room| *room = 1);
        for number in 0..2 * MAX_NAMESPACES {
            rooms.with(&named(&number.to_string()).of(owner("b")), |room| *room = 2);
        }
        rooms.clear(&named("same").of(owner("b")));
        assert_eq!(rooms.with(&named("same").of(owner("b")), |room| *room), 0);
        assert_eq!(rooms.with(&named("same"), |room| *room), 0, "of no owner");
        assert_eq!(rooms.with(&named("same").of(owner("a")), |room| *room), 1);
    }

    #[test]
    fn a_name_is_short_and_visible() {
        for name in ["", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(Namespace::named(name), Err(NotAName), "{name:?}");
        }
        assert_eq!(named("tests/agent.py::test_1[x]").name(), "tests/agent.py::test_1[x]");
    }
}
