"""From readings to the keywords of PyEpics."""

from __future__ import annotations

from typing import Any

from .. import _canter
from . import dbr

TIME_FIELDS = ("status", "severity", "timestamp", "posixseconds", "nanoseconds")
LIMITS = (
    "upper_disp_limit", "lower_disp_limit", "upper_alarm_limit", "upper_warning_limit",
    "lower_warning_limit", "lower_alarm_limit", "upper_ctrl_limit", "lower_ctrl_limit",
)  # fmt: skip
CTRL_FIELDS = ("precision", "units", "enum_strs", *LIMITS)


def plain_value(reading: _canter.Reading, as_numpy: bool = True) -> Any:
    """The value as PyEpics gives it: arrays of their own, that may be written to."""
    value = reading.plain
    if not reading.is_array:
        return value
    if isinstance(value, list):
        if as_numpy and dbr.HAS_NUMPY:
            import numpy as np

            return np.array(value)
        return value
    if not as_numpy:
        return value.tolist()
    return value.copy() if hasattr(value, "copy") else list(value)


def timevars(reading: _canter.Reading) -> dict[str, Any]:
    """What came with each value."""
    known: dict[str, Any] = {"status": reading.status or 0, "severity": reading.severity or 0}
    stamp = reading.stamp
    if stamp is None:
        import time

        known.update(timestamp=time.time(), posixseconds=0, nanoseconds=0)
        return known
    seconds, nanos = stamp
    whole = seconds + dbr.EPICS2UNIX_EPOCH
    known.update(timestamp=whole + 1.0e-6 * (nanos // 1000), posixseconds=whole, nanoseconds=nanos)
    return known


def ctrlvars(reading: _canter.Reading) -> dict[str, Any]:
    """What describes the PV, as far as it is known."""
    known: dict[str, Any] = {}
    states = reading.enums
    if states is not None:
        return {"enum_strs": states}
    limits = reading.limits
    if limits is None:
        return known
    real = reading.native in ("FLOAT", "DOUBLE")
    for name in LIMITS:
        limit = limits[name]
        known[name] = limit if real else int(limit) if limit == limit else 0
    if real:
        known["precision"] = reading.precision
    known["units"] = reading.units
    return known
