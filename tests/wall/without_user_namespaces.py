#!/usr/bin/env python3
"""Runs a command as on a machine with fewer features: without user namespaces and without permission to
mount. With `--without-landlock` there is no Landlock either; with `--as-in-docker` no cgroup can be
created, and root has the capabilities of Docker's root. Requires root; changes only its own namespaces.

    without_user_namespaces.py [--without-landlock | --as-in-docker] COMMAND...
"""

import ctypes
import os
import platform
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
NEW_USERS, NEW_MOUNTS, BIND, REC = 0x10000000, 0x20000, 0x1000, 0x4000
SYS_ADMIN, DROP, NO_NEW_PRIVS, SET_SECCOMP, FILTER = 21, 24, 38, 22, 2
ENOSYS = 38
#: The capabilities of Docker's root by default, by number.
DOCKER_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}


def must(answer: int) -> None:
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become_root_of_a_namespace() -> None:
    """Keeps all user ids, and loses every privilege outside the namespace."""
    ready, go = os.pipe()
    me = os.getpid()
    if os.fork() == 0:
        os.read(ready, 1)
        for kind in ("uid", "gid"):
            with open(f"/proc/{me}/{kind}_map", "w") as file:
                file.write("0 0 4294967295")
        os._exit(0)
    must(libc.unshare(NEW_USERS | NEW_MOUNTS))
    os.write(go, b"!")
    _, status = os.wait()
    assert status == 0, "could not write the maps"
    os.close(ready)
    os.close(go)


def show_home() -> None:
    """The interpreter, its libraries and this checkout may be in folders that only root can read."""
    home, here = os.path.expanduser("~"), os.getcwd()
    kept = os.open(home, os.O_PATH)
    must(libc.mount(b"home", home.encode(), b"tmpfs", 0, b"mode=755"))
    shown = {".pyenv", ".cache"}
    if here.startswith(home + "/"):
        shown.add(os.path.relpath(here, home).split("/")[0])
    for name in shown:
        source = f"/proc/self/fd/{kept}/{name}"
        if os.path.isdir(source):
            os.mkdir(f"{home}/{name}")
            must(libc.mount(source.encode(), f"{home}/{name}".encode(), None, BIND | REC, None))
    os.chdir(here)


def disable_landlock() -> None:
    """Makes its three system calls fail with ENOSYS."""
    load, equal, give = 0x20, 0x15, 0x06
    first, last = 444, 446
    program = [
        (load, 0, 0, 0),
        *[(equal, last - call + 1, 0, call) for call in range(first, last + 1)],
        (give, 0, 0, 0x7FFF0000),
        (give, 0, 0, 0x00050000 | ENOSYS),
    ]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    must(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    must(libc.prctl(SET_SECCOMP, FILTER, ctypes.create_string_buffer(head), 0, 0))


def restrict_as_in_docker() -> None:
    must(libc.mount(b"none", b"/sys/fs/cgroup", b"tmpfs", 0, None))
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in set(range(last + 1)) - DOCKER_CAPABILITIES:
        must(libc.prctl(DROP, capability, 0, 0, 0))


def main(arguments: list[str]) -> None:
    assert platform.machine() in ("x86_64", "aarch64"), "unsupported machine"
    become_root_of_a_namespace()
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
    show_home()
    option, *command = arguments if arguments[0].startswith("--") else ["", *arguments]
    if option == "--as-in-docker":
        restrict_as_in_docker()
    must(libc.prctl(DROP, SYS_ADMIN, 0, 0, 0))
    if option == "--without-landlock":
        disable_landlock()
    os.execvp(command[0], command)


main(sys.argv[1:])
