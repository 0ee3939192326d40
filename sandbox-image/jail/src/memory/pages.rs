//! Copies pages of a standby before its code arrives, instead of on the first write.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Bytes that are copied between two checks for the code: about a tenth of a millisecond.
const AT_ONCE: usize = 64 << 10;

/// If a client already waits for this cell, the code arrives within this time, in milliseconds. Most
/// code needs few of the pages, and copying and freeing them takes longer than everything else in a
/// cell.
const COMES_WITHIN: u16 = 20;

/// Copies these ranges (address and length), until data arrives on the channel.
fn make_ready(ranges: &[(usize, usize)], channel: BorrowedFd<'_>) {
    if comes_within(COMES_WITHIN, channel) {
        return;
    }
    let mut done = 0;
    for &(start, length) in ranges {
        if done >= AT_ONCE {
            done = 0;
            if comes_within(0, channel) {
                return;
            }
        }
        done += length;
        sys::write_ahead(start, length);
    }
}

fn comes_within(milliseconds: u16, channel: BorrowedFd<'_>) -> bool {
    // Uses the C library's function, because a cell is allowed the system call that it makes.
    poll(&mut [PollFd::new(channel, PollFlags::POLLIN)], PollTimeout::from(milliseconds)) != Ok(0)
}

/// Called in a standby. The array holds pairs of address and length of its memory, in bytes. Stops early
/// when code arrives.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_ready(ranges: *const (usize, usize), count: usize, channel: i32) {
    make_ready(sys::lend_array(ranges, count), sys::lend(channel));
}
