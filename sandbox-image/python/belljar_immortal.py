"""All that the zygote has imported, made immortal.

To look at an object is to write to it, for the references to it are counted, and each first write to a page
is a fault and a copy of it. What is immortal is not counted (PEP 683). That nothing of it can be freed any more
is no loss: it lives for as long as the cell does.
"""

import array
import ctypes
import gc
import sys
import types
from collections.abc import Sequence

#: The versions whose way of being immortal the jail knows.
KNOWN = (3, 12), (3, 13)
#: Objects that are made immortal in one go, with what they refer to: some tenth of a second.
AT_ONCE = 50_000


def make(jail: ctypes.PyDLL, objects: Sequence) -> None:
    """Called in the zygote. Makes these immortal, and what they refer to and the collector does not know, so
    that nobody else names it."""
    if sys.version_info[:2] not in KNOWN:
        return
    jail.belljar_make_immortal.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    jail.belljar_make_immortal.restype = None
    seen: set[int] = set()
    while objects:
        addresses = array.array("L", map(id, objects))
        address, count = addresses.buffer_info()
        jail.belljar_make_immortal(address, count)
        objects = strangers(objects, seen)


def strangers(objects: Sequence, seen: set[int]) -> list:
    found = gc.get_referents(*objects)
    for code in objects:
        if type(code) is types.CodeType:  # which tells nobody what it refers to
            found += [code.co_consts, code.co_names, *code.co_consts, *code.co_names]
    new = {id(one): one for one in found if not gc.is_tracked(one) and id(one) not in seen}
    seen.update(new)
    return list(new.values())
