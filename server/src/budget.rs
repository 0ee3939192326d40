//! Memory budgets that all requests and responses share, so that no request exhausts the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Granularity of a budget.
const UNIT_BYTES: usize = 1 << 10;
/// Assumed memory where the size cannot be read.
const UNKNOWN_MEMORY_BYTES: u64 = 1 << 30;

/// A limit on bytes in use. Cheap to clone; clones share the limit.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes: usize,
    free: Arc<Semaphore>,
}

/// Bytes of a budget, returned to it on drop.
#[derive(Debug, Default)]
pub struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        let units = bytes.div_ceil(UNIT_BYTES).min(u32::MAX as usize);
        Budget { bytes: units * UNIT_BYTES, free: Arc::new(Semaphore::new(units)) }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the bytes, if they are free.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        if bytes == 0 {
            return Some(Share::default());
        }
        let free = Arc::clone(&self.free);
        free.try_acquire_many_owned(units(bytes)).ok().map(|permit| Share(Some(permit)))
    }

    /// Waits until the bytes are free. Takes all bytes of the budget if it has fewer.
    pub async fn wait_for(&self, bytes: usize) -> Share {
        if bytes == 0 {
            return Share::default();
        }
        let free = Arc::clone(&self.free);
        // The semaphore is never closed.
        Share(free.acquire_many_owned(units(bytes.min(self.bytes))).await.ok())
    }
}

impl Share {
    pub fn add(&mut self, other: Share) {
        match (&mut self.0, other.0) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }

    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |permit| permit.num_permits() * UNIT_BYTES)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
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
        assert!(budget.take(0).is_some_and(|share| share.is_empty()));
        drop(first);
        assert!(budget.take(10 << 10).is_some());
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
