"""Runs code inside a cell, one piece after another, in one namespace.

It trusts nothing that it runs and is trusted by nobody: the code shares its interpreter and can do
with it what it likes. That the code raised, or did not, and which limit its exception was about, is
all it says, and whoever wants to lie about that could have caught the exception. How a process
ended, how long it took and what it wrote is seen from outside.

    control, descriptor 3:  u32 length + code in, one byte out: 0 ended, 1 raised, or what of (`LIMITS`)
    display, descriptor 4:  u32 length + picture out
"""

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
#: The name of all code from outside, as in the tracebacks of Gemini's own environment.
FILE = "<string>"

ENDED, RAISED = 0, 1
#: What an exception was about, where it came of a limit.
MEMORY, PROCESSES, OPEN_FILES, FILE_BYTES, DISK = 2, 3, 4, 5, 6
LIMITS = {
    errno.ENOMEM: MEMORY,
    errno.EMFILE: OPEN_FILES,
    errno.EFBIG: FILE_BYTES,
    errno.ENOSPC: DISK,
}
#: Each of them as it is sent.
WORDS = [bytes([word]) for word in range(DISK + 1)]
#: Of a chain of exceptions, as many are looked at.
CHAIN = 100
#: Where the code is, which it may leave.
workspace = ""

#: Where the standard library and joblib note the threads that they end when the interpreter does.
EXECUTORS = [
    ("concurrent.futures.thread", "_threads_queues"),
    ("concurrent.futures.process", "_threads_wakeups"),
    ("joblib.externals.loky.process_executor", "_threads_wakeups"),
]

#: Bound before any code can replace them, as is all of `builtins` that this file uses.
globals().update({name: one for name, one in vars(builtins).items() if not name.startswith("__")})
_read, _write, _exit, _getpid = os.read, os.write, os._exit, os.getpid
_set_blocking = os.set_blocking
_exec, _compile, _audit = builtins.exec, builtins.compile, sys.audit
_Told, _Stack = traceback.TracebackException, traceback.StackSummary
_count_threads, _flush_all = _thread._count, ctypes.CDLL(None).fflush


def prepare() -> None:
    """The part that needs no cell: called in the zygote."""
    belljar_streams.install()
    belljar_display.install()
    belljar_files.install()
    belljar_spawn.install()
    # Of the code, not of the zygote: arguments of a script, no script.
    sys.argv = [""]


def serve() -> None:
    """Runs what comes in until nothing comes any more. Never returns."""
    settle_in()
    belljar_dice.throw()
    for channel in (CONTROL, belljar_display.DISPLAY):
        os.set_inheritable(channel, False)  # another program in this process has no part in it
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    belljar_hidden.prepare()
    gc.freeze()  # what is there already is none of the code's, and is not looked through at the end
    belljar_pages.make_ready(CONTROL)
    home, count = _getpid(), 0
    while (code := receive()) is not None:
        count += 1
        gc.enable()
        if count > 1:
            belljar_streams.repair()
        belljar_spawn.codes.append(code)
        word = run(code, FILE if count == 1 else f"<string {count}>", main.__dict__)
        if _getpid() != home:
            write_out()
            _exit(int(word != ENDED))  # a fork of the code that came to the code's end
        try:
            failure = finish()
        except BaseException:  # noqa: BLE001: the code has broken what it needs
            _exit(1)
        if word == ENDED and failure is not None:
            word = reason(failure)
        if belljar_spawn.file is not None:
            belljar_spawn.remove_file()
        _audit("belljar.end")  # a hook of the code's that breaks everything breaks this
        try:
            _write(CONTROL, WORDS[word])
        except OSError:
            _exit(int(word != ENDED))  # the code closed it; how this process ends says as much
    _exit(0)


def settle_in() -> None:
    """Modules beside the code are found, and on a shared root the cell's own folder for what does not
    last."""
    global workspace
    workspace = sys.path[0] = os.getcwd()
    scratch = os.path.join(os.path.dirname(workspace), "tmp")
    if scratch != "/tmp":
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch


def receive() -> str | None:
    _set_blocking(CONTROL, True)  # the code may have made it otherwise
    header = read_exactly(4)
    code = header and read_exactly(struct.unpack("!I", header)[0])
    # Not by the codec `utf-8-sig`, which is a module that would have to be found first.
    return None if code is None else code.decode().removeprefix("\ufeff")


def read_exactly(length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        try:
            piece = _read(CONTROL, length - len(data))
        except Exception:  # noqa: BLE001: of a signal handler that the code has left
            continue
        if not piece:
            return None
        data += piece
    return data


def run(code: str, name: str, scope: dict) -> int:
    """How it ended. Where it raised, the traceback is on standard error."""
    try:
        # Tracebacks and `inspect` find the source here.
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    except Exception:  # noqa: BLE001: the code before this one may have broken it
        pass
    try:
        compiled = _compile(code, name, "exec", dont_inherit=True)
        if "import" in code:
            belljar_hidden.hide_from(compiled.co_names)
        _exec(compiled, scope)
        if _count_threads() > 0:
            join_threads()
    except SystemExit as end:
        words = last_words(end.code)
        if words is not None:
            complain(words)
        return ENDED if words is None else RAISED
    except BaseException as error:  # noqa: BLE001: whatever it is, it is the code's own
        complain(explain(error))
        return reason(error)
    return ENDED


def reason(error: BaseException | None) -> int:
    """Which limit an exception, or the one that it came of, is about."""
    try:
        for _ in range(CHAIN):
            if error is None:
                break
            if isinstance(error, MemoryError):
                return MEMORY
            if isinstance(error, OSError) and error.errno in LIMITS:
                return LIMITS[error.errno]
            if isinstance(error, (BlockingIOError, RuntimeError)) and is_of_starting(error):
                return PROCESSES
            error = error.__cause__ or error.__context__
    except BaseException:  # noqa: BLE001: the code's own classes may do anything
        pass
    return RAISED


def is_of_starting(error: BaseException) -> bool:
    """Whether it comes of a process or a thread that could not be started. The error number of the
    former is also that of a read that would have to wait."""
    if isinstance(error, RuntimeError):
        return error.args == ("can't start new thread",)
    *_, last = traceback.walk_tb(error.__traceback__)
    frame, line = last
    source = linecache.getline(frame.f_code.co_filename, line)
    return any(word in source for word in ("fork", "spawn"))


def last_words(code: object) -> str | None:
    """What `sys.exit` was given, a number or a text that says why; `None` where it went well."""
    if code is None or (isinstance(code, int) and code == 0):
        return None
    try:
        text = "" if isinstance(code, int) else str(code)
        return text or f"Exited with code {int(code or 1)}"
    except BaseException:  # noqa: BLE001: any object will do for `sys.exit`
        return "Exited with code 1"


def join_threads() -> None:
    """A script does not end before its threads do: daemons excepted, and the workers of executors,
    which wait for more work for as long as the interpreter lives."""
    workers = set()
    for module, threads in EXECUTORS:
        workers.update(getattr(sys.modules.get(module), threads, ()))
    for thread in threading.enumerate():
        if not thread.daemon and thread not in workers and thread is not threading.main_thread():
            thread.join()


def explain(error: BaseException) -> str:
    """A traceback of the code's own lines: none of ours, none of the libraries'."""
    try:
        return "".join(own_lines(error).format()).rstrip("\n")
    except BaseException:  # noqa: BLE001: the code may have broken what this is made of
        return f"{type(error).__name__} (its traceback could not be made)"


def own_lines(error: BaseException) -> traceback.TracebackException:
    told = _Told.from_exception(error, compact=True)
    seen, todo = set(), [told]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack = _Stack.from_list([f for f in one.stack if is_own(f.filename)])
        for frame in one.stack:
            if frame.line is not None and frame.filename.startswith("<string "):
                frame.filename = FILE  # its source has been looked up by now
        todo += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    return told


def is_own(name: str) -> bool:
    return name == FILE or name.startswith(("<string ", workspace + "/"))


def complain(text: str) -> None:
    """Below what the code wrote to standard error, whatever it made of `sys.stderr`."""
    try:
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001: the code may have closed, replaced or deleted it
        pass
    data = (text + "\n").encode(errors="backslashreplace")
    while data:
        data = data[_write(2, data) :]


def finish() -> BaseException | None:
    """What would happen at the end of a script: figures are shown, buffers written. What went wrong."""
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
    """All that waits in buffers: of files first, for one of them may be another way to standard output."""
    try:
        failures = belljar_files.complete()
    except BaseException:  # noqa: BLE001: the code may have broken what this is made of
        failures = []
    belljar_streams.flush()
    _flush_all(None)
    return failures


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001: the code's own classes may do anything
        return type(error).__name__
