"""Gets of a `PV`."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import canter

from .. import _canter
from .._errors import UNNAMED, named
from . import ca, dbr
from ._text import charval
from ._vars import ctrlvars, plain_value, timevars

_FAMILIES = {"native": 0, "time": 2, "ctrl": 4}


class Gets:
    """A `PV`, as far as it gets."""

    form: str
    ftype: Any
    chid: Any
    last_error: Any
    default_count: int | None
    wait_for_connection: Any
    _args: dict[str, Any]
    _channel: Any
    _is_ready: Any
    _key: _canter.Key | None
    _made: dict[str, Any] | None
    _nelm: int

    __slots__ = ()

    def _take(self, reading: _canter.Reading, as_numpy: bool = True) -> Any:
        value = plain_value(reading, as_numpy)
        self._partial = False  # type: ignore[misc]
        known = self._args
        known.update(timevars(reading))
        known.update(ctrlvars(reading))
        known["value"] = value
        known["count"] = reading.count
        known["char_value"] = None
        return value

    def get(
        self, count=None, as_string=False, as_numpy=True, timeout=None, with_ctrlvars=False, use_monitor=True
    ):
        """The value: the newest that the subscription brought, or what the server says now.

        ``None`` if it did not come in time.
        """
        plain = use_monitor and as_numpy and count is None and not (as_string or with_ctrlvars)
        if plain and self._key is not None and not self._partial and self._is_ready():
            # hot: the value that the subscription brought.
            known = self._made
            if known is not None and known["value"] is not None:
                return known["value"]
        if not self.wait_for_connection():
            return None
        if with_ctrlvars and self._args["lower_ctrl_limit"] is None:
            self.get_ctrlvars(timeout=timeout or 5.0)
        monitored = use_monitor and self._key is not None and self._args["value"] is not None
        monitored = monitored and not self._partial
        if not monitored or (count is not None and count > (self._args["count"] or 0)):
            if not self._fetch(count, timeout, as_numpy, self.ftype):
                return None
        if as_string:
            return self._charval(long_text=True)
        return self._shaped(count, as_numpy)

    def _fetch(self, count, timeout, as_numpy, ftype) -> bool:
        if timeout is None:
            timeout = ca.get_timeout(self._nelm)
        try:
            partial = bool(count)
            count = count or self.default_count or 0
            reading = self._channel.read(timeout, ftype, count)
        except (canter.CanterError, *UNNAMED) as error:
            self.last_error = named(error, "read", self._channel.name)
            return False
        self._take(reading, as_numpy)
        # What is known is the beginning of an array, which somebody asked for by its count.
        self._partial = partial  # type: ignore[misc]
        return True

    def _shaped(self, count, as_numpy):
        value = self._args["value"]
        if not hasattr(value, "__len__") or isinstance(value, str):
            return value
        if count == 1 and len(value):
            return value[0]
        if count is not None and count < len(value):
            value = value[:count]
        if not as_numpy and hasattr(value, "tolist"):
            return value.tolist()
        return value

    def _charval(self, long_text=False):
        known = self._args
        native = dbr.native_type(self.ftype)
        lacks = (
            known["precision"] is None if native in (dbr.FLOAT, dbr.DOUBLE) else known["enum_strs"] is None
        )
        if lacks and native in (dbr.FLOAT, dbr.DOUBLE, dbr.ENUM):
            self.get_ctrlvars()
        text = charval(
            known["value"], self.ftype, known["precision"], known["enum_strs"], long_text=long_text
        )
        known["char_value"] = text
        return text

    def get_with_metadata(
        self,
        count=None,
        as_string=False,
        as_numpy=True,
        timeout=None,
        with_ctrlvars=False,
        form=None,
        use_monitor=True,
        as_namespace=False,
    ):
        """A dictionary, or a namespace, of the value and what is known beside it."""
        if not self.wait_for_connection():
            return None
        ftype = self.ftype
        if form is not None and form != self.form:
            if not isinstance(form, str) or form not in _FAMILIES:
                text = f'"{self._channel.name}" has no form {form!a}'
                raise canter.BadRequest(text, pv=self._channel.name, remedy="give native, time or ctrl")
            ftype = dbr.native_type(self.ftype) + 7 * _FAMILIES[form]
            if not self._fetch(count, timeout, as_numpy, ftype):
                return None
        value = self.get(count, as_string, as_numpy, timeout, with_ctrlvars, use_monitor)
        if value is None:
            return None
        known = self._snapshot()
        known.update(value=value, ftype=ftype)
        return SimpleNamespace(**known) if as_namespace else known

    def _snapshot(self) -> dict[str, Any]:
        known = copy.copy(self._args)
        if known["char_value"] is None and known["value"] is not None:
            known["char_value"] = self._charval()
        return known

    def get_timevars(self, timeout=5, warn=True):
        """Status, severity and time stamp, as the server says now."""
        if not self.wait_for_connection():
            return None
        found = ca.get_timevars(self.chid, timeout=timeout, warn=warn)
        self._args.update(found or {})
        return found

    def get_ctrlvars(self, timeout=5, warn=True):
        """Units, precision, limits or state texts, as the server says now."""
        if not self.wait_for_connection():
            return None
        found = ca.get_ctrlvars(self.chid, timeout=timeout, warn=warn)
        self._args.update(found or {})
        return found
