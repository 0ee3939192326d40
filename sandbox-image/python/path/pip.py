"""What answers to `pip` in a cell. Code that only asks whether it is there, and which, may go on."""

import sys

__version__ = "0"


def main(arguments: list[str] | None = None) -> None:
    sys.exit(
        "ERROR: nothing can be installed here: the sandbox has no network, and its libraries are fixed. "
        "Use one that is there, or write what you need in plain Python."
    )


if __name__ == "__main__":
    main()
