"""Processes that `multiprocessing` starts from nothing (`spawn`, `forkserver`) find the code's own functions.

In a script they import its file, which keeps them from starting processes in turn by
`if __name__ == "__main__":`. Code in a cell has no file, so it gets one when the first such process is started. It has
the code of this run where that has the line, and otherwise what it defines; and what earlier runs have defined, which
would print and compute again. It is removed at the end of the run.
"""

import os
import tempfile

import belljar_imports

#: The code of each run that came before, and that of the run that goes on.
_runs: list[str] = []
_code = ""
_file: str | None = None

#: What a new process begins with. Imports, functions, classes and assignments are definitions. One that fails is
#: left out: it may need what a statement between them has made.
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


def begin(code: str) -> None:
    global _code
    if _code:
        _runs.append(_code)
    _code = code


def end() -> None:
    global _file
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
        if "init_main_from_name" not in data and "init_main_from_path" not in data:
            data["init_main_from_path"] = path()
        return data

    spawn.get_preparation_data = get_preparation_data


def path() -> str:
    global _file
    if _file is None or not os.path.exists(_file):
        handle, _file = tempfile.mkstemp(suffix=".py", prefix="main-")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(DEFINE)
            for code in _runs:
                file.write(f"_define({code!r})\n")
            file.write(RUN.format(code=_code) if is_guarded(_code) else f"_define({_code!r})\n")
    return _file


def is_guarded(code: str) -> bool:
    return "__name__" in code and "__main__" in code
