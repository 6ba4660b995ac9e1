"""Refuses subinterpreters, before anything that has state of its own is loaded.

The layer in Rust has one runtime and one exit for the process. CPython refuses such modules where interpreters have
locks of their own (3.12); before, loading one in a second interpreter may wait for ever.
"""

from __future__ import annotations

import importlib
from typing import Any


def is_main() -> bool:
    """Whether this is the main interpreter, as far as CPython tells."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters: Any = importlib.import_module(name)
            current, main = interpreters.get_current(), interpreters.get_main()
        except Exception:  # noqa: BLE001 - another implementation, or another form of it
            continue
        return bool(current == main)
    return True


if not is_main():
    raise ImportError("canter does not run in subinterpreters: import it in the main interpreter, or use processes")
