"""The zygote: imports the libraries once, runs nobody's code, and is forked.

It is started in a root that holds nothing but Python, as a user who has nothing. It has one thread,
asks nobody anything, and waits on one socket: each message there is five descriptors of a cell to
be, and each is answered by a fork that has locked itself up.

    zygote.py COMMAND SPEC PROC MODULE...
"""

import ctypes
import gc
import importlib
import os
import signal
import socket
import sys

import runner

JAIL = "/opt/belljar/jail.so"
#: control, stdout, stderr, display, status: the order of `belljar_fork`.
CHANNELS = 5


def main(command: int, spec: int, proc: int, modules: list[str]) -> None:
    """Returns in a cell that is ready for code, and never in the zygote."""
    # PyDLL, not CDLL: with the lock on the interpreter held, no other thread can come between.
    jail = ctypes.PyDLL(JAIL)
    if jail.belljar_prepare(spec, proc):
        sys.exit(1)
    for module in modules:
        importlib.import_module(module)
    runner.prepare()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    # What is alive now is alive in every cell: no collector needs to look at it, and its pages stay
    # shared.
    gc.collect()
    gc.freeze()
    gc.disable()

    orders = socket.socket(fileno=command)
    orders.send(f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}".encode())
    while True:
        order, channels, _, _ = socket.recv_fds(orders, 1, CHANNELS)
        if not order:
            os._exit(0)  # the warden is gone
        if fork(jail, channels):
            orders.detach()  # closed with everything else
            return
        for channel in channels:
            os.close(channel)


def fork(jail: ctypes.PyDLL, channels: list[int]) -> bool:
    """Whether this is the cell, locked up already. The fork itself is the jail's, so Python's own
    hooks go around it. Where it fails the warden notices that nobody answers."""
    ctypes.pythonapi.PyOS_BeforeFork()
    side = jail.belljar_fork(*channels)
    if side != 0:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        return False
    ctypes.pythonapi.PyOS_AfterFork_Child()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return True


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4:])
    runner.serve()
