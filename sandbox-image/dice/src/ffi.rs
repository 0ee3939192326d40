//! Replacements for functions of the C library. Requests for anything but random bytes or the time of
//! day are passed on to the C library.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::OnceLock;

use libc::{CLOCK_MONOTONIC, clockid_t, size_t, ssize_t, time_t, timespec, timeval};

use crate::clock::{Time, VirtualClock};
use crate::rng::SeededRng;

static CLOCK: VirtualClock = VirtualClock::new();
static RNG: SeededRng = SeededRng::new();

/// Called in a cell before its first code. Starts the clock and the random numbers.
#[unsafe(no_mangle)]
pub extern "C" fn belljar_begin() {
    CLOCK.begin();
    RNG.begin(std::process::id());
}

/// Programs started by the code inherit the seed in their environment.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = std::env::var("BELLJAR_SEED").ok();
        seed.and_then(|seed| seed.parse().ok()).unwrap_or_default()
    })
}

fn monotonic() -> timespec {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of this frame.
    unsafe { real_clock_gettime(CLOCK_MONOTONIC, &raw mut time) };
    time
}

fn monotonic_ns() -> i64 {
    let time = monotonic();
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The C library's own function.
///
/// # Safety
/// As for `clock_gettime`.
unsafe fn real_clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    type Function = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
    static REAL: OnceLock<Option<Function>> = OnceLock::new();
    let real = REAL.get_or_init(|| {
        // SAFETY: the name is a C string. The symbol, where there is one, is the function of POSIX.
        unsafe {
            let found = libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr());
            std::mem::transmute::<*mut c_void, Option<Function>>(found)
        }
    });
    match real {
        // SAFETY: the caller keeps the contract.
        Some(real) => unsafe { real(clock, time) },
        // SAFETY: the same, and the kernel's call has the same arguments.
        None => unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int },
    }
}

/// # Safety
/// As for the C library's function: `time` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
            let Time { seconds, microseconds } = CLOCK.read(monotonic_ns());
            // SAFETY: the caller keeps the contract.
            unsafe { *time = timespec { tv_sec: seconds, tv_nsec: microseconds * 1000 } };
            0
        }
        // SAFETY: the caller keeps the contract.
        _ => unsafe { real_clock_gettime(clock, time) },
    }
}

/// # Safety
/// As for the C library's function: `time` is null or may be written to. The time zone is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, _zone: *mut c_void) -> c_int {
    let Time { seconds, microseconds } = CLOCK.read(monotonic_ns());
    if !time.is_null() {
        // SAFETY: the caller keeps the contract.
        unsafe { *time = timeval { tv_sec: seconds, tv_usec: microseconds } };
    }
    0
}

/// # Safety
/// As for the C library's function: `time` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(time: *mut time_t) -> time_t {
    let Time { seconds, .. } = CLOCK.read(monotonic_ns());
    if !time.is_null() {
        // SAFETY: the caller keeps the contract.
        unsafe { *time = seconds };
    }
    seconds
}

/// # Safety
/// As for the C library's function: `time` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timespec_get(time: *mut timespec, base: c_int) -> c_int {
    const TIME_UTC: c_int = 1;
    if base != TIME_UTC {
        return 0;
    }
    // SAFETY: the caller keeps the contract.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, time) };
    base
}

unsafe extern "C" {
    fn sem_clockwait(sem: *mut libc::sem_t, clock: clockid_t, until: *const timespec) -> c_int;
}

/// `multiprocessing` waits until a time of day that it has read from this library.
///
/// # Safety
/// As for the C library's function: both pointers are to live values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sem_timedwait(sem: *mut libc::sem_t, until: *const timespec) -> c_int {
    const SECOND: c_long = 1_000_000_000;
    // SAFETY: the caller keeps the contract.
    let until = unsafe { *until };
    if !(0..SECOND).contains(&until.tv_nsec) {
        // SAFETY: as above; it returns the right error for invalid nanoseconds.
        return unsafe { sem_clockwait(sem, CLOCK_MONOTONIC, &raw const until) };
    }
    let (ours, machine) = (CLOCK.peek(monotonic_ns()), monotonic());
    let nanoseconds = machine.tv_nsec + until.tv_nsec - ours.microseconds * 1000;
    let until = timespec {
        tv_sec: (machine.tv_sec + nanoseconds.div_euclid(SECOND))
            .saturating_add(until.tv_sec.saturating_sub(ours.seconds))
            .max(0),
        tv_nsec: nanoseconds.rem_euclid(SECOND),
    };
    // SAFETY: the caller keeps the contract, and `until` is of this frame.
    unsafe { sem_clockwait(sem, CLOCK_MONOTONIC, &raw const until) }
}

/// # Safety
/// As for the C library's function: `length` bytes at `bytes` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(bytes: *mut c_void, length: size_t, _flags: c_uint) -> ssize_t {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller keeps the contract. The bytes may be uninitialised before, because they are only
    // written.
    let filled = unsafe {
        bytes.write_bytes(0, length);
        std::slice::from_raw_parts_mut(bytes.cast::<u8>(), length)
    };
    RNG.fill(seed(), std::process::id(), filled);
    ssize_t::try_from(length).unwrap_or(ssize_t::MAX)
}

/// # Safety
/// As for the C library's function: `length` bytes at `bytes` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(bytes: *mut c_void, length: size_t) -> c_int {
    // SAFETY: the caller keeps the contract.
    unsafe { getrandom(bytes, length, 0) };
    0
}
