"""Modules that the zygote has imported and the code has not: `import matplotlib` alone brings no `pyplot`.

A cell takes them out of `sys.modules` and off their packages, so that code which forgets an import fails here as
it does elsewhere. The import of any of them brings back all of its package at once: what a module imports
itself has to be there with it. A look at the code's own import lines brings back most of them before the code runs:
the import system takes 200 µs for what is 5 µs here. All other imports, those of libraries too, go through `_Hidden`.
"""

import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Packages whose own import brings none of these, nor does that of any other package among the kits.
HIDDEN = {
    "matplotlib": ("pyplot", "style"),
    "PIL": ("ImageDraw", "ImageShow"),
    "sklearn": (
        "calibration", "cluster", "covariance", "cross_decomposition", "datasets", "decomposition",
        "discriminant_analysis", "dummy", "ensemble", "feature_extraction", "feature_selection",
        "gaussian_process", "impute", "inspection", "isotonic", "kernel_approximation", "linear_model",
        "manifold", "metrics", "mixture", "model_selection", "multiclass", "naive_bayes", "neighbors",
        "neural_network", "pipeline", "preprocessing", "semi_supervised", "svm", "tree",
    ),
}  # fmt: skip
#: Packages that are taken away whole, since their import brings what is hidden of another.
BRINGS = {"seaborn": "matplotlib"}
#: Its import brings Matplotlib's modules too, and it is too large to be taken away. Where it is, they stay.
BROUGHT_BY = "tensorflow"

#: Lines that import something, as far as they are on one line.
_IMPORTS = re.compile(r"^[ \t]*(?:import|from)[ \t].*", re.MULTILINE)
#: For each package, what in such a line imports something hidden.
_NAMED = {
    package: re.compile(rf"\b{package}\b.*\b(?:{'|'.join(names)})\b")
    for package, names in HIDDEN.items()
} | {package: re.compile(rf"\b{package}\b") for package in BRINGS}

_hidden = None


def hide() -> None:
    """Called in a cell, before its first code."""
    global _hidden
    found: dict[str, dict[str, ModuleType]] = {}
    for package, names in HIDDEN.items():
        parent = sys.modules.get(package)
        if parent is not None and not (package == "matplotlib" and BROUGHT_BY in sys.modules):
            members = found[package] = {}
            for name in names:
                full = f"{package}.{name}"
                if full in sys.modules:
                    members[full] = sys.modules.pop(full)
                    parent.__dict__.pop(name, None)
    for package, brought in BRINGS.items():
        if package in sys.modules and brought in found:
            found[package] = {package: sys.modules.pop(package)}
    if any(found.values()):
        _hidden = _Hidden(found)
        sys.meta_path.insert(0, _hidden)


def bring_back_for(code: str) -> None:
    """What this code imports by name."""
    if _hidden is None or not _hidden.found:
        return
    lines = "\n".join(_IMPORTS.findall(code))
    for package in list(_hidden.found):
        if _NAMED[package].search(lines):
            _hidden.bring_back(package)


class _Hidden:
    """Finds them, and gives back what there is already."""

    def __init__(self, found: dict[str, dict[str, ModuleType]]):
        self.found = found

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        module = self.found.get(name.partition(".")[0], {}).get(name)
        if module is None:
            return None
        own = module.__spec__
        spec = ModuleSpec(name, _Loader(self, module), origin=own.origin)
        spec.submodule_search_locations = own.submodule_search_locations
        return spec

    def bring_back(self, name: str) -> None:
        package = name.partition(".")[0]
        for one in (package, BRINGS.get(package)):
            for full, module in self.found.pop(one, {}).items():
                sys.modules[full] = module
                parent, _, last = full.rpartition(".")
                if parent:
                    setattr(sys.modules[parent], last, module)
        if not any(self.found.values()) and self in sys.meta_path:
            sys.meta_path.remove(self)


class _Loader:
    """The import system gives each module that it loads its own spec; this one has one, which stays."""

    def __init__(self, hidden: _Hidden, module: ModuleType):
        self.hidden, self.module, self.spec = hidden, module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
        # Not earlier: a module that is there when it has been found would be executed again.
        self.hidden.bring_back(self.spec.name)
