//! Finds the processes of a cell through `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use rustix::io::Errno;

use crate::process::procfs;

/// Starting points of the search.
#[derive(Debug, Clone, Copy)]
pub struct ProcessTree {
    /// Parent of all orphans.
    pub init: Option<i32>,
    /// Runs the code.
    pub code: Option<i32>,
    /// The cell's user, if no other cell has it. On a shared root, orphans become children of the warden and
    /// are identified by their user.
    pub user: Option<u32>,
}

/// A process of a cell at the time of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub id: i32,
    pub threads: u64,
    /// CPU time of the process itself.
    pub cpu: Duration,
    /// CPU time of ended children that it has waited for.
    pub children_cpu: Duration,
}

/// Processes of a cell that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The code's own process first.
    pub found: Vec<Member>,
    /// Whether an existing process could not be read. Its usage and its children are unknown.
    pub is_incomplete: bool,
}

impl ProcessTree {
    /// All processes except init, which runs no code.
    pub fn members(&self) -> Members {
        let mut members = Members::default();
        members.add(self.code);
        members.add_children_of(self.init, 1);
        match self.orphans() {
            Ok(orphans) => members.add(orphans),
            Err(_) => members.is_incomplete = true,
        }
        let mut next = 0;
        while let Some(parent) = members.found.get(next).copied() {
            next += 1;
            members.add_children_of(Some(parent.id), parent.threads);
        }
        members
    }

    fn orphans(&self) -> io::Result<Vec<i32>> {
        let Some(user) = self.user else { return Ok(Vec::new()) };
        let mut orphans = children(std::process::id().cast_signed(), MANY)?;
        orphans.retain(|&orphan| {
            Some(orphan) != self.init && Some(orphan) != self.code && is_of(orphan, user)
        });
        Ok(orphans)
    }
}

impl Members {
    fn add(&mut self, processes: impl IntoIterator<Item = i32>) {
        for process in processes {
            match member(process) {
                Look::Read(member) => self.found.push(member),
                Look::Unread => self.is_incomplete = true,
                Look::Gone => {}
            }
        }
    }

    fn add_children_of(&mut self, process: Option<i32>, threads: u64) {
        let Some(process) = process else { return };
        match children(process, threads) {
            Ok(children) => self.add(children),
            Err(_) => self.is_incomplete |= cpu(process).is_some(),
        }
    }
}

/// All descendants of a process that have this user.
pub fn of_user(ancestor: i32, user: u32) -> Vec<i32> {
    let mut found = children(ancestor, MANY).unwrap_or_default();
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        found.extend(children(parent, MANY).unwrap_or_default());
    }
    found.retain(|process| is_of(*process, user));
    found
}

fn is_of(process: i32, user: u32) -> bool {
    fs::metadata(format!("/proc/{process}")).is_ok_and(|about| about.uid() == user)
}

/// Unknown number of threads.
const MANY: u64 = u64::MAX;

/// CPU time of a process in nanoseconds, until it has been reaped.
pub fn cpu(process: i32) -> Option<Duration> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(process)).ok()?;
    Some(Duration::from(clock.now().ok()?))
}

/// Result of reading one process.
enum Look {
    Read(Member),
    /// It exists and cannot be read.
    Unread,
    Gone,
}

fn member(id: i32) -> Look {
    let stat = procfs::read(format!("/proc/{id}/stat"));
    match stat.ok().as_deref().and_then(read) {
        Some((threads, children_cpu)) => {
            Look::Read(Member { id, threads, cpu: cpu(id).unwrap_or_default(), children_cpu })
        }
        // The CPU clock of a process needs neither `/proc` nor a permission, and exists as long as the process.
        None if cpu(id).is_some() => Look::Unread,
        None => Look::Gone,
    }
}

/// The number of threads, and the CPU time of ended children.
fn read(stat: &str) -> Option<(u64, Duration)> {
    // The process chooses the name before the parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(13)?.saturating_add(number(14)?);
    let second = rustix::param::clock_ticks_per_second().max(1);
    Some((number(17)?, Duration::from_millis(ticks.saturating_mul(1000) / second)))
}

/// Children of all threads. Fails if they cannot be read, and also if the process has ended.
fn children(process: i32, threads: u64) -> io::Result<Vec<i32>> {
    if threads <= 1 {
        return children_of_thread(process, &process.to_string());
    }
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let name = match thread {
            Ok(thread) => thread.file_name(),
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        match children_of_thread(process, &name.to_string_lossy()) {
            Ok(children) => found.extend(children),
            // The thread ended after it was listed.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn children_of_thread(process: i32, thread: &str) -> io::Result<Vec<i32>> {
    let text = procfs::read(format!("/proc/{process}/task/{thread}/children"))?;
    Ok(text.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect())
}

/// Whether an error of `/proc` means that the process or thread has ended.
pub fn is_gone(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::NOENT | Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).expect("Linux has smaller numbers")
    }

    #[test]
    fn this_process_and_its_children_are_found() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        let id = i32::try_from(child.id()).expect("Linux has smaller numbers");
        let found = |tree: ProcessTree| {
            tree.members().found.iter().map(|member| member.id).collect::<Vec<_>>()
        };
        let by_code = found(ProcessTree { init: None, code: Some(me()), user: None });
        assert!(by_code[0] == me() && by_code.contains(&id), "{by_code:?}");
        let by_init = found(ProcessTree { init: Some(id), code: None, user: None });
        assert!(by_init.is_empty(), "init is not among them: {by_init:?}");
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        assert_eq!(
            (found(ProcessTree { init: None, code: Some(id), user: None }), cpu(id)),
            (vec![], None)
        );
    }

    #[test]
    fn a_process_name_cannot_change_the_parsed_numbers() {
        let fields = (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let (threads, children_cpu) =
            read(&format!("7 (a) S 1 1 1) {fields}")).expect("it has all fields");
        assert_eq!(threads, 17);
        assert!(children_cpu > Duration::ZERO);
        assert_eq!(read("7 (short) S 1"), None);
    }

    #[test]
    fn an_unreadable_process_is_distinguished_from_one_that_has_ended() {
        let mut child = std::process::Command::new("true").spawn().expect("it is everywhere");
        let id = child.id().cast_signed();
        child.wait().expect("it is ours");
        let mut members = Members::default();
        members.add([id]);
        members.add_children_of(Some(id), 1);
        assert_eq!(members, Members::default(), "it has ended");
        assert!(matches!(member(me()), Look::Read(_)));
        let other = io::Error::from(Errno::MFILE);
        assert!(!is_gone(&other) && is_gone(&Errno::SRCH.into()));
    }
}
