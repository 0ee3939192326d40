"""Runs a function on a library right after its import, whether that has happened already or happens later."""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType


def after(name: str, act: Callable[[ModuleType], None]) -> None:
    """Calls `act` with the module, once."""
    if name in sys.modules:
        act(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Watch(name, act))


class _Watch:
    """Delegates to the other finders, and calls `act` after the module has been executed."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]):
        self.name, self.act = name, act

    def find_spec(self, name: str, path=None, target=None):
        if name != self.name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                self.act(module)

            spec.loader.exec_module = exec_module
        return spec
