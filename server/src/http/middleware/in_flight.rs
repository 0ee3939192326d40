//! InFlightCounts the requests in progress, until their responses are sent: all of them, those of each API key, and
//! those without a valid one. So no client has all places.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use parking_lot::Mutex;

use crate::http::error::{ApiError, Code};
use domain::owner::Owner;
use resources::budget::PART_OF_OWNER;

/// Maximum number of concurrent requests over all connections, equal to the maximum number of
/// connections. An HTTP/2 connection can have many requests.
const MAX_IN_FLIGHT: usize = 8192;
/// Maximum number with the same key, if the server has keys.
const MAX_OF_OWNER: usize = MAX_IN_FLIGHT / PART_OF_OWNER;
/// How many more are refused with an answer. The rest is dropped: an answer that is not read takes a place too.
const MAX_REFUSED: usize = 256;
/// Maximum number without a valid key, if the server has keys.
const MAX_STRANGERS: usize = MAX_IN_FLIGHT / 8;
/// Paths of health checks, which are exempt, and are logged at a lower level.
pub const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Requests in progress. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<InFlightCounts>);

#[derive(Debug, Default)]
struct InFlightCounts {
    total: AtomicUsize,
    /// Those of the total that have no valid key, or whose key is not checked yet.
    strangers: AtomicUsize,
    owners: Mutex<HashMap<Owner, usize>>,
}

/// A request in progress, until [`InFlightPlace::end`]. An extension of the request.
#[derive(Debug, Clone)]
pub struct InFlightPlace(Arc<HeldPlace>);

#[derive(Debug)]
struct HeldPlace {
    counts: Arc<InFlightCounts>,
    of: Mutex<Holder>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    Stranger,
    Owner(Owner),
    Ended,
}

impl InFlight {
    pub fn count(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }

    pub fn enter(&self) -> InFlightPlace {
        self.0.total.fetch_add(1, Ordering::Relaxed);
        self.0.strangers.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(&self.0);
        InFlightPlace(Arc::new(HeldPlace { counts, of: Mutex::new(Holder::Stranger) }))
    }

    /// The error for a request above the limit. Health checks are exempt.
    pub fn refuses(&self, request: &Request) -> Option<ApiError> {
        let is_too_many = self.count() > MAX_IN_FLIGHT && !is_probe(request.uri().path());
        is_too_many.then(|| {
            let why = format!(
                "Too many requests: this server handles {MAX_IN_FLIGHT} at a time. Try again."
            );
            ApiError::new(Code::Unavailable, why)
        })
    }
}

pub fn is_probe(path: &str) -> bool {
    PROBES.contains(&path)
}

impl InFlightPlace {
    /// InFlightCounts the request as one of this owner, whose key is valid. An error if that has too many.
    pub fn claim(&self, owner: &Owner) -> Result<(), ApiError> {
        let counts = &self.0.counts;
        let mut of = self.0.of.lock();
        if *of == Holder::Stranger {
            *of = Holder::Owner(owner.clone());
            counts.strangers.fetch_sub(1, Ordering::Relaxed);
        } else {
            return Ok(());
        }
        let count = {
            let mut owners = counts.owners.lock();
            let count = owners.entry(owner.clone()).or_default();
            *count += 1;
            *count
        };
        // Without keys, or if all keys are one tenant, there are no others.
        if count <= MAX_OF_OWNER || *owner == Owner::default() {
            return Ok(());
        }
        let why = format!("Too many requests: one API key has at most {MAX_OF_OWNER} at a time.");
        match count > MAX_OF_OWNER + MAX_REFUSED {
            true => Err(ApiError::dropped(why)),
            false => Err(ApiError::new(Code::ResourceExhausted, why)),
        }
    }

    /// The error for a request without a valid key, if there are too many of them.
    pub fn refuses_stranger(&self) -> Option<ApiError> {
        let strangers = self.0.counts.strangers.load(Ordering::Relaxed);
        let is_stranger = *self.0.of.lock() == Holder::Stranger;
        (is_stranger && strangers > MAX_STRANGERS)
            .then(|| ApiError::dropped("Too many requests without a valid API key."))
    }

    /// Gives the place back, also if clones of it exist.
    pub fn end(&self) {
        let counts = &self.0.counts;
        let before = std::mem::replace(&mut *self.0.of.lock(), Holder::Ended);
        match before {
            Holder::Ended => return,
            Holder::Stranger => drop(counts.strangers.fetch_sub(1, Ordering::Relaxed)),
            Holder::Owner(owner) => {
                let mut owners = counts.owners.lock();
                if let Some(count) = owners.get_mut(&owner) {
                    *count -= 1;
                    if *count == 0 {
                        owners.remove(&owner);
                    }
                }
            }
        }
        counts.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::named(name.to_owned())
    }

    #[test]
    fn one_key_has_half_of_the_places_and_its_refusals_are_few() {
        let in_flight = InFlight::default();
        let enter = |name| {
            let place = in_flight.enter();
            let claimed = place.claim(&owner(name));
            (place, claimed)
        };
        let mut places: Vec<_> = (0..MAX_OF_OWNER).map(|_| enter("a")).collect();
        assert!(places.iter().all(|(_, claimed)| claimed.is_ok()));
        let refused = enter("a");
        assert!(refused.1.as_ref().is_err_and(|error| !error.is_drop()));
        assert!(enter("b").1.is_ok());
        places.push(refused);
        places.extend((1..MAX_REFUSED).map(|_| enter("a")));
        assert!(enter("a").1.is_err_and(|error| error.is_drop()));
        for (place, _) in &places {
            place.end();
        }
        assert_eq!(in_flight.count(), 2, "those that were not ended");
        assert!(enter("a").1.is_ok());
    }

    #[test]
    fn requests_without_a_key_have_an_eighth_of_the_places() {
        let in_flight = InFlight::default();
        let strangers: Vec<_> = (0..MAX_STRANGERS).map(|_| in_flight.enter()).collect();
        assert!(strangers.iter().all(|place| place.refuses_stranger().is_none()));
        let known = in_flight.enter();
        assert!(known.refuses_stranger().is_some(), "its key is not checked yet");
        known.claim(&owner("a")).expect("it has others");
        assert!(known.refuses_stranger().is_none());
        strangers.iter().for_each(InFlightPlace::end);
        strangers.iter().for_each(InFlightPlace::end);
        assert_eq!(in_flight.count(), 1);
    }
}
