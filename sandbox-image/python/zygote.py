"""The zygote: imports the libraries once, runs nobody's code, and is forked.

It is started in a root that holds nothing but Python, as a user who has nothing. It has one thread,
asks nobody anything, and waits on standard input, which is a socket: each message there has the
descriptors of a cell to be, and each is answered by a fork that has locked itself up.

    zygote.py JAIL SPEC PROC WARM MODULE...
"""

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator

import belljar_dice
import belljar_files
import belljar_immortal
import belljar_pages
import belljar_usual
import runner

#: control, stdout, stderr, display, status, and on a shared root the cell's folder: the order of
#: `belljar_fork`.
CHANNELS, WITH_FOLDER = 5, 6
#: Nobody has asked for a cell for so long, in milliseconds: time for what can wait.
IDLE_MS = 100
#: Where somebody always asks, what can wait has waited long enough then.
BUSY_SECONDS = 5


def main(path: str, spec: int, proc: int, warm: bool, modules: list[str]) -> None:
    """Returns in a cell that is ready for code, and never in the zygote. `warm` are cells that have
    the pages of their own which code is likely to write to."""
    # PyDLL, not CDLL: with the lock on the interpreter held, no other thread can come between.
    jail = ctypes.PyDLL(path)
    if jail.belljar_prepare(spec, proc):
        sys.exit(1)
    belljar_pages.use(jail)
    gc.disable()  # until all is there: what an import makes stays
    for module in modules:
        importlib.import_module(module)
    runner.prepare()
    settle()
    if jail.belljar_enclose():
        sys.exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps

    orders = socket.socket(fileno=os.dup(0))
    orders.send(b"ready")
    chores = work_ahead(jail, proc, warm, modules)
    lesson = None
    look = select.poll()
    look.register(orders, select.POLLIN)
    busy_until = time.monotonic() + BUSY_SECONDS
    while True:
        ready = [file for file, _ in look.poll(IDLE_MS if chores else None)]
        if chores and (not ready or time.monotonic() > busy_until):
            try:
                lesson = next(chores)
            except StopIteration:
                chores = None
            if lesson:
                look.register(lesson.answer, select.POLLIN)
        if lesson and lesson.answer in ready:
            look.unregister(lesson.answer)
            lesson = lesson.end()
        if orders.fileno() in ready and obey(jail, orders):
            return


def work_ahead(
    jail: ctypes.PyDLL, proc: int, warm: bool, modules: list[str]
) -> Iterator[belljar_pages.Lesson | None]:
    """What makes for better cells and can wait, a piece at a time."""
    if modules:
        for one in belljar_usual.USUAL:
            yield belljar_usual.act(*one)
        for some in all_objects():
            yield belljar_immortal.make(jail, some)
        yield belljar_pages.collapse(proc)
    if warm:
        yield belljar_pages.Lesson(proc, belljar_usual.act_all)


def settle() -> None:
    """What is alive now is alive in every cell: no collector needs to look at it, and its pages stay
    shared. Nor is any of its dice."""
    gc.collect()
    keep()


def keep() -> None:
    belljar_dice.find()
    belljar_files.learn()
    gc.freeze()
    gc.disable()


def all_objects() -> Iterator[list]:
    """Settles once more, and hands out what there is to settle, some thousands at a time."""
    gc.collect()  # only what has come since the last time
    gc.unfreeze()
    objects = gc.get_objects()
    keep()
    for start in range(0, len(objects), belljar_immortal.AT_ONCE):
        yield objects[start : start + belljar_immortal.AT_ONCE]


def obey(jail: ctypes.PyDLL, orders: socket.socket) -> bool:
    """Forks. Whether this is the cell."""
    order, files, _, _ = socket.recv_fds(orders, 64, WITH_FOLDER)
    if not order:
        os._exit(0)  # the warden is gone
    if fork(jail, order, files):
        orders.detach()  # closed with everything else
        return True
    for file in files:
        os.close(file)
    orders.send(b"forked")
    return False


def fork(jail: ctypes.PyDLL, order: bytes, files: list[int]) -> bool:
    """Whether this is the cell, locked up already. The fork itself is the jail's, so Python's own
    hooks go around it. Where it fails the warden notices that nobody answers."""
    _, _, user = order.partition(b" ")
    channels, folder = files[:CHANNELS], files[CHANNELS:] or [-1]
    ctypes.pythonapi.PyOS_BeforeFork()
    side = jail.belljar_fork(*channels, int(user or -1), *folder)
    if side != 0:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        return False
    ctypes.pythonapi.PyOS_AfterFork_Child()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return True


if __name__ == "__main__":
    jail, spec, proc, warm, *modules = sys.argv[1:]
    main(jail, int(spec), int(proc), warm == "1", modules)
    runner.serve()
