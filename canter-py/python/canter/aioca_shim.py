"""Makes ``import aioca`` mean `canter.aioca`, so that scripts and packages run as they are.

``import canter.aioca_shim`` in a program, or ``python -m canter.aioca_shim script.py arguments`` beside it.
Where ``epicscorelibs`` is not installed, its module ``ca.dbr``, from which users of aioca take numbers, is
there as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from ._shim import install, main

install("aioca", "canter.aioca")

if "epicscorelibs" not in sys.modules and importlib.util.find_spec("epicscorelibs") is None:
    _dbr = importlib.import_module("canter.aioca.dbr")
    _ca = ModuleType("epicscorelibs.ca")
    _ca.dbr = _dbr  # type: ignore[attr-defined]
    _package = ModuleType("epicscorelibs")
    _package.ca = _ca  # type: ignore[attr-defined]
    sys.modules.update({"epicscorelibs": _package, "epicscorelibs.ca": _ca, "epicscorelibs.ca.dbr": _dbr})

if __name__ == "__main__":
    main("python -m canter.aioca_shim")
