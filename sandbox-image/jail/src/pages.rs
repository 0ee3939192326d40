//! Pages of a standby, mapped or copied before its code comes, and not when it looks at them or writes
//! to them.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// Bytes that are mapped or copied between two looks whether the code has come: some tenth of a millisecond.
const AT_ONCE: usize = 64 << 10;

/// Where somebody waits for this cell the code comes at once, in milliseconds. Most code needs few of the
/// pages, and to copy and to free them takes longer than all else that a cell costs.
const COMES_WITHIN: u16 = 20;

/// Maps what lies in the first of these ranges, address and length, and copies what lies in the second,
/// until something has come on this channel.
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
    // By way of the C library: the call that it makes is one that a cell has.
    poll(&mut [PollFd::new(channel, PollFlags::POLLIN)], PollTimeout::from(milliseconds)) != Ok(0)
}

/// Called in a standby. Both are pairs of addresses and lengths of its memory, in bytes, and so many of
/// them; what is not mapped by then is left out.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
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
