//! System calls for a program without the C library.
//!
//! Nothing in this program may panic: panicking needs the standard library, which needs the C library.
//! So the code uses no indexing and no addition. The compiler always optimises it, because unoptimised
//! code would call the C library to copy arguments.

use std::arch::{asm, naked_asm};

/// Entry point, called by the kernel.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "call {main}", main = sym crate::main);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "mov x30, xzr", "bl {main}", main = sym crate::main);
}

/// The kernel returned an error.
#[derive(Debug)]
pub(crate) struct Failed;

const STDIN: usize = 0;
/// Size of the kernel's signal set, in bytes.
const SET_BYTES: usize = 8;

/// Makes the kernel reap all children, adopted ones included.
pub(crate) fn ignore_children() -> Result<(), Failed> {
    // The kernel's own layout: handler, flags, restorer, mask.
    let ignore: [usize; 4] = [libc::SIG_IGN, 0, 0, 0];
    let signal = libc::SIGCHLD as usize;
    // SAFETY: the action is four words that live until the call is over, and installs no handler.
    done(unsafe { call(libc::SYS_rt_sigaction, signal, address(&raw const ignore), 0, SET_BYTES) })
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_signals() -> Result<(), Failed> {
    let all = u64::MAX;
    let how = libc::SIG_BLOCK as usize;
    // SAFETY: the set is eight bytes that live until the call is over.
    done(unsafe { call(libc::SYS_rt_sigprocmask, how, address(&raw const all), 0, SET_BYTES) })
}

/// Waits for one byte from the warden. `None` if the connection is closed.
pub(crate) fn receive() -> Result<Option<u8>, Failed> {
    const INTERRUPTED: isize = -(libc::EINTR as isize);
    let mut byte = 0u8;
    loop {
        let to = address(&raw mut byte);
        // SAFETY: there is room for the one byte that is read, and there is no other reference to it.
        match unsafe { call(libc::SYS_recvfrom, STDIN, to, 1, 0) } {
            0 => return Ok(None),
            1 => return Ok(Some(byte)),
            INTERRUPTED => {}
            _ => return Err(Failed),
        }
    }
}

/// Sends one byte to the warden. A closed connection is ignored.
pub(crate) fn send(byte: u8) {
    let flags = libc::MSG_NOSIGNAL as usize;
    // SAFETY: the byte lives until the call is over.
    unsafe { call(libc::SYS_sendto, STDIN, address(&raw const byte), 1, flags) };
}

/// Sends a signal to all processes that this one may signal, except itself. It is no error if there
/// are none.
pub(crate) fn signal_all(signal: libc::c_int) -> Result<(), Failed> {
    const NO_PROCESS: isize = -(libc::ESRCH as isize);
    const ALL: usize = usize::MAX;
    // SAFETY: the call takes no pointers.
    match unsafe { call(libc::SYS_kill, ALL, signal as usize, 0, 0) } {
        0 | NO_PROCESS => Ok(()),
        _ => Err(Failed),
    }
}

/// This process's id in its namespace.
pub(crate) fn process() -> isize {
    // SAFETY: the call takes no arguments.
    unsafe { call(libc::SYS_getpid, 0, 0, 0, 0) }
}

/// This process's user id in its namespace.
pub(crate) fn user() -> isize {
    // SAFETY: the call takes no arguments.
    unsafe { call(libc::SYS_geteuid, 0, 0, 0, 0) }
}

pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: the call takes no pointers, and does not return.
        unsafe { call(libc::SYS_exit_group, code, 0, 0, 0) };
    }
}

fn address<T>(of: *const T) -> usize {
    of.expose_provenance()
}

fn done(answer: isize) -> Result<(), Failed> {
    if answer == 0 { Ok(()) } else { Err(Failed) }
}

/// Makes a system call, with zeros after the fourth argument. A negative result is an error.
///
/// # Safety
///
/// As safe as the system call with these arguments: memory at the addresses passed must be readable or
/// writable as the call requires.
unsafe fn call(number: libc::c_long, a: usize, b: usize, c: usize, d: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes only the registers named here, and memory that the caller has promised.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") 0,
            in("r9") 0,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") 0,
            in("x5") 0,
            options(nostack),
        );
    }
    answer
}
