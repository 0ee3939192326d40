"""Pages that code is likely to write to, made a standby's own before its code comes.

A fork shares its memory with the zygote until one of them writes, and each first write to a page is a
fault and a copy: a table's `describe()` has two thousand of them, a plot five thousand. Which pages
they are hardly depends on the code. So a fork of the zygote that is thrown away does a little of what
code does, the kernel tells which pages have become its own, and each standby has copies of those made
while it waits.
"""

import array
import ctypes
import mmap
import os
import signal
from collections.abc import Callable

#: `madvise`: into large pages, now. Since Linux 6.1.
COLLAPSE, LARGE = 25, 2 << 20
#: Of an entry of `/proc/self/pagemap`: in memory, of a file or shared, mapped by nobody else.
PRESENT, OF_A_FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
#: Pages between two that are hot, which are copied with them: one call is dearer than one page.
GAP = 1
#: Pages of one range at most.
AT_ONCE = 16
#: Of an answer that is whole.
END = b"."
#: How long the fork that is thrown away may take, in seconds.
LEARN_WITHIN = 60

#: Addresses and lengths, one after the other.
_ranges = array.array("L")
_jail: ctypes.PyDLL | None = None
_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def collapse(proc: int) -> None:
    """Has the zygote's memory in large pages, of which a fork copies one entry instead of 512. Those
    that a cell writes to are copied by themselves all the same. Where the kernel has none to spare it
    stays as it is."""
    for start, end in writable(proc):
        first, last = -(-start // LARGE) * LARGE, end // LARGE * LARGE
        if first < last:
            _madvise(first, last - first, COLLAPSE)


class Lesson:
    """A fork that is thrown away, and what is learned from it. `answer` can be read when it is
    over."""

    def __init__(self, proc: int, act: Callable[[], None]):
        """`proc` is an open `/proc`, `act` what code does."""
        self.answer, writer = os.pipe()
        if os.fork() == 0:
            try:
                teach(proc, act, writer)
            finally:
                os._exit(0)
        os.close(writer)

    def end(self) -> None:
        """Where it failed there is nothing to learn, and standbys are what forks are."""
        with open(self.answer, "rb") as answer:
            told = answer.read()
        if told[-1:] == END:
            _ranges.frombytes(told[:-1])


def teach(proc: int, act: Callable[[], None], answer: int) -> None:
    signal.alarm(LEARN_WITHIN)
    memory = writable(proc)
    act()
    with open(answer, "wb") as file:
        file.write(hot(proc, memory).tobytes() + END)


def writable(proc: int) -> list[tuple[int, int]]:
    """Memory of this process that a fork would have to copy, from address to address."""
    found = []
    with open(os.open("self/maps", os.O_RDONLY, dir_fd=proc)) as maps:
        for line in maps:
            place, rights, *_ = line.split(maxsplit=2)
            if rights == "rw-p":
                start, end = (int(address, 16) for address in place.split("-"))
                found.append((start, end))
    return found


def hot(proc: int, memory: list[tuple[int, int]]) -> array.array:
    """What of this memory this process has for itself."""
    ranges = array.array("L")
    wanted = PRESENT | EXCLUSIVE
    table = os.open("self/pagemap", os.O_RDONLY, dir_fd=proc)
    for start, end in memory:
        first, count = start // mmap.PAGESIZE, (end - start) // mmap.PAGESIZE
        entries = array.array("Q", os.pread(table, count * 8, first * 8))
        run = None  # first and last page of those that lie together
        for page, entry in enumerate(entries, first):
            if entry & (wanted | OF_A_FILE) != wanted:
                continue
            if run and page - run[1] <= GAP + 1 and page - run[0] < AT_ONCE:
                run = run[0], page
                continue
            add(ranges, run)
            run = page, page
        add(ranges, run)
    os.close(table)
    return ranges


def add(ranges: array.array, run: tuple[int, int] | None) -> None:
    if run:
        first, last = run
        ranges.extend((first * mmap.PAGESIZE, (last + 1 - first) * mmap.PAGESIZE))


def make_own(channel: int) -> None:
    """Called in a standby. Returns at the latest when something has come on this channel."""
    if _jail is not None:
        address, length = _ranges.buffer_info()
        _jail.belljar_make_own(address, length // 2, channel)


class ArenaAllocator(ctypes.Structure):
    """Python's `PyObjectArenaAllocator`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "alloc", "free")]


def use(jail: ctypes.PyDLL) -> None:
    """Called in the zygote before anything large is imported: from here on objects lie side by side."""
    global _jail
    _jail = jail
    jail.belljar_make_own.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    jail.belljar_make_own.restype = None
    alloc, free = (
        ctypes.cast(function, ctypes.c_void_p)
        for function in (jail.belljar_arena_alloc, jail.belljar_arena_free)
    )
    ctypes.pythonapi.PyObject_SetArenaAllocator(
        ctypes.byref(ArenaAllocator(None, alloc, free))
    )
