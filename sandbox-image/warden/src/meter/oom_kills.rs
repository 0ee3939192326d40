//! Counts processes that the kernel killed because memory was full: the memory of the warden's own control
//! group, which usually is the container's, or of the machine.

use std::path::{Path, PathBuf};

use crate::process::procfs;
use crate::resources::cgroup::{self, Group};

/// Name of the kernel's counter in all files that have one.
const LINE: &str = "oom_kill ";
/// The counter of the whole machine.
const MACHINE: &str = "/proc/vmstat";

/// A counter, and its value when the run began.
#[derive(Debug)]
pub struct OomKills {
    file: PathBuf,
    before: u64,
}

impl OomKills {
    /// The counter that includes the fewest other processes: that of the cell's own group, else that of the
    /// warden's, which then contains the cell, else that of the machine.
    pub fn of(group: Option<&Group>) -> OomKills {
        let of_cell = group.and_then(Group::kill_counter).map(Path::to_owned);
        let of_warden =
            || cgroup::own_kill_counters().into_iter().find(|file| count(file).is_some());
        let file = of_cell.or_else(of_warden).unwrap_or_else(|| MACHINE.into());
        OomKills { before: count(&file).unwrap_or(0), file }
    }

    /// Begins a run.
    pub fn begin(&mut self) {
        self.before = count(&self.file).unwrap_or(0);
    }

    /// Whether the kernel has killed a process since the run began.
    pub fn have_increased(&self) -> bool {
        count(&self.file).is_some_and(|now| now > self.before)
    }
}

fn count(file: &Path) -> Option<u64> {
    let text = procfs::read(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(LINE)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kills_during_the_run_count() {
        let file = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
        let write = |text: &str| std::fs::write(file.path(), text).expect("it is ours");
        write("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
        let mut kills = OomKills { file: file.path().into(), before: 0 };
        kills.begin();
        assert!(!kills.have_increased());
        write("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
        assert!(kills.have_increased());
        kills.begin();
        assert!(!kills.have_increased());
        kills.file = "/nothing".into();
        assert!(!kills.have_increased());
    }

    #[test]
    fn every_machine_has_a_counter() {
        assert!(count(&OomKills::of(None).file).is_some());
        assert!(count(Path::new(MACHINE)).is_some());
    }
}
