"""Makes scripts of the examples that come with Python and its libraries, one JSON object a line.

Each stands for itself: it begins with the names that its documentation takes for granted, and
prints what an interactive interpreter would show. Their order has nothing to do with where they
come from, and is the same on every machine that has the same libraries.

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

#: Not read: the import alone takes longer than a snippet may, or there is nothing to draw on.
LEFT_OUT = {"tensorflow", "keras", "turtle.py", "turtledemo", "tkinter", "idlelib", "lib2to3"}
#: Where documentation is found: examples are never in any other kind of string.
STRING = re.compile(r'[rR]?"""(?:[^"\\]|\\.|"(?!""))*"""|[rR]?\'\'\'(?:[^\'\\]|\\.|\'(?!\'\'))*\'\'\'', re.DOTALL)
#: What every script begins with, after the names of the module that it is about.
PROLOGUE = "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt\n"
#: What an interactive interpreter does with a value.
SHOW = "def show(value):\n    if value is not None:\n        print(repr(value))\n\n"

KNOWN = {*dir(builtins), "np", "pd", "plt"}
Example = doctest.Example


def main(site_packages: Path) -> None:
    warnings.simplefilter("ignore")  # of other people's escapes
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
    """An order that has nothing to do with the alphabet."""
    return hashlib.sha256(name.encode()).digest()


def pieces(literal: str) -> list[list[Example]]:
    """The examples of one documentation, cut wherever what follows needs nothing from before."""
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
    """A script that prints what the examples would show; none where they are no Python."""
    lines = []
    for example in piece:
        try:
            tree = Shown().visit(ast.parse(example.source))
        except SyntaxError:
            return None
        code = ast.unparse(ast.fix_missing_locations(tree))
        if example.exc_msg is not None:  # it is meant to raise
            code = code.replace("\n", "\n    ")
            code = f"try:\n    {code}\nexcept Exception as error:\n    print(type(error).__name__, error)"
        lines.append(code)
    if all("://" not in line for line in lines):
        names = f"try:\n    from {module} import *\nexcept Exception:\n    pass\n"
        return names + PROLOGUE + SHOW + "\n".join(lines) + "\n"
    return None  # it needs a network


class Shown(ast.NodeTransformer):
    """Every expression that stands for itself is shown; not so in functions, where it is not."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        return ast.Expr(ast.Call(ast.Name("show", ast.Load()), [node.value], []))

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef


if __name__ == "__main__":
    main(Path(sys.argv[1]))
