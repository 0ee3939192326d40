"""Makes scripts from the examples in the documentation of Python and its libraries, one JSON object per line.

Each is self-contained: it begins with the names that its documentation assumes, and prints what an interactive
interpreter would show. Their order is unrelated to where they come from, and is the same on every machine with the
same libraries.

    extract.py SITE-PACKAGES
"""

import ast
import builtins
import doctest
import hashlib
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

#: Skipped: the import alone exceeds a snippet's time limit, or a display is needed.
LEFT_OUT = {"tensorflow", "keras", "turtle.py", "turtledemo", "tkinter", "idlelib", "lib2to3"}
#: Documentation strings. Examples are in no other kind of string.
STRING = re.compile(r'[rR]?"""(?:[^"\\]|\\.|"(?!""))*"""|[rR]?\'\'\'(?:[^\'\\]|\\.|\'(?!\'\'))*\'\'\'', re.DOTALL)
#: The beginning of every script, after the names of its module.
PROLOGUE = "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt\n"
#: What an interactive interpreter does with a value.
SHOW = "def show(value):\n    if value is not None:\n        print(repr(value))\n\n"

KNOWN = {*dir(builtins), "np", "pd", "plt"}
Example = doctest.Example


def main(site_packages: Path) -> None:
    warnings.simplefilter("ignore")  # about invalid escapes in the libraries
    seen = set()
    for name, code in snippets([site_packages, Path(sysconfig.get_path("stdlib"))]):
        if code not in seen:
            seen.add(code)
            print(json.dumps({"name": name, "code": code}), flush=True)


def snippets(roots: list[Path]) -> Iterator[tuple[str, str]]:
    files = [(path.relative_to(root), path) for root in roots for path in root.rglob("*.py")]
    for inside, path in sorted(files, key=lambda file: shuffled(str(file[0]))):
        if inside.parts[0] in LEFT_OUT or "site-packages" in inside.parts:
            continue
        text = path.read_text(errors="replace")
        if ">>> " not in text:
            continue
        module = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        for match in STRING.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            for piece in pieces(match[0]):
                if code := script(module, piece):
                    yield f"{inside}:{line + piece[0].lineno}", code


def shuffled(name: str) -> bytes:
    """A key for an order unrelated to the alphabet."""
    return hashlib.sha256(name.encode()).digest()


def pieces(literal: str) -> list[list[Example]]:
    """The examples of one docstring, split where the following ones do not depend on the earlier ones."""
    if ">>> " not in literal:
        return []
    try:
        parts = doctest.DocTestParser().parse(ast.literal_eval(literal))
    except (ValueError, SyntaxError):
        return []
    found, paragraph = [], []
    for part in [*parts, "the end"]:
        if isinstance(part, Example):
            paragraph.append(part)
        elif part.strip() and paragraph:
            if found and not stands_alone(paragraph):
                found[-1] += paragraph
            else:
                found.append(paragraph)
            paragraph = []
    return found


def stands_alone(paragraph: list[Example]) -> bool:
    bound = set(KNOWN)
    for example in paragraph:
        try:
            nodes = list(ast.walk(ast.parse(example.source)))
        except SyntaxError:
            return False
        for node in nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    bound.add(name)
                case ast.alias(name=name, asname=asname):
                    bound.add(asname or name.partition(".")[0])
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    bound.add(name)
        if any(isinstance(n, ast.Name) and n.id not in bound for n in nodes):
            return False
    return True


def script(module: str, piece: list[Example]) -> str | None:
    """A script that prints what the examples would show; `None` if they are not valid Python."""
    lines = []
    for example in piece:
        try:
            tree = Shown().visit(ast.parse(example.source))
        except SyntaxError:
            return None
        code = ast.unparse(ast.fix_missing_locations(tree))
        if example.exc_msg is not None:  # the example raises
            code = code.replace("\n", "\n    ")
            code = f"try:\n    {code}\nexcept Exception as error:\n    print(type(error).__name__, error)"
        lines.append(code)
    if all("://" not in line for line in lines):
        names = f"try:\n    from {module} import *\nexcept Exception:\n    pass\n"
        return names + PROLOGUE + SHOW + "\n".join(lines) + "\n"
    return None  # it needs the network


class Shown(ast.NodeTransformer):
    """Shows the value of every expression statement, except in functions and classes."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        return ast.Expr(ast.Call(ast.Name("show", ast.Load()), [node.value], []))

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef


if __name__ == "__main__":
    main(Path(sys.argv[1]))
