"""What no cell may be able to do, tried by one: a line of JSON for each layer of the wall.

Runs as anybody's code would, before anybody's code does. `OUTSIDE`, a file of the machine that all
its users may read, is put in front by the warden.
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


def told(answer: int) -> int:
    """What the kernel said to a call that C makes."""
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def attempt(act, *refusals: int) -> str:
    """Nothing where it is refused as it should be, or else what came of it."""
    try:
        act()
    except OSError as error:
        return "" if error.errno in refusals else f"{error.strerror} came instead"
    return "it was not refused"


def namespaces() -> str:
    if os.getpid() != 2 or os.getppid() != 0:
        return f"processes of others can be named: this one is {os.getpid()}"
    return "" if socket.gethostname() == "sandbox" else "the machine's name can be seen"


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
        return "new ones can be had"
    return attempt(lambda: told(libc.prctl(DROP_FROM_BOUNDING_SET, 0, 0, 0, 0)), errno.EPERM)


def network() -> str:
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
    tries = (attempt(lambda f=f: socket.socket(f, 2), errno.EAFNOSUPPORT) for f in families)
    return next(filter(None, tries), "")


def landlock() -> str:
    # Without Landlock the lack of a capability would be the reason, which is another error.
    device = attempt(lambda: os.mknod("device", stat.S_IFCHR, os.makedev(1, 3)), errno.EACCES)
    return device or attempt(lambda: os.open(OUTSIDE, os.O_RDONLY), errno.EACCES, errno.ENOENT)


def seccomp() -> str:
    if libc.prctl(GET_SECCOMP, 0, 0, 0, 0) != FILTERED:
        return "no filter is there"
    unknown = attempt(lambda: told(libc.syscall(NO_SUCH_CALL)), errno.ENOSYS)
    return unknown or attempt(lambda: told(libc.unshare(NEW_USERS)), errno.EPERM)


def rlimits() -> str:
    for name in ("NPROC", "NOFILE", "DATA", "FSIZE", "CORE"):
        soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        if resource.RLIM_INFINITY in (soft, hard):
            return f"there is none on {name}"
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (hard + 1, hard + 1))
            return f"that on {name} can be raised"
        except (OSError, ValueError):
            pass
    return ""


for layer in (namespaces, root, users, capabilities, network, landlock, seccomp, rlimits):
    try:
        why = layer()
    except Exception as error:
        why = f"it could not be tried: {error}"
    print(json.dumps({"name": layer.__name__, "why": why}))
