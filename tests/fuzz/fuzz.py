# The code of each cell, after SEED, ALLOWED and SECONDS: makes system calls with random numbers and
# arguments, in one child after another. The same seed makes the same calls.
# Prints a line for each child with the number of its calls.

import ctypes
import mmap
import os
import random
import select
import shutil
import signal
import socket
import struct
import tempfile
import time

CALLS_A_CHILD = 2000
#: A blocked call is interrupted after this long; a child that stays blocked is killed.
INTERRUPT_S = 0.005
PATIENCE_S = 0.2
ARENA_BYTES = 1 << 20
MACHINE = os.uname().machine
#: Calls that the filter allows with certain arguments only: `clone` and `ioctl`.
SOMETIMES = {"x86_64": [56, 16], "aarch64": [220, 29]}[MACHINE]
#: Calls that end or block the caller, used rarely: `exit`, `exit_group`, `pause`, `rt_sigreturn`,
#: `rt_sigsuspend`.
ENDS = {"x86_64": [60, 231, 34, 15, 130], "aarch64": [93, 94, 139, 133]}[MACHINE]
AT_FDCWD = -100
PATHS = [b"f", b"d", b"d/f", b"..", b"/", b"/tmp/x", b"/dev/zero", b"/dev/shm/s", b"/proc/self/exe"]
IOCTLS = [0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x5412, 0x8912, 0xAE00]

libc = ctypes.CDLL(None)
counter = mmap.mmap(-1, 8)


def child(rng: random.Random) -> None:
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, INTERRUPT_S, INTERRUPT_S)
    things = Things(rng)
    calls = 0
    while calls < CALLS_A_CHILD:
        number, arguments = draw(rng, things)
        calls += 1
        counter[:] = struct.pack("Q", calls)
        libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    os._exit(0)


class Things:
    """Objects that arguments can refer to: memory, and open files of every type."""

    def __init__(self, rng: random.Random) -> None:
        self.arena = mmap.mmap(-1, ARENA_BYTES)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.arena))
        # Words that could be pointers, lengths or flags, so that structures are plausible.
        words = [self.word(rng) & (1 << 64) - 1 for _ in range(512)]
        self.arena[: 8 * len(words)] = struct.pack(f"{len(words)}Q", *words)
        for at, path in enumerate(PATHS):
            start = ARENA_BYTES // 2 + 64 * at
            self.arena[start : start + len(path)] = path
        os.mkdir("d")
        self.kept = [socket.socketpair(), socket.socket(socket.AF_UNIX), select.epoll()]
        self.kept += [os.pipe(), os.eventfd(0), os.open("f", os.O_RDWR | os.O_CREAT)]
        self.kept += [os.open("d", os.O_RDONLY), os.open("/dev/zero", os.O_RDWR)]

    def word(self, rng: random.Random) -> int:
        match rng.randrange(12):
            case 0 | 1:
                return rng.randrange(24)  # a descriptor, a signal, a small flag
            case 2:
                return self.base + ARENA_BYTES // 2 + 64 * rng.randrange(len(PATHS))
            case 3:
                return self.base + rng.randrange(0, ARENA_BYTES, 8)
            case 4:
                return self.base + rng.randrange(0, ARENA_BYTES, 4096)
            case 5:
                return rng.choice([0, 8, 16, 64, 128, 4096, 65536, ARENA_BYTES])
            case 6:
                return 1 << rng.randrange(64)
            case 7:
                return rng.getrandbits(6) << rng.randrange(0, 32, 4)
            case 8:
                return rng.choice([-1, AT_FDCWD, -4096, 1 << 47, 0xFFFF800000000000])
            case 9:
                return rng.choice([1, 2, os.getpid(), os.getppid()])
            case 10:
                return rng.choice(IOCTLS)
            case _:
                return rng.getrandbits(64)


def draw(rng: random.Random, things: Things) -> tuple[int, list[int]]:
    number = rng.choice(ALLOWED + SOMETIMES)
    match rng.randrange(20):
        case 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8:
            number = rng.randrange(600)
        case 9:
            number |= rng.choice([1 << 30, 1 << 31, 1 << 32])
    if number in ENDS and rng.randrange(50):
        number = rng.choice(ALLOWED)
    return number, [things.word(rng) for _ in range(6)]


end, round, home = time.monotonic() + SECONDS, 0, ""
while time.monotonic() < end:
    # Changes of the previous child to its files must not affect this one.
    os.chmod("/workspace", 0o700)
    shutil.rmtree(home, ignore_errors=True)
    os.chdir(home := tempfile.mkdtemp(dir="/workspace"))
    counter[:] = bytes(8)
    gone, going = os.pipe()
    if os.fork() == 0:
        child(random.Random(f"{SEED} {round}"))
    os.close(going)
    select.select([gone], [], [], PATIENCE_S)
    os.close(gone)
    try:
        os.kill(-1, signal.SIGKILL)  # the child and its descendants
        while True:
            os.wait()
    except OSError:
        pass
    os.write(1, b"%d\n" % struct.unpack("Q", counter[:]))
    round += 1
