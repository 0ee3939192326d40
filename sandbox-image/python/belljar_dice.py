"""Reseeds the random generators that a cell inherits from the zygote.

If the warden has a seed, the bytes that they are seeded with are the same in every cell (`libdice`
supplies them), and so are the random numbers.
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
#: Generators that libraries created on import.
_generators: list[random.Random] = []
#: Address and length of the state of NumPy's own generator, if known.
_numpy_state: tuple[int, int] | None = None


def find() -> None:
    """Called in the zygote, after all imports."""
    global _numpy_state
    _generators[:] = [o for o in gc.get_objects() if issubclass(type(o), random.Random)]
    _numpy_state = find_numpy_state() if "numpy" in sys.modules else None


def find_numpy_state() -> tuple[int, int] | None:
    """Seeding NumPy's generator takes half a millisecond in a fresh fork, most of it page faults. The
    result is just 624 random words, so the cell writes them directly."""
    numpy = sys.modules["numpy"]
    numpy.random.seed()
    generator = numpy.random.get_bit_generator()
    address, key = generator.ctypes.state_address, generator.state["state"]["key"].tobytes()
    return (address, len(key)) if ctypes.string_at(address, len(key)) == key else None


def reseed() -> None:
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
    """TensorFlow gets its seed from a device, which cannot be seeded."""
    tensorflow.random.set_seed(int(os.environ.get("BELLJAR_SEED", 0)) % 2**31)
