"""``epics.ca``: getting and putting values. It is a part of ``ca``, which imports it at its end."""

from __future__ import annotations

import math
import threading
from typing import Any

import canter

from .. import _arguments
from .._errors import UNNAMED, named
from . import dbr
from ._ca_life import GET_PENDING, CASeverityException, ChannelAccessException, ChannelAccessGetFailure
from ._channels import LibChannel, as_keywords, as_put
from ._text import charval
from ._vars import TIME_FIELDS, ctrlvars, plain_value, timevars
from .ca import _channel, _connected, _last_error, element_count, field_type, promote_type

# -- get


def get_timeout(count: int) -> float:
    """Seconds that a get waits unless told otherwise."""
    return 1.0 + math.log10(max(1, count))


def _read(chid: Any, ftype: int | None, count: int | None, timeout: float | None) -> Any:
    channel = _connected(chid)
    if ftype is None:
        ftype = field_type(chid)
    if timeout is None:
        timeout = get_timeout(count or element_count(chid))
    try:
        return channel.read(timeout, ftype, count or 0)
    except canter.GetTimeout as error:
        _last_error[channel.number] = error
        return None
    except (canter.CanterError, *UNNAMED) as error:
        status = getattr(error, "status", None) or dbr.ECA_BADCHID
        raise ChannelAccessGetFailure(str(named(error, "read", channel.name)), chid, status) from error


_pending: dict[tuple[int, int], Any] = {}


def get_with_metadata(chid, ftype=None, count=None, wait=True, timeout=None, as_string=False, as_numpy=True):
    """A dictionary of the value and what came with it; ``None`` if it did not come in time."""
    channel = _connected(chid)
    if ftype is None:
        ftype = field_type(chid)
    if wait:
        reading = _read(chid, ftype, count, timeout)
        return None if reading is None else _found(reading, ftype, chid, as_string, as_numpy)
    results: list = []
    ready = threading.Event()

    def done(reading, error):
        results.append(reading)
        ready.set()

    channel.client._dispatcher.ensure()
    channel.core.start_read(done, 1e9, dbr=ftype, count=count or 0)
    _pending[channel.number, ftype] = (ready, results)
    return {"value": GET_PENDING}


def _found(reading, ftype, chid, as_string, as_numpy):
    value = plain_value(reading, as_numpy)
    if as_string:
        value = _as_string(value, chid, reading.count, ftype)
    known = {"value": value}
    if ftype >= dbr.TIME_STRING:
        known.update(timevars(reading))
        if reading.stamp is None:
            known = {name: one for name, one in known.items() if name not in TIME_FIELDS[2:]}
    if ftype >= dbr.CTRL_STRING:
        known.update(ctrlvars(reading))
    return known


def _as_string(val, chid, count, ftype):
    native = dbr.native_type(ftype)
    precision = get_precision(chid) if native in (dbr.FLOAT, dbr.DOUBLE) else None
    states = get_enum_strings(chid) if native == dbr.ENUM else None
    return charval(val, ftype, precision, states, long_text=True)


def get(chid, ftype=None, count=None, wait=True, timeout=None, as_string=False, as_numpy=True):
    """The value; ``None`` if it did not come in time, or is not waited for."""
    found = get_with_metadata(chid, ftype, count, wait, timeout, as_string, as_numpy)
    return None if found is None or found["value"] is GET_PENDING else found["value"]


def get_complete_with_metadata(chid, ftype=None, count=None, timeout=None, as_string=False, as_numpy=True):
    """Waits for what a get without waiting asked for."""
    number = _channel(chid).number
    if ftype is None:
        ftype = field_type(chid)
    ready, results = _pending.pop((number, ftype), (None, None))
    if ready is None or results is None:
        return None
    if not ready.wait(get_timeout(count or 1) if timeout is None else timeout) or results[0] is None:
        return None
    return _found(results[0], ftype, chid, as_string, as_numpy)


def get_complete(chid, ftype=None, count=None, timeout=None, as_string=False, as_numpy=True):
    """The value that a get without waiting asked for."""
    found = get_complete_with_metadata(chid, ftype, count, timeout, as_string, as_numpy)
    return None if found is None else found["value"]


def get_ctrlvars(chid, timeout=5.0, warn=True):
    """Status, severity, units, precision, limits or state texts."""
    reading = _read(chid, promote_type(chid, use_ctrl=True), 1, timeout)
    if reading is None:
        return {}
    known = ctrlvars(reading)
    known.update(status=reading.status or 0, severity=reading.severity or 0)
    if reading.native == "STRING":
        known.update(timevars(reading))
    return known


def get_timevars(chid, timeout=5.0, warn=True):
    """Status, severity and time stamp."""
    reading = _read(chid, promote_type(chid, use_time=True), 1, timeout)
    return {} if reading is None else timevars(reading)


def get_timestamp(chid):
    """Seconds since 1970."""
    return get_timevars(chid).get("timestamp", 0)


def get_severity(chid):
    """Alarm severity."""
    return get_timevars(chid).get("severity", 0)


def get_precision(chid):
    """Digits after the point; 0 for what is no real number."""
    if field_type(chid) not in (dbr.FLOAT, dbr.DOUBLE):
        return 0
    return get_ctrlvars(chid).get("precision", 0)


def get_enum_strings(chid):
    """Texts of the states of an enum."""
    if field_type(chid) != dbr.ENUM:
        return None
    return get_ctrlvars(chid).get("enum_strs")


# -- put


def put_channel(channel: LibChannel, value: Any, wait: bool, timeout: float, ftype: int | None = None):
    """The result of a put as PyEpics has it, and the exception."""
    try:
        channel.put(value, wait, max(0.0, timeout), ftype)
    except canter.AccessDenied as error:
        raise CASeverityException("put", "Write access denied") from error
    except (canter.ValueProblem, canter.BadRequest, *UNNAMED) as error:
        raise ChannelAccessException(str(named(error, "write", channel.name))) from error
    except canter.CanterError as error:
        return -1, error
    return 1, None


def put(chid, value, wait=False, timeout=30, callback=None, callback_data=None, ftype=None):
    """Puts a value: 1, or -1 if completion was waited for and did not come."""
    channel = _connected(chid)
    _arguments.optional(callback, pv=channel.name)
    if callback is not None and not wait:

        def done(_result, error):
            callback(pvname=channel.name, **as_keywords(callback_data))

        channel.client._dispatcher.ensure()
        channel.core.start_put(done, as_put(channel.core, value, ftype), "completed", 1e9, dbr=ftype)
        return 1
    result, error = put_channel(channel, value, wait, timeout, ftype)
    if error is not None:
        _last_error[channel.number] = error
    if callback is not None:
        callback(pvname=channel.name, **as_keywords(callback_data))
    return result
