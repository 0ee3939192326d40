//! Places for expensive work, which owners share fairly: each has a few, so that its other work waits
//! behind that of all others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use domain::owner::Owner;

#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    most_of_owner: usize,
    /// The places of owners that use or wait for one.
    of_owners: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// The places of one owner.
#[derive(Debug, Clone)]
pub struct OwnersPlaces {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub struct TakenPlace {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(places: usize, most_of_owner: usize) -> Places {
        Places { all: Arc::new(Semaphore::new(places)), most_of_owner, of_owners: Mutex::default() }
    }

    pub fn of(&self, owner: &Owner) -> OwnersPlaces {
        let mut owners = self.of_owners.lock();
        let known = owners.get(owner).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            owners.retain(|_, places| places.strong_count() > 0);
            let own = Arc::new(Semaphore::new(self.most_of_owner));
            owners.insert(owner.clone(), Arc::downgrade(&own));
            own
        });
        OwnersPlaces { all: Arc::clone(&self.all), own }
    }
}

impl OwnersPlaces {
    /// Waits for a place of this owner, then for one of all.
    pub async fn take(&self) -> TakenPlace {
        let closed = "the semaphores are never closed";
        let own = Arc::clone(&self.own).acquire_owned().await.expect(closed);
        TakenPlace { _own: own, _all: Arc::clone(&self.all).acquire_owned().await.expect(closed) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_waiting_work_of_one_owner_does_not_delay_another() {
        let places = Places::new(2, 1);
        let [a, b, c] = ["a", "b", "c"].map(|name| places.of(&Owner::named(name.to_owned())));
        let first = a.take().now_or_never().expect("it is free");
        let other_handle = places.of(&Owner::named("a".to_owned()));
        let mut waiting = Box::pin(other_handle.take());
        assert!(waiting.as_mut().now_or_never().is_none(), "a has one place");
        let second = b.take().now_or_never().expect("it is free");
        assert!(c.take().now_or_never().is_none(), "there are two places");
        drop(second);
        assert!(c.take().now_or_never().is_some());
        drop(first);
        assert!(waiting.now_or_never().is_some());
    }
}
