"""Has the names of other packages mean modules of this one, as the same objects."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, name: str, ours: str) -> None:
        self.name = name
        self.ours = ours

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name and not fullname.startswith(f"{self.name}."):
            return None
        ours = self.ours + fullname[len(self.name) :]
        if importlib.util.find_spec(ours) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=ours)

    def create_module(self, spec: Any) -> ModuleType:
        module = importlib.import_module(spec.origin)
        # The machinery is about to write its own into it.
        self._kept = {name: getattr(module, name, None) for name in ("__spec__", "__loader__", "__package__")}
        return module

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._kept)


def install(name: str, ours: str) -> None:
    """Has ``import name`` find our module from now on.

    Raises:
        ImportError: the other package is imported already: both would not know each other's PVs.
    """
    known = sys.modules.get(name)
    if known is not None and known.__name__ != ours:
        raise ImportError(f"{name} is imported already: import the shim before it")
    if not any(isinstance(finder, _Finder) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(name, ours))
    sys.modules[name] = importlib.import_module(ours)


def main(usage: str) -> None:
    """Runs a script as if it had been started itself."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {usage} script.py [arguments]")
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
