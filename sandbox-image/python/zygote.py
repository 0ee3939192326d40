"""The zygote: imports the libraries once, runs no client's code, and is forked.

It runs in a root that contains nothing but Python, as an unprivileged user. It has one thread, makes no
requests, and waits on standard input, which is a socket: each message carries the descriptors of a new
cell, and each is answered by a fork that has confined itself.

    zygote.py JAIL SPEC PROC NETWORKS WARM MOVE MODULE...
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

#: control, stdout, stderr, display, status, and the cell's folder or a network namespace: the order of
#: `belljar_fork`.
CHANNELS, WITH_OWN = 5, 6
#: After this time without a request, in milliseconds, the zygote does deferred work.
IDLE_MS = 100
#: If requests never stop, deferred work is done after this time.
BUSY_SECONDS = 5


def main(
    path: str, spec: int, proc: int, networks: int, warm: bool, move: bool, modules: list[str]
) -> None:
    """Returns in a cell that is ready for code, and never in the zygote. With `warm`, cells get private
    copies of the pages that code is likely to write to; with `move`, libraries are moved into large
    pages."""
    # PyDLL, not CDLL: it keeps the GIL, so no other thread can run in between.
    jail = ctypes.PyDLL(path)
    if jail.belljar_prepare(spec, proc, networks):
        sys.exit(1)
    belljar_pages.use(jail)
    gc.disable()  # until all imports are done: their objects stay
    for module in modules:
        importlib.import_module(module)
    runner.prepare()
    settle()
    if jail.belljar_enclose():
        sys.exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps children

    orders = socket.socket(fileno=os.dup(0))
    orders.send(b"ready")
    chores = work_ahead(jail, proc, warm, move, modules)
    lesson = None
    is_reported = False
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
        if not (chores or lesson or is_reported):
            jail.belljar_report_libraries(orders.fileno())
            is_reported = True
        if orders.fileno() in ready and obey(jail, orders):
            return


def work_ahead(
    jail: ctypes.PyDLL, proc: int, warm: bool, move: bool, modules: list[str]
) -> Iterator[belljar_pages.Lesson | None]:
    """Deferred work that speeds up cells, in steps."""
    if modules:
        for one in belljar_usual.USUAL:
            yield belljar_usual.act(*one)
        for some in all_objects():
            yield belljar_immortal.make(jail, some)
        while move and jail.belljar_move_libraries(proc):
            yield None
        yield from belljar_pages.collapse(proc)
    if warm:
        yield belljar_pages.Lesson(proc, belljar_usual.act_all)


def settle() -> None:
    """Freezes all living objects: they live in every cell, so the collector need not visit them, and their
    pages stay shared. Finds the random generators, which cells reseed."""
    gc.collect()
    keep()


def keep() -> None:
    belljar_dice.find()
    belljar_files.learn()
    gc.freeze()
    gc.disable()


def all_objects() -> Iterator[list]:
    """Freezes all objects once more, and yields them in batches."""
    gc.collect()  # only objects created since the last time
    gc.unfreeze()
    objects = gc.get_objects()
    keep()
    for start in range(0, len(objects), belljar_immortal.AT_ONCE):
        yield objects[start : start + belljar_immortal.AT_ONCE]


def obey(jail: ctypes.PyDLL, orders: socket.socket) -> bool:
    """Handles one request: forks. Returns whether this is the cell."""
    try:
        order, files, _, _ = socket.recv_fds(orders, 64, WITH_OWN)
    except ConnectionError:  # the warden has not read everything
        order, files = b"", []
    if not order:
        os._exit(0)  # the warden has exited
    if fork(jail, order, files):
        orders.detach()  # closed with everything else
        return True
    for file in files:
        os.close(file)
    orders.send(b"forked")
    return False


def fork(jail: ctypes.PyDLL, order: bytes, files: list[int]) -> bool:
    """Returns whether this is the cell, already confined. The jail makes the fork, so Python's own fork
    hooks are called here. If it fails, the warden detects that no process answers."""
    _, _, user = order.partition(b" ")
    channels, own = files[:CHANNELS], files[CHANNELS:] or [-1]
    ctypes.pythonapi.PyOS_BeforeFork()
    side = jail.belljar_fork(*channels, int(user or -1), *own)
    if side != 0:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        return False
    ctypes.pythonapi.PyOS_AfterFork_Child()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return True


if __name__ == "__main__":
    jail, spec, proc, networks, warm, move, *modules = sys.argv[1:]
    main(jail, int(spec), int(proc), int(networks), warm == "1", move == "1", modules)
    runner.serve()
