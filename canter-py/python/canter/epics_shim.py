"""Makes ``import epics`` mean `canter.epics`, so that scripts and packages run as they are.

``import canter.epics_shim`` in a program, or ``python -m canter.epics_shim script.py arguments`` beside it.
"""

from __future__ import annotations

from ._shim import install, main

install("epics", "canter.epics")

if __name__ == "__main__":
    main("python -m canter.epics_shim")
