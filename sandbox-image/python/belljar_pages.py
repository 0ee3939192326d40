"""Prepares pages that code is likely to need, in a standby before its code arrives.

A fork shares its memory with the zygote until one of them writes, and each first write to a page costs a
fault and a copy: a table's `describe()` causes two thousand, a plot five thousand. Which pages these are
hardly depends on the code. So a temporary fork of the zygote runs some typical code, and the kernel reports
which pages have been copied. Each standby then copies them while it waits.
"""

import array
import ctypes
import io
import mmap
import os
import signal
from collections.abc import Callable, Iterator

#: `madvise`: MADV_COLLAPSE, into large pages at once. Since Linux 6.1.
COLLAPSE, LARGE = 25, 2 << 20
#: Large pages that are collapsed in one step: about a tenth of a second.
COLLAPSED_AT_ONCE = 8
#: Size of an entry of `/proc/self/pagemap` in bytes, and its bits: in memory, file-backed or shared,
#: mapped exclusively.
ENTRY = 8
PRESENT, OF_A_FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
#: Cold pages between two hot ones that are included: one call costs more than a page.
GAP = 1
#: Maximum number of pages in one range.
AT_ONCE = 16
#: Marks a complete answer.
END = b"."
#: Time limit of the temporary fork, in seconds.
LEARN_WITHIN = 60

#: Addresses and lengths of memory that is copied, alternating.
_own = array.array("L")
_jail: ctypes.PyDLL | None = None
_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def collapse(proc: int) -> Iterator[None]:
    """Collapses the zygote's memory into large pages, of which a fork copies one entry instead of 512, in steps.
    Pages that a cell writes to are still copied one by one. Where the kernel has no large page to spare, the
    memory stays as it is."""
    count = 0
    for start, end in writable(proc):
        for place in range(-(-start // LARGE) * LARGE, end // LARGE * LARGE, LARGE):
            _madvise(place, LARGE, COLLAPSE)
            count += 1
            if count % COLLAPSED_AT_ONCE == 0:
                yield


class Lesson:
    """A temporary fork, and what is learned from it. `answer` becomes readable when the fork ends."""

    def __init__(self, proc: int, act: Callable[[], None]):
        """`proc` is an open `/proc`, `act` runs typical code."""
        self.answer, writer = os.pipe()
        if os.fork() == 0:
            try:
                teach(proc, act, writer)
            finally:
                os._exit(0)
        os.close(writer)

    def end(self) -> None:
        """If the fork failed, nothing is learned, and standbys are plain forks."""
        with open(self.answer, "rb") as answer:
            data = answer.read()
        if data[-1:] == END:
            _own.frombytes(data[: -len(END)])


def teach(proc: int, act: Callable[[], None], answer: int) -> None:
    signal.alarm(LEARN_WITHIN)
    memory = writable(proc)
    act()
    with open(os.open("self/pagemap", os.O_RDONLY, dir_fd=proc), "rb", buffering=0) as table:
        own = hot(table, memory)
    with open(answer, "wb") as file:
        file.write(own.tobytes() + END)


def writable(proc: int) -> list[tuple[int, int]]:
    """Memory of this process that a fork would have to copy, as pairs of start and end."""
    with open(os.open("self/maps", os.O_RDONLY, dir_fd=proc)) as maps:
        lines = [line.split(maxsplit=2) for line in maps]
    places = [place.split("-") for place, rights, _ in lines if rights in ("rw-p", "rwxp")]
    return [(int(start, 16), int(end, 16)) for start, end in places]


def hot(table: io.FileIO, memory: list[tuple[int, int]]) -> array.array:
    """The pages of this memory that this process has copied, in ranges."""
    ranges = array.array("L")
    for start, end in memory:
        first, count = start // mmap.PAGESIZE, (end - start) // mmap.PAGESIZE
        table.seek(first * ENTRY)
        entries = array.array("Q", table.read(count * ENTRY))
        run = None  # first and last page of the current range
        for page, entry in enumerate(entries, first):
            if entry & (PRESENT | EXCLUSIVE | OF_A_FILE) != PRESENT | EXCLUSIVE:
                continue
            if run and page - run[1] <= GAP + 1 and page - run[0] < AT_ONCE:
                run = run[0], page
                continue
            add(ranges, run)
            run = page, page
        add(ranges, run)
    return ranges


def add(ranges: array.array, run: tuple[int, int] | None) -> None:
    if run:
        first, last = run
        ranges.extend((first * mmap.PAGESIZE, (last + 1 - first) * mmap.PAGESIZE))


def make_ready(channel: int) -> None:
    """Called in a standby. Returns no later than when data arrives on this channel."""
    if _jail is not None:
        address, length = _own.buffer_info()
        _jail.belljar_make_ready(address, length // 2, channel)


class ArenaAllocator(ctypes.Structure):
    """Python's `PyObjectArenaAllocator`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "alloc", "free")]


def use(jail: ctypes.PyDLL) -> None:
    """Called in the zygote before anything large is imported: from here on arenas are contiguous."""
    global _jail
    _jail = jail
    jail.belljar_make_ready.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    jail.belljar_make_ready.restype = None
    alloc, free = (
        ctypes.cast(function, ctypes.c_void_p)
        for function in (jail.belljar_arena_alloc, jail.belljar_arena_free)
    )
    ctypes.pythonapi.PyObject_SetArenaAllocator(
        ctypes.byref(ArenaAllocator(None, alloc, free))
    )
