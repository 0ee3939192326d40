"""Prepares pages that code is likely to need, in a standby before its code arrives.

A fork shares its memory with the zygote until one of them writes, and each first write to a page costs a
fault and a copy: a table's `describe()` causes two thousand, a plot five thousand. Which pages these are
hardly depends on the code. Pages of files, such as program text, are not mapped in a fork either until
it accesses them. So a temporary fork of the zygote runs some typical code, and the kernel reports
which pages have been copied or mapped. Each standby then copies the former and maps the latter while it
waits.
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
#: Size of an entry of `/proc/self/pagemap` in bytes, and its bits: in memory, file-backed or shared,
#: mapped exclusively.
ENTRY = 8
PRESENT, OF_A_FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
#: Bits that are tested, and those of them that must be set.
OWN = (PRESENT | EXCLUSIVE | OF_A_FILE, PRESENT | EXCLUSIVE)
MAPPED = (PRESENT | OF_A_FILE, PRESENT | OF_A_FILE)
#: Cold pages between two hot ones that are included: one call costs more than some pages. Mapping a
#: page costs a tenth of copying it.
GAP_OWN, GAP_MAPPED = 1, 16
#: Maximum number of pages in one range.
AT_ONCE = 16
#: Marks a complete answer.
END = b"."
#: Time limit of the temporary fork, in seconds.
LEARN_WITHIN = 60

#: Addresses and lengths, alternating: of memory that is copied, and of memory that is mapped.
_own, _mapped = array.array("L"), array.array("L")
_jail: ctypes.PyDLL | None = None
_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def collapse(proc: int) -> None:
    """Collapses the zygote's memory into large pages, of which a fork copies one entry instead of 512. Pages
    that a cell writes to are still copied one by one. If the kernel has no large pages to spare, the memory
    stays as it is."""
    for start, end in writable(proc):
        first, last = -(-start // LARGE) * LARGE, end // LARGE * LARGE
        if first < last:
            _madvise(first, last - first, COLLAPSE)


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
            both = array.array("L", data[: -len(END)])
            count = both[0]
            _own.extend(both[1 : 1 + count])
            _mapped.extend(both[1 + count :])


def teach(proc: int, act: Callable[[], None], answer: int) -> None:
    signal.alarm(LEARN_WITHIN)
    memory, files = writable(proc), of_files(proc)
    act()
    with open(os.open("self/pagemap", os.O_RDONLY, dir_fd=proc), "rb", buffering=0) as table:
        own = hot(table, memory, OWN, GAP_OWN)
        mapped = hot(table, files, MAPPED, GAP_MAPPED)
    with open(answer, "wb") as file:
        file.write(array.array("L", [len(own)]).tobytes() + own.tobytes() + mapped.tobytes() + END)


def writable(proc: int) -> list[tuple[int, int]]:
    """Memory of this process that a fork would have to copy, as pairs of start and end."""
    return [(start, end) for start, end, rights, _ in mappings(proc) if rights == "rw-p"]


def of_files(proc: int) -> list[tuple[int, int]]:
    """File-backed memory, as pairs of start and end."""
    return [
        (start, end)
        for start, end, rights, inode in mappings(proc)
        if inode != "0" and rights in ("r--p", "r-xp")
    ]


def mappings(proc: int) -> Iterator[tuple[int, int, str, str]]:
    """Start, end (exclusive), permissions and inode of each mapping."""
    with open(os.open("self/maps", os.O_RDONLY, dir_fd=proc)) as maps:
        for line in maps:
            place, rights, _, _, inode, *_ = line.split()
            start, end = place.split("-")
            yield int(start, 16), int(end, 16), rights, inode


def hot(table: io.FileIO, memory: list[tuple[int, int]], kind: tuple, gap: int) -> array.array:
    """The pages of this memory that have these bits, in ranges."""
    ranges = array.array("L")
    marks, wanted = kind
    for start, end in memory:
        first, count = start // mmap.PAGESIZE, (end - start) // mmap.PAGESIZE
        table.seek(first * ENTRY)
        entries = array.array("Q", table.read(count * ENTRY))
        run = None  # first and last page of the current range
        for page, entry in enumerate(entries, first):
            if entry & marks != wanted:
                continue
            if run and page - run[1] <= gap + 1 and page - run[0] < AT_ONCE:
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
        (mapped, mapped_length), (own, own_length) = _mapped.buffer_info(), _own.buffer_info()
        _jail.belljar_make_ready(mapped, mapped_length // 2, own, own_length // 2, channel)


class ArenaAllocator(ctypes.Structure):
    """Python's `PyObjectArenaAllocator`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "alloc", "free")]


def use(jail: ctypes.PyDLL) -> None:
    """Called in the zygote before anything large is imported: from here on arenas are contiguous."""
    global _jail
    _jail = jail
    ranges = (ctypes.c_void_p, ctypes.c_size_t)
    jail.belljar_make_ready.argtypes = (*ranges, *ranges, ctypes.c_int)
    jail.belljar_make_ready.restype = None
    alloc, free = (
        ctypes.cast(function, ctypes.c_void_p)
        for function in (jail.belljar_arena_alloc, jail.belljar_arena_free)
    )
    ctypes.pythonapi.PyObject_SetArenaAllocator(
        ctypes.byref(ArenaAllocator(None, alloc, free))
    )
