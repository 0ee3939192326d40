//! The memory of a cell: of its processes and files together, and what waits in its sockets.

use std::io;
use std::time::{Duration, Instant};

use protocol::CellLimits;

use super::{Meter, rest_after};
use crate::budget::Budget;
use crate::cgroup;
use crate::closely::{self, Close, Closely};
use crate::maps::Mappings;
use crate::memory::Resident;
use crate::told;
use crate::tree::{self, Member};
use crate::users::with_eyes_of;

/// By the clock, what may pass until the mappings of all processes are counted.
const LONGEST_SIGHT: Duration = Duration::from_secs(6);

/// A look at the mappings of all processes, which takes several of the meter's.
#[derive(Debug)]
pub(super) struct Sight {
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
pub(super) struct Memory {
    pub(super) bytes: u64,
    pub(super) is_incomplete: bool,
    pub(super) too_many_mappings: bool,
}

/// Sockets of a cell that are not counted: more than most code has.
const FREE_SOCKETS: u64 = 256;
/// What each of the others counts for: what may wait in it at most is twice what the kernel calls the size
/// of its buffer, since a message is let in while there is any room.
pub(super) const SOCKET_BYTES: u64 = 2 * 212_992;

impl Meter {
    /// Of processes and files together.
    pub(super) fn memory(
        &mut self,
        members: &[Member],
        resident: &[Resident],
        on_disk: u64,
    ) -> Memory {
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
    pub(super) fn in_sockets(&self) -> io::Result<u64> {
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
    pub(super) fn add_peak(
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

/// From `sockets: used 12`, the first line about a network.
pub(super) fn in_sockets(text: &str) -> io::Result<u64> {
    let count = |line: &str| line.strip_prefix("sockets: used ")?.trim().parse::<u64>().ok();
    let count = text.lines().find_map(count).ok_or(io::ErrorKind::InvalidData)?;
    Ok(count.saturating_sub(FREE_SOCKETS).saturating_mul(SOCKET_BYTES))
}

/// Of memory with the kernel's own tables for it, the limit of a control group.
fn most_with_tables(limits: &CellLimits) -> u64 {
    limits.memory_bytes.saturating_add(limits.memory_bytes / cgroup::TABLES)
}
