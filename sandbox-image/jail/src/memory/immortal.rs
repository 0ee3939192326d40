//! Marks the zygote's objects as immortal, so that cells do not count references to them.
//!
//! Reading a Python object writes to it, because the reference count changes, and the first write to
//! each page costs a fault and a copy. Python does not count references to immortal objects such as
//! `None`; it recognises them by a special value of the count. Everything that the zygote has imported
//! lives as long as a cell, so its objects can have that value too.

use crate::sys;

/// `_Py_IMMORTAL_REFCNT` of CPython 3.12 and 3.13 on 64-bit machines.
const IMMORTAL: usize = u32::MAX as usize;

/// Called in the zygote. `objects` points to `count` addresses of Python objects.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_make_immortal(objects: *const usize, count: usize) {
    sys::write_words(sys::lend_array(objects, count), IMMORTAL);
}
