//! Memory budgets that all requests and responses share, so that no request exhausts the server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use domain::owner::Owner;

/// Granularity of a budget.
const UNIT_BYTES: usize = 1 << 10;
/// Assumed memory where the size cannot be read.
const UNKNOWN_MEMORY_BYTES: u64 = 1 << 30;

/// The part of the budget that one owner may use, if there are others.
pub const PART_OF_OWNER: usize = 2;

/// A limit on bytes in use. Cheap to clone; clones share the limit.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes: usize,
    free: Arc<Semaphore>,
    /// What is free of the part of one owner.
    own: Option<Arc<Semaphore>>,
    owners: Arc<Mutex<HashMap<Owner, Weak<Semaphore>>>>,
    /// Notified when bytes are returned.
    returned: Arc<Notify>,
}

/// Bytes of a budget, returned to it on drop.
#[derive(Debug, Default)]
pub struct Share {
    common: Option<OwnedSemaphorePermit>,
    own: Option<OwnedSemaphorePermit>,
    returned: Option<Arc<Notify>>,
}

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        let units = bytes.div_ceil(UNIT_BYTES).min(u32::MAX as usize);
        Budget {
            bytes: units * UNIT_BYTES,
            free: Arc::new(Semaphore::new(units)),
            own: None,
            owners: Arc::default(),
            returned: Arc::default(),
        }
    }

    /// The same budget for one owner, which cannot take all of it from the others. Without keys there are
    /// no others.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Budget {
        if *owner == Owner::default() {
            return self.clone();
        }
        let mut owners = self.owners.lock();
        let known = owners.get(owner).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            owners.retain(|_, own| own.strong_count() > 0);
            let own = Arc::new(Semaphore::new(self.bytes / UNIT_BYTES / PART_OF_OWNER));
            owners.insert(owner.clone(), Arc::downgrade(&own));
            own
        });
        drop(owners);
        Budget { own: Some(own), ..self.clone() }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes in use, by all owners together.
    pub fn used(&self) -> usize {
        self.bytes - self.free.available_permits() * UNIT_BYTES
    }

    /// The most that can be taken at once.
    pub fn most(&self) -> usize {
        if self.own.is_some() { self.bytes / PART_OF_OWNER } else { self.bytes }
    }

    /// Takes the bytes, if they are free.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        if bytes == 0 {
            return Some(Share::default());
        }
        let take =
            |free: &Arc<Semaphore>| Arc::clone(free).try_acquire_many_owned(units(bytes)).ok();
        let own = match &self.own {
            Some(own) => Some(take(own)?),
            None => None,
        };
        let returned = Some(Arc::clone(&self.returned));
        Some(Share { common: Some(take(&self.free)?), own, returned })
    }

    /// Waits until the bytes are free. Takes at most half of what can be taken, so that small shares of
    /// others cannot keep it waiting. Nothing is reserved meanwhile, so others may get what is returned first.
    pub async fn wait_for(&self, bytes: usize) -> Share {
        let bytes = bytes.min(self.most() / 2);
        loop {
            let mut returned = pin!(self.returned.notified());
            // Before the attempt, so that no return is missed.
            returned.as_mut().enable();
            if let Some(share) = self.take(bytes) {
                return share;
            }
            returned.await;
        }
    }
}

impl Share {
    pub fn add(&mut self, mut other: Share) {
        merge(&mut self.common, other.common.take());
        merge(&mut self.own, other.own.take());
        self.returned = self.returned.take().or_else(|| other.returned.take());
    }

    /// Returns all but these bytes.
    pub fn reduce_to(&mut self, bytes: usize) {
        let kept = units(bytes) as usize;
        for permit in [&mut self.common, &mut self.own].into_iter().flatten() {
            drop(permit.split(permit.num_permits().saturating_sub(kept)));
        }
        self.notify();
    }

    pub fn bytes(&self) -> usize {
        self.common.as_ref().map_or(0, |permit| permit.num_permits() * UNIT_BYTES)
    }

    pub fn is_empty(&self) -> bool {
        self.common.is_none()
    }

    fn notify(&self) {
        if let Some(returned) = &self.returned {
            returned.notify_waiters();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        (self.common, self.own) = (None, None);
        self.notify();
    }
}

fn merge(to: &mut Option<OwnedSemaphorePermit>, other: Option<OwnedSemaphorePermit>) {
    match (to, other) {
        (Some(own), Some(other)) => own.merge(other),
        (own @ None, other) => *own = other,
        (Some(_), None) => {}
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The memory that this process may use: that of the machine, or the limit of its control group if
/// that is lower.
pub fn memory_bytes() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limits_of(&groups).into_iter().filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min().unwrap_or(UNKNOWN_MEMORY_BYTES)
}

/// `MemTotal:  8123456 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Files that may hold a memory limit: of this process's control group and of its ancestors. In a
/// container the group is mounted as the root.
fn limits_of(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        files.extend(groups.map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget_and_are_returned_on_drop() {
        let budget = Budget::new(10 << 10);
        let mut first = budget.take(6 << 10).expect("it is free");
        assert!(budget.take(5 << 10).is_none());
        first.add(budget.take(4 << 10).expect("it is free"));
        assert!(budget.take(1).is_none());
        assert_eq!(budget.used(), 10 << 10);
        assert!(budget.take(0).is_some_and(|share| share.is_empty()));
        drop(first);
        assert!(budget.take(10 << 10).is_some());
    }

    #[test]
    fn an_owner_cannot_take_everything_from_the_others() {
        let budget = Budget::new(10 << 10);
        let [a, b] = ["a", "b"].map(|name| budget.of(&Owner::named(name.to_owned())));
        let first = a.take(5 << 10).expect("it is half");
        assert!(budget.of(&Owner::named("a".to_owned())).take(1).is_none());
        let second = b.take(5 << 10).expect("it is the other half");
        drop(first);
        drop(a.take(5 << 10).expect("it is free again"));
        drop(second);
        assert!(budget.of(&Owner::default()).take(10 << 10).is_some(), "without keys all of it");
    }

    #[test]
    fn a_part_is_returned_and_the_rest_later() {
        let owned = Budget::new(10 << 10).of(&Owner::named("a".to_owned()));
        let mut share = owned.take(5 << 10).expect("it is half");
        share.reduce_to(2 << 10);
        assert_eq!(share.bytes(), 2 << 10);
        let rest = owned.take(3 << 10).expect("it was returned");
        assert!(owned.take(1).is_none());
        drop((share, rest));
        assert!(owned.take(5 << 10).is_some());
    }

    #[tokio::test]
    async fn a_waiter_leaves_to_others_what_is_too_little_for_it() {
        let budget = Budget::new(4 << 10);
        let first = budget.take(3 << 10).expect("it is free");
        let mut waiting = pin!(budget.wait_for(4 << 10));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let second = budget.take(1 << 10).expect("nothing is reserved");
        drop(second);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        assert_eq!(waiting.await.bytes(), 2 << 10, "half of what there is");
    }

    #[tokio::test]
    async fn a_waiter_gets_free_bytes_and_never_more_than_the_budget() {
        let budget = Budget::new(4 << 10);
        let all = budget.take(4 << 10).expect("it is free");
        let waiting = budget.wait_for(1 << 30);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(all);
        assert!(!waiting.await.is_empty());
    }

    #[test]
    fn the_lowest_limit_of_all_groups_applies() {
        let wanted = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/c/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(limits_of("5:cpu:/x\n4:memory:/a/b\n0::/c\n"), wanted.map(PathBuf::from));
        assert_eq!(total("MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
        assert!(memory_bytes() > 0);
    }
}
