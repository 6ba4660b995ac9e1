"""``epics.device``: PVs with a common prefix as attributes of an object."""

from __future__ import annotations

from typing import Any

import canter

from . import dbr
from ._channels import settle
from ._text import fmt_time
from .ca import poll
from .pv import PV, get_pv
from .utils import IOENCODING

__all__ = ["IOENCODING", "Device", "get_pv", "poll"]


class Device:
    """PVs whose names begin alike: ``Device("ioc:m1", delim=".", attrs=("VAL", "RBV"))`` has ``VAL`` and
    ``RBV`` as attributes, which get and put.

    Args:
        prefix: what the names begin with.
        attrs: what they end with; others are found when they are used, if ``mutable``.
        nonpvs: names of attributes that are no PVs.
        delim: between prefix and attribute.
        timeout: seconds for the connection of PVs.
        aliases: other names of attributes.
        with_poll: kept for scripts that give it; nothing has to be polled.
    """

    _prefix = None
    _delim = ""
    _pvs: dict[str, PV] = {}
    _init = False
    _aliases: dict[str, str] = {}
    _mutable = True
    _nonpvs: tuple = ("_prefix", "_pvs", "_delim", "_init", "_aliases", "_mutable", "_nonpvs", "_timeout")

    def __init__(
        self,
        prefix="",
        attrs=None,
        nonpvs=None,
        delim="",
        timeout=None,
        mutable=True,
        aliases=None,
        with_poll=True,
    ):
        self.__dict__["_nonpvs"] = tuple(self._nonpvs) + tuple(nonpvs or ())
        self._delim = delim
        self._prefix = prefix + delim
        self._pvs = {}
        self._mutable = mutable
        self._timeout = timeout
        self._aliases = dict(aliases or {})
        # All at once: each would wait for its own search.
        for attr in [*(attrs or ()), *self._aliases.values()]:
            self.PV(attr, connect=False)
        if self._pvs:
            cores = [it._channel.core for it in self._pvs.values()]
            canter.default_client()._core.connect_many(cores, 1.0 if timeout is None else timeout)
            settle()
        self._init = True

    def PV(self, attr, connect=True, **kw):  # noqa: N802
        """The PV of an attribute, made if it is not there yet."""
        attr = self._aliases.get(attr, attr)
        if attr not in self._pvs:
            pvname = attr if self._prefix is None else f"{self._prefix}{attr}"
            self._pvs[attr] = get_pv(pvname, **kw)
        found = self._pvs[attr]
        if connect and not found.connected:
            found.wait_for_connection(timeout=self._timeout)
        return found

    def add_pv(self, pvname, attr=None, **kw):
        """Adds a PV of any name, under the name of an attribute."""
        found = get_pv(pvname, **kw)
        self._pvs[pvname if attr is None else attr] = found
        return found

    def put(self, attr, value, wait=False, use_complete=False, timeout=10):
        """Puts to an attribute, as `PV.put`."""
        it = self.PV(attr)
        it.wait_for_connection()
        return it.put(value, wait=wait, use_complete=use_complete, timeout=timeout)

    def get(self, attr, as_string=False, count=None, timeout=None):
        """The value of an attribute, as `PV.get`."""
        return self.PV(attr).get(as_string=as_string, count=count, timeout=timeout)

    def save_state(self):
        """Values of all attributes, by name."""
        return {attr: self.get(attr, as_string=_is_text(it)) for attr, it in self._pvs.items()}

    def restore_state(self, state):
        """Puts values that were saved, where they may be written."""
        for attr, value in state.items():
            it = self._pvs.get(attr)
            if it is not None and value is not None and it.write_access:
                it.put(value)

    def write_state(self, fname, state=None):
        """Writes values to a file, a line for each attribute that can be restored."""
        state = self.save_state() if state is None else state
        kind = type(self).__name__
        lines = [f"#Device Saved State for {kind}, prefx='{self._prefix}': {fmt_time()}\n"]
        for attr, value in sorted(state.items()):
            it = self._pvs.get(attr)
            if it is not None and it.write_access and (it.count == 1 or _is_text(it)):
                lines.append(f"{attr}  {value}\n")
        with open(fname, "w", encoding=IOENCODING) as out:
            out.writelines(lines)

    def read_state(self, fname, restore=False):
        """Values that were written to a file; with ``restore`` they are put."""
        state: dict[str, Any] = {}
        with open(fname, encoding=IOENCODING) as lines:
            for line in lines:
                attr, _, value = line.strip().partition(" ")
                if not line.startswith("#") and attr in self._pvs:
                    value = value.strip()
                    native = dbr.native_type(self._pvs[attr].ftype or 0)
                    if native in (dbr.FLOAT, dbr.DOUBLE):
                        state[attr] = float(value)
                    elif native in (dbr.INT, dbr.LONG, dbr.ENUM) and value.lstrip("-").isdigit():
                        state[attr] = int(value)
                    else:
                        state[attr] = value
        if restore:
            self.restore_state(state)
        return state

    def get_all(self):
        """Values of all attributes, by name."""
        return self.save_state()

    def add_callback(self, attr, callback, **kws):
        """Adds a callback for changes of an attribute; its number."""
        self.get(attr)
        return self.PV(attr).add_callback(callback, **kws)

    def remove_callbacks(self, attr, index=None):
        """Removes a callback by its number, or all."""
        if attr in self._pvs:
            it = self._pvs[attr]
            it.clear_callbacks() if index is None else it.remove_callback(index=index)

    def __getattr__(self, attr):
        if attr.startswith("__") or attr in type(self)._nonpvs:
            raise AttributeError(f"{type(self).__name__} has no attribute {attr}")
        name = self._aliases.get(attr, attr)
        if name in self._pvs:
            return self.get(name)
        if self._init and self._mutable and attr not in self._nonpvs:
            it = self.PV(name, connect=True)
            if it.connected:
                return it.get()
            del self._pvs[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {attr}")

    def __setattr__(self, attr, value):
        name = self._aliases.get(attr, attr)
        if attr in self._nonpvs or isinstance(getattr(type(self), attr, None), property):
            object.__setattr__(self, attr, value)
        elif name in self._pvs:
            self.put(name, value)
        elif self._init and self._mutable and not attr.startswith("__"):
            it = self.PV(name, connect=True)
            if not it.connected:
                del self._pvs[name]
                raise AttributeError(f"{type(self).__name__} has no attribute {attr}")
            it.put(value)
        elif not self._init or attr in self.__dict__:
            object.__setattr__(self, attr, value)
        else:
            raise AttributeError(f"{type(self).__name__} has no attribute {attr}")

    def __dir__(self):
        return sorted({*self._pvs, *self._aliases, *self.__dict__, *dir(type(self))})

    def __repr__(self):
        return f"<{type(self).__name__} '{self._prefix}', {len(self._pvs)} attributes>"

    @staticmethod
    def pv_property(attr, as_string=False, wait=False, timeout=10.0):
        """A property that gets and puts an attribute."""
        return property(
            lambda self: self.get(attr, as_string=as_string),
            lambda self, value: self.put(attr, value, wait=wait, timeout=timeout),
            None,
            None,
        )


def _is_text(it: PV) -> bool:
    return it.ftype is not None and dbr.native_type(it.ftype) == dbr.CHAR
