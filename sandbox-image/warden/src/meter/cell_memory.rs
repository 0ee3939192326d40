//! Memory of a cell: of its processes and files together, and of its socket queues.

use std::io;
use std::time::{Duration, Instant};

use protocol::CellLimits;

use super::{Meter, recent_for};
use crate::meter::budget::TimeBudget;
use crate::meter::mappings::Mappings;
use crate::meter::memory::Resident;
use crate::meter::pss::{self, PssSample, PssSampler};
use crate::process::procfs;
use crate::process::tree::{self, Member};
use crate::resources::cgroup;
use crate::resources::uid_pool::with_effective_uid;

/// Maximum wall-clock time of a scan of the mappings of all processes.
const LONGEST_SCAN: Duration = Duration::from_secs(6);

/// A scan of the mappings of all processes, continued over several samples.
#[derive(Debug)]
pub(super) struct MappingScan {
    left: Vec<i32>,
    found: Mappings,
    began: Instant,
}

impl MappingScan {
    /// Reads at least one process. Returns those that deny access.
    fn advance(&mut self, most: u64) -> Vec<i32> {
        let (slice, budget) = (TimeBudget::of(pss::SLICE, pss::SLICE), TimeBudget::new());
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

/// Memory values of a sample.
pub(super) struct MemorySample {
    pub(super) bytes: u64,
    pub(super) is_incomplete: bool,
    pub(super) too_many_mappings: bool,
}

/// Number of sockets of a cell that are not counted: more than most code has.
const FREE_SOCKETS: u64 = 256;
/// Bytes that each further socket counts as. Its queue can hold twice the buffer size that the kernel
/// reports, because a message is accepted while there is any room.
pub(super) const SOCKET_BYTES: u64 = 2 * 212_992;

impl Meter {
    /// Memory of processes and files together.
    pub(super) fn memory(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        on_disk: u64,
    ) -> MemorySample {
        let limit = self.limits.memory_bytes;
        let mut is_incomplete = false;
        let other_bytes = resident.iter().map(|one| one.other_bytes).sum::<u64>();
        let in_sockets = self.in_sockets().map_err(|_| is_incomplete = true).unwrap_or_default();
        let other_bytes = other_bytes.saturating_add(in_sockets);
        let sum = |of: fn(&Resident) -> u64| {
            resident.iter().map(of).fold(on_disk, |sum, bytes| sum.saturating_add(bytes))
        };
        let at_most = sum(|one| one.bytes);
        // The last measurement, with allocations since then.
        let known = self.pss.known(members, resident).anon_bytes.saturating_add(on_disk);
        let known = known.saturating_add(other_bytes);
        if self.group.is_none() && known > most_with_tables(&self.limits) {
            return MemorySample { bytes: u64::MAX, is_incomplete, too_many_mappings: false };
        }
        let mappings = self.mappings(members, resident, at_most);
        is_incomplete |= mappings.is_incomplete;
        let too_many_mappings = mappings.count > self.limits.mappings;
        if too_many_mappings {
            return MemorySample { bytes: at_most.min(limit), is_incomplete, too_many_mappings };
        }
        // Shared memory counts with its size, not with its resident part. Files are already counted.
        let shared = mappings.shared_bytes();
        let with_shared = sum(|one| one.anon_bytes).saturating_add(shared);
        let mut bytes = at_most.min(limit);
        // Expensive, so measured only if the result can exceed a limit.
        if at_most > limit || shared > 0 && with_shared > limit {
            let user = self.tree.user;
            let sample = match &self.group {
                None => self.pss.look(members, resident, user, pss::SLICE),
                // The kernel enforces the limit of a control group, so this measurement may be cut short.
                Some(_) => self.pss.look_for_peak(members, resident, user),
            };
            self.expensive_took += sample.took;
            is_incomplete |= sample.is_unread;
            if at_most > limit {
                let (counted, is_whole) = self.with_files(members, resident, &sample, on_disk);
                (bytes, is_incomplete) = (counted, is_incomplete || !is_whole);
            }
            if shared > 0 {
                let counted = sample.exact.anon_bytes.saturating_add(on_disk);
                bytes = bytes.max(counted.saturating_add(shared));
            }
            if sample.is_too_slow {
                bytes = u64::MAX;
            }
        } else if shared > 0 {
            bytes = bytes.max(with_shared);
        }
        self.add_peak(members, resident, |pss, user| pss.look_for_peak(members, resident, user));
        // As in a control group, the kernel's tables have an allowance of their own.
        if bytes.saturating_add(other_bytes) > most_with_tables(&self.limits) {
            bytes = u64::MAX;
        }
        MemorySample { bytes, is_incomplete, too_many_mappings }
    }

    /// Counts mappings if the kernel does not limit memory, and only if they can matter: if all possible shared
    /// memory would exceed the limit, or require a PSS measurement, which each mapping makes slower.
    fn mappings(&mut self, members: &[Member], resident: &[Resident], at_most: u64) -> Mappings {
        let unaccounted = resident.iter().map(|one| one.unaccounted_bytes).sum::<u64>();
        if self.group.is_some() || at_most.saturating_add(unaccounted) <= self.limits.memory_bytes {
            return Mappings::default();
        }
        let began = Instant::now();
        if let (None, Some((until, seen))) = (&self.scan, &self.mappings)
            && began < *until
        {
            return seen.clone();
        }
        let mut scan = self.scan.take().unwrap_or_else(|| MappingScan {
            left: members.iter().rev().map(|member| member.id).collect(),
            found: Mappings::default(),
            began,
        });
        let most = self.limits.mappings;
        let mut refused = scan.advance(most);
        if let (false, Some(user)) = (refused.is_empty(), self.tree.user) {
            let mut again = MappingScan { left: refused.clone(), ..scan };
            if let Ok((seen, still)) = with_effective_uid(user, || {
                let still = again.advance(most);
                (again, still)
            }) {
                (scan.found, refused) = (seen.found, still);
                scan.left.extend(seen.left);
            } else {
                scan.found = Mappings::default();
                scan.found.is_incomplete = true;
            }
        }
        let is_refused = |member: &Member| refused.contains(&member.id);
        for (_, resident) in members.iter().zip(resident).filter(|(member, _)| is_refused(member)) {
            let unread = scan.found.unread_bytes.saturating_add(resident.unaccounted_bytes);
            scan.found.unread_bytes = unread;
        }
        self.expensive_took += began.elapsed();
        let mut found = scan.found.clone();
        if scan.left.is_empty() {
            // An incomplete scan is not used for later samples.
            let seen = (Instant::now() + recent_for(began.elapsed()), found.clone());
            self.mappings = (!found.is_incomplete).then_some(seen);
        } else if found.count <= most {
            if let Some((_, seen)) = &self.mappings {
                found = seen.clone();
            }
            found.is_incomplete |= scan.began.elapsed() > LONGEST_SCAN;
            self.scan = Some(scan);
        }
        found
    }

    /// Upper bound of the memory in the cell's socket queues, including pending connections and queues whose
    /// sender has closed, without the first [`FREE_SOCKETS`]. Zero if cells share a network namespace, or if
    /// the kernel counts.
    pub(super) fn in_sockets(&self) -> io::Result<u64> {
        let (None, Some(_), Some(init)) = (&self.group, self.disk.own_device(), self.tree.init)
        else {
            return Ok(0);
        };
        match procfs::read(format!("/proc/{init}/net/sockstat")) {
            // Init has ended, and all others with it.
            Err(_) if tree::cpu(init).is_none() => Ok(0),
            text => in_sockets(&text?),
        }
    }

    /// Memory of processes and files, as exact as the comparison with the limit requires, and whether it could
    /// be determined.
    fn with_files(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        sample: &PssSample,
        on_disk: u64,
    ) -> (u64, bool) {
        let bytes = sample.exact.bytes().saturating_add(on_disk);
        if on_disk == 0 || bytes <= self.limits.memory_bytes {
            return (bytes, true);
        }
        // Mapped files have been counted twice.
        let began = Instant::now();
        let disk = &self.disk;
        let look = || {
            let budget = TimeBudget::new();
            let has_files = |resident: &Resident| resident.bytes > resident.anon_bytes;
            let with_files = members.iter().zip(resident).filter(|(_, one)| has_files(one));
            with_files.map(|(member, _)| disk.mapped(member.id, &budget)).sum::<Option<u64>>()
        };
        let mapped = match self.tree.user {
            Some(user) if look() == Some(0) => with_effective_uid(user, look).unwrap_or(Some(0)),
            _ => look(),
        };
        self.expensive_took += began.elapsed();
        match mapped {
            Some(mapped) => (bytes - mapped.min(on_disk), true),
            None => (self.limits.memory_bytes, false),
        }
    }

    /// Updates the peak. The kernel records the peak of one process. Several processes may share memory, so
    /// their peak is the largest sample, measured exactly only if it could exceed the previous one.
    pub(super) fn add_peak(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        look: impl FnOnce(&mut PssSampler, Option<u32>) -> PssSample,
    ) {
        let beyond = |bytes: u64| bytes.saturating_sub(self.inherited.bytes);
        let code =
            members.iter().zip(resident).find(|(member, _)| Some(member.id) == self.tree.code);
        let peak = code.map_or(0, |(_, code)| beyond(code.peak_bytes));
        let at_most: u64 = resident.iter().map(|one| beyond(one.bytes)).sum();
        self.peak_bytes = self.peak_bytes.max(peak);
        if members.len() > 1 && at_most > self.peak_bytes {
            let sample = look(&mut self.pss, self.tree.user);
            self.expensive_took += sample.took;
            self.peak_bytes = self.peak_bytes.max(sample.exact.bytes().min(at_most));
        }
    }
}

/// Parses `sockets: used 12`, the first line of `sockstat`.
pub(super) fn in_sockets(text: &str) -> io::Result<u64> {
    let count = |line: &str| line.strip_prefix("sockets: used ")?.trim().parse::<u64>().ok();
    let count = text.lines().find_map(count).ok_or(io::ErrorKind::InvalidData)?;
    Ok(count.saturating_sub(FREE_SOCKETS).saturating_mul(SOCKET_BYTES))
}

/// The memory limit including the kernel's tables, as in a control group.
fn most_with_tables(limits: &CellLimits) -> u64 {
    limits.memory_bytes.saturating_add(limits.memory_bytes / cgroup::TABLES)
}
