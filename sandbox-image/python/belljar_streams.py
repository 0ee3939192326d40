"""The standard streams: `sys.stdin`, `sys.stdout` and `sys.stderr` as in a script whose output is piped.

They are created once, in the zygote. A stream records at creation whether its file can seek, and a cell's streams
are pipes: so they are created while the descriptors are pipes.
"""

import io
import os
import sys

#: Name, descriptor and mode of each.
STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


def install() -> None:
    """Called in the zygote."""
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    for name, descriptor, mode in STREAMS:
        kept = os.dup(descriptor)
        ends = os.pipe() if mode == "w" else (os.open(os.devnull, os.O_RDONLY),)
        try:
            os.dup2(ends[-1], descriptor)
            make(name, descriptor, mode, encoding, errors)
        finally:
            os.dup2(kept, descriptor)
            for end in (kept, *ends):
                os.close(end)


def make(name: str, descriptor: int, mode: str, encoding: str, errors: str) -> None:
    """Creates a stream as the interpreter does without buffering (`-u`), so that printed output is written
    however the process ends."""
    writes = mode == "w"
    binary = io.open(descriptor, mode + "b", buffering=0 if writes else -1, closefd=False)
    (binary if writes else binary.raw).name = f"<{name}>"
    stream = io.TextIOWrapper(
        binary,
        encoding=encoding,
        errors="backslashreplace" if name == "stderr" else errors,
        newline="\n" if writes else None,
        write_through=writes,
    )
    stream.mode = mode
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def flush() -> None:
    """Flushes the current streams and the original ones, which the code may still write to."""
    for name in ("stdout", "__stdout__", "stderr", "__stderr__"):
        try:
            getattr(sys, name).flush()
        except BaseException:  # noqa: BLE001: the code may have closed, replaced or deleted it
            pass


def repair() -> None:
    """Gives the next run usable streams if the last one closed or detached them."""
    for name, descriptor, mode in STREAMS:
        try:
            if not is_usable(getattr(sys, name, None)):
                make(name, descriptor, mode, "utf-8", "surrogateescape")
        except BaseException:  # noqa: BLE001: the code may have closed the descriptor
            pass


def is_usable(stream: object) -> bool:
    try:
        return stream is not None and not getattr(stream, "closed", False)
    except ValueError:  # it is detached
        return False
