"""Waiting for a PV of a device to have some value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..pv import PV


def until(it: PV, wanted: Callable[[Any], bool], timeout: float) -> bool:
    """Whether a value of a PV is as wanted within so many seconds; false at once if there is no PV."""
    if not it.wait_for_connection():
        return False
    seen = threading.Event()

    def look(value=None, **_):
        if value is not None and wanted(value):
            seen.set()

    number = it.add_callback(look, with_ctrlvars=False)
    try:
        look(it.get())
        return seen.wait(max(0.0, timeout))
    finally:
        it.remove_callback(number)
