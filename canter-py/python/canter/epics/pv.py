"""``epics.pv``: the `PV`."""

from __future__ import annotations

import math
from typing import Any

import canter

from .. import _arguments, _canter
from . import ca, dbr
from ._channels import LibChannel, Listener, lock, open_channel, run
from ._pv_get import _FAMILIES, Gets
from ._pv_known import Known, checked_delta
from ._pv_put import PutAndCallbacks
from ._text import fmt_time, pv_repr
from ._vars import LIMITS

__all__ = ["PV", "clear_pvcache", "fmt_time", "get_pv"]

_PVcache_: dict[tuple, PV] = {}


def get_pv(
    pvname,
    form="time",
    connect=False,
    context=None,
    timeout=5.0,
    connection_callback=None,
    access_callback=None,
    callback=None,
    verbose=False,
    count=None,
    auto_monitor=None,
    monitor_delta=None,
):
    """The PV of a name, the same for all who ask; with ``connect`` it is waited for."""
    for what, function in (("connection_callback", connection_callback), ("access_callback", access_callback)):
        _arguments.optional(function, what, pvname)
    form = form or "time"
    context = context or ca.current_context()
    key = (pvname, form, context)
    pv = _PVcache_.get(key)
    if pv is None:
        pv = default_pv_class(
            pvname,
            form=form,
            callback=callback,
            connection_callback=connection_callback,
            access_callback=access_callback,
            auto_monitor=auto_monitor,
            verbose=verbose,
            count=count,
            monitor_delta=monitor_delta,
        )
        pv = _PVcache_.setdefault(key, pv)
    else:
        if connection_callback is not None:
            pv.connection_callbacks.append(connection_callback)
            if pv.connected:
                connection_callback(pvname=pvname, conn=True, pv=pv)
        if access_callback is not None:
            pv.access_callbacks.append(access_callback)
            if pv.connected:
                access_callback(pv.read_access, pv.write_access, pv=pv)
        if callback is not None:
            pv.add_callback(callback)
    if connect and not pv.wait_for_connection(timeout=timeout):
        ca.write(f"cannot connect to {pvname}: {pv.last_error}")
    return pv


def clear_pvcache():
    """Forgets the PVs of `get_pv`."""
    _PVcache_.clear()


class PV(Gets, PutAndCallbacks, Known, Listener):
    """A PV with its value, callbacks and description.

    What goes wrong gives ``None`` or -1 as with PyEpics; the exception is kept in ``last_error``.
    """

    # What is not used takes no memory: the dictionary of what is known comes with the first look at it, those of
    # callbacks with the first callback, that of other attributes with the first of them.
    __slots__ = (
        "__dict__", "__weakref__", "_access_callbacks", "_auto_monitor", "_callbacks", "_channel", "_connection_callbacks",
        "_delta", "_key", "_made", "_nelm", "_partial", "_put_complete", "_ready", "_rights", "chid",
        "connection_timeout", "context", "default_count", "form", "ftype", "last_error", "pvname", "verbose",
    )  # fmt: skip

    _fmtsca = "<PV '%(pvname)s', count=%(count)i, type=%(typefull)s, access=%(access)s>"
    _fmtarr = "<PV '%(pvname)s', count=%(count)i/%(nelm)i, type=%(typefull)s, access=%(access)s>"
    _fields = (
        "pvname", "value", "char_value", "status", "ftype", "chid", "host", "count", "access",
        "write_access", "read_access", "severity", "timestamp", "posixseconds", "nanoseconds",
        "precision", "units", "enum_strs", "monitor_delta", *LIMITS,
    )  # fmt: skip

    def __init__(
        self,
        pvname,
        callback=None,
        form="time",
        verbose=False,
        auto_monitor=None,
        count=None,
        connection_callback=None,
        connection_timeout=None,
        access_callback=None,
        monitor_delta=None,
    ):
        if not isinstance(pvname, str):
            raise TypeError(f"the name of a PV is a str, not a {type(pvname).__name__}")
        self.pvname = pvname.strip()
        self.form = form.lower() if isinstance(form, str) else form
        if not isinstance(form, str) or self.form not in _FAMILIES:
            text = f'"{self.pvname}" has no form {form!a}'
            raise canter.BadRequest(text, pv=self.pvname, remedy="give native, time or ctrl")
        if count is not None and not (isinstance(count, int) and 0 <= count < 2**32):
            text = f'"{self.pvname}" has no {count!a} elements'
            raise canter.BadRequest(text, pv=self.pvname, remedy="give a number from 0 on")
        if auto_monitor is not None and not (isinstance(auto_monitor, int) and 0 <= auto_monitor < 2**16):
            text = f'"{self.pvname}" cannot be monitored with the mask {auto_monitor!a}'
            raise canter.BadRequest(text, pv=self.pvname, remedy="give None, true, false or a sum of DBE_VALUE and the like")
        for what, function in (("connection_callback", connection_callback), ("access_callback", access_callback)):
            _arguments.optional(function, what, self.pvname)
        functions = callback if isinstance(callback, (list, tuple)) else (callback,)
        functions = [_arguments.function(one, pv=self.pvname) for one in functions if one is not None]
        self.verbose = verbose
        self.ftype = None
        self.last_error: canter.CanterError | None = None
        self.connection_timeout = connection_timeout
        self.default_count = count
        self._callbacks: dict[int, tuple] | None = None
        self._connection_callbacks: list | None = None if connection_callback is None else [connection_callback]
        self._access_callbacks: list | None = None if access_callback is None else [access_callback]
        self._made: dict[str, Any] | None = None
        self._nelm = -1
        self._rights: int | None = None
        self._delta = checked_delta(monitor_delta, self.pvname)
        self._partial = False
        self._auto_monitor = auto_monitor
        self._key: _canter.Key | None = None
        self._put_complete: bool | None = None
        self._ready = False
        for function in functions:
            self.callbacks[len(self.callbacks)] = (function, {})
        self._channel: LibChannel = open_channel(self.pvname)
        self.chid = self._channel.number
        self.context = ca.current_context()
        self._channel.listen(self)

    @property
    def callbacks(self) -> dict[int, tuple]:
        """Callbacks for values and their keywords, by their numbers."""
        if self._callbacks is None:
            self._callbacks = {}
        return self._callbacks

    @callbacks.setter
    def callbacks(self, given: dict[int, tuple]) -> None:
        self._callbacks = given

    @property
    def connection_callbacks(self) -> list:
        """Functions that are told of connects and disconnects."""
        if self._connection_callbacks is None:
            self._connection_callbacks = []
        return self._connection_callbacks

    @connection_callbacks.setter
    def connection_callbacks(self, given: list) -> None:
        self._connection_callbacks = given

    @property
    def access_callbacks(self) -> list:
        """Functions that are told of the rights."""
        if self._access_callbacks is None:
            self._access_callbacks = []
        return self._access_callbacks

    @access_callbacks.setter
    def access_callbacks(self, given: list) -> None:
        self._access_callbacks = given

    @property
    def _args(self) -> dict[str, Any]:  # type: ignore[override]
        """What is known, by its name."""
        made = self._made
        return self._make_args() if made is None else made

    def _make_args(self) -> dict[str, Any]:
        with lock:
            if self._made is None:
                known: dict[str, Any] = dict.fromkeys(self._fields)
                known.update(pvname=self.pvname, count=self.default_count or -1, nelm=-1, type="unknown")
                known.update(typefull="unknown", access="unknown", monitor_delta=self._delta, chid=self.chid)
                self._made = known
                self._fill()
            return self._made

    def _fill(self) -> None:
        """Puts what the connection has told where it is looked for."""
        known = self._made
        if known is None:
            return
        if self.ftype is not None:
            name = dbr.Name(self.ftype).lower()
            known.update(ftype=self.ftype, nelm=self._nelm, host=self._channel.host, type=name, typefull=name)
            if known["count"] in (None, -1):
                known["count"] = self._nelm
        rights = self._rights
        if rights is not None:
            access = ("no access", "read-only", "write-only", "read/write")[rights]
            known.update(read_access=bool(rights & 1), write_access=bool(rights & 2), access=access)

    # -- connection

    @property
    def connected(self):
        connected = self._channel.connected
        if connected and not self._is_ready():
            self._on_connection(True)
        return connected

    def _is_ready(self) -> bool:
        channel = self._channel
        return self._ready and channel.generation == _canter.generation() and channel.client is canter._default

    def _on_connection(self, conn: bool) -> None:
        with lock:
            was = self._is_ready()
            if conn and not was:
                self._describe()
                self._subscribe()
            if conn == was:
                return
            self._ready = conn
        for callback in list(self._connection_callbacks or ()):
            run(lambda callback=callback: callback(pvname=self.pvname, conn=conn, pv=self))
        if conn:
            for callback in list(self._access_callbacks or ()):
                run(lambda callback=callback: callback(self.read_access, self.write_access, pv=self))

    def _on_opened(self) -> None:
        # What the subscription of another process or client has brought is old.
        self._ready = False
        if self._made is not None:
            self._made["value"] = None

    def _describe(self) -> None:
        known = self._channel.info()
        native = known.get("dbr", dbr.DOUBLE)
        family = _FAMILIES[self.form]
        # Texts have no description.
        self.ftype = native + 7 * (2 if family == 4 and native == dbr.STRING else family)
        self._nelm = known.get("count", 1)
        self._rights = known["can_read"] + 2 * known["can_write"]
        self._fill()

    def _take_access(self, read: bool, write: bool) -> None:
        self._rights = read + 2 * write
        self._fill()

    def _on_access(self, read: bool, write: bool) -> None:
        self._take_access(read, write)
        for callback in list(self._access_callbacks or ()):
            run(lambda callback=callback: callback(read, write, pv=self))

    def wait_for_connection(self, timeout=None):
        """Waits for the connection; whether it is there."""
        if self.connected:
            return True
        if timeout is None:
            timeout = self.connection_timeout
        if timeout is None:
            timeout = ca.DEFAULT_CONNECTION_TIMEOUT
        self.last_error = self._channel.connect(timeout)
        return self.last_error is None and self.connected

    def connect(self, timeout=None):
        """As `wait_for_connection`; a PV that was disconnected by hand comes back."""
        return (
            self.reconnect()
            if self._key is None and not self.connected
            else self.wait_for_connection(timeout)
        )

    def reconnect(self):
        """Opens it again after `disconnect`."""
        self._channel = open_channel(self.pvname)
        self._name_channel(self._channel.number)
        if not any(one is self for one in self._channel.listeners):
            self._channel.listen(self)
        return self.wait_for_connection()

    def _name_channel(self, chid: Any) -> None:
        self.chid = chid
        if self._made is not None:
            self._made["chid"] = chid

    def force_connect(self, pvname=None, chid=None, conn=True, **kws):
        """Looks at the connection anew."""
        if chid is not None:
            self._name_channel(chid)
        if conn and self._channel.connected:
            self._on_connection(True)

    def force_read_access_rights(self):
        """Looks at the rights anew."""
        known = self._channel.info()
        self._take_access(known["can_read"], known["can_write"])

    def disconnect(self, deepclean=True):
        """Ends the subscription and forgets the callbacks; with ``deepclean`` the channel is left, too."""
        self.clear_auto_monitor()
        for callbacks in (self._callbacks, self._connection_callbacks, self._access_callbacks):
            if callbacks is not None:
                callbacks.clear()
        self._channel.leave(self)
        for key, pv in list(_PVcache_.items()):
            if pv is self:
                del _PVcache_[key]
        self._ready = False

    # -- monitor

    @property
    def auto_monitor(self):
        return self._auto_monitor

    @auto_monitor.setter
    def auto_monitor(self, value):
        with lock:
            self._auto_monitor = value
            self._cancel()
            if self.connected:
                self._subscribe()

    @property
    def auto_monitor_mask(self):
        """What is subscribed to; ``None`` if nothing is."""
        chosen = self._auto_monitor
        if chosen is None or chosen is True:
            return ca.DEFAULT_SUBSCRIPTION_MASK
        return int(chosen) or None

    def _subscribe(self) -> None:
        if self._auto_monitor is None:
            self._auto_monitor = 0 <= self._nelm <= ca.AUTOMONITOR_MAXLENGTH
        if not self._auto_monitor or (self._key is not None and self._key.is_ours()):
            return
        self._channel.client._dispatcher.ensure()
        self._key = self._channel.core.monitor(
            self._on_update,
            mask=self.auto_monitor_mask,
            dbr=self.ftype,
            count=self.default_count or 0,
            describe=True,
        )

    def _cancel(self) -> None:
        key, self._key = self._key, None
        if key is not None:
            key.cancel()

    def clear_auto_monitor(self):
        """Ends the subscription."""
        with lock:
            self._cancel()
            self._auto_monitor = False

    def _on_update(self, reading: _canter.Reading, _skipped: int) -> None:
        before = self._args["value"]
        self._take(reading)
        delta = self._delta
        value = self._args["value"]
        if delta is not None and before is not None and not hasattr(value, "__len__"):
            # A NaN is a change.
            if math.isfinite(value) and math.isfinite(before) and abs(value - before) < delta:
                self._args["value"] = before
                return
        self.run_callbacks()

    def __repr__(self):
        return pv_repr(self)

    def __str__(self):
        return pv_repr(self)

    def __eq__(self, other):
        return isinstance(other, PV) and (self.pvname, self.form) == (other.pvname, other.form)

    def __hash__(self):
        return hash((self.pvname, self.form))

    def __del__(self):
        if getattr(self, "_key", None) is not None:
            self._key.cancel()


default_pv_class = PV
ca.register_clear_cache(clear_pvcache)
