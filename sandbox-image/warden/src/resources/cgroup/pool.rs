//! Creates, reuses and removes groups, with either version of the interface.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use protocol::CellLimits;

use super::{HostGroups, Leftover, PREFIX, Parent, VERSIONS, put};

/// Maximum number of groups that are kept for later cells. Creating and removing a group takes a tenth of
/// the time that all other resources of a cell take.
const MAX_KEPT: usize = 16;
/// How long a group may take to become empty after all its processes were killed. Removal of a slower
/// group is retried when the next group is released.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long a group may take to become reusable. A slower one is removed.
const CLEARED_WITHIN: Duration = Duration::from_millis(500);
/// Polling interval. The kernel announces an empty group only where there is a file to watch.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Creates, reuses and removes groups.
#[derive(Debug)]
pub struct Cgroups {
    parents: Vec<Parent>,
    made: AtomicU64,
    /// Threads that wait for groups to become empty. Joined at the end, so that no group is left.
    clearing: Mutex<Vec<JoinHandle<()>>>,
    left: Arc<Released>,
}

/// Groups of cells that have ended.
#[derive(Debug, Default)]
struct Released {
    /// Empty and reusable.
    kept: Mutex<Vec<Vec<PathBuf>>>,
    /// Folders of groups that did not become empty in time.
    late: Mutex<Vec<PathBuf>>,
}

/// The group of one cell. After it is dropped and has become empty, it is reused or removed.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    /// Each with its count when the cell received the group.
    counters: Vec<(PathBuf, &'static str, u64)>,
    made_by: Arc<Cgroups>,
}

impl Cgroups {
    fn at(parents: Vec<Parent>) -> Cgroups {
        let (made, clearing) = (AtomicU64::new(0), Mutex::default());
        Cgroups { parents, made, clearing, left: Arc::default() }
    }

    /// Finds out where groups can be created by creating one. The error is the reason why that failed.
    pub fn find(limits: &CellLimits) -> Result<Arc<Cgroups>, String> {
        let host = HostGroups::read();
        let mut reasons = Vec::new();
        let found = VERSIONS.iter().find_map(|version| {
            version.parents(&host, limits).map_err(|why| reasons.push(why)).ok()
        });
        let parents = found.ok_or_else(|| reasons.join("; "))?;
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
        let mut group = Group { folders: kept.unwrap_or_default(), counters: Vec::new(), made_by };
        if group.folders.is_empty() {
            self.make(&mut group)?;
        }
        for (folder, parent) in group.folders.iter().zip(&self.parents) {
            group.counters.extend(parent.counters.iter().map(|(file, line)| {
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
        !self.counters.is_empty()
            && self.counters.iter().all(|(file, line, before)| counted(file, line) > *before)
    }
}

impl Group {
    /// The file that counts processes in it that the kernel has killed.
    pub fn kill_counter(&self) -> Option<&Path> {
        let counts_kills = |counter: &&(PathBuf, &str, u64)| counter.1 == "oom_kill ";
        self.counters.iter().find(counts_kills).map(|(file, _, _)| &**file)
    }
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
        let leftovers: Vec<_> =
            self.made_by.parents.iter().map(|parent| parent.leftovers).collect();
        // The processes in it end a moment later, and the runtime may be shutting down.
        let clearing =
            std::thread::spawn(move || match is_whole && is_cleared(&folders, &leftovers) {
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
fn is_cleared(folders: &[PathBuf], leftovers: &[&[Leftover]]) -> bool {
    let until = Instant::now() + CLEARED_WITHIN;
    loop {
        let files = folders.iter().map(|folder| fs::read_to_string(folder.join("cgroup.procs")));
        let is_empty = files.into_iter().all(|file| file.is_ok_and(|text| text.is_empty()));
        let mut all = folders.iter().zip(leftovers);
        if is_empty && all.all(|(folder, leftovers)| is_reusable(folder, leftovers)) {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(POLL_EVERY);
    }
}

fn is_reusable(folder: &Path, leftovers: &[Leftover]) -> bool {
    leftovers.iter().all(|(file, most)| match fs::read_to_string(folder.join(file)) {
        Ok(text) => text.trim().parse::<u64>().is_ok_and(|left| left <= *most),
        Err(_) => true, // the controller is not enabled
    })
}

impl Released {
    fn keep(&self, folders: Vec<PathBuf>) {
        let mut kept = lock(&self.kept);
        if kept.len() < MAX_KEPT {
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
            std::thread::sleep(POLL_EVERY);
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
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::super::LEFT_BYTES;
    use super::*;

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
        let left = Released::default();
        left.remove(vec![slow.clone(), quick.clone()], Duration::ZERO);
        assert_eq!((slow.exists(), quick.exists()), (true, false));
        fs::remove_dir(within).expect("it is ours");
        left.remove(Vec::new(), Duration::ZERO);
        assert!(!slow.exists() && lock(&left.late).is_empty());
    }

    #[test]
    fn only_an_empty_group_is_reused() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let leftovers = [("pids.current", 0), ("memory.current", LEFT_BYTES)];
        for (file, text, is_good) in [
            ("pids.current", "0\n", true),
            ("pids.current", "1\n", false),
            ("pids.current", "0\n", true),
            ("memory.current", "8192\n", true),
            ("memory.current", "8192000\n", false),
        ] {
            fs::write(folder.path().join(file), text).expect("it is ours");
            assert_eq!(is_reusable(folder.path(), &leftovers), is_good, "{file} {text}");
        }
    }

    #[test]
    fn a_kill_by_the_kernel_is_detected() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let events = folder.path().join("memory.events");
        let made_by = Arc::new(Cgroups::at(Vec::new()));
        let mut group = Group { folders: Vec::new(), counters: Vec::new(), made_by };
        assert!(!group.was_out_of_memory(), "no counter");
        group.counters = vec![(events.clone(), "max ", 0), (events.clone(), "oom_kill ", 1)];
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
