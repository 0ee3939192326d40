"""Lets processes that `multiprocessing` starts without a fork (`spawn`, `forkserver`) find the code's functions.

In a script they import its file, and `if __name__ == "__main__":` keeps them from starting processes in turn. Code in
a cell has no file, so one is created when the first such process starts. It contains the whole code of this run if that
has the guard, otherwise only its definitions; and the definitions of earlier runs, because running their whole code
would print and compute again. It is removed at the end of the run.
"""

import os
import tempfile

import belljar_imports

#: The code of each run, the current one included.
codes: list[str] = []
#: Path of the created file, if a process was started.
file: str | None = None

#: Prelude of a new process. Imports, functions, classes and assignments count as definitions. One that fails is
#: skipped: it may depend on a statement between them.
DEFINE = """\
def _define(code):
    import ast
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    try:
        nodes = ast.parse(code).body
    except SyntaxError:
        return
    for node in nodes:
        if isinstance(node, kinds):
            try:
                exec(compile(ast.Module([node], []), "<string>", "exec", dont_inherit=True), globals())
            except BaseException:
                pass
"""
RUN = 'exec(compile({code!r}, "<string>", "exec", dont_inherit=True), globals())\n'


def install() -> None:
    belljar_imports.after("multiprocessing.spawn", give_main)


def remove_file() -> None:
    """Called at the end of the run."""
    global file
    path, file = file, None
    try:
        os.unlink(path)
    except OSError:  # the code has removed it
        pass


def give_main(spawn) -> None:
    prepare = spawn.get_preparation_data

    def get_preparation_data(name):
        data = prepare(name)
        if "init_main_from_name" not in data and "init_main_from_path" not in data:
            data["init_main_from_path"] = path()
        return data

    spawn.get_preparation_data = get_preparation_data


def path() -> str:
    global file
    if file is None or not os.path.exists(file):
        handle, file = tempfile.mkstemp(suffix=".py", prefix="main-")
        *earlier, code = codes
        with open(handle, "w", encoding="utf-8") as out:
            for one in (DEFINE, *(f"_define({one!r})\n" for one in earlier)):
                out.write(one)
            out.write(RUN.format(code=code) if is_guarded(code) else f"_define({code!r})\n")
    return file


def is_guarded(code: str) -> bool:
    return "__name__" in code and "__main__" in code
