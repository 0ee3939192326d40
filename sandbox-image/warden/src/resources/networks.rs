//! Network namespaces of a zygote's cells: one for each live cell, reused after its end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// Maximum number of free namespaces that are kept. Each takes two descriptors of the warden, of which some
/// machines allow a thousand.
const MAX_KEPT: usize = 32;

/// Free namespaces. The one that has been free longest is next.
#[derive(Debug, Default)]
pub struct Networks {
    free: Mutex<VecDeque<FreeNetwork>>,
}

#[derive(Debug)]
struct FreeNetwork {
    namespace: OwnedFd,
    /// First process of the cell that had it. It ends after all others.
    init: OwnedFd,
}

/// The network namespace of one cell. Returned on drop.
#[derive(Debug)]
pub struct Network {
    /// `None` until the cell has made it.
    namespace: Option<OwnedFd>,
    /// `None` until the cell is in it.
    init: Option<OwnedFd>,
    networks: Arc<Networks>,
}

impl Networks {
    /// A namespace in which no process is any more, or one that the cell is yet to make. The cell makes one too
    /// if it finds sockets there.
    pub fn take(self: &Arc<Networks>) -> Network {
        let mut free = self.free.lock();
        let namespace = free.pop_front_if(|one| one.is_left()).map(|one| one.namespace);
        Network { namespace, init: None, networks: Arc::clone(self) }
    }
}

impl FreeNetwork {
    /// Whether the last process of the cell has ended.
    fn is_left(&self) -> bool {
        let mut watched = [PollFd::new(&self.init, PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
    }
}

impl Network {
    /// The namespace to enter, if it exists already.
    pub fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.namespace.as_ref().map(AsFd::as_fd)
    }

    /// The cell with this first process is in it, and may have made it.
    pub fn record(&mut self, made: Option<OwnedFd>, init: BorrowedFd<'_>) -> io::Result<()> {
        self.init = Some(init.try_clone_to_owned()?);
        self.namespace = made.or(self.namespace.take());
        Ok(())
    }
}

impl Drop for Network {
    /// A namespace of a cell that has failed during its start is not reused.
    fn drop(&mut self) {
        if let (Some(namespace), Some(init)) = (self.namespace.take(), self.init.take()) {
            let mut free = self.networks.free.lock();
            if free.len() < MAX_KEPT {
                free.push_back(FreeNetwork { namespace, init });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn process() -> (Child, OwnedFd) {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("it is everywhere");
        let id = Pid::from_raw(child.id().cast_signed()).expect("it is positive");
        let handle = pidfd_open(id, PidfdFlags::empty()).expect("it runs");
        (child, handle)
    }

    #[test]
    fn a_namespace_is_reused_after_the_last_process_has_ended() {
        let networks = Arc::new(Networks::default());
        let (mut child, init) = process();
        let mut first = networks.take();
        assert!(first.namespace().is_none(), "the first cell makes one");
        let made = std::fs::File::open("/proc/self/ns/net").expect("it is there");
        first.record(Some(made.into()), init.as_fd()).expect("it is open");
        drop(first);
        assert!(networks.take().namespace().is_none(), "a process is in it");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        let mut again = networks.take();
        assert!(again.namespace().is_some());
        assert!(networks.take().namespace().is_none(), "it has been given out");
        again.record(None, init.as_fd()).expect("it is open");
        drop(again);
        assert!(networks.take().namespace().is_some());
        assert!(networks.take().namespace().is_none(), "its cell has failed");
    }
}
