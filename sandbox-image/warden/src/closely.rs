//! The close look at the memory of a cell's processes. It is dear: a page or a mapping more makes it longer.
//! So it is taken in passes, and a pass in slices of a few looks, between which the meter sees the rest:
//!
//! ```text
//! resting ──rest is over──▶ passing ──all processes measured──▶ resting
//!                            │    ▲
//!                            └────┘ slice is over
//! ```
//!
//! What is known between two measurements of a process follows what the kernel counts for it, so that it is
//! never more than there is, and memory that a process allocates is seen at once.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use crate::budget::thread_cpu;
use crate::memory::{self, Exact, Resident};
use crate::meter::rest_after;
use crate::tree::Member;
use crate::users::with_eyes_of;

/// What one look may take of a pass.
pub const SLICE: Duration = Duration::from_millis(100);
/// The same where it is about no limit but the peak that is reported.
const PEAK_SLICE: Duration = Duration::from_millis(10);
/// Processor time of a pass that takes too long for the limit on memory to hold. 63 processes with the
/// science libraries take 100 ms.
const LONGEST_PASS_CPU: Duration = Duration::from_millis(750);
/// The same by the clock, on a machine that has other things to do.
const LONGEST_PASS: Duration = Duration::from_secs(6);
/// Processor time of a pass that the peak is not worth.
const LONGEST_PEAK_CPU: Duration = Duration::from_millis(250);

/// What is known of the processes of a cell.
#[derive(Debug)]
pub struct Closely {
    known: HashMap<i32, Known>,
    pass: Option<Pass>,
    /// Until when the last pass will do.
    rest_until: Option<Instant>,
    /// Whether a pass for the peak alone has taken too long.
    is_too_dear_for_peak: bool,
    /// Whether the last slice has met a process that could not be read.
    is_unread: bool,
    /// Counts the looks.
    looks: u64,
    measure: fn(i32) -> io::Result<Exact>,
}

#[derive(Debug)]
struct Pass {
    /// Processes that there were when it began, without those that are measured, the next one last. One
    /// that was forked later comes with the next pass: its parent's part was larger before.
    left: Vec<i32>,
    began: Instant,
    cpu: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    exact: Exact,
    /// What the kernel counted for it right after it was measured, or when it was seen first.
    anon_bytes: u64,
    /// The look that has measured it.
    look: u64,
}

/// What is known after a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Close {
    /// No more than there is.
    pub exact: Exact,
    /// Whether passes take so long that memory could be filled meanwhile.
    pub is_too_slow: bool,
    /// Whether a process exists that could not be read, for another reason than that it does not permit it.
    pub is_unread: bool,
    /// What this look took.
    pub took: Duration,
}

type Measurement = (i32, io::Result<Exact>, io::Result<Resident>);

struct Measured {
    found: Vec<Measurement>,
    left: Vec<i32>,
    cpu: Duration,
}

impl Default for Closely {
    fn default() -> Closely {
        Closely {
            known: HashMap::new(),
            pass: None,
            rest_until: None,
            is_too_dear_for_peak: false,
            is_unread: false,
            looks: 0,
            measure: memory::exact,
        }
    }
}

impl Closely {
    /// A look at this is asked for anew: what was seen before will not do.
    pub fn forget_rest(&mut self) {
        self.rest_until = None;
    }

    /// Another run begins.
    pub fn begin(&mut self) {
        self.is_too_dear_for_peak = false;
    }

    /// Called at each look, whether it has to be close or not: follows what the kernel counts.
    pub fn follow(&mut self, members: &[Member], resident: &[Resident]) {
        self.looks += 1;
        let ids: HashSet<i32> = members.iter().map(|member| member.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        for (member, resident) in members.iter().zip(resident) {
            let first = Known {
                exact: Exact::default(),
                anon_bytes: resident.anon_bytes,
                look: self.looks,
            };
            self.known.entry(member.id).or_insert(first);
        }
    }

    /// Goes on with a pass for the limit on memory.
    pub fn look(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        user: Option<u32>,
        slice: Duration,
    ) -> Close {
        let took = self.advance(members, user, slice);
        let is_too_slow = self
            .pass
            .as_ref()
            .is_some_and(|pass| pass.cpu > LONGEST_PASS_CPU || pass.began.elapsed() > LONGEST_PASS);
        let is_unread = self.is_unread;
        Close { exact: self.known(members, resident), is_too_slow, is_unread, took }
    }

    /// The same for the peak alone, as far as that is not dear.
    pub fn look_for_peak(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        user: Option<u32>,
    ) -> Close {
        if self.is_too_dear_for_peak {
            return Close { exact: self.known(members, resident), ..Close::default() };
        }
        let took = self.advance(members, user, PEAK_SLICE);
        if self.pass.as_ref().is_some_and(|pass| pass.cpu > LONGEST_PEAK_CPU) {
            (self.is_too_dear_for_peak, self.pass) = (true, None);
        }
        Close { exact: self.known(members, resident), took, ..Close::default() }
    }

    fn advance(&mut self, members: &[Member], user: Option<u32>, slice: Duration) -> Duration {
        let began = Instant::now();
        if self.pass.is_none() && self.rest_until.is_some_and(|until| began < until) {
            self.is_unread = false;
            return Duration::ZERO;
        }
        let mut pass = self.pass.take().unwrap_or_else(|| Pass {
            left: members.iter().rev().map(|member| member.id).collect(),
            began,
            cpu: Duration::ZERO,
        });
        let measured = self.measure(std::mem::take(&mut pass.left), user, slice);
        self.is_unread = false;
        for (id, exact, resident) in measured.found {
            let (exact, resident) = match (exact, resident) {
                (Ok(exact), Ok(resident)) => (exact, resident),
                // What a process shares with others counts whole where it has closed itself to its own
                // user.
                (Err(error), Ok(resident)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let shared_bytes = resident.bytes.saturating_sub(resident.anon_bytes);
                    (Exact { anon_bytes: resident.anon_bytes, shared_bytes }, resident)
                }
                _ => {
                    self.is_unread = true;
                    continue;
                }
            };
            let known = Known { exact, anon_bytes: resident.anon_bytes, look: self.looks };
            self.known.insert(id, known);
        }
        pass.left = measured.left;
        pass.cpu += measured.cpu;
        match pass.left.is_empty() {
            true => {
                self.rest_until = Some(Instant::now() + rest_after(pass.cpu));
            }
            false => self.pass = Some(pass),
        }
        began.elapsed()
    }

    /// Who looks closely at a process has to be its user, or to have a capability for it that a
    /// container's root lacks.
    fn measure(&self, left: Vec<i32>, user: Option<u32>, slice: Duration) -> Measured {
        let mut measured = measure(left, slice, self.measure);
        let is_refused = |(id, exact, _): &Measurement| exact.is_err().then_some(*id);
        let mut refused: Vec<i32> = measured.found.iter().filter_map(is_refused).collect();
        refused.reverse();
        let read = self.measure;
        if let (false, Some(user)) = (refused.is_empty(), user)
            && let Ok(again) = with_eyes_of(user, || measure(refused, slice, read))
        {
            measured.found.retain(|(_, exact, _)| exact.is_ok());
            measured.found.extend(again.found);
            measured.left.extend(again.left);
            measured.cpu += again.cpu;
        }
        measured
    }

    /// No more than there is.
    pub fn known(&self, members: &[Member], resident: &[Resident]) -> Exact {
        let mut sum = Exact::default();
        for (member, resident) in members.iter().zip(resident) {
            let Some(known) = self.known.get(&member.id) else { continue };
            // What was counted at the beginning of this look is older than a measurement in it.
            let now = if known.look == self.looks { known.anon_bytes } else { resident.anon_bytes };
            let anon_bytes =
                known.exact.anon_bytes.saturating_add(now).saturating_sub(known.anon_bytes);
            sum.anon_bytes = sum.anon_bytes.saturating_add(anon_bytes);
            sum.shared_bytes = sum.shared_bytes.saturating_add(known.exact.shared_bytes);
        }
        sum
    }
}

/// One process at least.
fn measure(mut left: Vec<i32>, slice: Duration, read: fn(i32) -> io::Result<Exact>) -> Measured {
    let (began, cpu) = (Instant::now(), thread_cpu());
    let mut found = Vec::new();
    while let Some(id) = left.pop() {
        let exact = read(id);
        // Later than that: what comes in between is seen with the next measurement, and not twice.
        found.push((id, exact, memory::resident(id)));
        if began.elapsed() >= slice {
            break;
        }
    }
    Measured { found, left, cpu: thread_cpu().saturating_sub(cpu) }
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

    /// Numbers that no process has.
    const IDS: [i32; 4] = [i32::MAX, i32::MAX - 1, i32::MAX - 2, i32::MAX - 3];

    fn seven(_: i32) -> io::Result<Exact> {
        Ok(Exact { anon_bytes: 7, shared_bytes: 1 })
    }

    /// As many mappings make it, and longer than a slice.
    fn slowly(process: i32) -> io::Result<Exact> {
        let began = thread_cpu();
        while thread_cpu() - began < SLICE {}
        seven(process)
    }

    #[test]
    fn memory_that_a_process_allocates_is_seen_without_measuring_it_again() {
        let mut closely = Closely { measure: seven, ..Closely::default() };
        let (two, at_first) = (members(&IDS[..2]), resident(&[100, 50]));
        closely.follow(&two, &at_first);
        let seen = closely.look(&two, &at_first, None, SLICE);
        assert_eq!(seen.exact, Exact { anon_bytes: 14, shared_bytes: 2 });
        closely.rest_until = Some(Instant::now() + LONGEST_PASS);
        // The kernel counted nothing for them right after they were measured.
        for (now, wanted) in [([0, 0], 14), ([1000, 0], 1014), ([1000, 20], 1034)] {
            let now = resident(&now);
            closely.follow(&two, &now);
            assert_eq!(closely.look(&two, &now, None, SLICE).exact.anon_bytes, wanted);
        }
        // One that was forked may share all that it begins with.
        let (three, now) = (members(&IDS[..3]), resident(&[0, 0, 900]));
        closely.follow(&three, &now);
        assert_eq!(closely.look(&three, &now, None, SLICE).exact.anon_bytes, 14);
        let now = resident(&[0, 0, 950]);
        closely.follow(&three, &now);
        assert_eq!(closely.look(&three, &now, None, SLICE).exact.anon_bytes, 64);
        // One that is gone has nothing.
        closely.follow(&two[..1], &now[..1]);
        assert_eq!(closely.look(&two[..1], &now[..1], None, SLICE).exact.anon_bytes, 7);
    }

    #[test]
    fn a_pass_goes_on_where_the_last_look_ended_and_may_not_take_for_ever() {
        let mut closely = Closely { measure: slowly, ..Closely::default() };
        let (few, rough) = (members(&IDS), resident(&[0; 4]));
        for measured in 1..=4 {
            closely.follow(&few, &rough);
            let seen = closely.look(&few, &rough, None, SLICE);
            assert_eq!((seen.exact.anon_bytes, seen.is_too_slow), (7 * measured, false));
            assert!(seen.took >= SLICE);
        }
        assert!(closely.pass.is_none() && closely.rest_until.is_some());

        let ids: Vec<i32> = (0..64).map(|n| i32::MAX - n).collect();
        let (many, rough) = (members(&ids), resident(&[0; 64]));
        let mut closely = Closely { measure: slowly, ..Closely::default() };
        let mut looks = 0;
        loop {
            looks += 1;
            closely.follow(&many, &rough);
            if closely.look(&many, &rough, None, SLICE).is_too_slow {
                break;
            }
            assert!(looks < 64, "it ends before the pass does");
        }
        assert!(LONGEST_PASS_CPU < SLICE * (looks + 1), "after {looks}");
    }

    #[test]
    fn a_peak_that_is_dear_is_not_looked_for() {
        let ids: Vec<i32> = (0..64).map(|n| i32::MAX - n).collect();
        let (many, rough) = (members(&ids), resident(&[0; 64]));
        let mut closely = Closely { measure: slowly, ..Closely::default() };
        let mut look = || {
            closely.follow(&many, &rough);
            closely.look_for_peak(&many, &rough, None).took
        };
        let took: Vec<bool> = (0..10).map(|_| look() > Duration::ZERO).collect();
        assert_eq!(took, [true, true, true, false, false, false, false, false, false, false]);
        closely.begin();
        closely.follow(&many, &rough);
        assert!(closely.look_for_peak(&many, &rough, None).took > Duration::ZERO);
    }

    #[test]
    fn of_a_process_that_cannot_be_measured_all_counts() {
        let refuse = |_| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let mut closely = Closely { measure: refuse, ..Closely::default() };
        let me = members(&[std::process::id().cast_signed()]);
        let rough = resident(&[0]);
        closely.follow(&me, &rough);
        let seen = closely.look(&me, &rough, None, SLICE);
        assert!(seen.exact.anon_bytes > 0 && !seen.is_unread, "{seen:?}");
        let fail = |_| Err(io::Error::from(rustix::io::Errno::MFILE));
        let mut closely = Closely { measure: fail, ..Closely::default() };
        closely.follow(&me, &rough);
        assert!(closely.look(&me, &rough, None, SLICE).is_unread);
    }
}
