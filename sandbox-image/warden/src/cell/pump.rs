//! Reads the pipes of a cell into its captured output.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use protocol::TextStream;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::cell::capture::Capture;
use crate::cell::images::PictureFrames;
use crate::cell::live::LiveSender;
use crate::cell::workspace::WrittenPicture;
use crate::channel;

/// Maximum number of bytes read from a pipe after the end of a run.
const PIPE_BYTES: usize = 1 << 20;
/// Size of one read.
const PIECE_BYTES: usize = 64 << 10;
/// Delay before the first read. The output of a shorter run fits into the pipe and is read after its end,
/// which saves wake-ups of the warden.
const LISTEN_AFTER: Duration = Duration::from_millis(2);

/// A standard stream of the code, and where its text is passed on at once.
#[derive(Debug)]
pub struct TextSource<'s> {
    pub from: &'s OwnedFd,
    pub stream: TextStream,
    pub live: &'s LiveSender,
}

/// Reads text until more than `flood` bytes have arrived. End of file does not end it: the code may have
/// closed its output and still run.
pub async fn text(of: TextSource<'_>, to: &mut Capture, flood: u64) {
    let mut source = OutputSource::open(of.from).await;
    while to.total() <= flood {
        let place = of.live.place().await;
        let bytes = source.read().await;
        to.add(bytes);
        place.text(of.stream, bytes);
        consume_budget().await; // otherwise a flood would starve even the deadline
    }
}

/// Reads pictures until it is cancelled.
pub async fn pictures(
    from: &OwnedFd,
    frames: &mut PictureFrames,
    shown: &mut Vec<WrittenPicture>,
    live: &LiveSender,
) {
    let mut source = OutputSource::open(from).await;
    loop {
        let (place, known) = (live.place().await, shown.len());
        shown.extend(frames.add(source.read().await));
        place.pictures(&shown[known..]);
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
pub async fn rest_of_text(of: TextSource<'_>, to: &mut Capture) {
    let (mut buffer, mut left) = (vec![0; PIECE_BYTES], PIPE_BYTES);
    while let Some(piece) = rest(of.from, &mut buffer, &mut left) {
        to.add(piece);
        of.live.place().await.text(of.stream, piece);
    }
}

/// The same for pictures.
pub async fn rest_of_pictures(
    from: &OwnedFd,
    frames: &mut PictureFrames,
    shown: &mut Vec<WrittenPicture>,
    live: &LiveSender,
) {
    let (mut buffer, mut left) = (vec![0; PIECE_BYTES], PIPE_BYTES);
    while let Some(piece) = rest(from, &mut buffer, &mut left) {
        let known = shown.len();
        shown.extend(frames.add(piece));
        live.place().await.pictures(&shown[known..]);
    }
}

/// The next piece of what is in the pipe, unless as many bytes as are `left` have been read.
fn rest<'b>(from: &OwnedFd, buffer: &'b mut [u8], left: &mut usize) -> Option<&'b [u8]> {
    while *left > 0 {
        match rustix::io::read(from.as_fd(), &mut buffer[..]) {
            Ok(read @ 1..) => {
                *left = left.saturating_sub(read);
                return Some(&buffer[..read]);
            }
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
    None
}
