"""Makes everything that the zygote has imported immortal.

Reading an object writes to it, because its reference count changes, and the first write to each page costs a
fault and a copy. References to immortal objects are not counted (PEP 683). They can never be freed, which is no loss:
they live as long as the cell does.
"""

import array
import ctypes
import gc
import sys
import types
from collections.abc import Sequence

#: The versions whose representation of immortality the jail supports.
KNOWN = (3, 12), (3, 13)
#: Objects that are made immortal in one batch, with those that they refer to: about a tenth of a second.
AT_ONCE = 50_000


def make(jail: ctypes.PyDLL, objects: Sequence) -> None:
    """Called in the zygote. Makes these objects immortal, and those that they refer to and that the garbage
    collector does not track, so they cannot be found otherwise."""
    if sys.version_info[:2] not in KNOWN:
        return
    jail.belljar_make_immortal.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    jail.belljar_make_immortal.restype = None
    seen: set[int] = set()
    while objects:
        addresses = array.array("L", map(id, objects))
        address, count = addresses.buffer_info()
        jail.belljar_make_immortal(address, count)
        objects = untracked(objects, seen)


def untracked(objects: Sequence, seen: set[int]) -> list:
    found = gc.get_referents(*objects)
    for code in objects:
        if type(code) is types.CodeType:  # the collector cannot list its referents
            found += [code.co_consts, code.co_names, *code.co_consts, *code.co_names]
    new = {id(one): one for one in found if not gc.is_tracked(one) and id(one) not in seen}
    seen.update(new)
    return list(new.values())
