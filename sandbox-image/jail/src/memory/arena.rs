//! Allocates Python's arenas side by side, so that the kernel can back them with large pages.
//!
//! Python requests memory in arenas of 1 MiB. The kernel maps each into a free gap between the
//! hundreds of libraries, where no large page fits. So this module cuts arenas from larger regions.
//! With large pages, forking the zygote copies a tenth of the page-table entries, and tearing a cell
//! down frees a tenth.

#![expect(
    clippy::disallowed_types,
    reason = "it works after a fork, without a table of waiting threads"
)]

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use super::LARGE;
use crate::sys;

/// Bytes mapped at once. They count at once towards the kernel's limit on the data size of a process.
const REGION: usize = 8 << 20;

/// Memory that is mapped but not handed out.
#[derive(Debug)]
struct Arenas {
    /// The unused part of the newest region: address and length.
    rest: (usize, usize),
    /// Arenas that were freed, all of the same size, and that size.
    free: Vec<usize>,
    size: usize,
}

static ARENAS: Mutex<Arenas> = Mutex::new(Arenas { rest: (0, 0), free: Vec::new(), size: 0 });

impl Arenas {
    /// Python uses one arena size. Requests of other sizes are mapped separately.
    fn take(&mut self, size: usize) -> Option<usize> {
        if size == 0 || !LARGE.is_multiple_of(size) || (self.size != 0 && self.size != size) {
            return sys::map(size, 1);
        }
        self.size = size;
        if let Some(arena) = self.free.pop() {
            return Some(arena);
        }
        if self.rest.1 < size {
            self.rest = (sys::map(REGION, LARGE)?, REGION);
        }
        let (start, left) = self.rest;
        self.rest = (start + size, left - size);
        Some(start)
    }

    /// Gives the memory back to the kernel and keeps the address range, also for an arena that was mapped
    /// separately.
    fn give_back(&mut self, arena: usize, size: usize) {
        if size == self.size && sys::forget(arena, size) {
            self.free.push(arena);
        } else {
            sys::unmap(arena, size);
        }
    }
}

/// Allocation function for `PyObject_SetArenaAllocator`.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_arena_alloc(_: *mut c_void, size: usize) -> *mut c_void {
    let arena = ARENAS.lock().unwrap_or_else(PoisonError::into_inner).take(size);
    arena.map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
}

/// Free function for `PyObject_SetArenaAllocator`.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_arena_free(_: *mut c_void, arena: *mut c_void, size: usize) {
    ARENAS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .give_back(arena.expose_provenance(), size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_are_contiguous_and_reused() {
        let mut arenas = Arenas { rest: (0, 0), free: Vec::new(), size: 0 };
        let taken: Vec<_> =
            (0..9).map(|_| arenas.take(1 << 20).expect("there is memory")).collect();
        assert_eq!(taken[0] % LARGE, 0, "a large page begins where the first one does");
        for at in 1..8 {
            assert_eq!(taken[at], taken[0] + (at << 20));
        }
        arenas.give_back(taken[3], 1 << 20);
        assert_eq!(arenas.take(1 << 20), Some(taken[3]));
        let odd = arenas.take(12345).expect("there is memory");
        assert!(!taken.contains(&odd));
        arenas.give_back(odd, 12345);
        assert_eq!(arenas.free, [0; 0]);
    }
}
