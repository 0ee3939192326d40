//! Where Python's objects live: side by side, so that the kernel can have them in large pages.
//!
//! Python asks for its memory in arenas of a megabyte. The kernel puts each where there is room, which
//! is between the hundreds of libraries, and no large page fits in there. So they are cut from regions
//! here. With large pages a fork of the zygote copies a tenth of the entries, and so does its end.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use crate::sys;

/// A large page.
const LARGE: usize = 2 << 20;
/// Asked for at once. Counts as the cell's memory from then on, as far as the kernel's limit on the
/// size of one process goes.
const REGION: usize = 8 << 20;

/// What has been asked for, and not been handed out.
#[derive(Debug)]
struct Arenas {
    /// The rest of the newest region: address and length.
    rest: (usize, usize),
    /// Arenas that were given back, all of one size, and that size.
    free: Vec<usize>,
    size: usize,
}

static ARENAS: Mutex<Arenas> = Mutex::new(Arenas { rest: (0, 0), free: Vec::new(), size: 0 });

impl Arenas {
    /// Python has one size of arenas. Whatever else it may ask for is none of our business.
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

    /// Gives memory back to the kernel, and keeps the place. Of an arena that came from elsewhere it is
    /// no loss to keep the place as well.
    fn give_back(&mut self, arena: usize, size: usize) {
        if size == self.size && sys::forget(arena, size) {
            self.free.push(arena);
        } else {
            sys::unmap(arena, size);
        }
    }
}

/// For `PyObject_SetArenaAllocator`.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_arena_alloc(_: *mut c_void, size: usize) -> *mut c_void {
    let arena = ARENAS.lock().unwrap_or_else(PoisonError::into_inner).take(size);
    arena.map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
}

/// The same.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
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
    fn arenas_lie_side_by_side_and_are_used_again() {
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
