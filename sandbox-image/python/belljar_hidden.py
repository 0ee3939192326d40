"""Modules that the zygote has imported and the code has not: `import matplotlib` alone brings no `pyplot`.

A cell takes them out of `sys.modules` and off their packages before it runs the first code that imports something,
so that code which forgets an import fails here as it does elsewhere. What the code names with its dots stays: the
import system would take 200 µs to bring it back. All other imports, those of libraries too, go through `_Finder`. They
bring back all of a package at once, since what a module imports itself has to be there with it.
"""

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

#: The package of each module that can be hidden.
_packages: dict[str, str] = {}
_finder: "_Finder | None" = None


def prepare() -> None:
    """Called in a cell, before its first code."""
    global _finder
    members = {}
    for package, names in HIDDEN.items():
        parent = sys.modules.get(package)
        if parent is not None and not (package == "matplotlib" and BROUGHT_BY in sys.modules):
            there = {name: sys.modules.get(f"{package}.{name}") for name in names}
            members[package] = _Members(parent.__dict__, {name: module for name, module in there.items() if module})
    for package, brought in BRINGS.items():
        if package in sys.modules and brought in members:
            members[package] = _Members({}, {})
            members[package].modules[package] = sys.modules[package]
    for package, one in members.items():
        _packages.update(dict.fromkeys(one.modules, package))
        # The memory that is written to becomes the cell's own now, while it waits.
        one.hide()
        one.bring_back()
    _finder = _Finder(members)


def hide_from(names: tuple[str, ...]) -> None:
    """All but what code with these names imports, or earlier code has imported. A name has a dot in it only where
    it is imported: `import a.b` and `from a.b import c` have `a.b`, and the use of `a.b` has `a` and `b`."""
    if _finder is None:
        return  # it is the zygote, which acts as code does
    for name in names:
        if name in _packages:
            _finder.show(_packages[name])
    if not _finder.hides:
        _finder.hide()


class _Members:
    """What can be hidden of one package."""

    def __init__(self, parent: dict[str, object], names: dict[str, ModuleType]):
        self.parent, self.names = parent, names
        self.modules = {module.__name__: module for module in names.values()}

    def hide(self) -> None:
        for full in self.modules:
            sys.modules.pop(full, None)
        for name in self.names:
            self.parent.pop(name, None)

    def bring_back(self) -> None:
        sys.modules.update(self.modules)
        self.parent.update(self.names)


class _Finder:
    """Finds what is hidden, and gives back what there is already."""

    def __init__(self, members: dict[str, _Members]):
        self.members = members
        self.hides = False

    def hide(self) -> None:
        self.hides = True
        for members in self.members.values():
            members.hide()
        if self.members:
            sys.meta_path.insert(0, self)

    def show(self, package: str) -> None:
        """From now on this package is whole, and what its import brings."""
        for one in (package, BRINGS.get(package)):
            members = self.members.pop(one, None)
            if members is not None and self.hides:
                members.bring_back()
        if not self.members and self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        members = self.members.get(name.partition(".")[0])
        module = members and members.modules.get(name)
        if module is None:
            return None
        own = module.__spec__
        spec = ModuleSpec(name, _Loader(self, module), origin=own.origin)
        spec.submodule_search_locations = own.submodule_search_locations
        return spec


class _Loader:
    """The import system gives each module that it loads its own spec; this one has one, which stays."""

    def __init__(self, finder: _Finder, module: ModuleType):
        self.finder, self.module, self.spec = finder, module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
        # Not earlier: a module that is there when it has been found would be executed again.
        self.finder.show(_packages[self.spec.name])
