//! Objects of the zygote's that no cell counts references to.
//!
//! To look at an object is to write to it: a reference more, a reference less, and each first write to a
//! page is a fault and a copy of it. Python knows objects of which it counts none, `None` among them, by
//! the number that stands where the count would be. All that the zygote has imported lives for as long as
//! a cell does, so its objects may have that number too.

use crate::sys;

/// `_Py_IMMORTAL_REFCNT` of CPython 3.12 and 3.13, on machines of 64 bits.
const IMMORTAL: usize = u32::MAX as usize;

/// Called in the zygote. `objects` are `count` addresses of Python objects.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_immortal(objects: *const usize, count: usize) {
    sys::write_words(sys::lend_array(objects, count), IMMORTAL);
}
