//! What a cell uses up, looked at from outside.
//!
//! A limit of the kernel's on one process is none on many, so while a run lasts their sum is looked
//! at again and again, and a run that is past a limit is stopped. A look costs some fifty
//! microseconds; the last one is taken at the end of each run.

use std::cell::{Cell, LazyCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CellLimits, Limit};
use tokio::sync::Mutex;

use crate::cgroup::{self, Group};
use crate::disk::{Disk, Room};
use crate::memory::{self, Resident};
use crate::tree::{self, Member, Members, Tree};
use crate::users::with_eyes_of;

/// Between two looks. A run that is over before the first one has the last one only.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A look at many processes takes a while; it may take this part of the time, and no more.
const SHARE_OF_TIME: u32 = 10;
/// However long a look takes, the next one is not put off for longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A run is past its limit when this many looks have found a process that exists and cannot be read. One
/// may come of a moment in which the warden has no descriptors.
const INCOMPLETE_LOOKS: u32 = 3;

/// The counters of one cell, from its first run to its last.
#[derive(Debug)]
pub struct Meter {
    tree: Tree,
    disk: Disk,
    group: Option<Arc<Group>>,
    limits: CellLimits,
    /// What the code's process had from the zygote.
    inherited: Resident,
    cpu: Cpu,
    /// Processor time when the run began.
    began: Duration,
    peak_bytes: u64,
    /// Whether the last look has found more processes than there may be.
    too_many: bool,
    /// Looks of this run that have found a process which exists and cannot be read.
    incomplete_looks: u32,
    /// The last close look, and until when it has to do.
    close: Cell<Option<(Instant, u64)>>,
    /// What a close look has taken since somebody asked.
    close_took: Cell<Duration>,
}

/// What a run has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub cpu: Duration,
    /// The most memory that the processes had, beyond what the libraries take.
    pub peak_bytes: u64,
}

/// What decides whether a run may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    cpu: Duration,
    /// Memory of processes and files together: what the limit is about, and no less than it is.
    memory_bytes: u64,
    past_the_disk: Option<Limit>,
    /// Processes. The kernel keeps a limit on their threads alone.
    too_many: bool,
}

impl Meter {
    pub fn new(tree: Tree, disk: Disk, group: Option<Arc<Group>>, limits: CellLimits) -> Meter {
        Meter {
            tree,
            disk,
            group,
            limits,
            inherited: tree.code.and_then(|code| memory::resident(code).ok()).unwrap_or_default(),
            cpu: Cpu::default(),
            began: Duration::ZERO,
            peak_bytes: 0,
            too_many: false,
            incomplete_looks: 0,
            close: Cell::new(None),
            close_took: Cell::default(),
        }
    }

    /// Another run begins.
    pub fn begin(&mut self) {
        // What a standby did before its first code is not the code's; it had one process then. What came
        // between two runs is, so the second run begins where the first one ended.
        if self.cpu.total == Duration::ZERO {
            self.began = self.tree.code.and_then(tree::cpu).unwrap_or_default();
        } else {
            self.began = self.cpu.total;
        }
        self.incomplete_looks = 0;
    }

    /// Where the cell's processes are found.
    pub fn tree(&self) -> Tree {
        self.tree
    }

    /// What is left of the cell's disk.
    pub fn room(&self) -> io::Result<Room> {
        self.disk.room(&self.limits)
    }

    /// Whether the last look has found more processes than there may be.
    pub fn has_too_many_processes(&self) -> bool {
        self.too_many
    }

    /// Whether the kernel has ended something in the cell for want of memory.
    pub fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.was_out_of_memory())
    }

    /// At the end of a run.
    pub fn last_look(&mut self) -> Used {
        self.close.set(None);
        let members = self.tree.members().found;
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu.add(&members).saturating_sub(self.began);
        let resident = resident_of(&members).0;
        self.peak_bytes =
            self.peak_bytes.max(self.peak(&members, &resident, || self.exact(&members, &resident)));
        Used { cpu, peak_bytes: self.peak_bytes }
    }

    /// While it lasts. What is dear to see may be of a moment ago; time may not, for it would run away.
    fn look(&mut self) -> Seen {
        let Members { found: members, is_incomplete } = self.tree.members();
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu.add(&members).saturating_sub(self.began);
        let room = self.room().unwrap_or_default();
        let on_disk = room.in_memory_bytes;
        let past_the_disk = self.disk.past(room, &self.limits);
        let (resident, is_unread) = resident_of(&members);
        if is_incomplete || is_unread {
            self.incomplete_looks += 1;
        }
        let other_bytes = resident.iter().map(|one| one.other_bytes).sum::<u64>();
        // Dear, and asked for only where it decides something.
        let exact = LazyCell::new(|| self.exact(&members, &resident));
        let at_most = resident.iter().map(|one| one.bytes).sum::<u64>();
        let at_most = at_most.saturating_add(on_disk);
        let memory_bytes = match at_most > self.limits.memory_bytes {
            true => self.with_files(&members, *exact, on_disk),
            false => at_most,
        };
        // As in a control group, what the kernel needs for a cell has a part of its own.
        let past = memory_bytes.saturating_add(other_bytes) > most_with_tables(&self.limits);
        let memory_bytes = if past { u64::MAX } else { memory_bytes };
        // A process that cannot be read may have any amount.
        let unknown = self.incomplete_looks >= INCOMPLETE_LOOKS;
        let memory_bytes = if unknown { u64::MAX } else { memory_bytes };
        // It may have ended one of many, and the others would go on without.
        let memory_bytes = if self.was_out_of_memory() { u64::MAX } else { memory_bytes };
        self.peak_bytes = self.peak_bytes.max(self.peak(&members, &resident, || *exact));
        Seen { cpu, memory_bytes, past_the_disk, too_many: self.too_many }
    }

    /// Who looks closely at a process has to be its user, or to have a capability for it that a
    /// container's root lacks. Of one that has closed itself to its own user, what it shares with
    /// others counts whole.
    fn exact(&self, members: &[Member], resident: &[Resident]) -> u64 {
        let began = Instant::now();
        if let Some((until, bytes)) = self.close.get()
            && began < until
        {
            return bytes;
        }
        let look = |member: &Member| memory::exact(member.id);
        let mut found: Vec<io::Result<u64>> = members.iter().map(look).collect();
        if let (true, Some(user)) = (found.iter().any(Result::is_err), self.tree.user)
            && let Ok(seen) = with_eyes_of(user, || members.iter().map(look).collect())
        {
            found = seen;
        }
        let rough = resident.iter().map(|one| &one.bytes);
        let bytes =
            found.iter().zip(rough).map(|(exact, rough)| *exact.as_ref().unwrap_or(rough)).sum();
        let took = began.elapsed();
        self.close.set(Some((Instant::now() + (took * SHARE_OF_TIME).min(LONGEST_PAUSE), bytes)));
        self.close_took.set(took);
        bytes
    }

    /// Processes and files, as exactly as it takes to tell whether it is too much.
    fn with_files(&self, members: &[Member], exact: u64, on_disk: u64) -> u64 {
        let bytes = exact.saturating_add(on_disk);
        if on_disk == 0 || bytes <= self.limits.memory_bytes {
            return bytes;
        }
        // Files that are mapped have been counted twice.
        let disk = &self.disk;
        let look = || members.iter().map(|member| disk.mapped(member.id)).sum::<u64>();
        let mapped = match self.tree.user {
            Some(user) if look() == 0 => with_eyes_of(user, look).unwrap_or(0),
            _ => look(),
        };
        bytes - mapped.min(on_disk)
    }

    /// The kernel knows the peak of one process. Of several, which may share what they have, it is
    /// the most that was seen, and seen exactly where it could be more than before.
    fn peak(&self, members: &[Member], resident: &[Resident], exact: impl Fn() -> u64) -> u64 {
        let beyond = |bytes: u64| bytes.saturating_sub(self.inherited.bytes);
        let code =
            members.iter().zip(resident).find(|(member, _)| Some(member.id) == self.tree.code);
        let peak = code.map_or(0, |(_, code)| beyond(code.peak_bytes));
        let at_most: u64 = resident.iter().map(|one| beyond(one.bytes)).sum();
        match members.len() > 1 && at_most > peak.max(self.peak_bytes) {
            true => peak.max(exact().min(at_most)),
            false => peak,
        }
    }
}

/// One that has just ended has nothing. Whether one exists that could not be read, too.
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

/// Of memory with the kernel's own tables for it, the limit of a control group.
fn most_with_tables(limits: &CellLimits) -> u64 {
    limits.memory_bytes.saturating_add(limits.memory_bytes / cgroup::TABLES)
}

/// Returns when a run is past a limit. Never on a system that does not tell.
pub async fn exceeded(meter: Arc<Mutex<Meter>>, limits: CellLimits) -> Limit {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let meter = Arc::clone(&meter);
        // Many processes take milliseconds each.
        let look = tokio::task::spawn_blocking(move || {
            let (mut meter, began) = (meter.blocking_lock(), Instant::now());
            let used = meter.look();
            (used, began.elapsed().saturating_sub(meter.close_took.take()))
        });
        let Ok((used, took)) = look.await else { continue };
        match used {
            used if used.memory_bytes > limits.memory_bytes => {
                return Limit::MemoryBytes(limits.memory_bytes);
            }
            Seen { past_the_disk: Some(limit), .. } => return limit,
            Seen { too_many: true, .. } => return Limit::Processes(limits.processes),
            used if used.cpu > Duration::from_millis(limits.cpu_ms) => {
                return Limit::CpuMs(limits.cpu_ms);
            }
            _ => pause = LOOK_EVERY.max((took * SHARE_OF_TIME).min(LONGEST_PAUSE)),
        }
    }
}

/// Processor time of all processes that there ever were. The kernel adds the time of one that is
/// gone to its parent's, if the parent waited for it; of the others we know what was seen last. The
/// larger sum of the two is nearer the truth, and never beyond it.
#[derive(Debug, Default)]
struct Cpu {
    total: Duration,
    seen: HashMap<i32, Duration>,
    /// Of those that were seen and are gone.
    gone: Duration,
}

impl Cpu {
    fn add(&mut self, members: &[Member]) -> Duration {
        let mut before = std::mem::take(&mut self.seen);
        for member in members {
            // A number that comes again with less time is another process.
            if before.get(&member.id).is_some_and(|cpu| *cpu <= member.cpu) {
                before.remove(&member.id);
            }
            self.seen.insert(member.id, member.cpu);
        }
        self.gone += before.values().sum();
        let now: Duration = members.iter().map(|member| member.cpu).sum();
        let waited_for: Duration = members.iter().map(|member| member.children_cpu).sum();
        self.total = self.total.max(now + waited_for.max(self.gone));
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, own seconds, and those of children that were waited for.
    type Row = (i32, u64, u64);

    fn seconds(members: &[Row]) -> Vec<Member> {
        let member = |&(id, own, children): &Row| Member {
            id,
            threads: 1,
            cpu: Duration::from_secs(own),
            children_cpu: Duration::from_secs(children),
        };
        members.iter().map(member).collect()
    }

    #[test]
    fn processor_time_of_those_that_are_gone_counts_once_whether_they_were_waited_for_or_not() {
        let mut cpu = Cpu::default();
        // Number, own seconds and those of children that were waited for; and the sum.
        let mut look = |members: &[Row], total| {
            let found = cpu.add(&seconds(members));
            assert_eq!(found, Duration::from_secs(total), "{members:?}");
        };
        look(&[(2, 1, 0)], 1);
        look(&[(2, 1, 0), (3, 4, 0)], 5);
        look(&[(2, 2, 5)], 7); // 3 had another second after it was seen
        look(&[(2, 2, 5), (4, 1, 0)], 8);
        look(&[(2, 2, 5)], 8); // 4 is gone, and nobody waited for it
        look(&[(2, 3, 5), (4, 0, 0)], 8); // another 4
        look(&[], 8);
    }

    #[tokio::test]
    async fn a_run_that_is_past_a_limit_is_seen() {
        let me = i32::try_from(std::process::id()).expect("Linux has smaller numbers");
        let disk = || {
            let folder = std::fs::File::open("/proc").expect("it is there");
            Disk::own(folder).expect("it is open")
        };
        let limits = CellLimits {
            memory_bytes: u64::MAX,
            scratch_bytes: u64::MAX,
            processes: u64::MAX,
            ..CellLimits::NOTHING
        };
        for (limits, wanted) in [
            (limits, Limit::CpuMs(0)),
            (CellLimits { memory_bytes: 1, ..limits }, Limit::MemoryBytes(1)),
        ] {
            let tree = Tree { init: None, code: Some(me), user: None };
            let meter = Arc::new(Mutex::new(Meter::new(tree, disk(), None, limits)));
            assert_eq!(exceeded(meter, limits).await, wanted);
        }
    }
}
