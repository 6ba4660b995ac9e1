"""Refuses subinterpreters, before anything that has state of its own is loaded.

The layer in Rust has one runtime and one exit for the process. CPython refuses such modules where interpreters have
locks of their own (3.12); before, loading one in a second interpreter may wait for ever.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_main() -> bool:
    """Whether this is the main interpreter, as far as CPython tells."""
    if hasattr(sys, "gettotalrefcount") and sys.version_info < (3, 13):
        return _number() == 0
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters: Any = importlib.import_module(name)
            current, main = interpreters.get_current(), interpreters.get_main()
        except Exception:  # noqa: BLE001 - another implementation, or another form of it
            continue
        return bool(current == main)
    return True


def _number() -> int:
    """The number of this interpreter. A debug build of CPython before 3.13 ends when it is asked in the other way in the
    child of a fork, as the references to the main interpreter are counted from -1 there.
    """
    import ctypes

    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = ctypes.c_void_p
    api.PyInterpreterState_GetID.argtypes = [ctypes.c_void_p]
    api.PyInterpreterState_GetID.restype = ctypes.c_int64
    return api.PyInterpreterState_GetID(api.PyInterpreterState_Get())


if not is_main():
    raise ImportError("canter does not run in subinterpreters: import it in the main interpreter, or use processes")
