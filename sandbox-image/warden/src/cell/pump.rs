//! Reads the pipes of a cell into its captured output.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::cell::capture::Capture;
use crate::cell::images::PictureFrames;
use crate::cell::workspace::WrittenPicture;
use crate::channel;

/// Maximum number of bytes read from a pipe after the end of a run.
const PIPE_BYTES: usize = 1 << 20;
/// Size of one read.
const PIECE_BYTES: usize = 64 << 10;
/// Delay before the first read. The output of a shorter run fits into the pipe and is read after its end,
/// which saves wake-ups of the warden.
const LISTEN_AFTER: Duration = Duration::from_millis(2);

/// Reads text until more than `flood` bytes have arrived. End of file does not end it: the code may have
/// closed its output and still run.
pub async fn text(from: &OwnedFd, to: &mut Capture, flood: u64) {
    let mut source = OutputSource::open(from).await;
    while to.total() <= flood {
        to.add(source.read().await);
        consume_budget().await; // otherwise a flood would starve even the deadline
    }
}

/// Reads pictures until it is cancelled.
pub async fn pictures(from: &OwnedFd, frames: &mut PictureFrames, shown: &mut Vec<WrittenPicture>) {
    let mut source = OutputSource::open(from).await;
    loop {
        shown.extend(frames.add(source.read().await));
        yield_now().await; // as above, but more often: many small pictures take time
    }
}

/// A pipe or a socket registered with the runtime.
struct OutputSource {
    file: io::Result<AsyncFd<OwnedFd>>,
    buffer: Vec<u8>,
}

impl OutputSource {
    async fn open(from: &OwnedFd) -> OutputSource {
        tokio::time::sleep(LISTEN_AFTER).await;
        OutputSource {
            file: from.try_clone().and_then(channel::watch),
            buffer: vec![0; PIECE_BYTES],
        }
    }

    /// Reads some bytes. Never returns after the end of file.
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

/// Reads the rest of a pipe. Limited, because a remaining process may still write.
pub fn rest_of_text(from: &OwnedFd, to: &mut Capture) {
    rest(from, |piece| to.add(piece));
}

/// The same for pictures.
pub fn rest_of_pictures(
    from: &OwnedFd,
    frames: &mut PictureFrames,
    shown: &mut Vec<WrittenPicture>,
) {
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
