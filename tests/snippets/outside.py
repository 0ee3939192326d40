"""Runs scripts in an unconfined interpreter: their results are the expected ones for a cell. Reads one JSON object
per line, `{"code": …}`, and writes one.

Scripts get the environment of a cell: the same variables, the same preloaded modules, a process and an empty folder of
their own. A script that writes outside its folder, or uses the network or other processes, is ended.

    outside.py MODULE...
"""

import atexit
import gc
import importlib
import json
import linecache
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
import types
import warnings
from pathlib import Path

#: Slower scripts are skipped: CPU time, and wall-clock time for a busy machine.
CPU_LIMIT_S = 5
LIMIT_S = 25
#: Maximum of standard output, and of standard error, that is reported.
OUTPUT_BYTES = 1 << 20
#: Memory that a script may use in addition to the modules'.
MEMORY_BYTES = 2 << 30
#: The path in a cell that corresponds to the script's own folder.
WORKSPACE = "/workspace"
#: Exit code of a script that accessed anything outside.
REACHED_OUT = 77
#: Audit events whose first argument is a path.
CHANGES = {"os.remove", "os.rmdir", "os.rename", "os.mkdir", "os.chmod", "os.chown", "os.link"}
CHANGES |= {"os.symlink", "os.truncate", "os.utime", "shutil.rmtree"}
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
HERE = (None, "", "localhost", "127.0.0.1", "::1")


def main(modules: list[str]) -> None:
    # SIGINT is ignored if the tests run in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001: some modules exist only in cells
            pass
    warnings.resetwarnings()
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        # Not a TemporaryDirectory: scripts would remove it too when they end.
        folder = tempfile.mkdtemp()
        try:
            print(json.dumps(run(json.loads(line)["code"], Path(folder))), flush=True)
        finally:
            shutil.rmtree(folder)


def run(code: str, folder: Path) -> dict:
    (folder / "work").mkdir()
    child = os.fork()
    if child == 0:
        run_script(code, folder)
    handle = os.pidfd_open(child)
    ended = select.select([handle], [], [], LIMIT_S)[0]
    os.close(handle)
    for end in (os.killpg, os.kill):  # its descendants, and itself if it is not a group leader yet
        try:
            end(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ended or status == -signal.SIGXCPU:
        return {"left_out": "slow"}
    if status == REACHED_OUT:
        return {"left_out": "reaches out"}
    stdout, stderr = (
        (folder / name).read_bytes()[:OUTPUT_BYTES].decode(errors="replace")
        for name in ("stdout", "stderr")
    )
    stdout, stderr = (text.replace(str(folder / "work"), WORKSPACE) for text in (stdout, stderr))
    last = stderr.rstrip("\n").rpartition("\n")[2] if status > 0 else f"signal {-status}"
    return {"came": {"stdout": stdout, "failure": None if status == 0 else last}}


def run_script(code: str, folder: Path) -> None:
    """Runs the script in this process. Never returns."""
    os.setsid()
    for number, name in enumerate((os.devnull, folder / "stdout", folder / "stderr")):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    data = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data + MEMORY_BYTES,) * 2)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + CPU_LIMIT_S,) * 2)
    os.chdir(folder / "work")
    os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "work")
    sys.path[0], sys.argv = str(folder / "work"), [""]
    sys.addaudithook(lambda event, arguments: guard(folder, event, arguments))
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    linecache.cache["<string>"] = (len(code), None, code.splitlines(keepends=True), "<string>")
    gc.enable()
    failed = 0
    try:
        exec(compile(code, "<string>", "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        failed = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001: raised by the script
        traceback.print_exc()
        failed = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(failed)


def guard(folder: Path, event: str, arguments: tuple) -> None:
    match event, arguments:
        case "open", (path, _, flags):
            reached = flags & TO_WRITE and not beneath(folder, path)
        case ("os.kill" | "os.killpg"), (process, _):
            reached = abs(process) != os.getpid()
        case ("socket.connect" | "socket.bind" | "socket.sendto"), (_, (host, *_)):
            reached = host not in HERE
        case ("socket.getaddrinfo" | "socket.gethostbyname"), (host, *_):
            reached = host not in HERE
        case _, (path, *_) if event in CHANGES:
            reached = not beneath(folder, path)
        case _:
            return
    if reached:
        os._exit(REACHED_OUT)


def beneath(folder: Path, path: object) -> bool:
    """Whether it is in the script's own folder. Descriptors are allowed, because the script has opened them."""
    if isinstance(path, int):
        return True
    path = os.path.realpath(os.fsdecode(path))
    return path.startswith((f"{folder}/", "/dev/", "/proc/self/"))


if __name__ == "__main__":
    main(sys.argv[1:])
