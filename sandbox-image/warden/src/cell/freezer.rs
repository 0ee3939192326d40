//! Freezes a cell between two runs: all its threads and child processes are stopped, and continue with the
//! next run.
//!
//! ```text
//! running ── init sends SIGSTOP to all ──▶ signalled ── two checks find all stopped ──▶ frozen
//!                      ▲                    │
//!                      └── one still runs ──┘   for a second at most, then the cell is ended
//! ```
//!
//! One signal is not enough. A process that is already ending cannot be stopped, and its end can make the
//! kernel send SIGCONT to others: to a process group that becomes orphaned.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use init::InitCommand;
use tokio::task::block_in_place;

use crate::channel::Channel;
use crate::process::procfs;
use crate::process::tree::ProcessTree;

/// Init has no other work, so it answers at once unless the machine is very busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Maximum time until all processes of a cell are stopped. A process that frees gigabytes takes a while to
/// end.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);
/// First interval between two checks. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Returns when all processes were found stopped twice in a row. After an error the cell has to be ended.
pub async fn freeze(init: &Channel, tree: ProcessTree) -> io::Result<()> {
    let until = Instant::now() + STOPPED_WITHIN;
    let mut pause = FIRST_PAUSE;
    loop {
        send_stop(init).await?;
        if block_in_place(|| is_stopped(tree)) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(io::Error::other("could not stop its processes"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn send_stop(init: &Channel) -> io::Result<()> {
    init.send(&[InitCommand::Stop as u8], &[]).await?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, init.receive()).await??;
    match answer {
        Some((text, _)) if text == [InitCommand::Stop as u8] => Ok(()),
        Some(_) => Err(io::Error::other("init could not stop its processes")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Continues all processes, shortly after this returns.
pub async fn thaw(init: &Channel) -> io::Result<()> {
    init.send(&[InitCommand::Continue as u8], &[]).await
}

/// Whether all threads are stopped. Checks twice, because a process that was ending at the first check may
/// have woken one that had been checked before.
fn is_stopped(tree: ProcessTree) -> bool {
    let first = look(tree);
    first.values().all(|thread| thread.is_stopped()) && first == look(tree)
}

/// All threads of a cell, by process id and thread id.
type Look = BTreeMap<(i32, i32), Thread>;

/// State of a thread, from `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thread {
    state: char,
    /// CPU time in clock ticks.
    ticks: u64,
    /// Whether it has child processes.
    has_children: bool,
}

impl Thread {
    /// A thread that cannot be read may be running.
    const UNKNOWN: Thread = Thread { state: '?', ticks: 0, has_children: false };

    /// Stopped or dead. A parent in `vfork` cannot be stopped, but waits for a child that is stopped. A thread
    /// in state `D` for another reason has no child, or has changed by the second check.
    fn is_stopped(&self) -> bool {
        match self.state {
            'T' | 't' | 'Z' | 'X' | 'x' => true,
            'D' => self.has_children,
            _ => false,
        }
    }
}

fn look(tree: ProcessTree) -> Look {
    let mut found = Look::new();
    let members = tree.members();
    if members.is_incomplete {
        found.insert((0, 0), Thread::UNKNOWN);
    }
    for member in members.found {
        let tasks = format!("/proc/{}/task", member.id);
        // A process that has ended meanwhile does not run.
        let Ok(threads) = fs::read_dir(&tasks) else { continue };
        for thread in threads.flatten() {
            let Ok(id) = thread.file_name().to_string_lossy().parse::<i32>() else { continue };
            if let Some(thread) = read_thread(&format!("{tasks}/{id}")) {
                found.insert((member.id, id), thread);
            }
        }
    }
    found
}

/// `None` if the thread has ended.
fn read_thread(folder: &str) -> Option<Thread> {
    let bytes = match fs::read(format!("{folder}/stat")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.raw_os_error() == Some(libc_esrch()) => return None,
        Err(_) => return Some(Thread::UNKNOWN),
    };
    let children = procfs::read(format!("{folder}/children")).unwrap_or_default();
    Some(parse(&bytes, !children.trim().is_empty()).unwrap_or(Thread::UNKNOWN))
}

/// ESRCH: the process ended after its file was opened.
fn libc_esrch() -> i32 {
    rustix::io::Errno::SRCH.raw_os_error()
}

fn parse(stat: &[u8], has_children: bool) -> Option<Thread> {
    // The process chooses the name before the last parenthesis, which may be any bytes.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let state = fields.first()?.chars().next()?;
    Some(Thread { state, ticks: ticks(11)?.saturating_add(ticks(12)?), has_children })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(state: char, has_children: bool) -> Option<Thread> {
        let fields = (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let stat = [b"7 (\xff) S 1) ".as_slice(), format!("{state} {fields}").as_bytes()].concat();
        parse(&stat, has_children)
    }

    #[test]
    fn a_thread_is_stopped_when_stopped_dead_or_waiting_for_a_vfork_child() {
        for (state, has_children, is_stopped) in [
            ('T', false, true),
            ('Z', false, true),
            ('R', false, false),
            ('S', true, false),
            ('D', false, false),
            ('D', true, true),
        ] {
            let thread = thread(state, has_children).expect("it has all fields");
            assert_eq!(thread.is_stopped(), is_stopped, "{thread:?}");
        }
    }

    #[test]
    fn a_thread_that_cannot_be_read_is_not_stopped() {
        assert!(!Thread::UNKNOWN.is_stopped());
        assert_eq!(parse(b"7 (short", false), None);
    }

    #[test]
    fn this_process_is_not_stopped() {
        let me = i32::try_from(std::process::id()).expect("Linux has smaller numbers");
        assert!(!is_stopped(ProcessTree { init: None, code: Some(me), user: None }));
    }
}
