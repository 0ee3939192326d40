"""The dice of a cell: all that the zygote's libraries have inherited is thrown anew.

Where the warden was given a seed, the bytes that they ask for are the same in every cell (`libdice`
sees to that), and so is everything that is made from them here.
"""

import ctypes
import gc
import os
import random
import sys

import belljar_imports

_libc = ctypes.CDLL(None)
#: Generators that libraries made when they were imported.
_generators: list[random.Random] = []


def find() -> None:
    """Called in the zygote, once all is imported."""
    _generators[:] = [o for o in gc.get_objects() if issubclass(type(o), random.Random)]


def throw() -> None:
    """Called in a cell, before its first code."""
    begin = getattr(_libc, "belljar_begin", None)
    if begin is not None:
        begin()
        belljar_imports.after("tensorflow", seed_tensorflow)
    for generator in _generators:
        generator.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    _libc.srand(random.SystemRandom().getrandbits(32))


def seed_tensorflow(tensorflow) -> None:
    """It asks a device for its dice, which nobody can seed."""
    tensorflow.random.set_seed(int(os.environ.get("BELLJAR_SEED", 0)) % 2**31)
