//! Replacements for C library functions that open or examine a path. On Linux the names with `64` are
//! the same functions, because `off_t` has 64 bits.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libc::{AT_EMPTY_PATH, FILE, O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY, mode_t};

use crate::path::descriptor;

/// The descriptor that a path refers to.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn named(path: *const c_char) -> Option<c_int> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller keeps the contract.
    descriptor(unsafe { CStr::from_ptr(path) }.to_bytes())
}

/// Duplicates a descriptor, as if it had been opened with these flags.
fn copy(fd: c_int, flags: c_int) -> c_int {
    let how = if flags & O_CLOEXEC != 0 { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    // SAFETY: the call takes numbers, and a descriptor that is not open is an error.
    let copy = unsafe { libc::fcntl(fd, how, 0) };
    if copy >= 0 && flags & O_TRUNC != 0 {
        // Truncates, as opening a file would. An object without a length, such as a pipe, stays unchanged.
        let errno = errno();
        // SAFETY: as above, and the pointer is to this thread's own error number.
        unsafe {
            libc::ftruncate(copy, 0);
            *libc::__errno_location() = errno;
        }
    }
    if copy < 0 && errno() == libc::EBADF {
        set_errno(libc::ENOENT); // no such file
    }
    copy
}

fn errno() -> c_int {
    // SAFETY: the pointer is to this thread's own error number.
    unsafe { *libc::__errno_location() }
}

fn set_errno(errno: c_int) {
    // SAFETY: the pointer is to this thread's own error number.
    unsafe { *libc::__errno_location() = errno };
}

/// # Safety
/// As for `open`. The mode is used only if the flags require one; otherwise it can be any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As for `open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As for `openat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { openat(folder, path, flags, mode) }
}

/// # Safety
/// As for `creat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { openat(libc::AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode) }
}

/// # Safety
/// As for `openat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    type Function = unsafe extern "C" fn(c_int, *const c_char, c_int, mode_t) -> c_int;
    static REAL: OnceLock<Option<Function>> = OnceLock::new();
    // SAFETY: the caller keeps the contract.
    if let Some(fd) = unsafe { named(path) } {
        return copy(fd, flags);
    }
    // SAFETY: the symbol, where there is one, is the function of POSIX.
    match REAL.get_or_init(|| unsafe { std::mem::transmute(real(c"openat")) }) {
        // SAFETY: the caller keeps the contract. A mode that the flags do not require is not read.
        Some(real) => unsafe { real(folder, path, flags, mode) },
        None => missing(),
    }
}

/// # Safety
/// As for `fopen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the caller keeps the contract.
    unsafe { fopen(path, mode) }
}

/// # Safety
/// As for `fopen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE {
    type Function = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut FILE;
    static REAL: OnceLock<Option<Function>> = OnceLock::new();
    // SAFETY: the caller keeps the contract.
    let Some(fd) = (unsafe { named(path) }) else {
        // SAFETY: the symbol, where there is one, is the function of POSIX.
        return match REAL.get_or_init(|| unsafe { std::mem::transmute(real(c"fopen")) }) {
            // SAFETY: the caller keeps the contract.
            Some(real) => unsafe { real(path, mode) },
            None => std::ptr::null_mut(),
        };
    };
    // SAFETY: the caller keeps the contract.
    let asked = unsafe { CStr::from_ptr(mode) }.to_bytes();
    let close = if asked.contains(&b'e') { O_CLOEXEC } else { 0 };
    let cut = if asked.first() == Some(&b'w') { O_TRUNC } else { 0 };
    let copy = copy(fd, close | cut);
    if copy < 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: the descriptor is open and owned by this function; `mode` is the caller's.
    let file = unsafe { libc::fdopen(copy, mode) };
    if file.is_null() {
        // SAFETY: it is still open and owned by this function.
        unsafe { libc::close(copy) };
    }
    file
}

/// Whether a call applies to a descriptor instead of a path: the kernel takes an empty path for that.
macro_rules! on_descriptor {
    ($path:ident) => {
        // SAFETY: the caller keeps the contract.
        unsafe { named($path) }
    };
}

/// # Safety
/// As for `stat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stat(path: *const c_char, about: *mut libc::stat) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { fstatat(libc::AT_FDCWD, path, about, 0) }
}

/// # Safety
/// As for `stat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stat64(path: *const c_char, about: *mut libc::stat) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { fstatat(libc::AT_FDCWD, path, about, 0) }
}

/// # Safety
/// As for `fstatat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatat64(
    folder: c_int,
    path: *const c_char,
    about: *mut libc::stat,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { fstatat(folder, path, about, flags) }
}

/// # Safety
/// As for `fstatat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatat(
    folder: c_int,
    path: *const c_char,
    about: *mut libc::stat,
    flags: c_int,
) -> c_int {
    let fd = on_descriptor!(path).filter(|_| flags & libc::AT_SYMLINK_NOFOLLOW == 0);
    let (folder, path, flags) = match fd {
        Some(fd) => (fd, c"".as_ptr(), AT_EMPTY_PATH),
        None => (folder, path, flags),
    };
    // SAFETY: the caller keeps the contract, and the kernel's call has the same arguments.
    let done = unsafe { libc::syscall(libc::SYS_newfstatat, folder, path, about, flags) };
    ended(done, fd)
}

/// # Safety
/// As for `statx`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    about: *mut libc::statx,
) -> c_int {
    let fd = on_descriptor!(path).filter(|_| flags & libc::AT_SYMLINK_NOFOLLOW == 0);
    let (folder, path, flags) = match fd {
        Some(fd) => (fd, c"".as_ptr(), flags | AT_EMPTY_PATH),
        None => (folder, path, flags),
    };
    // SAFETY: the caller keeps the contract, and the kernel's call has the same arguments.
    let done = unsafe { libc::syscall(libc::SYS_statx, folder, path, flags, mask, about) };
    ended(done, fd)
}

/// # Safety
/// As for `access`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { faccessat(libc::AT_FDCWD, path, mode, 0) }
}

/// # Safety
/// As for `faccessat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn faccessat(
    folder: c_int,
    path: *const c_char,
    mode: c_int,
    flags: c_int,
) -> c_int {
    let fd = on_descriptor!(path);
    if let Some(fd) = fd {
        // An open descriptor can be used as it was opened, regardless of the file's mode.
        // SAFETY: the call takes numbers.
        return ended(unsafe { libc::fcntl(fd, libc::F_GETFD) }.min(0).into(), fd.into());
    }
    // SAFETY: the caller keeps the contract, and the kernel's call has the same arguments.
    ended(unsafe { libc::syscall(libc::SYS_faccessat2, folder, path, mode, flags) }, None)
}

/// The result of a call. A descriptor that is not open is reported as a missing file.
fn ended(done: libc::c_long, of: Option<c_int>) -> c_int {
    if done < 0 && of.is_some() && errno() == libc::EBADF {
        set_errno(libc::ENOENT);
    }
    if done < 0 { -1 } else { 0 }
}

/// The C library's own function of this name, or null.
fn real(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

fn missing() -> c_int {
    set_errno(libc::ENOSYS);
    -1
}
