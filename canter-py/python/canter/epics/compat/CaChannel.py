"""``CaChannel``: a channel with the methods of the package of this name.

Requests without ``w`` at their end are sent at once; `CaChannel.pend_io` waits for those that were made before it.
"""
# ruff: noqa: N802, N803, N999 - names are those that scripts call

from __future__ import annotations

import threading
import time
from typing import Any

import canter

from .. import ca, dbr
from .._ca_life import message
from .._channels import LibChannel, open_channel, run
from .._vars import plain_value

#: ``ECA_NOWTACCESS``: the right to write is missing.
_NOWTACCESS = 376

_NUMBERS = (int, float, bool)


class CaChannelException(Exception):
    """What went wrong: its ``int`` is the status of Channel Access, its text says which PV and what to do. The
    exception behind it is its ``__cause__``.
    """

    def __init__(self, status, text=None):
        super().__init__(status if text is None else text)
        self.status = str(status if text is None else text)
        self._number = status if isinstance(status, int) else dbr.ECA_BADCHID

    def __str__(self):
        return self.status

    def __int__(self):
        return self._number


def _raise(error: canter.CanterError) -> None:
    raise CaChannelException(_status(error), str(error)) from error


def _status(error: canter.CanterError) -> int:
    if isinstance(error, TimeoutError):
        return dbr.ECA_TIMEOUT
    if isinstance(error, canter.AccessDenied):
        return _NOWTACCESS
    return getattr(error, "status", None) or dbr.ECA_BADCHID


class CaChannel:
    """A channel. ``CaChannel("catest").searchw()`` connects it, ``getw`` and ``putw`` get and put.

    Types are those of ``epics.dbr`` (``dbr.DOUBLE``, ``dbr.TIME_DOUBLE``, ``dbr.CTRL_ENUM`` …); ``None`` and -1 are
    the native one. Callbacks are called with what CaChannel gives them, and a tuple of the ``user_args``.
    """

    #: Seconds that waiting functions wait, unless `setTimeout` says otherwise.
    ca_timeout = 1.0

    def __init__(self, pvName=None):
        self.pvname = pvName
        self.val: Any = None
        self._channel: LibChannel | None = None
        self._timeout: float | None = None
        self._event: Any = None
        self._pending: list[threading.Event] = []
        self._failed: list[canter.CanterError] = []

    def version(self):
        """Prints what this is."""
        print(f"CaChannel, of canter {canter.__version__}")

    def setTimeout(self, timeout):
        """Sets the seconds that waiting functions wait; ``None`` is ``ca_timeout``.

        Raises:
            ValueError: it is negative.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"{self.pvname}: a time-out of {timeout} s; give seconds from 0, or None")
        self._timeout = timeout

    def getTimeout(self):
        """The seconds that were set."""
        return self._timeout

    def _seconds(self, timeout: float | None = None) -> float:
        timeout = self._timeout if timeout is None else timeout
        return float(self.ca_timeout if timeout is None else timeout)

    # -- connection

    def _open(self, name: str | None) -> LibChannel:
        name = self.pvname if name is None else name
        if not name:
            raise CaChannelException(dbr.ECA_BADCHID, "the name of a PV is missing")
        self.pvname = name
        try:
            self._channel = open_channel(name)
        except canter.CanterError as error:
            _raise(error)
        assert self._channel is not None
        return self._channel

    def _opened(self) -> LibChannel:
        if self._channel is None:
            raise CaChannelException(dbr.ECA_BADCHID, f'"{self.pvname}" was not searched: call searchw() first')
        return self._channel.fresh()

    def _connected(self) -> LibChannel:
        channel = self._opened()
        error = None if channel.connected else channel.connect(self._seconds())
        if error is not None:
            _raise(error)
        return channel

    def search_and_connect(self, pvName, callback, *user_args):
        """Searches, and tells of connects and disconnects: the callback gets the channel and 6 or 7."""
        channel = self._open(pvName)
        operations = (dbr.OP_CONN_DOWN, dbr.OP_CONN_UP)
        channel.add_connection_callback(lambda conn: callback((channel.number, operations[conn]), user_args))

    def search(self, pvName=None):
        """Searches, without waiting."""
        channel = self._open(pvName)
        self._begin(lambda done: channel.add_connection_callback(lambda conn: done(None) if conn else None))

    def searchw(self, pvName=None):
        """Searches, and waits for the connection.

        Raises:
            CaChannelException: it did not come in time.
        """
        error = self._open(pvName).connect(self._seconds())
        if error is not None:
            _raise(error)

    def clear_channel(self):
        """Closes it. Others with the same name go on."""
        self.clear_event()
        self._channel = None

    # -- what is under way

    def _begin(self, start: Any) -> None:
        """Begins something that `pend_io` waits for; what is begun calls ``done(error)``."""
        ready = threading.Event()
        self._pending.append(ready)

        def done(error: canter.CanterError | None) -> None:
            if error is not None:
                self._failed.append(error)
            ready.set()

        start(done)

    def pend_io(self, timeout=None):
        """Waits for what was asked for: searches, gets and puts.

        Raises:
            CaChannelException: it did not come in time, or failed.
        """
        ends = time.monotonic() + self._seconds(timeout)
        pending, self._pending = self._pending, []
        done = all(ready.wait(max(0.0, ends - time.monotonic())) for ready in pending)
        failed, self._failed = self._failed, []
        if failed:
            _raise(failed[0])
        if not done:
            raise CaChannelException(dbr.ECA_TIMEOUT, f'"{self.pvname}": no answer after {self._seconds(timeout)} s')

    def pend_event(self, timeout=None):
        """Lets time pass; callbacks are called all the while."""
        time.sleep(0.1 if timeout is None else max(0.0, timeout))
        return dbr.ECA_TIMEOUT

    def poll(self):
        """Does nothing: nothing has to be polled."""
        return dbr.ECA_TIMEOUT

    def flush_io(self):
        """Does nothing: everything is sent at once."""

    # -- writing

    def _setup_put(self, value, req_type, count=None):
        native = self.field_type() if req_type in (None, -1) else dbr.native_type(req_type)
        most = max(1, self.element_count() if count is None else min(self.element_count(), count))
        if isinstance(value, str) and native == dbr.CHAR:
            return list(value.encode("utf-8", "replace")[:most])
        if isinstance(value, (str, bytes, *_NUMBERS)):
            return value
        return value[:most] if hasattr(value, "__len__") else value

    def _other(self, req_type) -> int | None:
        """The type to put, if it is another one than that of the PV."""
        wanted = self.field_type() if req_type in (None, -1) else dbr.native_type(req_type)
        return None if wanted == self.field_type() else wanted

    def _put(self, value, req_type, count, until, done) -> None:
        channel = self._connected()
        ftype = self._other(req_type)
        channel.client._dispatcher.ensure()
        try:
            made = self._setup_put(value, req_type, count)
            channel.core.start_put(lambda _result, error: done(error), made, until, 1e9, dbr=ftype)
        except canter.CanterError as error:
            _raise(error)

    def array_put(self, value, req_type=None, count=None):
        """Puts a value, of which ``count`` elements at most; `pend_io` tells whether it could be."""
        self._begin(lambda done: self._put(value, req_type, count, "sent", done))

    def array_put_callback(self, value, req_type, count, callback, *user_args):
        """Puts a value, and tells when it is complete: ``chid``, ``type``, ``count`` and ``status``."""

        def told(error):
            status = dbr.ECA_NORMAL if error is None else _status(error)
            known = {"chid": self._channel and self._channel.number, "type": self.field_type(),
                     "count": self.element_count(), "status": status}  # fmt: skip
            run(callback, known, user_args)

        self._put(value, req_type, count, "completed", told)

    def putw(self, value, req_type=None):
        """Puts a value.

        Raises:
            CaChannelException: it cannot be.
        """
        channel = self._connected()
        ftype = self._other(req_type)
        try:
            channel.put(self._setup_put(value, req_type), False, self._seconds(), ftype)
        except canter.CanterError as error:
            _raise(error)

    # -- reading

    def _kind(self, req_type) -> int:
        return self.field_type() if req_type in (None, -1) else req_type

    def getValue(self):
        """What `array_get` asked for."""
        return self.val

    def array_get(self, req_type=None, count=None):
        """Gets a value, which `getValue` gives."""
        self.val = self.getw(req_type, count)

    def array_get_callback(self, req_type, count, callback, *user_args):
        """Asks for a value, and tells of it; see `add_masked_array_event`."""
        channel = self._connected()
        kind = self._kind(req_type)

        def told(reading, error):
            if error is not None:
                run(callback, self._known(None, kind, _status(error)), user_args)
            else:
                run(callback, self._known(reading, kind), user_args)

        channel.client._dispatcher.ensure()
        channel.core.start_read(told, self._seconds(), dbr=kind, count=count or 0)

    def getw(self, req_type=None, count=None):
        """The value: a number, a text, or a list.

        Raises:
            CaChannelException: it did not come in time.
        """
        channel = self._connected()
        try:
            reading = channel.read(self._seconds(), self._kind(req_type), count or 0)
        except canter.CanterError as error:
            _raise(error)
        return plain_value(reading, False)

    def add_masked_array_event(self, req_type, count, mask, callback, *user_args):
        """Tells of changes, in place of what it told of before.

        The callback gets a dictionary: ``chid``, ``type``, ``count``, ``status``, ``pv_value``; with the types STS
        and above ``pv_severity`` and ``pv_status``; with TIME ``pv_seconds`` since 1970; with GR and CTRL
        ``pv_units``, ``pv_precision`` and limits, or ``pv_nostrings`` and ``pv_statestrings``.
        """
        channel = self._connected()
        self.clear_event()
        kind = self._kind(req_type)
        channel.client._dispatcher.ensure()
        self._event = channel.core.monitor(
            lambda reading, _skipped: run(callback, self._known(reading, kind), user_args),
            mask=mask or ca.DEFAULT_SUBSCRIPTION_MASK,
            dbr=kind,
            count=count or 0,
        )

    def clear_event(self):
        """Ends what `add_masked_array_event` began."""
        event, self._event = self._event, None
        if event is not None:
            event.cancel()

    def _known(self, reading, kind: int, status: int = dbr.ECA_NORMAL) -> dict[str, Any]:
        known: dict[str, Any] = {"chid": self._channel and self._channel.number, "type": kind, "status": status}
        known["count"] = 0 if reading is None else reading.count
        known["pv_value"] = None if reading is None else plain_value(reading, False)
        if reading is None:
            return known
        found = ca._found(reading, kind, known["chid"], False, False)
        if kind >= 7:
            known["pv_severity"], known["pv_status"] = reading.severity or 0, reading.status or 0
        if "timestamp" in found:
            known["pv_seconds"] = found["timestamp"]
        if "enum_strs" in found:
            states = found["enum_strs"]
            known["pv_nostrings"], known["pv_statestrings"] = len(states), states
        for key, name in _GRAPHIC.items():
            if name in found:
                known[key] = found[name]
        return known

    # -- what is known

    def get_info(self):
        """Type, count, nothing, state, host, whether it may be read, whether it may be written."""
        channel = self._opened()
        known = channel.info()
        state = dbr.CS_CONN if channel.connected else dbr.CS_NEVER_CONN
        return (known.get("dbr", -1), known.get("count", 0), None, state, channel.host, bool(known["can_read"]),
                bool(known["can_write"]))  # fmt: skip

    def field_type(self):
        """Its native type; -1 without connection."""
        return self.get_info()[0]

    def element_count(self):
        """Its elements; 0 without connection."""
        return self.get_info()[1]

    def name(self):
        """Its name."""
        return self._opened().name

    def state(self):
        """0 never connected, 2 connected, 4 not searched."""
        return dbr.CS_NEVER_SEARCH if self._channel is None else self.get_info()[3]

    def host_name(self):
        """Its server."""
        return self.get_info()[4]

    def read_access(self):
        """Whether it may be read."""
        return self.get_info()[5]

    def write_access(self):
        """Whether it may be written."""
        return self.get_info()[6]


#: Keywords of callbacks, and what they are called elsewhere.
_GRAPHIC = {
    "pv_units": "units",
    "pv_precision": "precision",
    "pv_updislim": "upper_disp_limit",
    "pv_lodislim": "lower_disp_limit",
    "pv_upalarmlim": "upper_alarm_limit",
    "pv_upwarnlim": "upper_warning_limit",
    "pv_loalarmlim": "lower_alarm_limit",
    "pv_lowarnlim": "lower_warning_limit",
    "pv_upctrllim": "upper_ctrl_limit",
    "pv_loctrllim": "lower_ctrl_limit",
}

__all__ = ["CaChannel", "CaChannelException", "ca", "dbr", "message"]
