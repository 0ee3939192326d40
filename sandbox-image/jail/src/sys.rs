//! The system calls that need `unsafe`, each behind a function that does not.

use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};
use rustix::fs::{Mode, OFlags, openat};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::error::{Doing, JailError};
use crate::report::Report;

/// `fork()` and `unshare(CLONE_NEWUSER)` are unsound, or refused, with more than one thread.
pub(crate) fn require_one_thread(proc: BorrowedFd<'_>) -> Result<(), JailError> {
    let tasks = openat(
        proc,
        "self/task",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing("opening", "/proc/self/task")?;
    let tasks = rustix::fs::Dir::new(tasks).doing("reading", "/proc/self/task")?;
    let threads = tasks
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_bytes().first().is_some_and(u8::is_ascii_digit))
        .count();
    if threads == 1 {
        return Ok(());
    }
    Err(JailError::new("counting", "threads", format!("there are {threads}, and only one may be")))
}

/// Private writable memory of this process, as `RLIMIT_DATA` counts it, in bytes.
pub(crate) fn data_bytes(proc: BorrowedFd<'_>) -> Result<u64, JailError> {
    let statm = openat(proc, "self/statm", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", "/proc/self/statm")?;
    let mut text = String::new();
    File::from(statm).read_to_string(&mut text).doing("reading", "/proc/self/statm")?;
    let pages: u64 = text
        .split_ascii_whitespace()
        .nth(5)
        .and_then(|field| field.parse().ok())
        .ok_or("its sixth field is no number")
        .doing("reading", "/proc/self/statm")?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Takes over a descriptor that Python handed in.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller is `door`, whose contract with the zygote is that each number is an open
    // descriptor which the zygote's Python has detached and will not close.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Puts these at 0, 1, 2, … and closes everything else.
pub(crate) fn keep_only<const N: usize>(files: [OwnedFd; N]) -> Result<(), JailError> {
    let end = RawFd::try_from(N).expect("a handful of files");
    // Out of the way first, so that none is overwritten before it is in its place.
    let mut lifted = Vec::with_capacity(N);
    for file in files {
        lifted.push(match file.as_raw_fd() {
            number if number >= end => file,
            _ => {
                let copy = rustix::io::fcntl_dupfd_cloexec(&file, end);
                forget([file]); // `dup2` below closes it
                copy.doing("lifting", "a descriptor")?
            }
        });
    }
    for (number, file) in (0..).zip(&lifted) {
        // SAFETY: dup2() takes two numbers. What it closes at `number` is owned by nobody in Rust:
        // the loop above has seen to it.
        Errno::result(unsafe { libc::dup2(file.as_raw_fd(), number) })
            .doing("moving", format!("a file to descriptor {number}"))?;
    }
    forget(lifted);
    close_from(end)
}

/// Closes every descriptor from this one on, whoever opened it.
fn close_from(first: RawFd) -> Result<(), JailError> {
    // SAFETY: close_range() takes no pointers. Every `OwnedFd` at or above `first` has been given
    // up: `keep_only` is the last step of both processes, and they forget what they still own.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(done).map(drop).doing("closing", "inherited files")
}

/// The default answer to the end of a child, which the zygote had switched off.
pub(crate) fn default_sigchld() -> Result<(), JailError> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: no handler is installed, so none can be unsound.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop).doing("resetting", "SIGCHLD")
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    Parent { child: Pid },
    Child,
}

/// Forks. The child goes on with everything, Python included.
pub(crate) fn fork() -> Result<Fork, JailError> {
    // SAFETY: this process has one thread (`require_one_thread` is the first step of both entries),
    // so no lock can be held by a thread that the child does not have.
    match unsafe { nix::unistd::fork() }.doing("forking", "below init")? {
        ForkResult::Parent { child } => Ok(Fork::Parent { child }),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Ends this process without a word to anyone: no destructors, no Python.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit() has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Makes a mount and all below it read-only, without set-user-id programs, and without devices
/// unless they are wanted. Only adds: flags that an outer namespace has locked stay.
pub(crate) fn tighten(mount: &Path, devices: bool) -> Result<(), JailError> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns: u64,
    }
    const AT_RECURSIVE: libc::c_uint = 0x8000;
    const RDONLY: u64 = 1;
    const NOSUID: u64 = 2;
    const NODEV: u64 = 4;
    let attr = MountAttr {
        set: RDONLY | NOSUID | if devices { 0 } else { NODEV },
        clear: 0,
        propagation: 0,
        userns: 0,
    };
    let what = mount.display().to_string();
    let path = std::ffi::CString::new(what.as_bytes()).doing("naming", &what)?;
    // SAFETY: both pointers are to live values of this frame, and the size is that of `attr`.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            AT_RECURSIVE,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(done).map(drop).doing("making read-only", what)
}

/// Sends a report, and with it a descriptor.
pub(crate) fn send(
    to: BorrowedFd<'_>,
    report: &Report,
    file: Option<BorrowedFd<'_>>,
) -> Result<(), JailError> {
    let text = serde_json::to_vec(report).doing("writing", "a report")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = file.map(|file| [file]);
    if let Some(files) = &files {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    sendmsg(to, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .doing("sending", "a report")
}

/// `/dev/null`, for reading and writing.
pub(crate) fn null() -> Result<OwnedFd, JailError> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", "/dev/null")
}

/// Forgets files that `close_from` has closed or is about to close.
pub(crate) fn forget(files: impl IntoIterator<Item = OwnedFd>) {
    for file in files {
        std::mem::forget(file);
    }
}

/// The same descriptor, borrowed for as long as the process lives. For those that stay open on
/// purpose.
pub(crate) fn leak(file: OwnedFd) -> BorrowedFd<'static> {
    let raw = file.as_fd().as_raw_fd();
    std::mem::forget(file);
    // SAFETY: nobody owns the number any more, and only `close_from` could close it, which is
    // called before or with a bound above it.
    unsafe { BorrowedFd::borrow_raw(raw) }
}
