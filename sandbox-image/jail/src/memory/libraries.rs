//! Moves the libraries that the zygote has imported into large pages.
//!
//! A fork, and its end, cost in proportion to mappings and page tables, and a library has five mappings. So
//! each run of neighbouring libraries is replaced by one anonymous mapping in large pages. This takes seconds,
//! so it is done in steps, between which the zygote is forked.

#![expect(
    clippy::disallowed_types,
    reason = "it works after a fork, without a table of waiting threads"
)]

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use rustix::net::SendFlags;

use super::LARGE;
use super::large::{self, Refused};
use super::mappings::{self, Mapping};
use crate::error::{Context, JailError};
use crate::report::Relocated;
use crate::sys;

/// Bytes that are moved in one step: about a tenth of a second.
const AT_ONCE: usize = 16 << 20;

/// How often a part is tried again because too few large pages are free. The kernel makes more of them meanwhile.
const TRIES: usize = 30;
const SCARCE: &str =
    "no large pages are free, or /sys/kernel/mm/transparent_hugepage/enabled is `never`";

/// How far the move is.
#[derive(Debug)]
struct Relocation {
    /// Tries that are left.
    tries: usize,
    /// Everything below this address is done.
    next: usize,
    so_far: Relocated,
}

static RELOCATION: Mutex<Relocation> = Mutex::new(Relocation {
    tries: TRIES,
    next: 0,
    so_far: Relocated {
        moved_bytes: 0,
        small_bytes: 0,
        left_bytes: 0,
        mappings: (0, 0),
        why: String::new(),
    },
});

impl Relocation {
    /// Moves a part of the libraries. Returns whether more is left to do.
    fn step(&mut self, proc: BorrowedFd<'_>) -> Result<bool, JailError> {
        let text = sys::read_file(proc, "self/maps")?;
        let all = mappings::parse(&text).ok_or("malformed line").doing("reading", "mappings")?;
        sys::require_one_thread(proc)?;
        if self.so_far.mappings.0 == 0 {
            self.so_far.mappings.0 = all.len();
        }
        self.so_far.mappings.1 = all.len();
        let Some(run) = self.next_run(&all) else { return Ok(false) };
        if sys::read_file(proc, "sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2") {
            self.give_up(
                &all,
                "every fork would reserve the memory again (vm.overcommit_memory is 2)",
            );
            return Ok(false);
        }
        let end = match (run.start + AT_ONCE) / LARGE * LARGE {
            end if end < run.end => end,
            _ => run.end,
        };
        let part = run.start..end;
        match large::replace(part.clone(), &readable(&all, &part)) {
            Ok(small_bytes) => {
                self.next = part.end;
                self.so_far.moved_bytes += part.len() as u64;
                self.so_far.small_bytes += small_bytes as u64;
            }
            Err(Refused::Range(why)) => {
                self.next = run.end;
                self.leave(run.len(), &why);
            }
            Err(Refused::Scarce) if self.tries > 0 => self.tries -= 1,
            Err(Refused::Scarce) => {
                self.give_up(&all, SCARCE);
                return Ok(false);
            }
            Err(Refused::All(why)) => {
                self.give_up(&all, &why);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rest of the run that is next.
    fn next_run(&self, all: &[Mapping]) -> Option<Range<usize>> {
        // This code, so that it does not replace itself; the dynamic loader; and what the kernel writes to.
        let kept = [
            (belljar_move_libraries as *const ()).expose_provenance(),
            large::loader(),
            large::thread_block(),
        ];
        mappings::runs(all, &kept)
            .into_iter()
            // A single mapping is the end of a run, or it is not worth moving.
            .filter(|run| run.start() < run.end() || all[*run.start()].range.start == self.next)
            .map(|run| all[*run.start()].range.start.max(self.next)..all[*run.end()].range.end)
            .find(|run| !run.is_empty())
    }

    fn leave(&mut self, bytes: usize, why: &str) {
        self.so_far.left_bytes += bytes as u64;
        why.clone_into(&mut self.so_far.why);
    }

    /// Leaves everything that has not been moved.
    fn give_up(&mut self, all: &[Mapping], why: &str) {
        while let Some(run) = self.next_run(all) {
            self.leave(run.len(), why);
            self.next = run.end;
        }
    }
}

/// The readable parts of mappings in this range.
fn readable(all: &[Mapping], within: &Range<usize>) -> Vec<Range<usize>> {
    all.iter()
        .filter(|one| one.is_readable())
        .map(|one| one.range.start.max(within.start)..one.range.end.min(within.end))
        .filter(|part| !part.is_empty())
        .collect()
}

/// Called in the zygote until it returns 0. `proc` is an open `/proc`.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_move_libraries(proc: i32) -> i32 {
    let mut relocation = RELOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    let step = relocation.step(sys::lend(proc));
    i32::from(step.unwrap_or_else(|error| {
        relocation.so_far.why = error.to_string();
        false
    }))
}

/// Called in the zygote when its cells are as fast as they will be: sends the result to the warden.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_report_libraries(warden: i32) {
    let relocation = RELOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    let report = serde_json::to_vec(&relocation.so_far).unwrap_or_default();
    // If the warden has exited, there is no reader for the report.
    rustix::net::send(sys::lend(warden), &report, SendFlags::NOSIGNAL).ok();
}
