//! Counts registrations with epoll, and descriptors in socket queues, by reading the processes' descriptors.
//! The kernel limits both for each user outside, and cells may share a user, or have the warden's. Without
//! control groups, registrations also use memory that is not counted.
//!
//! The registrations of an epoll descriptor in a socket queue cannot be read. So each queued descriptor counts as
//! a number of registrations, and registrations that disappear still count until no descriptor is queued.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat};

use crate::meter::budget::TimeBudget;
use crate::meter::recent_for;
use crate::process::procfs;
use crate::process::tree::{self, Member, is_gone};
use crate::resources::uid_pool::with_effective_uid;

/// Time slice of a pass in one sample. Each slice reads all descriptors of at least one process.
const SLICE: Duration = Duration::from_millis(50);
/// Maximum wall-clock time of a pass over all processes.
const LONGEST_PASS: Duration = Duration::from_secs(6);
/// Number of registrations that a queued descriptor counts as: 125 of them are the default limit. The kernel
/// refuses to queue more than 256 for all cells of one user together.
const OF_ONE_SENT: u64 = 160;
/// Registrations that may disappear between two passes without still counting, while descriptors are queued.
const FREE_FALL: u64 = 512;

const EPOLL: &[u8] = b"anon_inode:[eventpoll]";
const SOCKET: &[u8] = b"socket:[";

/// The registrations of one cell.
#[derive(Debug)]
pub struct Watches {
    /// The user that may read the cell's processes, if the warden itself may not.
    user: Option<u32>,
    pass: Option<Pass>,
    /// Time until which the last pass is recent enough.
    recent_until: Option<Instant>,
    last: ProcessCounts,
    /// Registrations that disappeared and may still exist.
    hidden: u64,
}

/// A count over all processes, continued over several samples.
#[derive(Debug)]
struct Pass {
    /// Processes that are not counted yet, the next one last.
    left: Vec<i32>,
    found: ProcessCounts,
    is_unread: bool,
    began: Instant,
    took: Duration,
}

/// Counts so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ProcessCounts {
    registered: u64,
    /// Descriptors in socket queues.
    sent: u64,
}

/// Result of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleResult {
    pub count: u64,
    /// Whether an existing process could not be read, or not in time.
    pub is_incomplete: bool,
    pub took: Duration,
}

impl Watches {
    pub fn new(user: Option<u32>) -> Watches {
        Watches { user, pass: None, recent_until: None, last: ProcessCounts::default(), hidden: 0 }
    }

    /// Continues a pass, or begins one if the last is not recent enough. Stops early if the count exceeds
    /// `most`.
    pub fn count(&mut self, members: &[Member], most: u64) -> SampleResult {
        let began = Instant::now();
        if self.pass.is_none() && self.recent_until.is_some_and(|until| began < until) {
            let count = self.known(ProcessCounts::default());
            return SampleResult { count, is_incomplete: false, took: Duration::ZERO };
        }
        let mut pass = self.pass.take().unwrap_or_else(|| Pass::new(members, began));
        let refused = pass.advance(most);
        if let (false, Some(user)) = (refused.is_empty(), self.user) {
            let mut again = Pass { left: refused, ..Pass::new(&[], pass.began) };
            let seen = with_effective_uid(user, || {
                let refused = again.advance(most);
                (again, refused)
            });
            match seen {
                Ok((again, refused)) => pass.add(again, &refused),
                Err(_) => pass.is_unread = true,
            }
        } else {
            pass.is_unread |= !refused.is_empty();
        }
        pass.took += began.elapsed();
        let count = self.known(pass.found);
        let mut is_incomplete = pass.began.elapsed() > LONGEST_PASS;
        if pass.left.is_empty() {
            is_incomplete = pass.is_unread;
            self.end(&pass);
        } else {
            self.pass = Some(pass);
        }
        SampleResult { count, is_incomplete, took: began.elapsed() }
    }

    /// The larger of the last pass and the current one so far.
    fn known(&self, found: ProcessCounts) -> u64 {
        found.weight().max(self.last.weight()).saturating_add(self.hidden)
    }

    fn end(&mut self, pass: &Pass) {
        let gone = self.last.weight().saturating_sub(pass.found.weight());
        if pass.found.sent == 0 {
            self.hidden = 0;
        } else if gone > FREE_FALL {
            self.hidden = self.hidden.saturating_add(gone);
        }
        self.last = pass.found;
        self.recent_until = Some(Instant::now() + recent_for(pass.took));
    }
}

impl Pass {
    fn new(members: &[Member], began: Instant) -> Pass {
        let left = members.iter().rev().map(|member| member.id).collect();
        Pass {
            left,
            found: ProcessCounts::default(),
            is_unread: false,
            began,
            took: Duration::ZERO,
        }
    }

    /// Reads at least one process. Returns those that deny access.
    fn advance(&mut self, most: u64) -> Vec<i32> {
        let slice = TimeBudget::of(SLICE, SLICE);
        let mut refused = Vec::new();
        while self.found.weight() <= most
            && let Some(process) = self.left.pop()
        {
            match self.found.add(process, most) {
                Ok(()) => {}
                // The kernel also denies access to a process that has ended meanwhile.
                Err(error) if is_gone(&error) || tree::cpu(process).is_none() => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    refused.push(process);
                }
                Err(_) => self.is_unread = true,
            }
            if slice.is_spent() {
                break;
            }
        }
        if self.found.weight() > most {
            self.left.clear(); // the limit is exceeded
        }
        refused
    }

    fn add(&mut self, again: Pass, refused: &[i32]) {
        self.found.registered += again.found.registered;
        self.found.sent += again.found.sent;
        self.is_unread |= again.is_unread || !refused.is_empty();
        self.left.extend(again.left);
    }
}

impl ProcessCounts {
    fn weight(self) -> u64 {
        self.registered.saturating_add(self.sent.saturating_mul(OF_ONE_SENT))
    }

    /// Counts the registrations of a process. Its threads share one descriptor table, because the filter allows
    /// no other. If the first thread has ended it has no table, and one of the others is read.
    fn add(&mut self, process: i32, most: u64) -> io::Result<()> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        if self.add_thread(&folder, most)? {
            return Ok(());
        }
        for thread in fs::read_dir(folder.join("task"))? {
            match thread.and_then(|thread| self.add_thread(&thread.path(), most)) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns whether the thread has a descriptor. The files of a thread that has released its memory belong to
    /// root: it has no descriptors any more, or is about to close them.
    fn add_thread(&mut self, folder: &Path, most: u64) -> io::Result<bool> {
        match self.add_table(folder, most) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_ending(folder) => {
                Ok(false)
            }
            added => added,
        }
    }

    fn add_table(&mut self, folder: &Path, most: u64) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let table = openat(CWD, folder.join("fd"), flags, Mode::empty())?;
        let mut is_any = false;
        let mut target = Vec::with_capacity(64);
        for entry in Dir::read_from(&table)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_bytes().first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            is_any = true;
            let link = match readlinkat(table.as_fd(), name, target) {
                Ok(link) => link,
                Err(error) if is_gone(&error.into()) => {
                    target = Vec::with_capacity(64);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            target = link.into_bytes();
            if target == EPOLL || target.starts_with(SOCKET) {
                match procfs::read(folder.join("fdinfo").join(&*name.to_string_lossy())) {
                    Ok(text) => self.add_text(&text),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            if self.weight() > most {
                break;
            }
        }
        Ok(is_any)
    }

    /// Parses `tfd:        5 events: …` for each registration, and `scm_fds: 3` of a socket.
    fn add_text(&mut self, about: &str) {
        for line in about.lines() {
            if line.starts_with("tfd:") {
                self.registered += 1;
            } else if let Some(count) = line.strip_prefix("scm_fds:") {
                self.sent = self.sent.saturating_add(count.trim().parse().unwrap_or(0));
            }
        }
    }
}

/// Whether a thread is ending or has ended.
fn is_ending(folder: &Path) -> bool {
    match procfs::read(folder.join("stat")) {
        Ok(stat) => flags(&stat).is_some_and(|flags| flags & EXITING != 0),
        Err(error) => is_gone(&error),
    }
}

/// The kernel's `PF_EXITING`.
const EXITING: u64 = 4;

/// The seventh word after the name, which the process chooses.
fn flags(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::unix::net::UnixStream;

    use rustix::event::epoll;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn members(process: i32) -> [Member; 1] {
        let (cpu, children_cpu) = (Duration::ZERO, Duration::ZERO);
        [Member { id: process, threads: 1, cpu, children_cpu }]
    }

    #[test]
    fn lines_of_epoll_and_of_sockets_are_counted() {
        let mut found = ProcessCounts::default();
        found.add_text(
            "pos:\t0\nflags:\t02\ntfd:        5 events:       19\ntfd:        6 events: 1\n",
        );
        found.add_text("pos:\t0\nscm_fds: 3\n");
        found.add_text("pos:\t0\nscm_fds: many\n");
        assert_eq!(found, ProcessCounts { registered: 2, sent: 3 });
        assert_eq!(found.weight(), 2 + 3 * OF_ONE_SENT);
    }

    #[test]
    fn registrations_and_descriptors_in_sockets_of_a_process_are_found() {
        let me = std::process::id().cast_signed();
        let mut before = ProcessCounts::default();
        before.add(me, u64::MAX).expect("it is this process");
        let queue = epoll::create(epoll::CreateFlags::CLOEXEC).expect("the kernel has epoll");
        let (one, _other) = UnixStream::pair().expect("the kernel has sockets");
        let data = epoll::EventData::new_u64(0);
        epoll::add(&queue, &one, data, epoll::EventFlags::empty()).expect("it is new");
        let sent = [queue.as_fd(); 3];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&sent)));
        sendmsg(&one, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty())
            .expect("it is empty");
        let mut found = ProcessCounts::default();
        found.add(me, u64::MAX).expect("it is this process");
        // Other tests of this program may have some at the same time.
        assert!(found.registered > 0 && found.sent >= 3, "{before:?} {found:?}");
    }

    #[test]
    fn registrations_that_disappear_count_while_descriptors_are_queued() {
        let mut watches = Watches::new(None);
        let mut pass = |registered, sent| {
            let found = ProcessCounts { registered, sent };
            watches.end(&Pass { found, ..Pass::new(&[], Instant::now()) });
            watches.known(ProcessCounts::default())
        };
        assert_eq!(pass(5000, 0), 5000);
        assert_eq!(pass(0, 1), OF_ONE_SENT + 5000 - OF_ONE_SENT);
        assert_eq!(pass(5000, 1), 5000 + OF_ONE_SENT + 5000 - OF_ONE_SENT);
        assert_eq!(
            pass(4600, 1),
            4600 + OF_ONE_SENT + 5000 - OF_ONE_SENT,
            "a small decrease is ignored"
        );
        assert_eq!(pass(10, 0), 10);
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_reaped_is_ending() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("it is everywhere");
        let folder = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(!is_ending(&folder));
        drop(child.stdin.take());
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("it is positive");
        let options =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).expect("it is ours");
        assert!(is_ending(&folder));
        assert_eq!(flags("7 (a) S) Z 1 2 3 4 5 4194308 6"), Some(4_194_308));
        child.wait().expect("it is ours");
        assert!(is_ending(&folder));
    }

    #[test]
    fn an_ended_process_has_no_registrations_and_the_count_is_complete() {
        let mut child = std::process::Command::new("true").spawn().expect("it is everywhere");
        let id = child.id().cast_signed();
        child.wait().expect("it is ours");
        let counted = Watches::new(None).count(&members(id), 9);
        assert_eq!((counted.count, counted.is_incomplete), (0, false));
        let me = std::process::id().cast_signed();
        assert!(!Watches::new(None).count(&members(me), u64::MAX).is_incomplete);
    }
}
