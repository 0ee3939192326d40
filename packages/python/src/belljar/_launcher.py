"""The command `belljar`: becomes the program in this package."""

import os
import sys

from belljar._programs import program


def main() -> None:
    path = program()
    os.execv(path, ["belljar", *sys.argv[1:]])
