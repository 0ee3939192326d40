//! Proportional set size (PSS) of a cell's processes: shared pages are divided among the processes that
//! share them. Measuring is expensive, because its time grows with every page and mapping. So it is done
//! in passes, and a pass in time slices of a few samples, between which the meter measures the rest:
//!
//! ```text
//! resting ──rest is over──▶ passing ──all processes measured──▶ resting
//!                            │    ▲
//!                            └────┘ slice is over
//! ```
//!
//! The zygote's memory, which all cells share, does not count for any of them.
//!
//! Between two measurements of a process, its value follows the kernel's cheap counter. So the value is never
//! too high, and new allocations count at once.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use crate::meter::budget::thread_cpu;
use crate::meter::memory::{self, Exact, Resident};
use crate::meter::recent_for;
use crate::process::tree::Member;
use crate::resources::uid_pool::with_effective_uid;

/// Time slice of a pass in one sample.
pub const SLICE: Duration = Duration::from_millis(100);
/// Time slice if only the reported peak depends on it, and no limit.
const PEAK_SLICE: Duration = Duration::from_millis(10);
/// Maximum CPU time of a pass. A longer one is too slow to enforce the memory limit. 63 processes with the
/// science libraries take 100 ms.
const LONGEST_PASS_CPU: Duration = Duration::from_millis(750);
/// The same in wall-clock time, for a busy machine.
const LONGEST_PASS: Duration = Duration::from_secs(6);
/// Maximum CPU time of a pass that only serves the reported peak.
const LONGEST_PEAK_CPU: Duration = Duration::from_millis(250);

/// Measurements of the processes of a cell.
#[derive(Debug)]
pub struct PssSampler {
    /// Memory that the first process inherited from the zygote.
    inherited_bytes: u64,
    known: HashMap<i32, KnownProcess>,
    pass: Option<PssPass>,
    /// Time until which the last pass is recent enough.
    recent_until: Option<Instant>,
    /// Whether a pass for the reported peak has taken too long.
    is_too_expensive_for_peak: bool,
    /// Whether a process could not be read in the last slice.
    is_unread: bool,
    /// Number of samples.
    looks: u64,
    measure: fn(i32) -> io::Result<Exact>,
}

#[derive(Debug)]
struct PssPass {
    /// Processes that existed when the pass began and are not measured yet, the next one last. A process
    /// that is forked later is measured in the next pass: its parent's share was larger before.
    left: Vec<i32>,
    began: Instant,
    cpu: Duration,
}

#[derive(Debug, Clone, Copy)]
struct KnownProcess {
    exact: Exact,
    /// The kernel's counter right after the measurement, or when the process was first seen.
    anon_bytes: u64,
    /// Number of the sample that measured it.
    look: u64,
}

/// Result of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PssSample {
    /// Never more than the true value.
    pub exact: Exact,
    /// Whether a pass takes so long that a cell could fill memory meanwhile.
    pub is_too_slow: bool,
    /// Whether an existing process could not be read, for another reason than a denied permission.
    pub is_unread: bool,
    /// Duration of this sample.
    pub took: Duration,
}

type Measurement = (i32, io::Result<Exact>, io::Result<Resident>);

struct PssReading {
    found: Vec<Measurement>,
    left: Vec<i32>,
    cpu: Duration,
}

impl Default for PssSampler {
    fn default() -> PssSampler {
        PssSampler {
            inherited_bytes: 0,
            known: HashMap::new(),
            pass: None,
            recent_until: None,
            is_too_expensive_for_peak: false,
            is_unread: false,
            looks: 0,
            measure: memory::exact,
        }
    }
}

impl PssSampler {
    pub fn new(inherited_bytes: u64) -> PssSampler {
        PssSampler { inherited_bytes, ..PssSampler::default() }
    }

    /// Makes the next sample measure again.
    pub fn invalidate(&mut self) {
        self.recent_until = None;
    }

    /// Begins a run.
    pub fn begin(&mut self) {
        self.is_too_expensive_for_peak = false;
    }

    /// Follows the kernel's counters. Called at each sample, measured or not.
    pub fn follow(&mut self, members: &[Member], resident: &[Resident]) {
        self.looks += 1;
        let ids: HashSet<i32> = members.iter().map(|member| member.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        for (member, resident) in members.iter().zip(resident) {
            let first = KnownProcess {
                exact: Exact::default(),
                anon_bytes: resident.anon_bytes,
                look: self.looks,
            };
            self.known.entry(member.id).or_insert(first);
        }
    }

    /// Continues a pass for the memory limit.
    pub fn look(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        user: Option<u32>,
        slice: Duration,
    ) -> PssSample {
        let took = self.advance(members, user, slice);
        let is_too_slow = self
            .pass
            .as_ref()
            .is_some_and(|pass| pass.cpu > LONGEST_PASS_CPU || pass.began.elapsed() > LONGEST_PASS);
        let is_unread = self.is_unread;
        PssSample { exact: self.known(members, resident), is_too_slow, is_unread, took }
    }

    /// Continues a pass for the reported peak, unless that is too expensive.
    pub fn look_for_peak(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        user: Option<u32>,
    ) -> PssSample {
        if self.is_too_expensive_for_peak {
            return PssSample { exact: self.known(members, resident), ..PssSample::default() };
        }
        let took = self.advance(members, user, PEAK_SLICE);
        if self.pass.as_ref().is_some_and(|pass| pass.cpu > LONGEST_PEAK_CPU) {
            (self.is_too_expensive_for_peak, self.pass) = (true, None);
        }
        PssSample { exact: self.known(members, resident), took, ..PssSample::default() }
    }

    fn advance(&mut self, members: &[Member], user: Option<u32>, slice: Duration) -> Duration {
        let began = Instant::now();
        if self.pass.is_none() && self.recent_until.is_some_and(|until| began < until) {
            self.is_unread = false;
            return Duration::ZERO;
        }
        let mut pass = self.pass.take().unwrap_or_else(|| PssPass {
            left: members.iter().rev().map(|member| member.id).collect(),
            began,
            cpu: Duration::ZERO,
        });
        let measured = self.measure(std::mem::take(&mut pass.left), user, slice);
        self.is_unread = false;
        for (id, exact, resident) in measured.found {
            let (exact, resident) = match (exact, resident) {
                (Ok(exact), Ok(resident)) => (exact, resident),
                // If a process denies access to its own user, its shared memory counts in full.
                (Err(error), Ok(resident)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let shared_bytes = resident.bytes.saturating_sub(resident.anon_bytes);
                    let anon_bytes = resident.anon_bytes;
                    (Exact { anon_bytes, shared_bytes, ..Exact::default() }, resident)
                }
                _ => {
                    self.is_unread = true;
                    continue;
                }
            };
            let known = KnownProcess { exact, anon_bytes: resident.anon_bytes, look: self.looks };
            self.known.insert(id, known);
        }
        pass.left = measured.left;
        pass.cpu += measured.cpu;
        match pass.left.is_empty() {
            true => {
                self.recent_until = Some(Instant::now() + recent_for(pass.cpu));
            }
            false => self.pass = Some(pass),
        }
        began.elapsed()
    }

    /// Reading the PSS of a process requires its user, or a capability that a container's root lacks.
    fn measure(&self, left: Vec<i32>, user: Option<u32>, slice: Duration) -> PssReading {
        let mut measured = measure(left, slice, self.measure);
        let is_refused = |(id, exact, _): &Measurement| exact.is_err().then_some(*id);
        let mut refused: Vec<i32> = measured.found.iter().filter_map(is_refused).collect();
        refused.reverse();
        let read = self.measure;
        if let (false, Some(user)) = (refused.is_empty(), user)
            && let Ok(again) = with_effective_uid(user, || measure(refused, slice, read))
        {
            measured.found.retain(|(_, exact, _)| exact.is_ok());
            measured.found.extend(again.found);
            measured.left.extend(again.left);
            measured.cpu += again.cpu;
        }
        measured
    }

    /// Never more than the true value.
    pub fn known(&self, members: &[Member], resident: &[Resident]) -> Exact {
        let mut sum = Exact::default();
        for (member, resident) in members.iter().zip(resident) {
            let Some(known) = self.known.get(&member.id) else { continue };
            // The counter was read at the start of this sample, before a measurement in the same sample.
            let now = if known.look == self.looks { known.anon_bytes } else { resident.anon_bytes };
            let anon_bytes =
                known.exact.anon_bytes.saturating_add(now).saturating_sub(known.anon_bytes);
            sum.anon_bytes = sum.anon_bytes.saturating_add(anon_bytes);
            sum.with_others_bytes += known.exact.with_others_bytes;
            sum.shared_bytes = sum.shared_bytes.saturating_add(known.exact.shared_bytes);
        }
        // At most what was inherited: pages that only the cell's own processes share are among them too.
        let inherited = sum.with_others_bytes.min(self.inherited_bytes);
        sum.anon_bytes = sum.anon_bytes.saturating_sub(inherited);
        sum
    }
}

/// Measures at least one process.
fn measure(mut left: Vec<i32>, slice: Duration, read: fn(i32) -> io::Result<Exact>) -> PssReading {
    let (began, cpu) = (Instant::now(), thread_cpu());
    let mut found = Vec::new();
    while let Some(id) = left.pop() {
        let exact = read(id);
        // Read after the measurement: what is allocated in between then does not count twice.
        found.push((id, exact, memory::resident(id)));
        if began.elapsed() >= slice {
            break;
        }
    }
    PssReading { found, left, cpu: thread_cpu().saturating_sub(cpu) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[i32]) -> Vec<Member> {
        let member =
            |&id| Member { id, threads: 1, cpu: Duration::ZERO, children_cpu: Duration::ZERO };
        ids.iter().map(member).collect()
    }

    fn resident(anon_bytes: &[u64]) -> Vec<Resident> {
        let one = |&anon_bytes| Resident { bytes: anon_bytes, anon_bytes, ..Resident::default() };
        anon_bytes.iter().map(one).collect()
    }

    /// Ids that no process has.
    const IDS: [i32; 4] = [i32::MAX, i32::MAX - 1, i32::MAX - 2, i32::MAX - 3];

    fn seven(_: i32) -> io::Result<Exact> {
        Ok(Exact { anon_bytes: 7, with_others_bytes: 5, shared_bytes: 1 })
    }

    /// Takes longer than a slice, as many mappings do.
    fn slowly(process: i32) -> io::Result<Exact> {
        let began = thread_cpu();
        while thread_cpu() - began < SLICE {}
        seven(process)
    }

    #[test]
    fn newly_allocated_memory_counts_without_a_new_measurement() {
        let mut pss = PssSampler { measure: seven, ..PssSampler::default() };
        let (two, at_first) = (members(&IDS[..2]), resident(&[100, 50]));
        pss.follow(&two, &at_first);
        let seen = pss.look(&two, &at_first, None, SLICE);
        assert_eq!(seen.exact, Exact { anon_bytes: 14, with_others_bytes: 10, shared_bytes: 2 });
        pss.recent_until = Some(Instant::now() + LONGEST_PASS);
        // The kernel's counter was zero right after the measurement.
        for (now, wanted) in [([0, 0], 14), ([1000, 0], 1014), ([1000, 20], 1034)] {
            let now = resident(&now);
            pss.follow(&two, &now);
            assert_eq!(pss.look(&two, &now, None, SLICE).exact.anon_bytes, wanted);
        }
        // A forked process may share everything that it starts with.
        let (three, now) = (members(&IDS[..3]), resident(&[0, 0, 900]));
        pss.follow(&three, &now);
        assert_eq!(pss.look(&three, &now, None, SLICE).exact.anon_bytes, 14);
        let now = resident(&[0, 0, 950]);
        pss.follow(&three, &now);
        assert_eq!(pss.look(&three, &now, None, SLICE).exact.anon_bytes, 64);
        // A process that has ended has no memory.
        pss.follow(&two[..1], &now[..1]);
        assert_eq!(pss.look(&two[..1], &now[..1], None, SLICE).exact.anon_bytes, 7);
    }

    #[test]
    fn memory_of_the_zygote_does_not_count() {
        for (inherited_bytes, wanted) in [(0, 14), (3, 11), (1000, 4)] {
            let mut pss = PssSampler { measure: seven, ..PssSampler::new(inherited_bytes) };
            let (two, rough) = (members(&IDS[..2]), resident(&[100, 50]));
            pss.follow(&two, &rough);
            assert_eq!(pss.look(&two, &rough, None, SLICE).exact.anon_bytes, wanted);
        }
    }

    #[test]
    fn a_pass_continues_where_the_last_sample_ended_and_has_a_time_limit() {
        let mut pss = PssSampler { measure: slowly, ..PssSampler::default() };
        let (few, rough) = (members(&IDS), resident(&[0; 4]));
        for measured in 1..=4 {
            pss.follow(&few, &rough);
            let seen = pss.look(&few, &rough, None, SLICE);
            assert_eq!((seen.exact.anon_bytes, seen.is_too_slow), (7 * measured, false));
            assert!(seen.took >= SLICE);
        }
        assert!(pss.pass.is_none() && pss.recent_until.is_some());

        let ids: Vec<i32> = (0..64).map(|n| i32::MAX - n).collect();
        let (many, rough) = (members(&ids), resident(&[0; 64]));
        let mut pss = PssSampler { measure: slowly, ..PssSampler::default() };
        let mut looks = 0;
        loop {
            looks += 1;
            pss.follow(&many, &rough);
            if pss.look(&many, &rough, None, SLICE).is_too_slow {
                break;
            }
            assert!(looks < 64, "it stops before the pass ends");
        }
        assert!(LONGEST_PASS_CPU < SLICE * (looks + 1), "after {looks}");
    }

    #[test]
    fn a_peak_that_is_expensive_is_not_measured() {
        let ids: Vec<i32> = (0..64).map(|n| i32::MAX - n).collect();
        let (many, rough) = (members(&ids), resident(&[0; 64]));
        let mut pss = PssSampler { measure: slowly, ..PssSampler::default() };
        let mut look = || {
            pss.follow(&many, &rough);
            pss.look_for_peak(&many, &rough, None).took
        };
        let took: Vec<bool> = (0..10).map(|_| look() > Duration::ZERO).collect();
        assert_eq!(took, [true, true, true, false, false, false, false, false, false, false]);
        pss.begin();
        pss.follow(&many, &rough);
        assert!(pss.look_for_peak(&many, &rough, None).took > Duration::ZERO);
    }

    #[test]
    fn memory_of_a_process_that_denies_access_counts_in_full() {
        let refuse = |_| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let mut pss = PssSampler { measure: refuse, ..PssSampler::default() };
        let me = members(&[std::process::id().cast_signed()]);
        let rough = resident(&[0]);
        pss.follow(&me, &rough);
        let seen = pss.look(&me, &rough, None, SLICE);
        assert!(seen.exact.anon_bytes > 0 && !seen.is_unread, "{seen:?}");
        let fail = |_| Err(io::Error::from(rustix::io::Errno::MFILE));
        let mut pss = PssSampler { measure: fail, ..PssSampler::default() };
        pss.follow(&me, &rough);
        assert!(pss.look(&me, &rough, None, SLICE).is_unread);
    }
}
