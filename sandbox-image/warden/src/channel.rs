//! Sockets that carry descriptors: requests to a zygote, reports from a cell.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::unix::AsyncFd;

/// Maximum size of a message. Reports take a few hundred bytes.
const MESSAGE_BYTES: usize = 16 << 10;
/// Maximum number of descriptors in a message.
const MAX_FILES: usize = 8;

/// Registers a descriptor with the runtime.
#[expect(deprecated, reason = "unsound for other types only: an `OwnedFd` is one file for life")]
pub fn watch(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(file)
}

/// Creates a socket pair that preserves message boundaries. The warden's end does not block.
pub fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((Channel(watch(ours)?), theirs))
}

/// The warden's end.
#[derive(Debug)]
pub struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    pub async fn send(&self, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::Error::other("too many descriptors for one message"));
            }
            let sent = ready.try_io(|fd| {
                let text = [IoSlice::new(message)];
                Ok(sendmsg(fd.as_fd(), &text, &mut control, SendFlags::NOSIGNAL)?)
            });
            if let Ok(sent) = sent {
                return sent.map(drop);
            }
        }
    }

    /// The next message with its descriptors, or `None` if the other side is closed.
    pub async fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(received) = ready.try_io(|fd| receive_now(fd.as_fd())) {
                return received;
            }
        }
    }
}

fn receive_now(fd: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut text = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(fd, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let files = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Ok(None);
    }
    text.truncate(received.bytes);
    Ok(Some((text, files)))
}
