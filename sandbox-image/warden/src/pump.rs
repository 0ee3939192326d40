//! From the pipes of a cell to what is kept of them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::capture::Capture;
use crate::channel;
use crate::images::Frames;
use crate::workspace::Picture;

/// Once a run has ended, this much may still lie in a pipe.
const PIPE_BYTES: usize = 1 << 20;
/// Read in one go.
const PIECE_BYTES: usize = 64 << 10;
/// A run that is over by then is not listened to while it lasts, but read when it has ended: there is
/// room for so much in a pipe, and each piece that is waited for wakes somebody up.
const LISTEN_AFTER: Duration = Duration::from_millis(2);

/// Reads text until more than `flood` bytes have come. An end of file is not the end of a run: the
/// code may have closed its output and go on.
pub async fn text(from: &OwnedFd, to: &mut Capture, flood: u64) {
    let mut source = Source::open(from).await;
    while to.total() <= flood {
        to.add(source.read().await);
        consume_budget().await; // or a flood would not let even the deadline have its turn
    }
}

/// Reads pictures for as long as it is asked to.
pub async fn pictures(from: &OwnedFd, frames: &mut Frames, shown: &mut Vec<Picture>) {
    let mut source = Source::open(from).await;
    loop {
        shown.extend(frames.add(source.read().await));
        yield_now().await; // as above, and more often: to look at many small ones takes time
    }
}

/// A pipe or a socket that is listened to.
struct Source {
    file: io::Result<AsyncFd<OwnedFd>>,
    buffer: Vec<u8>,
}

impl Source {
    async fn open(from: &OwnedFd) -> Source {
        tokio::time::sleep(LISTEN_AFTER).await;
        Source { file: from.try_clone().and_then(channel::watch), buffer: vec![0; PIECE_BYTES] }
    }

    /// Some bytes. Where there will be none any more it never returns.
    async fn read(&mut self) -> &[u8] {
        let Ok(file) = &self.file else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = file.readable().await else { return std::future::pending().await };
            match ready.try_io(|file| Ok(rustix::io::read(file, &mut self.buffer[..])?)) {
                Ok(Ok(read @ 1..)) => return &self.buffer[..read],
                Ok(Ok(0) | Err(_)) => return std::future::pending().await,
                Err(_would_block) => {}
            }
        }
    }
}

/// What still lies in the pipe. Bounded, since a leftover of the code may go on writing.
pub fn rest_of_text(from: &OwnedFd, to: &mut Capture) {
    rest(from, |piece| to.add(piece));
}

/// The same of pictures.
pub fn rest_of_pictures(from: &OwnedFd, frames: &mut Frames, shown: &mut Vec<Picture>) {
    rest(from, |piece| shown.extend(frames.add(piece)));
}

fn rest(from: &OwnedFd, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; PIECE_BYTES];
    let mut total = 0;
    while total < PIPE_BYTES {
        match rustix::io::read(from.as_fd(), &mut buffer[..]) {
            Ok(read @ 1..) => {
                total += read;
                take(&buffer[..read]);
            }
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}
