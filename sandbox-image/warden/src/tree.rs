//! The processes of a cell, found from outside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::told;

/// Where the search begins.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    /// All that lost its parent is a child of this one.
    pub init: Option<i32>,
    /// Runs the code.
    pub code: Option<i32>,
    /// The cell's user, where nobody else has it: on a shared root what lost its parent is a child of
    /// the warden, and known by its user.
    pub user: Option<u32>,
}

/// A process of a cell, as it was a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub id: i32,
    pub threads: u64,
    /// Processor time of itself.
    pub cpu: Duration,
    /// Processor time of children that are gone, as far as it has waited for them.
    pub children_cpu: Duration,
}

impl Tree {
    /// All that run or have run code, the code's own process first. Init runs none.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self.code.into_iter().filter_map(member).collect();
        members.extend(self.init.into_iter().flat_map(|init| children(init, 1)).filter_map(member));
        members.extend(self.orphans().into_iter().filter_map(member));
        let mut next = 0;
        while let Some(parent) = members.get(next) {
            next += 1;
            let children = children(parent.id, parent.threads);
            members.extend(children.into_iter().filter_map(member));
        }
        members
    }

    fn orphans(&self) -> Vec<i32> {
        let Some(user) = self.user else { return Vec::new() };
        let mut orphans = children(std::process::id().cast_signed(), MANY);
        orphans.retain(|&orphan| {
            Some(orphan) != self.init && Some(orphan) != self.code && is_of(orphan, user)
        });
        orphans
    }
}

/// Every descendant of this process that has this user.
pub fn of_user(ancestor: i32, user: u32) -> Vec<i32> {
    let mut found = children(ancestor, MANY);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        found.extend(children(parent, MANY));
    }
    found.retain(|process| is_of(*process, user));
    found
}

fn is_of(process: i32, user: u32) -> bool {
    fs::metadata(format!("/proc/{process}")).is_ok_and(|about| about.uid() == user)
}

/// Of threads, where nobody has counted them.
const MANY: u64 = u64::MAX;

/// Processor time of a process, to the nanosecond, for as long as it has not been reaped.
pub fn cpu(process: i32) -> Option<Duration> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(process)).ok()?;
    Some(Duration::from(clock.now().ok()?))
}

/// `None` where it is gone.
fn member(id: i32) -> Option<Member> {
    let stat = told::read(format!("/proc/{id}/stat")).ok()?;
    let (threads, children_cpu) = read(&stat)?;
    Some(Member { id, threads, cpu: cpu(id).unwrap_or_default(), children_cpu })
}

/// The number of threads, and the processor time of children that are gone.
fn read(stat: &str) -> Option<(u64, Duration)> {
    // The name before the parenthesis is the process's own to choose.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(13)?.saturating_add(number(14)?);
    let second = rustix::param::clock_ticks_per_second().max(1);
    Some((number(17)?, Duration::from_millis(ticks.saturating_mul(1000) / second)))
}

/// Children of all threads.
fn children(process: i32, threads: u64) -> Vec<i32> {
    let of_thread = |thread: &str| {
        let path = format!("/proc/{process}/task/{thread}/children");
        let text = told::read(path).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()
    };
    if threads <= 1 {
        return of_thread(&process.to_string());
    }
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    threads.flatten().flat_map(|thread| of_thread(&thread.file_name().to_string_lossy())).collect()
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
        let found = |tree: Tree| tree.members().iter().map(|member| member.id).collect::<Vec<_>>();
        let by_code = found(Tree { init: None, code: Some(me()), user: None });
        assert!(by_code[0] == me() && by_code.contains(&id), "{by_code:?}");
        let by_init = found(Tree { init: Some(id), code: None, user: None });
        assert!(by_init.is_empty(), "init is not among them: {by_init:?}");
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        assert_eq!(
            (found(Tree { init: None, code: Some(id), user: None }), cpu(id)),
            (vec![], None)
        );
    }

    #[test]
    fn a_name_cannot_pretend_to_be_numbers() {
        let fields = (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let (threads, children_cpu) =
            read(&format!("7 (a) S 1 1 1) {fields}")).expect("it has all fields");
        assert_eq!(threads, 17);
        assert!(children_cpu > Duration::ZERO);
        assert_eq!(read("7 (short) S 1"), None);
    }
}
