//! What a cell uses up, looked at from outside.
//!
//! A limit of the kernel's on one process is none on many, so while a run lasts their sum is looked
//! at again and again, and a run that is past a limit is stopped. A look costs some fifty
//! microseconds; the last one is taken at the end of each run.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CellLimits, Limit};
use tokio::sync::Mutex;

use crate::budget::Budget;
use crate::cgroup::{self, Group};
use crate::closely::{self, Close, Closely};
use crate::disk::{Disk, Room};
use crate::kills::Kills;
use crate::maps::Mappings;
use crate::memory::{self, Resident};
use crate::tree::{self, Member, Members, Tree};
use crate::users::with_eyes_of;
use crate::watches::Watches;
use crate::{locks, told};

/// Between two looks. A run that is over before the first one has the last one only.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A look at many processes takes a while; it may take this part of the time, and no more.
const SHARE_OF_TIME: u32 = 10;
/// However long a look takes, the next one is not put off for longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A run is past its limit when this many looks one after another have not seen all. One may come of a moment
/// in which the warden has no descriptors.
const INCOMPLETE_LOOKS: u32 = 3;

/// How long a look that has taken this long will do.
pub fn rest_after(took: Duration) -> Duration {
    (took * SHARE_OF_TIME).min(LONGEST_PAUSE)
}

/// The counters of one cell, from its first run to its last.
#[derive(Debug)]
pub struct Meter {
    tree: Tree,
    disk: Disk,
    kills: Kills,
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
    /// How many of the last looks of this run, one after another, have not seen all.
    incomplete_looks: u32,
    closely: Closely,
    /// A look at the mappings that is not at its end.
    sight: Option<Sight>,
    /// The last look at the mappings, and until when it will do.
    mappings: Option<(Instant, Mappings)>,
    /// Absent where the kernel counts: in a control group, for a user of the cell's own.
    watches: Option<Watches>,
    /// What of the last look was dear, and has rests of its own.
    dear_took: Duration,
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
    /// More mappings than a look can take.
    too_many_mappings: bool,
    locks: u64,
    watches: u64,
}

/// By the clock, what may pass until the mappings of all processes are counted.
const LONGEST_SIGHT: Duration = Duration::from_secs(6);

/// A look at the mappings of all processes, which takes several of the meter's.
#[derive(Debug)]
struct Sight {
    left: Vec<i32>,
    found: Mappings,
    began: Instant,
}

impl Sight {
    /// One process at least. Gives those back that do not permit it.
    fn go_on(&mut self, most: u64) -> Vec<i32> {
        let (slice, budget) = (Budget::of(closely::SLICE, closely::SLICE), Budget::new());
        let mut refused = Vec::new();
        while self.found.count <= most
            && let Some(process) = self.left.pop()
        {
            match self.found.add(process, most, &budget) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    refused.push(process);
                }
                Err(_) => self.found.is_incomplete = true,
            }
            if slice.is_spent() {
                break;
            }
        }
        refused
    }
}

/// What a look has found of memory.
struct Memory {
    bytes: u64,
    is_incomplete: bool,
    too_many_mappings: bool,
}

/// Sockets of a cell that are not counted: more than most code has.
const FREE_SOCKETS: u64 = 256;
/// What each of the others counts for: what may wait in it at most is twice what the kernel calls the size
/// of its buffer, since a message is let in while there is any room.
const SOCKET_BYTES: u64 = 2 * 212_992;

impl Meter {
    pub fn new(tree: Tree, disk: Disk, group: Option<Arc<Group>>, limits: CellLimits) -> Meter {
        Meter {
            tree,
            disk,
            kills: Kills::of(group.as_deref()),
            group,
            limits,
            inherited: tree.code.and_then(|code| memory::resident(code).ok()).unwrap_or_default(),
            cpu: Cpu::default(),
            began: Duration::ZERO,
            peak_bytes: 0,
            too_many: false,
            incomplete_looks: 0,
            closely: Closely::default(),
            sight: None,
            mappings: None,
            watches: None,
            dear_took: Duration::ZERO,
        }
    }

    /// Has registrations with epoll counted, by this user where the warden itself may not look.
    pub fn count_watches(&mut self, user: Option<u32>) {
        self.watches = Some(Watches::new(user));
    }

    /// Processor time of all processes so far, or nearly.
    fn cpu(&mut self, members: &[Member]) -> Duration {
        let of_group = self.group.as_ref().and_then(|group| group.cpu());
        self.cpu.add(members, of_group)
    }

    /// Another run begins.
    pub fn begin(&mut self) {
        // What a standby did before its first code is not the code's; it had one process then. What came
        // between two runs is, so the second run begins where the first one ended.
        if self.cpu.total == Duration::ZERO {
            self.began = self.tree.code.and_then(tree::cpu).unwrap_or_default();
            let of_group = self.group.as_ref().and_then(|group| group.cpu());
            self.cpu.group_before = of_group.unwrap_or_default().saturating_sub(self.began);
        } else {
            self.began = self.cpu.total;
        }
        self.incomplete_looks = 0;
        self.closely.begin();
        self.kills.begin();
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

    /// Whether the kernel has killed something during this run, in the cell as far as that can be told,
    /// because memory was full.
    pub fn was_memory_full(&self) -> bool {
        self.kills.are_more()
    }

    /// At the end of a run.
    pub fn last_look(&mut self) -> Used {
        let members = self.tree.members().found;
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu(&members).saturating_sub(self.began);
        let resident = resident_of(&members).0;
        self.closely.follow(&members, &resident);
        self.closely.forget_rest();
        self.add_peak(&members, &resident, |closely, user| {
            closely.look(&members, &resident, user, closely::SLICE)
        });
        Used { cpu, peak_bytes: self.peak_bytes }
    }

    /// While it lasts. What is dear to see may be of a moment ago; time may not, for it would run away.
    fn look(&mut self) -> Seen {
        self.dear_took = Duration::ZERO;
        let Members { found: members, mut is_incomplete } = self.tree.members();
        self.too_many = members.len() as u64 > self.limits.processes;
        let cpu = self.cpu(&members).saturating_sub(self.began);
        let room = self.room().map_err(|_| is_incomplete = true).ok();
        let past_the_disk = room.and_then(|room| self.disk.past(room, &self.limits));
        let (resident, is_unread) = resident_of(&members);
        is_incomplete |= is_unread;
        self.closely.follow(&members, &resident);
        let on_disk = room.unwrap_or_default().in_memory_bytes;
        let memory = self.memory(&members, &resident, on_disk);
        is_incomplete |= memory.is_incomplete;
        let locks = locks::count(&members, self.disk.own_device());
        let locks = locks.map_err(|_| is_incomplete = true).unwrap_or_default();
        let counted = self.watches.as_mut().map(|one| one.count(&members, self.limits.watches));
        let counted = counted.unwrap_or_default();
        self.dear_took += counted.took;
        is_incomplete |= counted.is_incomplete;
        let watches = counted.count;
        // What cannot be seen may be any amount.
        let is_unknown = self.is_unknown_after(is_incomplete);
        // The kernel may have ended one of many, and the others would go on without.
        let is_past = is_unknown || self.was_out_of_memory();
        let memory_bytes = if is_past { u64::MAX } else { memory.bytes };
        let (too_many, too_many_mappings) = (self.too_many, memory.too_many_mappings);
        Seen { cpu, memory_bytes, past_the_disk, too_many, too_many_mappings, locks, watches }
    }

    /// Whether too many looks one after another have not seen all, this one included.
    fn is_unknown_after(&mut self, is_incomplete: bool) -> bool {
        self.incomplete_looks = if is_incomplete { self.incomplete_looks + 1 } else { 0 };
        self.incomplete_looks >= INCOMPLETE_LOOKS
    }

    /// Of processes and files together.
    fn memory(&mut self, members: &[Member], resident: &[Resident], on_disk: u64) -> Memory {
        let limit = self.limits.memory_bytes;
        let mut is_incomplete = false;
        let other_bytes = resident.iter().map(|one| one.other_bytes).sum::<u64>();
        let in_sockets = self.in_sockets().map_err(|_| is_incomplete = true).unwrap_or_default();
        let other_bytes = other_bytes.saturating_add(in_sockets);
        let sum = |of: fn(&Resident) -> u64| {
            resident.iter().map(of).fold(on_disk, |sum, bytes| sum.saturating_add(bytes))
        };
        let at_most = sum(|one| one.bytes);
        // What was measured before, and what processes have allocated since then, is seen at once.
        let known = self.closely.known(members, resident).anon_bytes.saturating_add(on_disk);
        let known = known.saturating_add(other_bytes);
        if self.group.is_none() && known > most_with_tables(&self.limits) {
            return Memory { bytes: u64::MAX, is_incomplete, too_many_mappings: false };
        }
        let mappings = self.mappings(members, resident, at_most);
        is_incomplete |= mappings.is_incomplete;
        let too_many_mappings = mappings.count > self.limits.mappings;
        if too_many_mappings {
            return Memory { bytes: at_most.min(limit), is_incomplete, too_many_mappings };
        }
        // Shared memory as large as it is, and not as what is resident of it. Files are counted already.
        let shared = mappings.shared_bytes();
        let with_shared = sum(|one| one.anon_bytes).saturating_add(shared);
        let mut bytes = at_most.min(limit);
        // Dear, and asked for only where it decides something.
        if at_most > limit || shared > 0 && with_shared > limit {
            let user = self.tree.user;
            let close = match &self.group {
                None => self.closely.look(members, resident, user, closely::SLICE),
                // The kernel stops a cell without a look, so this one may be cut short.
                Some(_) => self.closely.look_for_peak(members, resident, user),
            };
            self.dear_took += close.took;
            is_incomplete |= close.is_unread;
            if at_most > limit {
                let (counted, is_whole) = self.with_files(members, resident, &close, on_disk);
                (bytes, is_incomplete) = (counted, is_incomplete || !is_whole);
            }
            if shared > 0 {
                let counted = close.exact.anon_bytes.saturating_add(on_disk);
                bytes = bytes.max(counted.saturating_add(shared));
            }
            if close.is_too_slow {
                bytes = u64::MAX;
            }
        } else if shared > 0 {
            bytes = bytes.max(with_shared);
        }
        self.add_peak(members, resident, |closely, user| {
            closely.look_for_peak(members, resident, user)
        });
        // As in a control group, what the kernel needs for a cell has a part of its own.
        if bytes.saturating_add(other_bytes) > most_with_tables(&self.limits) {
            bytes = u64::MAX;
        }
        Memory { bytes, is_incomplete, too_many_mappings }
    }

    /// Where the kernel does not count, and where they could matter: with all shared memory that there
    /// may be it would be too much, or a close look would follow, which each of them makes longer.
    fn mappings(&mut self, members: &[Member], resident: &[Resident], at_most: u64) -> Mappings {
        let unaccounted = resident.iter().map(|one| one.unaccounted_bytes).sum::<u64>();
        if self.group.is_some() || at_most.saturating_add(unaccounted) <= self.limits.memory_bytes {
            return Mappings::default();
        }
        let began = Instant::now();
        if let (None, Some((until, seen))) = (&self.sight, &self.mappings)
            && began < *until
        {
            return seen.clone();
        }
        let mut sight = self.sight.take().unwrap_or_else(|| Sight {
            left: members.iter().rev().map(|member| member.id).collect(),
            found: Mappings::default(),
            began,
        });
        let most = self.limits.mappings;
        let mut refused = sight.go_on(most);
        if let (false, Some(user)) = (refused.is_empty(), self.tree.user) {
            let mut again = Sight { left: refused.clone(), ..sight };
            if let Ok((seen, still)) = with_eyes_of(user, || {
                let still = again.go_on(most);
                (again, still)
            }) {
                (sight.found, refused) = (seen.found, still);
                sight.left.extend(seen.left);
            } else {
                sight.found = Mappings::default();
                sight.found.is_incomplete = true;
            }
        }
        let is_refused = |member: &Member| refused.contains(&member.id);
        for (_, resident) in members.iter().zip(resident).filter(|(member, _)| is_refused(member)) {
            let unread = sight.found.unread_bytes.saturating_add(resident.unaccounted_bytes);
            sight.found.unread_bytes = unread;
        }
        self.dear_took += began.elapsed();
        let mut found = sight.found.clone();
        if sight.left.is_empty() {
            // What is incomplete will not do for later looks.
            let seen = (Instant::now() + rest_after(began.elapsed()), found.clone());
            self.mappings = (!found.is_incomplete).then_some(seen);
        } else if found.count <= most {
            if let Some((_, seen)) = &self.mappings {
                found = seen.clone();
            }
            found.is_incomplete |= sight.began.elapsed() > LONGEST_SIGHT;
            self.sight = Some(sight);
        }
        found
    }

    /// The most that can wait in the cell's sockets, connections that nobody has accepted and senders
    /// that are gone among them, but for a number of sockets. Nothing where cells have one network, or where
    /// the kernel counts.
    fn in_sockets(&self) -> io::Result<u64> {
        let (None, Some(_), Some(init)) = (&self.group, self.disk.own_device(), self.tree.init)
        else {
            return Ok(0);
        };
        match told::read(format!("/proc/{init}/net/sockstat")) {
            // Init is gone, and all others are with it.
            Err(_) if tree::cpu(init).is_none() => Ok(0),
            text => in_sockets(&text?),
        }
    }

    /// Processes and files, as exactly as it takes to tell whether it is too much, and whether that could be
    /// told.
    fn with_files(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        close: &Close,
        on_disk: u64,
    ) -> (u64, bool) {
        let bytes = close.exact.bytes().saturating_add(on_disk);
        if on_disk == 0 || bytes <= self.limits.memory_bytes {
            return (bytes, true);
        }
        // Files that are mapped have been counted twice.
        let began = Instant::now();
        let disk = &self.disk;
        let look = || {
            let budget = Budget::new();
            let has_files = |resident: &Resident| resident.bytes > resident.anon_bytes;
            let with_files = members.iter().zip(resident).filter(|(_, one)| has_files(one));
            with_files.map(|(member, _)| disk.mapped(member.id, &budget)).sum::<Option<u64>>()
        };
        let mapped = match self.tree.user {
            Some(user) if look() == Some(0) => with_eyes_of(user, look).unwrap_or(Some(0)),
            _ => look(),
        };
        self.dear_took += began.elapsed();
        match mapped {
            Some(mapped) => (bytes - mapped.min(on_disk), true),
            None => (self.limits.memory_bytes, false),
        }
    }

    /// The kernel knows the peak of one process. Of several, which may share what they have, it is
    /// the most that was seen, and seen exactly where it could be more than before.
    fn add_peak(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        look: impl FnOnce(&mut Closely, Option<u32>) -> Close,
    ) {
        let beyond = |bytes: u64| bytes.saturating_sub(self.inherited.bytes);
        let code =
            members.iter().zip(resident).find(|(member, _)| Some(member.id) == self.tree.code);
        let peak = code.map_or(0, |(_, code)| beyond(code.peak_bytes));
        let at_most: u64 = resident.iter().map(|one| beyond(one.bytes)).sum();
        self.peak_bytes = self.peak_bytes.max(peak);
        if members.len() > 1 && at_most > self.peak_bytes {
            let close = look(&mut self.closely, self.tree.user);
            self.dear_took += close.took;
            self.peak_bytes = self.peak_bytes.max(close.exact.bytes().min(at_most));
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

/// From `sockets: used 12`, the first line about a network.
fn in_sockets(text: &str) -> io::Result<u64> {
    let count = |line: &str| line.strip_prefix("sockets: used ")?.trim().parse::<u64>().ok();
    let count = text.lines().find_map(count).ok_or(io::ErrorKind::InvalidData)?;
    Ok(count.saturating_sub(FREE_SOCKETS).saturating_mul(SOCKET_BYTES))
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
            (used, began.elapsed().saturating_sub(meter.dear_took))
        });
        let Ok((used, took)) = look.await else { continue };
        match used {
            Seen { too_many_mappings: true, .. } => return Limit::Mappings(limits.mappings),
            used if used.memory_bytes > limits.memory_bytes => {
                return Limit::MemoryBytes(limits.memory_bytes);
            }
            Seen { past_the_disk: Some(limit), .. } => return limit,
            Seen { too_many: true, .. } => return Limit::Processes(limits.processes),
            used if used.locks > limits.locks => return Limit::Locks(limits.locks),
            used if used.watches > limits.watches => return Limit::Watches(limits.watches),
            used if used.cpu > Duration::from_millis(limits.cpu_ms) => {
                return Limit::CpuMs(limits.cpu_ms);
            }
            _ => pause = LOOK_EVERY.max(rest_after(took)),
        }
    }
}

/// Processor time of all processes that there ever were. The kernel adds the time of one that is
/// gone to its parent's, if the parent waited for it; of the others we know what was seen last. The
/// larger sum of the two is nearer the truth, and never beyond it. What neither has seen is counted by
/// a control group alone.
#[derive(Debug, Default)]
struct Cpu {
    total: Duration,
    seen: HashMap<i32, Duration>,
    /// Of those that were seen and are gone.
    gone: Duration,
    /// What the control group had counted of other processes, when this count was at nothing.
    group_before: Duration,
}

impl Cpu {
    fn add(&mut self, members: &[Member], of_group: Option<Duration>) -> Duration {
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
        let of_group = of_group.unwrap_or_default().saturating_sub(self.group_before);
        self.total = self.total.max(now + waited_for.max(self.gone)).max(of_group);
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
            let found = cpu.add(&seconds(members), None);
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

    fn meter(limits: CellLimits, init: Option<i32>) -> Meter {
        let folder = std::fs::File::open("/proc").expect("it is there");
        let code = Some(std::process::id().cast_signed());
        let tree = Tree { init, code, user: None };
        Meter::new(tree, Disk::own(folder).expect("it is open"), None, limits)
    }

    #[test]
    fn looks_that_have_not_seen_all_count_where_they_follow_one_another() {
        let mut meter = meter(CellLimits::NOTHING, None);
        let looks = [true, true, false, true, true, true, true, false, true];
        let unknown = looks.map(|is_incomplete| meter.is_unknown_after(is_incomplete));
        assert_eq!(unknown, [false, false, false, false, false, true, true, false, false]);
    }

    #[test]
    fn files_that_cannot_be_counted_are_not_none() {
        let limits = CellLimits { memory_bytes: u64::MAX, scratch_files: 9, ..CellLimits::NOTHING };
        let mut meter = meter(limits, None);
        let file = std::fs::File::open("/proc/self/exe").expect("this program is a file");
        meter.disk = Disk::Shared { folder: file.into(), user: u32::MAX, device: None };
        assert!(meter.room().is_err(), "it is no folder");
        let seen = [(); 3].map(|()| meter.look());
        assert_eq!(seen.map(|seen| seen.past_the_disk), [None; 3]);
        assert_eq!(seen.map(|seen| seen.memory_bytes == u64::MAX), [false, false, true]);
    }

    #[test]
    fn sockets_that_cannot_be_counted_are_not_none() {
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
    async fn a_run_that_is_past_a_limit_is_seen() {
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
