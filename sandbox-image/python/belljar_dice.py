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
_libc.getrandom.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
_libc.getrandom.restype = ctypes.c_ssize_t
#: Generators that libraries made when they were imported.
_generators: list[random.Random] = []
#: Where the state of NumPy's own generator lies, address and length, if that is known.
_numpy_state: tuple[int, int] | None = None


def find() -> None:
    """Called in the zygote, once all is imported."""
    global _numpy_state
    _generators[:] = [o for o in gc.get_objects() if issubclass(type(o), random.Random)]
    _numpy_state = find_numpy_state() if "numpy" in sys.modules else None


def find_numpy_state() -> tuple[int, int] | None:
    """To have NumPy seed its generator takes half a millisecond in a fresh fork, most of it faults. What it
    comes to is 624 words of noise."""
    numpy = sys.modules["numpy"]
    numpy.random.seed()
    generator = numpy.random.get_bit_generator()
    address, key = generator.ctypes.state_address, generator.state["state"]["key"].tobytes()
    return (address, len(key)) if ctypes.string_at(address, len(key)) == key else None


def throw() -> None:
    """Called in a cell, before its first code."""
    begin = getattr(_libc, "belljar_begin", None)
    if begin is not None:
        begin()
        belljar_imports.after("tensorflow", seed_tensorflow)
    for generator in _generators:
        generator.seed()
    if _numpy_state is None or _libc.getrandom(*_numpy_state, 0) != _numpy_state[1]:
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
    _libc.srand(int.from_bytes(os.urandom(4)))


def seed_tensorflow(tensorflow) -> None:
    """It asks a device for its dice, which nobody can seed."""
    tensorflow.random.set_seed(int(os.environ.get("BELLJAR_SEED", 0)) % 2**31)
