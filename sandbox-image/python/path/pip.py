"""The module `pip` of a cell. Code that only checks for pip and its version can continue."""

import sys

__version__ = "0"


def main(arguments: list[str] | None = None) -> None:
    sys.exit(
        "ERROR: packages cannot be installed: the sandbox has no network, and its libraries are fixed. "
        "Use an installed library, or write what you need in plain Python."
    )


if __name__ == "__main__":
    main()
