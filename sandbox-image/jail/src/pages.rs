//! Pages of a standby's own: copied before its code comes, and not when it writes to them.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Bytes that are copied between two looks whether the code has come: some tenth of a millisecond.
const AT_ONCE: usize = 64 << 10;

/// Copies what lies in these ranges, address and length, until something has come on this channel.
fn make_own(ranges: &[(usize, usize)], channel: BorrowedFd<'_>) {
    let mut copied = AT_ONCE;
    for &(start, length) in ranges {
        if copied >= AT_ONCE {
            copied = 0;
            // By way of the C library: the call that it makes is one that a cell has.
            let mut watched = [PollFd::new(channel, PollFlags::POLLIN)];
            if poll(&mut watched, PollTimeout::ZERO) != Ok(0) {
                return;
            }
        }
        copied += length;
        sys::write_ahead(start, length);
    }
}

/// Called in a standby. `ranges` are `count` pairs of addresses and lengths of its memory, in bytes;
/// what is not mapped is left out.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_own(ranges: *const (usize, usize), count: usize, channel: i32) {
    make_own(sys::lend_ranges(ranges, count), sys::lend(channel));
}
