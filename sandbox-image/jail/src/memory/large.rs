//! Replaces memory of this process by a copy in large pages, at the same address.

use std::ffi::c_void;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};

use super::LARGE;
use crate::sys;

/// Small pages in a large one.
const SMALL: usize = LARGE / 4096;

/// Why memory was not replaced.
#[derive(Debug)]
pub(super) enum Refused {
    /// It would be the same for all other memory.
    All(String),
    /// Too few large pages are free now, or there are none.
    Scarce,
    /// This range cannot be read.
    Range(String),
}

/// New memory in large pages. Unmapped on drop.
#[derive(Debug)]
struct Area(Range<usize>);

impl Drop for Area {
    fn drop(&mut self) {
        sys::unmap(self.0.start, self.0.len());
    }
}

/// Replaces the range by one anonymous mapping with the same content in the mappings `readable`, which are
/// inside it. All of it is then readable, writable and executable, because each mapping, and each other
/// permission, would cost time in every fork. Returns how many bytes are in small pages, because the kernel
/// had too few large ones.
///
/// The process must have one thread, and the range must not contain this code, the stack, or memory that the
/// kernel writes to.
pub(super) fn replace(range: Range<usize>, readable: &[Range<usize>]) -> Result<usize, Refused> {
    let lead = range.start % LARGE;
    let room = (lead + range.len()).next_multiple_of(LARGE);
    let start = sys::map(room, LARGE).ok_or_else(|| Refused::All("no memory is left".into()))?;
    let area = Area(start..start + room);
    let small_bytes = make_large(&area)?;
    for piece in readable {
        // Also proves that each page can be read: a page behind the end of its file would end the process.
        advise(piece, libc::MADV_POPULATE_READ)
            .map_err(|error| Refused::Range(format!("could not read a library: {error}")))?;
    }
    copy_over(range, readable, area, lead)?;
    Ok(small_bytes)
}

/// Allocates the area, and checks that most of its pages are large. Returns how many bytes are not.
fn make_large(area: &Area) -> Result<usize, Refused> {
    let all = |what: &str, error: Errno| Refused::All(format!("{what}: {error}"));
    advise(&area.0, libc::MADV_HUGEPAGE)
        .map_err(|error| all("the kernel has no large pages", error))?;
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: the memory is the area's own.
    Errno::result(unsafe { libc::mprotect(pointer(area.0.start), area.0.len(), rights) })
        .map_err(|error| all("memory may not be writable and executable", error))?;
    let before = minor_faults();
    advise(&area.0, libc::MADV_POPULATE_WRITE)
        .map_err(|error| all("could not allocate large pages", error))?;
    // A large page costs one fault, and one that the kernel does not give as many as it has small ones.
    let faults = minor_faults().saturating_sub(before);
    let all = area.0.len() / LARGE;
    let small = (faults.saturating_sub(all) / (SMALL - 1)).min(all);
    if small * 2 > all {
        return Err(Refused::Scarce);
    }
    Ok(small * LARGE)
}

/// Copies the content, and exchanges both in one system call, so that code in the range is never missing.
/// Between the first copied byte and that call, only the stack and the area are written to.
fn copy_over(
    range: Range<usize>,
    readable: &[Range<usize>],
    area: Area,
    lead: usize,
) -> Result<(), Refused> {
    let copy = area.0.start + lead;
    for piece in readable {
        let to = copy + (piece.start - range.start);
        // SAFETY: `replace` has read all of the piece, and the area has room for the range, which contains it.
        unsafe {
            std::ptr::copy_nonoverlapping(
                pointer(piece.start).cast::<u8>(),
                pointer(to).cast::<u8>(),
                piece.len(),
            );
        }
    }
    // SAFETY: the range has the same content afterwards, so all pointers into it stay valid, and there is no
    // other thread that could have written to it since it was copied.
    let moved = unsafe {
        libc::mremap(
            pointer(copy),
            range.len(),
            range.len(),
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            pointer(range.start),
        )
    };
    if moved == libc::MAP_FAILED {
        return Err(Refused::All(format!("could not move memory: {}", Errno::last())));
    }
    // What was moved is not the area's any more, and its old place may be in use again.
    let end = area.0.end;
    sys::unmap(area.0.start, lead);
    sys::unmap(copy + range.len(), end - (copy + range.len()));
    std::mem::forget(area);
    Ok(())
}

fn advise(range: &Range<usize>, advice: libc::c_int) -> Result<(), Errno> {
    // SAFETY: none of these values of `advice` changes the content of the memory.
    Errno::result(unsafe { libc::madvise(pointer(range.start), range.len(), advice) }).map(drop)
}

fn minor_faults() -> usize {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.minor_page_faults());
    usage.ok().and_then(|faults| usize::try_from(faults).ok()).unwrap_or(0)
}

/// An address in memory that the kernel writes to: the block of the thread's variables.
pub(super) fn thread_block() -> usize {
    // SAFETY: it takes nothing, and returns the address of a variable of this thread.
    unsafe { libc::__errno_location() }.expose_provenance()
}

/// An address in the dynamic loader.
pub(super) fn loader() -> usize {
    // SAFETY: it takes a number, and returns one.
    let base = unsafe { libc::getauxval(libc::AT_BASE) };
    usize::try_from(base).unwrap_or(0)
}

fn pointer(address: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_a_file(length: usize) -> (usize, Vec<u8>) {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let mut file = tempfile::tempfile().expect("there is a place for temporary files");
        let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        file.write_all(&content).expect("it is ours");
        // SAFETY: a new mapping, at an address that the kernel chooses, overlaps no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length + 4096,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        (start.expose_provenance(), content)
    }

    #[test]
    fn a_copy_has_the_same_content_at_the_same_address() {
        let length = (5 << 20) + 8192;
        let (start, content) = of_a_file(length);
        let range = start..start + length;
        let replaced = replace(range.clone(), std::slice::from_ref(&range));
        // SAFETY: it is mapped, and nothing else uses it.
        let seen = unsafe { std::slice::from_raw_parts(pointer(start).cast::<u8>(), length) };
        assert!(seen == content);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("there is one");
        let line = maps.lines().find(|line| line.starts_with(&format!("{start:x}-")));
        let line = line.expect("it is mapped");
        match replaced {
            Ok(_) => assert!(line.contains("rwxp") && line.contains(" 0 "), "{line}"),
            // A machine without large pages: nothing has changed.
            Err(Refused::All(_) | Refused::Scarce) => assert!(line.contains("r--p"), "{line}"),
            Err(Refused::Range(why)) => panic!("{why}"),
        }
    }

    #[test]
    fn memory_that_cannot_be_read_stays() {
        let length = 1 << 20;
        let (start, content) = of_a_file(length);
        let behind_the_end = start..start + length + 4096;
        let refused = replace(behind_the_end.clone(), std::slice::from_ref(&behind_the_end));
        assert!(refused.is_err());
        // SAFETY: as above.
        let seen = unsafe { std::slice::from_raw_parts(pointer(start).cast::<u8>(), length) };
        assert!(seen == content);
    }
}
