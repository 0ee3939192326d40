"""Prints the numbers of the system calls that get past the filter, as JSON.

Each is made with meaningless arguments, in a child that may die from it.
"""

import ctypes
import json
import os
import select
import signal
import struct

COUNT = 600
REFUSED = {1, 38, 95}  # EPERM, ENOSYS, EOPNOTSUPP
#: A call that takes longer is blocked.
PATIENCE_S = 0.1

libc = ctypes.CDLL(None, use_errno=True)


def probe(first: int, report: int) -> None:
    """Reports the number before each call, and whether it was refused after it."""
    senseless = [ctypes.c_ulong(-1)] * 6
    for number in range(first, COUNT):
        os.write(report, struct.pack("i", number))
        ctypes.set_errno(0)
        failed = libc.syscall(ctypes.c_long(number), *senseless) == -1
        os.write(report, struct.pack("i", failed and ctypes.get_errno() in REFUSED))
    os._exit(0)


past, number = [], 0
while number < COUNT:
    report_in, report_out = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        probe(number, report_out)
    os.close(report_out)
    while select.select([report_in], [], [], PATIENCE_S)[0] and (word := os.read(report_in, 4)):
        number = struct.unpack("i", word)[0]
        answer = select.select([report_in], [], [], PATIENCE_S)[0] and os.read(report_in, 4)
        if not answer or not struct.unpack("i", answer)[0]:
            past.append(number)
        number += 1
        if not answer:
            break
    os.close(report_in)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(json.dumps(past))
