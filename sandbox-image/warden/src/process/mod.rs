//! Processes of cells: one process, all processes of a cell, and files about them in `/proc`.
//!
//! A [`Process`] is held by a pidfd, which cannot refer to another process. The warden is its parent.

pub mod procfs;
pub mod tree;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::time::Timespec;
use tokio::io::unix::AsyncFd;

use crate::channel;

/// How long a killed process may take to end.
const DEAD_WITHIN: Duration = Duration::from_secs(5);

/// Killed and reaped on drop.
#[derive(Debug)]
pub struct Process {
    /// `None` once it has been reaped.
    handle: Option<AsyncFd<OwnedFd>>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    Exited(i32),
    Signalled(i32),
}

impl Process {
    pub fn new(handle: OwnedFd) -> io::Result<Process> {
        Ok(Process { handle: Some(channel::watch(handle)?) })
    }

    /// Its pidfd, until it has been reaped.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_ref().map(|handle| handle.get_ref().as_fd())
    }

    /// Its process id, until it has been reaped.
    pub fn id(&self) -> Option<i32> {
        let handle = self.handle.as_ref()?.get_ref().as_raw_fd();
        let about = procfs::read(format!("/proc/self/fdinfo/{handle}")).ok()?;
        let line = about.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        line.trim().parse().ok().filter(|id| *id > 0)
    }

    pub fn is_alive(&self) -> bool {
        let Some(handle) = &self.handle else { return false };
        let mut watched = [PollFd::new(handle.get_ref(), PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(handle) = &self.handle {
            // Fails only if the process has already ended.
            pidfd_send_signal(handle.get_ref(), signal).ok();
        }
    }

    /// Waits for its end without reaping it, so that the kernel keeps its usage.
    pub async fn exited(&self) {
        if let Some(handle) = &self.handle {
            drop(handle.readable().await);
        }
    }

    /// Waits for its end and reaps it. Cancel-safe.
    pub async fn ended(&mut self) -> ProcessEnd {
        let ended = match &self.handle {
            Some(handle) => wait(handle).await,
            None => UNKNOWN,
        };
        self.handle = None;
        ended
    }
}

/// Result for a process that was reaped elsewhere, which does not happen.
const UNKNOWN: ProcessEnd = ProcessEnd::Signalled(Signal::KILL.as_raw());

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(handle) = self.handle.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if tokio::time::timeout(DEAD_WITHIN, wait(&handle)).await.is_err() {
                    tracing::error!("killed process still running");
                    wait(&handle).await;
                }
            });
        }
    }
}

async fn wait(handle: &AsyncFd<OwnedFd>) -> ProcessEnd {
    drop(handle.readable().await);
    match waitid(WaitId::PidFd(handle.get_ref().as_fd()), WaitIdOptions::EXITED) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ProcessEnd::Exited(code),
            (None, Some(signal)) => ProcessEnd::Signalled(signal),
            (None, None) => UNKNOWN,
        },
        _ => UNKNOWN,
    }
}
