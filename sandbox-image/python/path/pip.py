"""What answers to `pip` in a cell."""

import sys

sys.exit(
    "ERROR: nothing can be installed here: the sandbox has no network, and its libraries are fixed. "
    "Use one that is there, or write what you need in plain Python."
)
