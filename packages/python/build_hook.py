"""Adds the programs to the wheel, and the platform for which they were built to its name.

`make wheel` builds them and copies them to src/belljar/programs.
"""

import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No distribution with Python 3.10 or newer has an older C library.
OLDEST = 17


def glibc(files: list[Path]) -> int:
    """The minor version of the newest GNU C library whose symbols the files need."""
    found = OLDEST
    for file in files:
        listing = subprocess.run(
            ["readelf", "--version-info", "--wide", file], check=True, capture_output=True, text=True
        )
        found = max([found, *map(int, re.findall(r"\bGLIBC_2\.(\d+)", listing.stdout))])
    return found


class Programs(BuildHookInterface[Any]):
    """Named by pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        folder = Path(self.root) / "src/belljar/programs"
        files = sorted(folder.glob("*"))
        if not files:
            raise SystemExit(f"{folder} has no programs: run `make wheel` in the root of the repository")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_{glibc(files)}_{platform.machine()}"
        # They are ignored by git, and would be left out.
        build_data["artifacts"].append("src/belljar/programs/*")
