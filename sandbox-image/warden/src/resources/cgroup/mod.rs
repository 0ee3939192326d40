//! Control groups (cgroups) of cells, if the warden may create them. The kernel then limits memory and processes
//! of a cell as a whole, exactly, where sampling can miss a short peak.
//!
//! Both versions of the kernel's interface are behind [`Version`]; [`pool`] creates, reuses and removes groups
//! with either. An unprivileged user usually can write to neither; cells are then only sampled.

mod pool;
mod v1;
mod v2;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::CellLimits;

pub use self::pool::{Cgroups, Group};
use self::v1::V1;
use self::v2::V2;

/// The kernel's tables may take this fraction of a cell's memory, in addition to it.
pub const TABLES: u64 = 16;

/// Prefix of the names of all groups that wardens create.
const PREFIX: &str = "belljar-";
/// Memory that the kernel may still count in an empty group, mainly cached file names. A group with more
/// is not reused.
const LEFT_BYTES: u64 = 1 << 20;

/// A version of the kernel's interface.
trait Version {
    /// Prepares the folders in which groups are created. The error is the reason why that is impossible.
    fn parents(&self, host: &HostGroups, limits: &CellLimits) -> Result<Vec<Parent>, String>;

    /// The file of this process's own group that counts processes that the kernel has killed in it.
    fn own_kill_counter(&self, host: &HostGroups) -> Option<PathBuf>;
}

/// Best first.
const VERSIONS: [&dyn Version; 2] = [&V2, &V1];

/// A folder in which each group is a folder, with the settings of each group.
#[derive(Debug)]
struct Parent {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Counters that grow when the kernel kills a process because the group reached its memory limit.
    counters: &'static [Counter],
    /// Files that show whether a group is reusable, with the maximum value of each.
    leftovers: &'static [Leftover],
}

/// A file of a group, and the prefix of the line in it that ends with a count.
type Counter = (&'static str, &'static str);

/// A file of a group, and the maximum value in a reusable group.
type Leftover = (&'static str, u64);

/// Groups of this process, and mounts, as `/proc/self` shows them.
#[derive(Debug)]
struct HostGroups {
    groups: String,
    mounts: String,
}

impl HostGroups {
    fn read() -> HostGroups {
        HostGroups {
            groups: fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap_or_default(),
        }
    }

    /// Mount point of a file system of this kind with this option.
    fn mounted(&self, kind: &str, option: &str) -> Option<PathBuf> {
        self.mounts.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (place, found, options) = (words.next()?, words.next()?, words.next()?);
            let fits =
                found == kind && (option.is_empty() || options.split(',').any(|o| o == option));
            fits.then(|| PathBuf::from(place))
        })
    }
}

/// Files of the warden's own group that may count processes in it that the kernel has killed, of both
/// versions.
pub fn own_kill_counters() -> Vec<PathBuf> {
    let host = HostGroups::read();
    VERSIONS.iter().filter_map(|version| version.own_kill_counter(&host)).collect()
}

/// The memory limit of a group. The kernel also counts its own memory for the cell, mainly page tables,
/// and the cell must be able to use its whole limit.
fn memory_limit(limits: &CellLimits) -> u64 {
    limits.memory_bytes + limits.memory_bytes / TABLES
}

/// Joins a mount point and a path. In a container the path may be that of the host, while the mount point
/// is the container's own group.
fn below(root: &Path, path: &str) -> PathBuf {
    let whole = root.join(path.trim_start_matches('/'));
    if whole.is_dir() { whole } else { root.to_owned() }
}

/// Writes to an existing file of the kernel, and creates none.
fn put(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\n\
        cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn each_version_is_found_where_it_is_mounted() {
        let host = HostGroups { groups: String::new(), mounts: MOUNTS.to_owned() };
        let at = |kind, option| host.mounted(kind, option).map(|at| at.display().to_string());
        assert_eq!(at("cgroup", "memory").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(at("cgroup2", "").as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(at("cgroup", "pids"), None);
    }
}
