//! Pages of a standby's own: copied before its code comes, and not when it writes to them.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Bytes that are copied between two looks whether the code has come: some tenth of a millisecond.
const AT_ONCE: usize = 64 << 10;

/// Where somebody waits for this cell the code comes at once, in milliseconds. Most code needs few of the
/// pages, and to copy and to free them takes longer than all else that a cell costs.
const COMES_WITHIN: u16 = 20;

/// Copies what lies in these ranges, address and length, until something has come on this channel.
fn make_own(ranges: &[(usize, usize)], channel: BorrowedFd<'_>) {
    if comes_within(COMES_WITHIN, channel) {
        return;
    }
    let mut copied = 0;
    for &(start, length) in ranges {
        if copied >= AT_ONCE {
            copied = 0;
            if comes_within(0, channel) {
                return;
            }
        }
        copied += length;
        sys::write_ahead(start, length);
    }
}

fn comes_within(milliseconds: u16, channel: BorrowedFd<'_>) -> bool {
    // By way of the C library: the call that it makes is one that a cell has.
    poll(&mut [PollFd::new(channel, PollFlags::POLLIN)], PollTimeout::from(milliseconds)) != Ok(0)
}

/// Called in a standby. `ranges` are `count` pairs of addresses and lengths of its memory, in bytes;
/// what is not mapped is left out.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_own(ranges: *const (usize, usize), count: usize, channel: i32) {
    make_own(sys::lend_array(ranges, count), sys::lend(channel));
}
