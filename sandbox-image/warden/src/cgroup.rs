//! A control group for each cell, where the warden may make them: the kernel's own limit on memory
//! and processes of the cell as a whole, exact where looking from time to time is not.
//!
//! Both generations of the interface are known. Whoever runs as nobody in particular can write to
//! neither, as a rule, and cells are watched only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::CellLimits;

/// Groups that are kept for cells to come, at most: to make one and to remove it is a tenth of what all
/// else takes that a cell is given.
const KEPT: usize = 16;
/// What the kernel may still count in a group that nothing is in any more: names of files that it
/// remembers. A group with more is not used again.
const LEFT_BYTES: u64 = 1 << 20;
/// How long a group may take to be empty after everything in it was killed. One that takes longer is
/// tried again when the next one goes.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to be as good as new. One that takes longer is removed.
const CLEARED_WITHIN: Duration = Duration::from_millis(500);
/// Between two looks. The kernel tells of an empty group only where there is a file to watch.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where groups are made.
#[derive(Debug)]
pub struct Cgroups {
    parents: Vec<Parent>,
    made: AtomicU64,
    /// Wait for groups to be empty. Joined at the end, so that none is left.
    clearing: Mutex<Vec<JoinHandle<()>>>,
    left: Arc<Left>,
}

/// Groups of cells that are gone.
#[derive(Debug, Default)]
struct Left {
    /// Empty, and as good as new.
    kept: Mutex<Vec<Vec<PathBuf>>>,
    /// Folders of those that were not empty in time.
    late: Mutex<Vec<PathBuf>>,
}

/// A folder in which a group is a folder, and what is written into each.
#[derive(Debug)]
struct Parent {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// What tells that the kernel has ended something in the group for want of memory.
    signs: &'static [Sign],
}

/// Files that tell whether a group is as good as new, by either generation's name, and the most that
/// each may say.
const LEAVINGS: [(&str, u64); 3] =
    [("pids.current", 0), ("memory.current", LEFT_BYTES), ("memory.usage_in_bytes", LEFT_BYTES)];

/// A file of a group, and the line of it that begins like this and ends with a count.
type Sign = (&'static str, &'static str);

/// One cell's. When it is dropped, another cell's as soon as it is empty, or removed.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    /// With what they said when the group became this cell's.
    signs: Vec<(PathBuf, &'static str, u64)>,
    made_by: Arc<Cgroups>,
}

impl Cgroups {
    fn at(parents: Vec<Parent>) -> Cgroups {
        let (made, clearing) = (AtomicU64::new(0), Mutex::default());
        Cgroups { parents, made, clearing, left: Arc::default() }
    }

    /// Finds out where groups can be made by making one. The error says why there can be none.
    pub fn find(limits: &CellLimits) -> Result<Arc<Cgroups>, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let parents = match second(&own, &mounts, limits) {
            Ok(parent) => vec![parent],
            Err(why) => first(&own, &mounts, limits).map_err(|other| format!("{why}; {other}"))?,
        };
        let groups = Arc::new(Cgroups::at(parents));
        groups.sweep();
        let tried = groups.take().map_err(|error| format!("a group cannot be made: {error}"))?;
        drop(tried);
        Ok(groups)
    }

    /// A group that nothing is in.
    pub fn take(self: &Arc<Cgroups>) -> io::Result<Group> {
        let kept = lock(&self.left.kept).pop();
        let made_by = Arc::clone(self);
        // From here on what there is of it is cleared away, should the rest fail.
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

    /// Removes what wardens that were killed have left.
    fn sweep(&self) {
        for parent in &self.parents {
            for entry in fs::read_dir(&parent.folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let left = name
                    .to_str()
                    .and_then(maker)
                    .is_some_and(|maker| !Path::new("/proc").join(maker).exists());
                if left {
                    // One that is not empty is not left.
                    fs::remove_dir(entry.path()).ok();
                }
            }
        }
    }
}

const PREFIX: &str = "belljar-";

/// Of `belljar-123-4` the process that has made it.
fn maker(name: &str) -> Option<&str> {
    let (maker, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    maker.bytes().all(|byte| byte.is_ascii_digit()).then_some(maker)
}

impl Group {
    pub fn admit(&self, process: i32) -> io::Result<()> {
        for folder in &self.folders {
            put(&folder.join("cgroup.procs"), &process.to_string())?;
        }
        Ok(())
    }

    /// Whether the kernel has ended something in it because it had all that it may have, and not
    /// because the machine's memory was full.
    pub fn was_out_of_memory(&self) -> bool {
        !self.signs.is_empty()
            && self.signs.iter().all(|(file, line, before)| counted(file, line) > *before)
    }
}

impl Group {
    /// The file that counts what the kernel has killed in it.
    pub fn kill_counter(&self) -> Option<&Path> {
        let counts_kills = |sign: &&(PathBuf, &str, u64)| sign.1 == "oom_kill ";
        self.signs.iter().find(counts_kills).map(|(file, _, _)| &**file)
    }
}

/// Files of the warden's own group that may count what the kernel has killed in it, by either generation.
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
        // What is in it dies a moment later than this, and the runtime may be at its end.
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
            drop(clearing.join()); // a thread that panicked has said so
        }
        let mut left = std::mem::take(&mut *lock(&self.left.late));
        left.extend(lock(&self.left.kept).drain(..).flatten());
        for folder in left.into_iter().filter(|folder| !is_removed(folder)) {
            tracing::error!(?folder, "the control group of a cell could not be removed");
        }
    }
}

/// Waits until nothing is in a group any more. Whether it is as good as new then.
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
        Err(_) => true, // the other generation's, or another limit's
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

    /// Removes these when they are empty, and with them what was late before.
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
            tracing::warn!(groups = folders.len(), "what was killed in a cell is not dead yet");
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

/// The kernel counts what it needs for a cell itself, its tables above all, and a cell is to have
/// what it was promised.
fn most(limits: &CellLimits) -> u64 {
    limits.memory_bytes + limits.memory_bytes / TABLES
}

/// This part of its memory a cell may have besides, for the kernel's tables.
pub const TABLES: u64 = 16;

/// The second generation: one tree. A group with groups in it has no processes of its own, so the
/// warden moves into one beside those of its cells.
fn second(own: &str, mounts: &str, limits: &CellLimits) -> Result<Parent, String> {
    let folder = second_folder(own, mounts)?;
    let failed = |what: &'static str| {
        let place = folder.display().to_string();
        move |error: io::Error| format!("{what} in {place}: {error}")
    };
    let has = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    if !["memory", "pids"].iter().all(|one| has.split_whitespace().any(|other| other == *one)) {
        return Err(format!("memory and pids are not given to {}", folder.display()));
    }
    let home = folder.join(format!("{PREFIX}warden"));
    fs::create_dir_all(&home).map_err(failed("making a group"))?;
    put(&home.join("cgroup.procs"), &std::process::id().to_string())
        .map_err(failed("moving the warden"))?;
    put(&folder.join("cgroup.subtree_control"), "+memory +pids")
        .map_err(failed("handing limits on"))?;
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

/// Where this process is in it.
fn second_folder(own: &str, mounts: &str) -> Result<PathBuf, String> {
    let root = mounted(mounts, "cgroup2", "").ok_or("there is no cgroup2")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).ok_or("not in cgroup2")?;
    Ok(below(&root, path))
}

/// Where this process is in the first generation's tree for this kind of limit.
fn first_folder(own: &str, mounts: &str, kind: &str) -> Result<PathBuf, String> {
    let root = mounted(mounts, "cgroup", kind).ok_or(format!("there is no cgroup for {kind}"))?;
    let path = own.lines().find_map(|line| {
        let (kinds, path) = line.split_once(':')?.1.split_once(':')?;
        kinds.split(',').any(|one| one == kind).then_some(path)
    });
    Ok(below(&root, path.unwrap_or("/")))
}

/// As little as there can be.
const SWAP_BYTES: u64 = 4096;

/// The first generation: a tree for each kind of limit.
fn first(own: &str, mounts: &str, limits: &CellLimits) -> Result<Vec<Parent>, String> {
    Ok(vec![
        Parent {
            folder: first_folder(own, mounts, "memory")?,
            settings: vec![
                ("memory.limit_in_bytes", most(limits).to_string()),
                // With swap a page more, so that it is the limit on memory that is met.
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

/// Writes to one of the kernel's own files, which is there or is not.
fn put(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Where a file system of this kind, with this option, is mounted.
fn mounted(mounts: &str, kind: &str, option: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (place, found, options) = (words.next()?, words.next()?, words.next()?);
        let fits = found == kind && (option.is_empty() || options.split(',').any(|o| o == option));
        fits.then(|| PathBuf::from(place))
    })
}

/// In a container the path may be that of the machine, while the root is the container's own.
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
    fn each_generation_is_found_where_it_is_mounted() {
        let at = |kind, option| mounted(MOUNTS, kind, option).map(|at| at.display().to_string());
        assert_eq!(at("cgroup", "memory").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(at("cgroup2", "").as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(at("cgroup", "pids"), None);
    }

    #[test]
    fn only_what_a_warden_has_made_is_its_own() {
        assert_eq!(maker("belljar-123-4"), Some("123"));
        for other in ["belljar-warden", "belljar-x-1", "user.slice", "123-4"] {
            assert_eq!(maker(other), None, "{other}");
        }
    }

    #[test]
    fn a_group_that_is_not_empty_in_time_goes_with_a_later_one() {
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
    fn only_a_group_that_nothing_is_left_in_is_used_again() {
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
    fn a_kernel_that_killed_says_so() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let events = folder.path().join("memory.events");
        let made_by = Arc::new(Cgroups::at(Vec::new()));
        let mut group = Group { folders: Vec::new(), signs: Vec::new(), made_by };
        assert!(!group.was_out_of_memory(), "nobody tells");
        group.signs = vec![(events.clone(), "max ", 0), (events.clone(), "oom_kill ", 1)];
        for (text, told) in [
            ("", false),
            ("low 0\nmax 3\noom 1\noom_kill 0\n", false),
            ("low 0\nmax 0\noom_kill 2\n", false),
            ("low 0\nmax 3\noom_kill 1\n", false), // that was in another cell's time
            ("low 0\nmax 3\noom_kill 2\n", true),
        ] {
            fs::write(&events, text).expect("it is ours");
            assert_eq!(group.was_out_of_memory(), told, "{text}");
        }
    }
}
