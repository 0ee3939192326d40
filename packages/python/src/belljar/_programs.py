"""Finds the programs."""

import shutil
from pathlib import Path

_FOLDER = Path(__file__).parent / "programs"


def program() -> str:
    """The path of `belljar`: the one in this package or, in an editable installation, on the PATH."""
    own = _FOLDER / "belljar"
    if own.is_file():
        return str(own)
    found = shutil.which("belljar")
    if found is None:
        raise FileNotFoundError(
            "no program `belljar`: this package was installed without its programs, and none is on the PATH"
        )
    return found
