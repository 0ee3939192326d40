//! A control group (cgroup) for each cell, if the warden may create them. The kernel then limits memory
//! and processes of the cell as a whole, exactly, where sampling can miss a short peak.
//!
//! Supports both versions of the interface. An unprivileged user usually can write to neither; cells are
//! then only sampled.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::CellLimits;

/// Maximum number of groups that are kept for later cells. Creating and removing a group takes a tenth of
/// the time that all other resources of a cell take.
const KEPT: usize = 16;
/// Memory that the kernel may still count in an empty group, mainly cached file names. A group with more
/// is not reused.
const LEFT_BYTES: u64 = 1 << 20;
/// How long a group may take to become empty after all its processes were killed. Removal of a slower
/// group is retried when the next group is released.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long a group may take to become reusable. A slower one is removed.
const CLEARED_WITHIN: Duration = Duration::from_millis(500);
/// Polling interval. The kernel announces an empty group only where there is a file to watch.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Creates, reuses and removes groups.
#[derive(Debug)]
pub struct Cgroups {
    parents: Vec<Parent>,
    made: AtomicU64,
    /// Threads that wait for groups to become empty. Joined at the end, so that no group is left.
    clearing: Mutex<Vec<JoinHandle<()>>>,
    left: Arc<Left>,
}

/// Groups of cells that have ended.
#[derive(Debug, Default)]
struct Left {
    /// Empty and reusable.
    kept: Mutex<Vec<Vec<PathBuf>>>,
    /// Folders of groups that did not become empty in time.
    late: Mutex<Vec<PathBuf>>,
}

/// A folder in which each group is a folder, with the settings of each group.
#[derive(Debug)]
struct Parent {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Counters that grow when the kernel kills a process because the group reached its memory limit.
    signs: &'static [Sign],
}

/// Files that show whether a group is reusable, of both versions, with the maximum value of each.
const LEAVINGS: [(&str, u64); 3] =
    [("pids.current", 0), ("memory.current", LEFT_BYTES), ("memory.usage_in_bytes", LEFT_BYTES)];

/// A file of a group, and the prefix of the line in it that ends with a count.
type Sign = (&'static str, &'static str);

/// The group of one cell. After it is dropped and has become empty, it is reused or removed.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    /// Each with its count when the cell received the group.
    signs: Vec<(PathBuf, &'static str, u64)>,
    made_by: Arc<Cgroups>,
}

impl Cgroups {
    fn at(parents: Vec<Parent>) -> Cgroups {
        let (made, clearing) = (AtomicU64::new(0), Mutex::default());
        Cgroups { parents, made, clearing, left: Arc::default() }
    }

    /// Finds out where groups can be created by creating one. The error is the reason why that failed.
    pub fn find(limits: &CellLimits) -> Result<Arc<Cgroups>, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let parents = match second(&own, &mounts, limits) {
            Ok(parent) => vec![parent],
            Err(why) => first(&own, &mounts, limits).map_err(|other| format!("{why}; {other}"))?,
        };
        let groups = Arc::new(Cgroups::at(parents));
        groups.sweep();
        let tried = groups.take().map_err(|error| format!("could not create a group: {error}"))?;
        drop(tried);
        Ok(groups)
    }

    /// Returns an empty group.
    pub fn take(self: &Arc<Cgroups>) -> io::Result<Group> {
        let kept = lock(&self.left.kept).pop();
        let made_by = Arc::clone(self);
        // From here on the drop of `group` cleans up after an error.
        let mut group = Group { folders: kept.unwrap_or_default(), signs: Vec::new(), made_by };
        if group.folders.is_empty() {
            self.make(&mut group)?;
        }
        for (folder, parent) in group.folders.iter().zip(&self.parents) {
            group.signs.extend(parent.signs.iter().map(|(file, line)| {
                let file = folder.join(file);
                let before = counted(&file, line);
                (file, *line, before)
            }));
        }
        Ok(group)
    }

    fn make(&self, group: &mut Group) -> io::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        for parent in &self.parents {
            let folder = parent.folder.join(&name);
            fs::create_dir(&folder)?;
            group.folders.push(folder.clone());
            for (file, value) in &parent.settings {
                match put(&folder.join(file), value) {
                    // A kernel without swap has no limit on it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    written => written?,
                }
            }
        }
        Ok(())
    }

    /// Removes groups that killed wardens have left.
    fn sweep(&self) {
        for parent in &self.parents {
            for entry in fs::read_dir(&parent.folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let left = name
                    .to_str()
                    .and_then(maker)
                    .is_some_and(|maker| !Path::new("/proc").join(maker).exists());
                if left {
                    // Fails for a group that is not empty, which is still in use.
                    fs::remove_dir(entry.path()).ok();
                }
            }
        }
    }
}

const PREFIX: &str = "belljar-";

/// The process id of the creator: `123` of `belljar-123-4`.
fn maker(name: &str) -> Option<&str> {
    let (maker, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    maker.bytes().all(|byte| byte.is_ascii_digit()).then_some(maker)
}

impl Group {
    pub fn add_process(&self, process: i32) -> io::Result<()> {
        for folder in &self.folders {
            put(&folder.join("cgroup.procs"), &process.to_string())?;
        }
        Ok(())
    }

    /// Whether the kernel killed a process in the group because the group reached its limit, and not
    /// because the machine's memory was full.
    pub fn was_out_of_memory(&self) -> bool {
        !self.signs.is_empty()
            && self.signs.iter().all(|(file, line, before)| counted(file, line) > *before)
    }
}

impl Group {
    /// The file that counts processes in it that the kernel has killed.
    pub fn kill_counter(&self) -> Option<&Path> {
        let counts_kills = |sign: &&(PathBuf, &str, u64)| sign.1 == "oom_kill ";
        self.signs.iter().find(counts_kills).map(|(file, _, _)| &**file)
    }
}

/// Files of the warden's own group that may count processes in it that the kernel has killed, of both
/// versions.
pub fn own_files() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_second = second_folder(&own, &mounts).map(|folder| folder.join("memory.events"));
    let of_first = first_folder(&own, &mounts, "memory").map(|at| at.join("memory.oom_control"));
    of_second.into_iter().chain(of_first).collect()
}

fn counted(file: &Path, line: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let count = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    count.unwrap_or(0)
}

impl Drop for Group {
    fn drop(&mut self) {
        let folders = std::mem::take(&mut self.folders);
        let is_whole = folders.len() == self.made_by.parents.len();
        let left = Arc::clone(&self.made_by.left);
        // The processes in it end a moment later, and the runtime may be shutting down.
        let clearing = std::thread::spawn(move || match is_whole && is_cleared(&folders) {
            true => left.keep(folders),
            false => left.remove(folders, EMPTY_WITHIN),
        });
        let mut all = lock(&self.made_by.clearing);
        all.retain(|clearing| !clearing.is_finished());
        all.push(clearing);
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for clearing in lock(&self.clearing).drain(..) {
            drop(clearing.join()); // a panic has printed its message
        }
        let mut left = std::mem::take(&mut *lock(&self.left.late));
        left.extend(lock(&self.left.kept).drain(..).flatten());
        for folder in left.into_iter().filter(|folder| !is_removed(folder)) {
            tracing::error!(?folder, "could not remove a control group");
        }
    }
}

/// Waits until a group is empty. Returns whether it is reusable then.
fn is_cleared(folders: &[PathBuf]) -> bool {
    let until = Instant::now() + CLEARED_WITHIN;
    loop {
        let files = folders.iter().map(|folder| fs::read_to_string(folder.join("cgroup.procs")));
        let is_empty = files.into_iter().all(|file| file.is_ok_and(|text| text.is_empty()));
        if is_empty && folders.iter().all(|folder| is_as_good_as_new(folder)) {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn is_as_good_as_new(folder: &Path) -> bool {
    LEAVINGS.iter().all(|(file, most)| match fs::read_to_string(folder.join(file)) {
        Ok(text) => text.trim().parse::<u64>().is_ok_and(|left| left <= *most),
        Err(_) => true, // a file of the other version, or of another controller
    })
}

impl Left {
    fn keep(&self, folders: Vec<PathBuf>) {
        let mut kept = lock(&self.kept);
        if kept.len() < KEPT {
            return kept.push(folders);
        }
        drop(kept);
        self.remove(folders, EMPTY_WITHIN);
    }

    /// Removes these once they are empty, and retries the groups that were late before.
    fn remove(&self, mut folders: Vec<PathBuf>, within: Duration) {
        let until = Instant::now() + within;
        loop {
            folders.retain(|folder| !is_removed(folder));
            if folders.is_empty() || Instant::now() > until {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let mut late = lock(&self.late);
        late.retain(|folder| !is_removed(folder));
        if !folders.is_empty() {
            tracing::warn!(groups = folders.len(), "killed processes still running");
            late.append(&mut folders);
        }
    }
}

fn is_removed(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory limit of a group. The kernel also counts its own memory for the cell, mainly page tables,
/// and the cell must be able to use its whole limit.
fn most(limits: &CellLimits) -> u64 {
    limits.memory_bytes + limits.memory_bytes / TABLES
}

/// The kernel's tables may take this fraction of a cell's memory, in addition to it.
pub const TABLES: u64 = 16;

/// Version 2: one tree. A group that has child groups cannot have processes of its own, so the warden
/// moves into a group beside those of its cells.
fn second(own: &str, mounts: &str, limits: &CellLimits) -> Result<Parent, String> {
    let folder = second_folder(own, mounts)?;
    let failed = |what: &'static str| {
        let place = folder.display().to_string();
        move |error: io::Error| format!("{what} in {place}: {error}")
    };
    let has = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    if !["memory", "pids"].iter().all(|one| has.split_whitespace().any(|other| other == *one)) {
        return Err(format!("controllers memory and pids are not enabled in {}", folder.display()));
    }
    let home = folder.join(format!("{PREFIX}warden"));
    fs::create_dir_all(&home).map_err(failed("could not create a group"))?;
    put(&home.join("cgroup.procs"), &std::process::id().to_string())
        .map_err(failed("could not move the warden"))?;
    put(&folder.join("cgroup.subtree_control"), "+memory +pids")
        .map_err(failed("could not enable controllers"))?;
    Ok(Parent {
        folder,
        settings: vec![
            ("memory.max", most(limits).to_string()),
            ("memory.swap.max", "0".to_owned()),
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", (limits.threads + 1).to_string()),
        ],
        signs: &[("memory.events", "max "), ("memory.events", "oom_kill ")],
    })
}

/// The folder of this process in version 2.
fn second_folder(own: &str, mounts: &str) -> Result<PathBuf, String> {
    let root = mounted(mounts, "cgroup2", "").ok_or("cgroup2 is not mounted")?;
    let path = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this process is not in cgroup2")?;
    Ok(below(&root, path))
}

/// The folder of this process in the tree of this controller in version 1.
fn first_folder(own: &str, mounts: &str, kind: &str) -> Result<PathBuf, String> {
    let root = mounted(mounts, "cgroup", kind)
        .ok_or(format!("cgroup controller {kind} is not mounted"))?;
    let path = own.lines().find_map(|line| {
        let (kinds, path) = line.split_once(':')?.1.split_once(':')?;
        kinds.split(',').any(|one| one == kind).then_some(path)
    });
    Ok(below(&root, path.unwrap_or("/")))
}

/// One page, the least that the kernel accepts.
const SWAP_BYTES: u64 = 4096;

/// Version 1: a tree for each controller.
fn first(own: &str, mounts: &str, limits: &CellLimits) -> Result<Vec<Parent>, String> {
    Ok(vec![
        Parent {
            folder: first_folder(own, mounts, "memory")?,
            settings: vec![
                ("memory.limit_in_bytes", most(limits).to_string()),
                // One page more with swap, so that the limit on memory is reached first.
                ("memory.memsw.limit_in_bytes", (most(limits) + SWAP_BYTES).to_string()),
            ],
            signs: &[("memory.failcnt", ""), ("memory.oom_control", "oom_kill ")],
        },
        Parent {
            folder: first_folder(own, mounts, "pids")?,
            settings: vec![("pids.max", (limits.threads + 1).to_string())],
            signs: &[],
        },
    ])
}

/// Writes to an existing file of the kernel, and creates none.
fn put(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Mount point of a file system of this kind with this option.
fn mounted(mounts: &str, kind: &str, option: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (place, found, options) = (words.next()?, words.next()?, words.next()?);
        let fits = found == kind && (option.is_empty() || options.split(',').any(|o| o == option));
        fits.then(|| PathBuf::from(place))
    })
}

/// Joins a mount point and a path. In a container the path may be that of the host, while the mount point
/// is the container's own group.
fn below(root: &Path, path: &str) -> PathBuf {
    let whole = root.join(path.trim_start_matches('/'));
    if whole.is_dir() { whole } else { root.to_owned() }
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
        let at = |kind, option| mounted(MOUNTS, kind, option).map(|at| at.display().to_string());
        assert_eq!(at("cgroup", "memory").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(at("cgroup2", "").as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(at("cgroup", "pids"), None);
    }

    #[test]
    fn only_groups_that_a_warden_created_are_its_own() {
        assert_eq!(maker("belljar-123-4"), Some("123"));
        for other in ["belljar-warden", "belljar-x-1", "user.slice", "123-4"] {
            assert_eq!(maker(other), None, "{other}");
        }
    }

    #[test]
    fn a_group_that_is_not_empty_in_time_is_removed_with_a_later_one() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let [slow, quick] = ["slow", "quick"].map(|name| folder.path().join(name));
        let within = slow.join("process");
        fs::create_dir_all(&within).expect("it is ours");
        fs::create_dir(&quick).expect("it is ours");
        let left = Left::default();
        left.remove(vec![slow.clone(), quick.clone()], Duration::ZERO);
        assert_eq!((slow.exists(), quick.exists()), (true, false));
        fs::remove_dir(within).expect("it is ours");
        left.remove(Vec::new(), Duration::ZERO);
        assert!(!slow.exists() && lock(&left.late).is_empty());
    }

    #[test]
    fn only_an_empty_group_is_reused() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        for (file, text, is_good) in [
            ("pids.current", "0\n", true),
            ("pids.current", "1\n", false),
            ("pids.current", "0\n", true),
            ("memory.current", "8192\n", true),
            ("memory.current", "8192000\n", false),
        ] {
            fs::write(folder.path().join(file), text).expect("it is ours");
            assert_eq!(is_as_good_as_new(folder.path()), is_good, "{file} {text}");
        }
    }

    #[test]
    fn a_kill_by_the_kernel_is_detected() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let events = folder.path().join("memory.events");
        let made_by = Arc::new(Cgroups::at(Vec::new()));
        let mut group = Group { folders: Vec::new(), signs: Vec::new(), made_by };
        assert!(!group.was_out_of_memory(), "no counter");
        group.signs = vec![(events.clone(), "max ", 0), (events.clone(), "oom_kill ", 1)];
        for (text, killed) in [
            ("", false),
            ("low 0\nmax 3\noom 1\noom_kill 0\n", false),
            ("low 0\nmax 0\noom_kill 2\n", false),
            ("low 0\nmax 3\noom_kill 1\n", false), // the kill was in the time of an earlier cell
            ("low 0\nmax 3\noom_kill 2\n", true),
        ] {
            fs::write(&events, text).expect("it is ours");
            assert_eq!(group.was_out_of_memory(), killed, "{text}");
        }
    }
}
