//! The system calls that need `unsafe`, each wrapped in a safe function.

use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::error::{Context, JailError};
use crate::report::Report;

/// `fork()` and `unshare(CLONE_NEWUSER)` are unsound, or fail, with more than one thread.
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
    let text = read_file(proc, "self/status")?;
    // Not from `statm`, which includes the stack.
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("VmData:")?.strip_suffix("kB")?.trim().parse().ok())
        .ok_or("it has no VmData")
        .doing("reading", "/proc/self/status")?;
    Ok(kib << 10)
}

/// Reads a file in `/proc`.
pub(crate) fn read_file(proc: BorrowedFd<'_>, name: &str) -> Result<String, JailError> {
    let path = format!("/proc/{name}");
    let file = openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", &path)?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).doing("reading", path)?;
    Ok(text)
}

/// Takes ownership of a descriptor that Python passed in.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller is `ffi`, whose contract with the zygote is that each number is an open
    // descriptor that the zygote's Python has detached and will not close.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Moves these descriptors to 0, 1, 2, … and closes all others.
pub(crate) fn keep_only<const N: usize>(files: [BorrowedFd<'_>; N]) -> Result<(), JailError> {
    let end = RawFd::try_from(N).expect("a handful of files");
    // Moved above `end` first, so that none is overwritten before it is in its place.
    let mut lifted = Vec::with_capacity(N);
    for file in files {
        lifted.push(rustix::io::fcntl_dupfd_cloexec(file, end).doing("lifting", "a descriptor")?);
    }
    for (number, file) in (0..).zip(lifted) {
        // SAFETY: dup2() takes two numbers. The descriptor that it closes at `number` is not used again:
        // every caller has no further use for any descriptor but `files`.
        Errno::result(unsafe { libc::dup2(file.into_raw_fd(), number) })
            .doing("moving", format!("a file to descriptor {number}"))?;
    }
    close_from(end)
}

/// Closes every descriptor from this one on, regardless of its owner.
fn close_from(first: RawFd) -> Result<(), JailError> {
    // SAFETY: close_range() takes no pointers. No `OwnedFd` at or above `first` is dropped after it:
    // `keep_only` is the last step of both processes, and they forget what they still own.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(done).map(drop).doing("closing", "inherited files")
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    Parent { child: Pid },
    Child,
}

/// Forks. The child is a full copy, Python included.
pub(crate) fn fork() -> Result<Fork, JailError> {
    // SAFETY: this process has one thread (`require_one_thread` is the first step of both entries),
    // so no lock can be held by a thread that the child does not have.
    match unsafe { nix::unistd::fork() }.doing("forking", "the zygote")? {
        ForkResult::Parent { child } => Ok(Fork::Parent { child }),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Calls `act` in a new process that borrows this one's memory, while this one is suspended, as with
/// `vfork`: nothing is copied, however large this process is. Everything else (files, namespaces,
/// credentials, signals) is the new process's own.
///
/// `act` must end the new process, and must not return in it. If `act` has forked, it may return in
/// the child of that fork, which has a copy of everything: only there does this function return
/// [`Fork::Child`].
pub(crate) fn in_borrowed_memory<F: FnOnce()>(act: F) -> Result<Fork, JailError> {
    extern "C" fn call<F: FnOnce()>(act: *mut Option<F>) {
        // SAFETY: `act` below lives until the calling process is gone, and there is no other access to
        // it, because that process is the only one that runs.
        if let Some(act) = unsafe { (*act).take() } {
            act();
        }
    }
    const FLAGS: libc::c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let mut act = Some(act);
    let call: extern "C" fn(*mut Option<F>) = call::<F>;
    let child: libc::c_long;
    // SAFETY: with a null stack the new process continues where this one is suspended, on the same
    // stack. It calls `call`, whose frames are below this one, and never returns from it; so when this
    // process continues, its own frame and those above are unchanged. A fork of the new process that
    // does return does so in a copy.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r12",
            "call r13",
            "xor eax, eax",
            "2:",
            inlateout("rax") libc::SYS_clone => child,
            in("rdi") FLAGS as libc::c_long,
            in("rsi") 0,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            in("r12") &raw mut act,
            in("r13") call,
            clobber_abi("C"),
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x0, x20",
            "blr x21",
            "mov x0, 0",
            "2:",
            inlateout("x0") FLAGS as libc::c_long => child,
            in("x1") 0,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x8") libc::SYS_clone,
            in("x20") &raw mut act,
            in("x21") call,
            clobber_abi("C"),
        );
    }
    match i32::try_from(child) {
        Ok(0) => Ok(Fork::Child),
        Ok(child @ 1..) => Ok(Fork::Parent { child: Pid::from_raw(child) }),
        _ => Err(Errno::from_raw(i32::try_from(-child).unwrap_or(libc::EINVAL)))
            .doing("starting", "a process in borrowed memory"),
    }
}

/// Executes another program, with its name as the only argument and an empty environment.
pub(crate) fn become_program(path: &std::ffi::CStr) -> JailError {
    let arguments = [path.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: all three pointers are to live values, and both lists end with null.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    JailError::new("starting", path.to_string_lossy(), Errno::last())
}

/// Ends this process at once: no destructors, no Python cleanup.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit() has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Makes a mount and all mounts below it read-only and nosuid, and nodev unless devices are wanted.
/// Only adds flags: those that an outer namespace has locked stay.
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

/// Sends a report with descriptors.
pub(crate) fn send(
    to: BorrowedFd<'_>,
    report: &Report,
    files: &[BorrowedFd<'_>],
) -> Result<(), JailError> {
    let text = serde_json::to_vec(report).doing("writing", "a report")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(JailError::new("sending", "a report", "it has more than three descriptors"));
    }
    sendmsg(to, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .doing("sending", "a report")
}

/// Opens `/dev/null` for reading and writing.
pub(crate) fn null() -> Result<OwnedFd, JailError> {
    openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", "/dev/null")
}

/// A descriptor that Python lends for the duration of the call.
pub(crate) fn lend<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the caller is `ffi`, whose contract with the zygote is that each number is an open
    // descriptor that Python closes only after the call.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Maps memory of this size, aligned to `align`. `None` on failure.
pub(crate) fn map(size: usize, align: usize) -> Option<usize> {
    let slack = if align > 1 { align } else { 0 };
    // SAFETY: a new mapping, at an address that the kernel chooses, overlaps no existing memory.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size.checked_add(slack)?,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    let start = start.expose_provenance();
    let aligned = start.next_multiple_of(align);
    // Unmap the surplus on both sides.
    unmap(start, aligned - start);
    unmap(aligned + size, start + slack - aligned);
    Some(aligned)
}

/// Unmaps memory from [`map`] or from Python.
pub(crate) fn unmap(start: usize, size: usize) {
    if size > 0 {
        // SAFETY: the callers pass memory that they own and that is no longer used.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(start), size) };
    }
}

/// Frees the pages and keeps the address range. Returns whether that succeeded.
pub(crate) fn forget(start: usize, size: usize) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the caller passes memory that is no longer used; it reads as zeros from now on.
    unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) == 0 }
}

/// Has the effect of writing to each of these pages: only makes private copies.
pub(crate) fn write_ahead(start: usize, size: usize) {
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the content of the memory does not change, regardless of its owner.
    unsafe { libc::madvise(start, size, libc::MADV_POPULATE_WRITE) };
}

/// Writes this word to each of these addresses.
pub(crate) fn write_words(addresses: &[usize], word: usize) {
    for &address in addresses {
        let to = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the caller is `immortal`, whose contract with the zygote is that each is the address of a
        // Python object, which begins with a word that holds only the reference count.
        unsafe { std::ptr::write(to, word) };
    }
}

/// Words, or pairs of words, that Python lends for the duration of the call.
pub(crate) fn lend_array<'a, T: Words>(array: *const T, count: usize) -> &'a [T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the callers are `pages` and `immortal`, whose contract with Python is that there are
    // `count` elements, in an array that Python keeps alive.
    unsafe { std::slice::from_raw_parts(array, count) }
}

/// Element types of Python's arrays.
pub(crate) trait Words {}

impl Words for usize {}
impl Words for (usize, usize) {}
