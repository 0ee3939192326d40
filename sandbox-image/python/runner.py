"""Runs code inside a cell, one piece after another, in one namespace.

It does not trust the code that it runs, and the warden does not trust it: the code shares its interpreter and can
manipulate it. It reports only whether the code raised an exception, and which limit that was about; code
that wants to fake this could as well catch the exception. How a process ended, how long it took and what
it wrote are observed from outside.

    control, descriptor 3:  u32 length + code in, one byte out: 0 ended, 1 raised, or the limit (`LIMITS`)
    display, descriptor 4:  u32 length + image out
"""

import _signal
import _thread
import builtins
import ctypes
import errno
import gc
import linecache
import os
import struct
import sys
import threading
import traceback
import types

import belljar_dice
import belljar_display
import belljar_files
import belljar_hidden
import belljar_pages
import belljar_spawn
import belljar_streams

CONTROL = 3
#: File name of all code, as in the tracebacks of Gemini's own environment.
FILE = "<string>"

ENDED, RAISED = 0, 1
#: The limit that an exception was about.
MEMORY, PROCESSES, OPEN_FILES, FILE_BYTES, DISK = 2, 3, 4, 5, 6
LIMITS = {
    errno.ENOMEM: MEMORY,
    errno.EMFILE: OPEN_FILES,
    errno.EFBIG: FILE_BYTES,
    errno.ENOSPC: DISK,
}
#: Each status as it is sent.
STATUSES = [bytes([status]) for status in range(DISK + 1)]
#: Maximum number of chained exceptions that are examined.
CHAIN = 100
#: The initial work directory. The code may change to another.
workspace = ""

#: Where the standard library and joblib register threads that they join when the interpreter exits.
EXECUTORS = [
    ("concurrent.futures.thread", "_threads_queues"),
    ("concurrent.futures.process", "_threads_wakeups"),
    ("joblib.externals.loky.process_executor", "_threads_wakeups"),
]

#: Bound here, before code can replace them, with all of `builtins` that this file uses.
globals().update({name: one for name, one in vars(builtins).items() if not name.startswith("__")})
_read, _write, _exit, _getpid = os.read, os.write, os._exit, os.getpid
_set_blocking = os.set_blocking
_exec, _compile, _audit = builtins.exec, builtins.compile, sys.audit
_Traceback, _Stack = traceback.TracebackException, traceback.StackSummary
_count_threads, _flush_all = _thread._count, ctypes.CDLL(None).fflush
_signal_handler, _set_signal_handler, _SIGINT = _signal.getsignal, _signal.signal, _signal.SIGINT
#: The code's handler of SIGINT, which it may have replaced.
_interrupt_handler = _signal.default_int_handler
#: Whether SIGINT came while no code ran, since this process began to wait for code.
_is_interrupted = False


def prepare() -> None:
    """The part that does not need a cell. Called in the zygote."""
    belljar_streams.install()
    belljar_display.install()
    belljar_files.install()
    belljar_spawn.install()
    # For the code: the arguments of a script, without a script.
    sys.argv = [""]


def serve() -> None:
    """Runs code until the control channel is closed. Never returns."""
    settle_in()
    belljar_dice.reseed()
    for channel in (CONTROL, belljar_display.DISPLAY):
        os.set_inheritable(channel, False)  # not inherited by programs that the code executes
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    belljar_hidden.prepare()
    _set_signal_handler(_SIGINT, ignore)
    gc.freeze()  # existing objects are not the code's, so `complete` skips them
    belljar_pages.make_ready(CONTROL)
    home, count = _getpid(), 0
    while (code := receive()) is not None:
        count += 1
        gc.enable()
        if count > 1:
            belljar_streams.repair()
        belljar_spawn.codes.append(code)
        status = run(code, FILE if count == 1 else f"<string {count}>", main.__dict__)
        if _getpid() != home:
            write_out()
            _exit(int(status != ENDED))  # a fork that reached the end of the code
        try:
            failure = finish()
        except BaseException:  # noqa: BLE001: the code may have broken its dependencies
            _exit(1)
        if status == ENDED and failure is not None:
            status = reason(failure)
        if belljar_spawn.file is not None:
            belljar_spawn.remove_file()
        _audit("belljar.end")  # an audit hook of the code that always fails fails here
        try:
            _write(CONTROL, STATUSES[status])
        except OSError:
            _exit(int(status != ENDED))  # the code closed it; the exit code carries the status
    _exit(0)


def settle_in() -> None:
    """Makes modules in the work directory importable and, on a shared root, uses the cell's own folder for
    temporary files."""
    global workspace
    workspace = sys.path[0] = os.getcwd()
    scratch = os.path.join(os.path.dirname(workspace), "tmp")
    if scratch != "/tmp":
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch


def receive() -> str | None:
    global _is_interrupted
    _is_interrupted = False
    _set_blocking(CONTROL, True)  # the code may have changed it
    header = read_exactly(4)
    code = header and read_exactly(struct.unpack("!I", header)[0])
    # Not with the codec `utf-8-sig`, which is a module that would have to be imported first.
    return None if code is None else code.decode().removeprefix("\ufeff")


def read_exactly(length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        try:
            piece = _read(CONTROL, length - len(data))
        except Exception:  # noqa: BLE001: raised by a signal handler of the code
            continue
        if not piece:
            return None
        data += piece
    return data


def run(code: str, name: str, scope: dict) -> int:
    """Returns the status. After an exception the traceback is on standard error."""
    ended: BaseException | None = None
    try:
        # Tracebacks and `inspect` read the source from here.
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    except Exception:  # noqa: BLE001: earlier code may have broken it
        pass
    try:
        compiled = _compile(code, name, "exec", dont_inherit=True)
        if "import" in code:
            belljar_hidden.hide_from(compiled.co_names)
        allow_interrupts()
        _exec(compiled, scope)
        if _count_threads() > 0:
            join_threads()
    except BaseException as error:  # noqa: BLE001: raised by the code
        ended = error
    while True:
        try:
            refuse_interrupts()
            break
        except BaseException:  # noqa: BLE001: a signal that came at the end of the code
            pass
    if ended is None:
        return ENDED
    if isinstance(ended, SystemExit):
        message = exit_message(ended.code)
        if message is not None:
            complain(message)
        return ENDED if message is None else RAISED
    complain(explain(ended))
    return reason(ended)


def allow_interrupts() -> None:
    """From here on SIGINT is the code's: its own handler is called, or `KeyboardInterrupt` is raised in it."""
    _set_signal_handler(_SIGINT, _interrupt_handler)
    if _is_interrupted:
        raise KeyboardInterrupt  # it came before the code began


def refuse_interrupts() -> None:
    """From here on SIGINT has no effect: it came too late for the code, and would end this process. A handler that the
    code has set stays for its next run."""
    global _interrupt_handler
    handler = _signal_handler(_SIGINT)
    _set_signal_handler(_SIGINT, ignore)
    if handler is not None and handler is not ignore:
        _interrupt_handler = handler


def ignore(*_) -> None:
    global _is_interrupted
    _is_interrupted = True


def reason(error: BaseException | None) -> int:
    """The limit that an exception, or one in its chain, is about."""
    try:
        for _ in range(CHAIN):
            if error is None:
                break
            if isinstance(error, MemoryError):
                return MEMORY
            if isinstance(error, OSError) and error.errno in LIMITS:
                return LIMITS[error.errno]
            if isinstance(error, (BlockingIOError, RuntimeError)) and is_failed_start(error):
                return PROCESSES
            error = error.__cause__ or error.__context__
    except BaseException:  # noqa: BLE001: the code's classes may do anything
        pass
    return RAISED


def is_failed_start(error: BaseException) -> bool:
    """Whether a process or a thread could not be started. The error number of the former is also that of a
    read that would block."""
    if isinstance(error, RuntimeError):
        return error.args == ("can't start new thread",)
    *_, last = traceback.walk_tb(error.__traceback__)
    frame, line = last
    source = linecache.getline(frame.f_code.co_filename, line)
    return any(word in source for word in ("fork", "spawn"))


def exit_message(code: object) -> str | None:
    """The message for the argument of `sys.exit`, a number or a text; `None` on success."""
    if code is None or (isinstance(code, int) and code == 0):
        return None
    try:
        text = "" if isinstance(code, int) else str(code)
        return text or f"Exited with code {int(code or 1)}"
    except BaseException:  # noqa: BLE001: `sys.exit` accepts any object
        return "Exited with code 1"


def join_threads() -> None:
    """A script does not end before its threads do, except daemons and the workers of executors, which wait
    for work until the interpreter exits."""
    workers = set()
    for module, threads in EXECUTORS:
        workers.update(getattr(sys.modules.get(module), threads, ()))
    for thread in threading.enumerate():
        if not thread.daemon and thread not in workers and thread is not threading.main_thread():
            thread.join()


def explain(error: BaseException) -> str:
    """A traceback with the code's own lines only."""
    try:
        return "".join(own_lines(error).format()).rstrip("\n")
    except BaseException:  # noqa: BLE001: the code may have broken `traceback`
        return f"{type(error).__name__} (its traceback could not be made)"


def own_lines(error: BaseException) -> traceback.TracebackException:
    traceback = _Traceback.from_exception(error, compact=True)
    seen, todo = set(), [traceback]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack = _Stack.from_list([f for f in one.stack if is_own(f.filename)])
        for frame in one.stack:
            if frame.line is not None and frame.filename.startswith("<string "):
                frame.filename = FILE  # its source has been read by now
        todo += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    return traceback


def is_own(name: str) -> bool:
    return name == FILE or name.startswith(("<string ", workspace + "/"))


def complain(text: str) -> None:
    """Writes after the code's own standard error, even if it has replaced `sys.stderr`."""
    try:
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001: the code may have closed, replaced or deleted it
        pass
    data = (text + "\n").encode(errors="backslashreplace")
    while data:
        data = data[_write(2, data) :]


def finish() -> BaseException | None:
    """What happens at the end of a script: shows figures and flushes buffers. Returns the first error."""
    failure = None
    display = sys.modules.get("belljar_display")
    try:
        if display is not None:
            display.show_open_figures()
    except BaseException as error:  # noqa: BLE001: drawing runs the code's objects
        failure = error
        complain(f"A figure could not be drawn: {describe(error)}")
    for error in write_out():
        failure = failure or error
        complain(f"A file that was left open could not be written: {describe(error)}")
    return failure


def write_out() -> list[OSError]:
    """Flushes all buffers: files first, because one of them may write to standard output."""
    try:
        failures = belljar_files.complete()
    except BaseException:  # noqa: BLE001: the code may have broken its dependencies
        failures = []
    belljar_streams.flush()
    _flush_all(None)
    return failures


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001: the code's classes may do anything
        return type(error).__name__
