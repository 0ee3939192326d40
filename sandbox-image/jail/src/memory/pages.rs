//! Maps or copies pages of a standby before its code arrives, instead of on first access.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Bytes that are mapped or copied between two checks for the code: about a tenth of a millisecond.
const AT_ONCE: usize = 64 << 10;

/// If a client already waits for this cell, the code arrives within this time, in milliseconds. Most
/// code needs few of the pages, and copying and freeing them takes longer than everything else in a
/// cell.
const COMES_WITHIN: u16 = 20;

/// Maps the first ranges (address and length) and copies the second, until data arrives on the
/// channel.
fn make_ready(mapped: &[(usize, usize)], own: &[(usize, usize)], channel: BorrowedFd<'_>) {
    if comes_within(COMES_WITHIN, channel) {
        return;
    }
    let mut done = 0;
    let ahead = |ahead: fn(usize, usize)| move |&(start, length)| (ahead, start, length);
    let mapped = mapped.iter().map(ahead(sys::read_ahead));
    for (ahead, start, length) in mapped.chain(own.iter().map(ahead(sys::write_ahead))) {
        if done >= AT_ONCE {
            done = 0;
            if comes_within(0, channel) {
                return;
            }
        }
        done += length;
        ahead(start, length);
    }
}

fn comes_within(milliseconds: u16, channel: BorrowedFd<'_>) -> bool {
    // Uses the C library's function, because a cell is allowed the system call that it makes.
    poll(&mut [PollFd::new(channel, PollFlags::POLLIN)], PollTimeout::from(milliseconds)) != Ok(0)
}

/// Called in a standby. Both arrays hold pairs of address and length of its memory, in bytes, with
/// their counts. Stops early when code arrives.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_ready(
    mapped: *const (usize, usize),
    mapped_count: usize,
    own: *const (usize, usize),
    own_count: usize,
    channel: i32,
) {
    let (mapped, own) = (sys::lend_array(mapped, mapped_count), sys::lend_array(own, own_count));
    make_ready(mapped, own, sys::lend(channel));
}
