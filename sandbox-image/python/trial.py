"""Tries from inside a cell what must be impossible there. Prints a line of JSON for each layer of the isolation.

Runs like a client's code, before any client's code. The warden prepends `OUTSIDE`, a file of the machine that all its
users may read.
"""

import ctypes
import errno
import json
import os
import resource
import socket
import stat

libc = ctypes.CDLL(None, use_errno=True)
NEW_USERS, NO_SUCH_CALL = 0x10000000, 1000
GET_SECCOMP, GET_NO_NEW_PRIVS, DROP_FROM_BOUNDING_SET = 21, 39, 24
FILTERED = 2


def checked(answer: int) -> int:
    """The result of a C call, or its error as an exception."""
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def attempt(act, *refusals: int) -> str:
    """Empty if the call is refused with an expected error, otherwise a description of the result."""
    try:
        act()
    except OSError as error:
        return "" if error.errno in refusals else f"unexpected error: {error.strerror}"
    return "it was not refused"


def namespaces() -> str:
    if os.getpid() != 2 or os.getppid() != 0:
        return f"other processes are visible: this one has id {os.getpid()}"
    return "" if socket.gethostname() == "sandbox" else "the machine's host name is visible"


def root() -> str:
    opened = attempt(lambda: os.open(OUTSIDE, os.O_RDONLY), errno.ENOENT)
    if opened:
        return f"opening a file outside: {opened}"
    return attempt(lambda: os.open("/usr/written", os.O_CREAT | os.O_WRONLY), errno.EROFS)


def users() -> str:
    return attempt(lambda: os.kill(os.getppid(), 0), errno.EPERM)


def capabilities() -> str:
    with open("locked", "w") as file:
        os.fchmod(file.fileno(), 0)
    opened = attempt(lambda: os.open("locked", os.O_RDONLY), errno.EACCES)
    if opened:
        return f"opening a locked file: {opened}"
    if libc.prctl(GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return "no_new_privs is not set"
    return attempt(lambda: checked(libc.prctl(DROP_FROM_BOUNDING_SET, 0, 0, 0, 0)), errno.EPERM)


def network() -> str:
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
    tries = (attempt(lambda f=f: socket.socket(f, 2), errno.EAFNOSUPPORT) for f in families)
    return next(filter(None, tries), "")


def landlock() -> str:
    # Without Landlock it would fail for lack of a capability, which is another error.
    device = attempt(lambda: os.mknod("device", stat.S_IFCHR, os.makedev(1, 3)), errno.EACCES)
    return device or attempt(lambda: os.open(OUTSIDE, os.O_RDONLY), errno.EACCES, errno.ENOENT)


def seccomp() -> str:
    if libc.prctl(GET_SECCOMP, 0, 0, 0, 0) != FILTERED:
        return "no filter is installed"
    unknown = attempt(lambda: checked(libc.syscall(NO_SUCH_CALL)), errno.ENOSYS)
    return unknown or attempt(lambda: checked(libc.unshare(NEW_USERS)), errno.EPERM)


def rlimits() -> str:
    for name in ("NPROC", "NOFILE", "DATA", "FSIZE", "CORE"):
        soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        if resource.RLIM_INFINITY in (soft, hard):
            return f"no limit on {name}"
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (hard + 1, hard + 1))
            return f"the limit on {name} can be raised"
        except (OSError, ValueError):
            pass
    return ""


for layer in (namespaces, root, users, capabilities, network, landlock, seccomp, rlimits):
    try:
        why = layer()
    except Exception as error:
        why = f"could not be tested: {error}"
    print(json.dumps({"name": layer.__name__, "why": why}))
