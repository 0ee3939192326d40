//! Measures the resource usage of a cell from outside.
//!
//! A kernel limit on one process does not limit several processes together. So during a run their sum is
//! sampled repeatedly, and a run that exceeds a limit is stopped. A sample takes about fifty microseconds;
//! the last one is taken at the end of each run.

pub mod budget;
mod cell_memory;
mod cpu;
pub mod disk;
mod locks;
mod mappings;
pub mod memory;
mod oom_kills;
mod pss;
mod watches;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CellLimits, Limit};
use tokio::sync::Mutex;

use self::cell_memory::MappingScan;
use self::cpu::Cpu;
use self::mappings::Mappings;
use self::memory::Resident;
use self::oom_kills::OomKills;
use self::pss::PssSampler;
use self::watches::Watches;
use crate::meter::disk::{CellDisk, DiskSpace};
use crate::process::tree::{self, Member, Members, ProcessTree};
use crate::resources::cgroup::Group;

/// Interval between two samples. A shorter run has only the last sample.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Sampling may take one part in this many of the time.
const SHARE_OF_TIME: u32 = 10;
/// Maximum pause after a long sample.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A run exceeds its limit when this many samples in a row are incomplete. A single one may be caused by a
/// moment without free descriptors in the warden.
const INCOMPLETE_LOOKS: u32 = 3;

/// How long a sample of this duration is recent enough.
pub fn recent_for(took: Duration) -> Duration {
    (took * SHARE_OF_TIME).min(LONGEST_PAUSE)
}

/// The counters of one cell, from its first run to its last.
#[derive(Debug)]
pub struct Meter {
    tree: ProcessTree,
    disk: CellDisk,
    kills: OomKills,
    group: Option<Arc<Group>>,
    limits: CellLimits,
    /// Memory that the code's process inherited from the zygote.
    inherited: Resident,
    cpu: Cpu,
    /// CPU time when the run began.
    began: Duration,
    peak_bytes: u64,
    /// Memory of the processes in the last sample of a run, without that of the libraries.
    resident_bytes: u64,
    /// Whether the last sample exceeded the limit on processes.
    too_many: bool,
    /// Number of incomplete samples in a row.
    incomplete_looks: u32,
    pss: PssSampler,
    /// An unfinished scan of the mappings.
    scan: Option<MappingScan>,
    /// The last scan of the mappings, and the time until which it is recent enough.
    mappings: Option<(Instant, Mappings)>,
    /// `None` if the kernel counts: in a control group, for a user of the cell's own.
    watches: Option<Watches>,
    /// Time of the last sample in expensive parts, which have pauses of their own.
    expensive_took: Duration,
}

/// Usage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub cpu: Duration,
    /// Peak memory of the processes, without that of the libraries.
    pub peak_bytes: u64,
}

/// A sample of all values that have limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    cpu: Duration,
    /// Memory of processes and files together. Never less than the true value.
    memory_bytes: u64,
    past_the_disk: Option<Limit>,
    /// Whether there are too many processes. The kernel only limits threads.
    too_many: bool,
    /// Whether there are too many mappings.
    too_many_mappings: bool,
    locks: u64,
    watches: u64,
}

impl Meter {
    pub fn new(
        tree: ProcessTree,
        disk: CellDisk,
        group: Option<Arc<Group>>,
        limits: CellLimits,
    ) -> Meter {
        let inherited = tree.code.and_then(|code| memory::resident(code).ok()).unwrap_or_default();
        Meter {
            tree,
            disk,
            kills: OomKills::of(group.as_deref()),
            group,
            limits,
            inherited,
            cpu: Cpu::default(),
            began: Duration::ZERO,
            peak_bytes: 0,
            resident_bytes: 0,
            too_many: false,
            incomplete_looks: 0,
            pss: PssSampler::new(inherited.anon_bytes),
            scan: None,
            mappings: None,
            watches: None,
            expensive_took: Duration::ZERO,
        }
    }

    /// Enables counting of registrations with epoll, as this user if the warden itself may not read them.
    pub fn count_watches(&mut self, user: Option<u32>) {
        self.watches = Some(Watches::new(user));
    }

    /// Begins a run.
    pub fn begin(&mut self) {
        // CPU time of a standby, which has one process, does not count for its first run. CPU time between two
        // runs counts for the second one, so it begins where the first one ended.
        if self.cpu.total == Duration::ZERO {
            self.began = self.tree.code.and_then(tree::cpu).unwrap_or_default();
        } else {
            self.began = self.cpu.total;
        }
        self.incomplete_looks = 0;
        self.pss.begin();
        self.kills.begin();
    }

    /// Starting points to find the cell's processes.
    pub fn tree(&self) -> ProcessTree {
        self.tree
    }

    /// Used and free space of the cell's disk.
    pub fn space(&self) -> io::Result<DiskSpace> {
        self.disk.space(&self.limits)
    }

    /// Memory that processes and files held at the end of the last run, without the libraries. Pages that
    /// processes share count for each.
    pub fn held_bytes(&self) -> u64 {
        let in_memory = self.space().map_or(0, |space| space.in_memory_bytes);
        self.resident_bytes.saturating_add(in_memory)
    }

    /// Whether the last sample exceeded the limit on processes.
    pub fn has_too_many_processes(&self) -> bool {
        self.too_many
    }

    /// Whether the kernel killed a process of the cell because the cell reached its memory limit.
    pub fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.was_out_of_memory())
    }

    /// Whether the kernel killed a process during this run because memory was full. Without control groups it
    /// may be a process of another cell.
    pub fn was_memory_full(&self) -> bool {
        self.kills.have_increased()
    }

    /// Takes the last sample, at the end of a run.
    pub fn last_look(&mut self) -> Used {
        let members = self.tree.members().found;
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu.add(&members).saturating_sub(self.began);
        let resident = resident_of(&members).0;
        self.pss.follow(&members, &resident);
        self.pss.invalidate();
        let beyond = |one: &Resident| one.bytes.saturating_sub(self.inherited.bytes);
        self.resident_bytes = resident.iter().map(beyond).sum();
        self.add_peak(&members, &resident, |pss, user| {
            pss.look(&members, &resident, user, pss::SLICE)
        });
        Used { cpu, peak_bytes: self.peak_bytes }
    }

    /// Takes a sample during a run. Expensive values may be slightly old; CPU time is always current.
    fn look(&mut self) -> Sample {
        self.expensive_took = Duration::ZERO;
        let Members { found: members, mut is_incomplete } = self.tree.members();
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu.add(&members).saturating_sub(self.began);
        let space = self.space().map_err(|_| is_incomplete = true).ok();
        let past_the_disk = space.and_then(|space| self.disk.past(space, &self.limits));
        let (resident, is_unread) = resident_of(&members);
        is_incomplete |= is_unread;
        self.pss.follow(&members, &resident);
        let on_disk = space.unwrap_or_default().in_memory_bytes;
        let memory = self.memory(&members, &resident, on_disk);
        is_incomplete |= memory.is_incomplete;
        let locks = locks::count(&members, self.disk.own_device(), self.limits.locks);
        let locks = locks.map_err(|_| is_incomplete = true).unwrap_or_default();
        let counted = self.watches.as_mut().map(|one| one.count(&members, self.limits.watches));
        let counted = counted.unwrap_or_default();
        self.expensive_took += counted.took;
        is_incomplete |= counted.is_incomplete;
        let watches = counted.count;
        // What cannot be measured may be any amount.
        let is_unknown = self.is_unknown_after(is_incomplete);
        // The kernel may have killed one of several processes, and the others still run.
        let is_past = is_unknown || self.was_out_of_memory();
        let memory_bytes = if is_past { u64::MAX } else { memory.bytes };
        let (too_many, too_many_mappings) = (self.too_many, memory.too_many_mappings);
        Sample { cpu, memory_bytes, past_the_disk, too_many, too_many_mappings, locks, watches }
    }

    /// Whether too many samples in a row are incomplete, this one included.
    fn is_unknown_after(&mut self, is_incomplete: bool) -> bool {
        self.incomplete_looks = if is_incomplete { self.incomplete_looks + 1 } else { 0 };
        self.incomplete_looks >= INCOMPLETE_LOOKS
    }
}

/// Memory of each process, zero for one that has just ended, and whether an existing one could not be read.
fn resident_of(members: &[Member]) -> (Vec<Resident>, bool) {
    let mut is_unread = false;
    let look = |member: &Member| {
        memory::resident(member.id).unwrap_or_else(|_| {
            is_unread = true;
            Resident::default()
        })
    };
    let resident = members.iter().map(look).collect();
    (resident, is_unread)
}

/// Samples until a limit is exceeded.
pub async fn exceeded(meter: Arc<Mutex<Meter>>, limits: CellLimits) -> Limit {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let meter = Arc::clone(&meter);
        // A sample of many processes takes milliseconds.
        let look = tokio::task::spawn_blocking(move || {
            let (mut meter, began) = (meter.blocking_lock(), Instant::now());
            let used = meter.look();
            (used, began.elapsed().saturating_sub(meter.expensive_took))
        });
        let Ok((used, took)) = look.await else { continue };
        match used {
            Sample { too_many_mappings: true, .. } => return Limit::Mappings(limits.mappings),
            used if used.memory_bytes > limits.memory_bytes => {
                return Limit::MemoryBytes(limits.memory_bytes);
            }
            Sample { past_the_disk: Some(limit), .. } => return limit,
            Sample { too_many: true, .. } => return Limit::Processes(limits.processes),
            used if used.locks > limits.locks => return Limit::Locks(limits.locks),
            used if used.watches > limits.watches => return Limit::Watches(limits.watches),
            used if used.cpu > Duration::from_millis(limits.cpu_ms) => {
                return Limit::CpuMs(limits.cpu_ms);
            }
            _ => pause = LOOK_EVERY.max(recent_for(took)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cell_memory::{SOCKET_BYTES, in_sockets};
    use super::*;

    fn meter(limits: CellLimits, init: Option<i32>) -> Meter {
        let folder = std::fs::File::open("/proc").expect("it is there");
        let code = Some(std::process::id().cast_signed());
        let tree = ProcessTree { init, code, user: None };
        Meter::new(tree, CellDisk::own(folder).expect("it is open"), None, limits)
    }

    #[test]
    fn only_incomplete_samples_in_a_row_count() {
        let mut meter = meter(CellLimits::NOTHING, None);
        let looks = [true, true, false, true, true, true, true, false, true];
        let unknown = looks.map(|is_incomplete| meter.is_unknown_after(is_incomplete));
        assert_eq!(unknown, [false, false, false, false, false, true, true, false, false]);
    }

    #[test]
    fn files_that_cannot_be_counted_exceed_the_limit() {
        let limits = CellLimits { memory_bytes: u64::MAX, scratch_files: 9, ..CellLimits::NOTHING };
        let mut meter = meter(limits, None);
        let file = std::fs::File::open("/proc/self/exe").expect("this program is a file");
        meter.disk = CellDisk::Shared { folder: file.into(), user: u32::MAX, device: None };
        assert!(meter.space().is_err(), "it is no folder");
        let seen = [(); 3].map(|()| meter.look());
        assert_eq!(seen.map(|seen| seen.past_the_disk), [None; 3]);
        assert_eq!(seen.map(|seen| seen.memory_bytes == u64::MAX), [false, false, true]);
    }

    #[test]
    fn sockets_that_cannot_be_counted_are_an_error() {
        assert_eq!(in_sockets("sockets: used 256\nTCP: inuse 0\n").ok(), Some(0));
        let one_more = in_sockets("sockets: used 257\nTCP: inuse 0\n");
        assert_eq!(one_more.ok(), Some(SOCKET_BYTES));
        for text in ["", "TCP: inuse 0\n", "sockets: used many\n"] {
            assert!(in_sockets(text).is_err(), "{text}");
        }
        let me = std::process::id().cast_signed();
        assert!(meter(CellLimits::NOTHING, Some(me)).in_sockets().is_ok(), "it is there");
        let mut child = std::process::Command::new("true").spawn().expect("it is everywhere");
        child.wait().expect("it is ours");
        let gone = Some(child.id().cast_signed());
        assert_eq!(meter(CellLimits::NOTHING, gone).in_sockets().ok(), Some(0));
    }

    #[tokio::test]
    async fn a_run_that_exceeds_a_limit_is_detected() {
        let limits = CellLimits {
            memory_bytes: u64::MAX,
            scratch_bytes: u64::MAX,
            processes: u64::MAX,
            mappings: u64::MAX,
            locks: u64::MAX,
            watches: u64::MAX,
            ..CellLimits::NOTHING
        };
        for (limits, wanted) in [
            (limits, Limit::CpuMs(0)),
            (CellLimits { memory_bytes: 1, ..limits }, Limit::MemoryBytes(1)),
        ] {
            let meter = Arc::new(Mutex::new(meter(limits, None)));
            assert_eq!(exceeded(meter, limits).await, wanted);
        }
    }
}
