"""Processes that `multiprocessing` starts from nothing (`spawn`, `forkserver`) find the code's own functions.

In a script they import its file. Code in a cell has no file, so it gets one when the first such process is
started: all code of the interaction so far, one run after another. It is removed at the end of the run.
"""

import os
import sys
import tempfile

import belljar_imports

#: The code of each run that came before, and whether it ran to its end; and that of the run that goes on.
_runs: list[tuple[str, bool]] = []
_code = ""
_file: str | None = None

#: What is said where a script would fail as well, some of them without an end.
UNGUARDED = (
    "a process that is started by 'spawn' or 'forkserver' runs this code again: put what starts it below "
    "`if __name__ == \"__main__\":`, or use multiprocessing.get_context(\"fork\")"
)
#: One run of the code, as the new process does it. A run that failed once may fail again.
ONE_RUN = """\
try:
    exec(compile({code!r}, "<string>", "exec", dont_inherit=True), globals())
except BaseException:
    if {ended}:
        raise
"""


def install() -> None:
    belljar_imports.after("multiprocessing.spawn", give_main)


def begin(code: str) -> None:
    global _code
    _code = code


def end(ended: bool) -> None:
    global _file
    _runs.append((_code, ended))
    if _file is not None:
        try:
            os.unlink(_file)
        except OSError:  # the code has removed it
            pass
        _file = None


def give_main(spawn) -> None:
    prepare = spawn.get_preparation_data

    def get_preparation_data(name):
        data = prepare(name)
        main = sys.modules.get("__main__")
        if "init_main_from_name" not in data and "init_main_from_path" not in data and main is not None:
            data["init_main_from_path"] = path()
        return data

    spawn.get_preparation_data = get_preparation_data


def path() -> str:
    global _file
    if "__main__" not in _code:
        raise RuntimeError(UNGUARDED)
    if _file is None or not os.path.exists(_file):
        handle, _file = tempfile.mkstemp(suffix=".py", prefix="main-")
        with open(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            for code, ended in [*_runs, (_code, True)]:
                file.write(ONE_RUN.format(code=code, ended=ended))
    return _file
