"""What is known of a `PV`, as its properties."""

from __future__ import annotations

from typing import Any

from .. import _arguments
from .._errors import bad
from . import dbr
from ._text import pv_info
from ._vars import CTRL_FIELDS, TIME_FIELDS


def _known(name: str, text: str) -> Any:
    return property(lambda self: self._getarg(name), doc=text)


def checked_delta(delta: Any, pv: str) -> Any:
    """A difference below which changes are not told."""
    if delta is not None:
        number = _arguments.number(delta)
        if number is None or not number >= 0:
            raise bad(f"monitor_delta={delta!a}: give a number from 0 on, or None", pv)
    return delta


class Known:
    """A `PV`, as far as it tells what is known."""

    _args: dict[str, Any]
    get: Any
    put: Any
    connected: Any
    pvname: str
    get_ctrlvars: Any
    get_timevars: Any
    wait_for_connection: Any
    _charval: Any
    _delta: Any

    __slots__ = ()

    def _getarg(self, arg):
        if self._args["value"] is None and arg not in ("host", "type", "typefull", "count", "nelm"):
            self.get()
        if self._args[arg] is None and self.connected:
            if arg in CTRL_FIELDS:
                self.get_ctrlvars(warn=False)
            elif arg in TIME_FIELDS:
                self.get_timevars(warn=False)
        return self._args[arg]

    @property
    def value(self):
        """The value, as `get` gives it; setting it puts."""
        return self.get()

    @value.setter
    def value(self, value):
        self.put(value)

    @property
    def char_value(self):
        """The value as text."""
        self._getarg("value")
        return self._charval() if self._args["value"] is not None else None

    @property
    def timestamp(self):
        """Seconds since 1970 of the time stamp; of the receipt for a PV of form native or ctrl."""
        return self._getarg("timestamp")

    @property
    def char_status(self):
        """Alarm status by its name."""
        return dbr.AlarmStatus(self.status or 0).name

    @property
    def char_severity(self):
        """Alarm severity by its name."""
        return dbr.AlarmSeverity(self.severity or 0).name

    @property
    def info(self):
        """A paragraph of what is known."""
        return pv_info(self) if self.wait_for_connection() else None

    status = _known("status", "Alarm status.")
    severity = _known("severity", "Alarm severity.")
    posixseconds = _known("posixseconds", "Whole seconds since 1970 of the time stamp.")
    nanoseconds = _known("nanoseconds", "Nanoseconds of the time stamp.")
    precision = _known("precision", "Digits after the point.")
    units = _known("units", "Engineering units.")
    enum_strs = _known("enum_strs", "Texts of the states.")
    upper_disp_limit = _known("upper_disp_limit", "HOPR.")
    lower_disp_limit = _known("lower_disp_limit", "LOPR.")
    upper_alarm_limit = _known("upper_alarm_limit", "HIHI.")
    lower_alarm_limit = _known("lower_alarm_limit", "LOLO.")
    upper_warning_limit = _known("upper_warning_limit", "HIGH.")
    lower_warning_limit = _known("lower_warning_limit", "LOW.")
    upper_ctrl_limit = _known("upper_ctrl_limit", "DRVH.")
    lower_ctrl_limit = _known("lower_ctrl_limit", "DRVL.")
    type = _known("type", "Type with its form.")
    typefull = _known("typefull", "Type with its form.")
    host = _known("host", "Server.")
    nelm = _known("nelm", "Largest number of elements.")
    count = _known("count", "Number of elements.")
    read_access = property(lambda self: self._args["read_access"])
    write_access = property(lambda self: self._args["write_access"])
    access = property(lambda self: self._args["access"], doc="Rights in words.")

    @property
    def monitor_delta(self):
        """Changes below this are not told to callbacks. It is looked at here; MDEL of the IOC stays."""
        return self._delta

    @monitor_delta.setter
    def monitor_delta(self, value):
        self._delta = self._args["monitor_delta"] = checked_delta(value, self.pvname)
