"""What ``cothread.catools`` offers, on Canter and without cothread: calls wait in the thread that makes
them, and callbacks run in a thread of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import canter

from . import _arguments
from ._errors import UNNAMED, named
from .aioca._values import (
    CAInfo,
    CANothing,
    augmented,
    check_count,
    check_monitor,
    check_request,
    ca_extra_fields,
    default_events,
    nothing,
    put_arguments,
    request,
    seconds,
)
from .aioca.dbr import (
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    DBR_CHAR,
    DBR_CHAR_BYTES,
    DBR_CHAR_STR,
    DBR_CLASS_NAME,
    DBR_DOUBLE,
    DBR_ENUM,
    DBR_ENUM_STR,
    DBR_FLOAT,
    DBR_LONG,
    DBR_PUT_ACKS,
    DBR_PUT_ACKT,
    DBR_SHORT,
    DBR_STRING,
    DBR_STSACK_STRING,
    FORMAT_CTRL,
    FORMAT_RAW,
    FORMAT_TIME,
)

ca_nothing = CANothing
ca_info = CAInfo


def _one(pv: str, work: Callable[[Any, float], Any], timeout: Any, throw: bool, put: bool = False) -> Any:
    try:
        return work(canter.default_client().channel(pv)._core, seconds(timeout))
    except (canter.CanterError, *UNNAMED) as error:
        cause = named(error, "write" if put else "read", pv)
        result = nothing(pv, cause, put=put)
        if throw:
            raise result from cause
        return result


def _each(pvs: Any, work: Callable, timeout: Any, throw: bool, put: bool = False) -> Any:
    if isinstance(pvs, str):
        return _one(pvs, work, timeout, throw, put)
    names = list(pvs)
    # Searched together; what does not come is told one by one.
    client = canter.default_client()
    client._core.connect_many([client.channel(name)._core for name in names], seconds(timeout))
    return [_one(name, work, timeout, throw, put) for name in names]


def caget(pvs, datatype=None, format=FORMAT_RAW, count=0, timeout=5, throw=True):
    """The value of a PV, or a list of those of many."""
    check_request(datatype, format, count)

    def work(channel: Any, left: float) -> Any:
        check_count(count)
        if not channel.connected:
            channel.connect(left)
        known = channel.info()
        elements = known.get("count", 1)
        kind = request(datatype, format, known.get("dbr", 6))
        reading = channel.read(left, dbr=kind, count=elements if count == -1 else count)
        return augmented(reading, datatype, elements)

    return _each(pvs, work, timeout, throw)


def caput(pvs, values, repeat_value=False, datatype=None, wait=False, timeout=5, callback=None, throw=True):
    """Puts a value to a PV, or values to many: a true result for each that arrived. The callback is told
    of the completion, and nothing is waited for then.
    """
    check_request(datatype, FORMAT_RAW, 0)
    _arguments.optional(callback)

    def put(value: Any) -> Any:
        def work(channel: Any, left: float) -> Any:
            if not channel.connected:
                channel.connect(left)
            made, kind = put_arguments(value, datatype, channel.info().get("dbr", 6))
            name = channel.name
            if callback is not None:

                def done(_result: Any, error: Any) -> None:
                    callback(CANothing(name) if error is None else nothing(name, error, put=True))

                canter.default_client()._dispatcher.ensure()
                channel.start_put(done, made, "completed", 1e9, dbr=kind)
            else:
                channel.put(made, "completed" if wait else "sent", left, dbr=kind)
            return CANothing(name)

        return work

    if isinstance(pvs, str):
        return _one(pvs, put(values), timeout, throw, True)
    names = list(pvs)
    single = repeat_value or isinstance(values, (str, bytes)) or not hasattr(values, "__len__")
    every = [values] * len(names) if single else list(values)
    if len(every) != len(names):
        raise canter.BadRequest(f"{len(names)} PVs and {len(every)} values", remedy="repeat_value puts one to all")
    return [_one(name, put(value), timeout, throw, True) for name, value in zip(names, every)]


class _Subscription:
    """A monitor; it ends with ``close()``."""

    def __init__(self, name: str, callback: Callable, options: dict) -> None:
        self.name = name
        self.callback = callback
        self._options = options
        self._key: Any = None
        self._closed = False
        client = canter.default_client()
        client._dispatcher.ensure()
        self._channel = client.channel(name)._core
        patience = options["connect_timeout"]
        if patience is not None:
            self._channel.start_connect(self._late, seconds(patience))
        self._channel.start_connect(self._open, 1e9)

    def _late(self, _result: Any, error: Any) -> None:
        """Tells that it is not there; it goes on trying."""
        if error is not None and not self._closed:
            self.callback(nothing(self.name, error))

    def _open(self, _result: Any, error: Any) -> None:
        if error is not None or self._closed:
            return
        given = self._options
        known = self._channel.info()
        elements = known.get("count", 1)
        events, count = given["events"], given["count"]

        def on_update(reading: Any, skipped: int) -> None:
            if not self._closed:
                value = augmented(reading, given["datatype"], elements)
                value.update_count = 1 + skipped
                self.callback(value)

        def on_event(word: str, _text: str | None) -> None:
            if word == "disconnected" and given["notify_disconnect"] and not self._closed:
                self.callback(CANothing(self.name, 192))

        self._key = self._channel.monitor(
            on_update,
            on_event,
            mask=default_events(given["format"]) if events is None else events,
            dbr=request(given["datatype"], given["format"], known.get("dbr", 6)),
            count=elements if count == -1 else count,
            depth=10_000 if given["all_updates"] else 1,
        )

    def close(self) -> None:
        """Ends it."""
        self._closed = True
        if self._key is not None:
            self._key.cancel()


def camonitor(
    pvs,
    callback,
    events=None,
    datatype=None,
    format=FORMAT_RAW,
    count=0,
    all_updates=False,
    notify_disconnect=False,
    connect_timeout=None,
):
    """Calls a function with each value of a PV; with those of many and their index.

    Args:
        connect_timeout: seconds after which a PV that is not there is told so, too, as a false result.
    """
    check_monitor(callback, events, datatype, format, count, connect_timeout)
    options = {
        "events": events, "datatype": datatype, "format": format, "count": count,
        "all_updates": bool(all_updates), "notify_disconnect": bool(notify_disconnect), "connect_timeout": connect_timeout,
    }  # fmt: skip
    if isinstance(pvs, str):
        return _Subscription(pvs, callback, options)

    def indexed(index: int) -> Any:
        return lambda value: callback(value, index)

    return [_Subscription(name, indexed(index), options) for index, name in enumerate(pvs)]


def connect(pvs, cainfo=False, wait=True, timeout=5, throw=True):
    """Waits until a PV is connected, or many are."""

    def work(channel: Any, left: float) -> Any:
        if wait:
            channel.connect(left)
        return CAInfo(channel.name, channel) if cainfo else CANothing(channel.name)

    return _each(pvs, work, timeout, throw)


def cainfo(pvs, wait=True, timeout=5, throw=True):
    """What is known of a PV, or of many."""
    return connect(pvs, cainfo=True, wait=wait, timeout=timeout, throw=throw)


__all__ = [
    "DBE_ALARM", "DBE_LOG", "DBE_PROPERTY", "DBE_VALUE", "DBR_CHAR", "DBR_CHAR_BYTES", "DBR_CHAR_STR",
    "DBR_CLASS_NAME", "DBR_DOUBLE", "DBR_ENUM", "DBR_ENUM_STR", "DBR_FLOAT", "DBR_LONG", "DBR_PUT_ACKS",
    "DBR_PUT_ACKT", "DBR_SHORT", "DBR_STRING", "DBR_STSACK_STRING", "FORMAT_CTRL", "FORMAT_RAW",
    "FORMAT_TIME", "ca_extra_fields", "caget", "cainfo", "camonitor", "caput", "connect",
]  # fmt: skip
