"""Hides modules that the zygote has imported and the code has not: `import matplotlib` alone must not provide `pyplot`.

A cell removes them from `sys.modules` and from their packages before it runs the first code that imports anything, so
that code with a missing import fails here as it does elsewhere. Modules that the code names with dots stay, because
the import system would take 200 µs to restore them. All other imports, also those of libraries, go through `_Finder`.
It restores a whole package at once, because a module's own imports have to be present with it.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Packages and modules that neither they nor other packages of the kits import themselves.
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
#: Packages that are hidden whole, because their import imports hidden modules of another package.
BRINGS = {"seaborn": "matplotlib"}
#: Its import imports Matplotlib's modules too, and it is too large to hide. If it is imported, they stay.
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
        # Writing here, while the cell waits, makes the memory pages the cell's own.
        one.hide()
        one.bring_back()
    _finder = _Finder(members)


def hide_from(names: tuple[str, ...]) -> None:
    """Hides all modules except those that code with these names imports or earlier code has imported. A name
    contains a dot only if it is imported: `import a.b` and `from a.b import c` have `a.b`, and the use of `a.b`
    has `a` and `b`."""
    if _finder is None:
        return  # this is the zygote, warming up
    for name in names:
        if name in _packages:
            _finder.show(_packages[name])
    if not _finder.hides:
        _finder.hide()


class _Members:
    """The modules of one package that can be hidden."""

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
    """Finds hidden modules and restores the existing module objects."""

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
        """Restores this package, and those that its import imports."""
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
    """The import system gives each module that it loads a new spec; this one restores the original."""

    def __init__(self, finder: _Finder, module: ModuleType):
        self.finder, self.module, self.spec = finder, module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
        # Not earlier: a module that is already in `sys.modules` when it is found would be executed again.
        self.finder.show(_packages[self.spec.name])
