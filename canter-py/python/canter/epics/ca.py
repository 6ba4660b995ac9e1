"""``epics.ca``: the functions of libca, by numbers of channels, on ours.

What only makes sense for a library in C succeeds and does nothing: there are no contexts to attach to, and
nothing has to be polled.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import canter

from . import dbr
from ._ca_life import (
    _CONTEXT,
    GET_PENDING,
    CASeverityException,
    CAThread,
    ChannelAccessException,
    ChannelAccessGetFailure,
    Empty,
    PySEVCHK,
    attach_context,
    client_status,
    clib_search_path,
    context_create,
    context_destroy,
    create_context,
    current_context,
    destroy_context,
    detach_context,
    disable_ca_messages,
    enable_ca_messages,
    find_lib,
    find_libca,
    find_libCom,
    flush_io,
    message,
    pend_event,
    pend_io,
    poll,
    replace_printf_handler,
    test_io,
    use_initial_context,
    version,
    withSEVCHK,
    write,
)
from ._channels import LibChannel, by_number, forget_all, open_channel, run
from ._text import charval
from ._vars import TIME_FIELDS, ctrlvars, plain_value, timevars
from .utils import IOENCODING, bytes2str, str2bytes, strjoin


HAS_NUMPY = dbr.HAS_NUMPY
PREEMPTIVE_CALLBACK = True
AUTO_CLEANUP = True
WITH_CA_MESSAGES = False
AUTOMONITOR_MAXLENGTH = 65536
DEFAULT_CONNECTION_TIMEOUT = 2.0
DEFAULT_SUBSCRIPTION_MASK = dbr.DBE_VALUE | dbr.DBE_ALARM

libca = None
initial_context: int | None = None
_last_error: dict[int, Exception] = {}
_clear_cache_callbacks: dict[int, Callable[[], None]] = {}


def _channel(chid: Any) -> LibChannel:
    found = by_number(chid)
    if found is None:
        raise ChannelAccessException(f"{chid!r} is no channel; create_channel makes them")
    return found.fresh()


def _connected(chid: Any, timeout: float | None = None) -> LibChannel:
    channel = _channel(chid)
    if not channel.connected:
        error = channel.connect(DEFAULT_CONNECTION_TIMEOUT if timeout is None else timeout)
        if error is not None:
            raise ChannelAccessException(str(error)) from error
    return channel


def _same(function):
    """A decorator that has nothing to do."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


def withCA(fcn):  # noqa: N802
    """Decorates what needs the library: it is always there."""
    return _same(fcn)


def withInitialContext(fcn):  # noqa: N802
    """Decorates what needs the first context: every thread has it."""
    return _same(fcn)


def withCHID(fcn):  # noqa: N802
    """Decorates what needs a channel as its first argument."""

    @functools.wraps(fcn)
    def call(*args, **kwargs):
        if args:
            _channel(args[0])
        return fcn(*args, **kwargs)

    return call


def withConnectedCHID(fcn):  # noqa: N802
    """Decorates what needs a connected channel as its first argument."""

    @functools.wraps(fcn)
    def call(*args, **kwargs):
        if args:
            _connected(args[0])
        return fcn(*args, **kwargs)

    return call


withMaybeConnectedCHID = withCHID  # noqa: N816


def initialize_libca():
    """There is no library to load."""
    global initial_context
    initial_context = _CONTEXT


def finalize_libca(maxtime=10.0):
    """Forgets all channels."""
    clear_cache()


# -- channels


def get_cache(pvname):
    """What is known of a name."""
    from ._channels import _by_name

    return _by_name.get(pvname)


def show_cache(print_out=True):
    """The channels, one a line."""
    from ._channels import _by_name

    lines = ["#  PVName        ChannelID/Context Connected?", "#--------------------------------------------"]
    lines += [f" {it.name} {it.number}/{_CONTEXT} {it.connected}" for it in _by_name.values()]
    if not print_out:
        return "\n".join(lines)
    write("\n".join(lines))
    return None


def clear_cache():
    """Closes all channels, and forgets what was made with them."""
    forget_all()
    for callback in list(_clear_cache_callbacks.values()):
        callback()


def register_clear_cache(callback):
    """Has a function called by `clear_cache`."""
    _clear_cache_callbacks[id(callback)] = callback
    return callback


def create_channel(pvname, connect=False, auto_cb=True, callback=None):
    """A channel: its number. The callback is told of connects and disconnects."""
    channel = open_channel(bytes2str(pvname))
    if callable(callback):
        name, number = channel.name, channel.number
        channel.add_connection_callback(lambda conn: callback(pvname=name, chid=number, conn=conn))
    if connect:
        connect_channel(channel.number)
    return channel.number


def connect_channel(chid, timeout=None, verbose=False):
    """Waits for a channel; whether it is connected."""
    error = _channel(chid).connect(DEFAULT_CONNECTION_TIMEOUT if timeout is None else timeout)
    if error is not None and verbose:
        write(str(error))
    return error is None


def replace_access_rights_event(chid, callback=None):
    """Has a function told of changes of the rights."""
    channel = _channel(chid)
    if callback is not None:
        channel.access_callbacks.append(callback)
        if channel.connected:
            run(callback, read_access(chid), write_access(chid))
    return dbr.ECA_NORMAL


def clear_channel(chid):
    """Closes a channel."""
    _channel(chid).close()
    return dbr.ECA_NORMAL


def name(chid):
    """Its name."""
    return _channel(chid).name


def host_name(chid):
    """Its server."""
    return _connected(chid).host


def element_count(chid):
    """Its largest number of elements."""
    return _connected(chid).info().get("count", 1)


def read_access(chid):
    """Whether it may be read."""
    return _channel(chid).info()["can_read"]


def write_access(chid):
    """Whether it may be written."""
    return _channel(chid).info()["can_write"]


def field_type(chid):
    """Its native type, -1 if it is not connected."""
    return _channel(chid).info().get("dbr", -1)


def state(chid):
    """Its state: 2 is connected."""
    return dbr.CS_CONN if _channel(chid).connected else dbr.CS_NEVER_CONN


def isConnected(chid):  # noqa: N802
    """Whether it is connected."""
    return state(chid) == dbr.CS_CONN


def access(chid):
    """Its rights in words."""
    return _channel(chid).access


def promote_fieldtype(ftype, use_time=False, use_ctrl=False):
    """The type with what comes along."""
    if use_ctrl:
        return dbr.TIME_STRING if ftype == dbr.STRING else ftype + 28
    return ftype + 14 if use_time else ftype


def promote_type(chid, use_time=False, use_ctrl=False):
    """The type of a channel with what comes along."""
    return promote_fieldtype(field_type(chid), use_time, use_ctrl)


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
        return channel.core.read(timeout, dbr=ftype, count=count or 0)
    except canter.GetTimeout as error:
        _last_error[channel.number] = error
        return None
    except canter.CanterError as error:
        status = error.status or dbr.ECA_BADCHID
        raise ChannelAccessGetFailure(str(error), chid, status) from error


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
    except (canter.ValueProblem, canter.BadRequest) as error:
        raise ChannelAccessException(str(error)) from error
    except canter.CanterError as error:
        return -1, error
    return 1, None


def put(chid, value, wait=False, timeout=30, callback=None, callback_data=None, ftype=None):
    """Puts a value: 1, or -1 if completion was waited for and did not come."""
    channel = _connected(chid)
    if callback is not None and not wait:

        def done(_result, error):
            callback(pvname=channel.name, data=callback_data)

        channel.client._dispatcher.ensure()
        channel.core.start_put(done, value, "completed", 1e9, dbr=ftype)
        return 1
    result, error = put_channel(channel, value, wait, timeout, ftype)
    if error is not None:
        _last_error[channel.number] = error
    if callback is not None:
        callback(pvname=channel.name, data=callback_data)
    return result


from ._ca_groups import (  # noqa: E402 - it uses what is above
    clear_subscription,
    create_subscription,
    sg_block,
    sg_create,
    sg_delete,
    sg_get,
    sg_put,
    sg_reset,
    sg_test,
)

# What is from elsewhere and belongs here.
__all__ = [
    "CASeverityException",
    "CAThread",
    "ChannelAccessException",
    "ChannelAccessGetFailure",
    "Empty",
    "GET_PENDING",
    "IOENCODING",
    "PySEVCHK",
    "attach_context",
    "bytes2str",
    "clear_subscription",
    "clib_search_path",
    "client_status",
    "context_create",
    "context_destroy",
    "create_context",
    "create_subscription",
    "current_context",
    "destroy_context",
    "detach_context",
    "disable_ca_messages",
    "enable_ca_messages",
    "find_lib",
    "find_libCom",
    "find_libca",
    "flush_io",
    "message",
    "pend_event",
    "pend_io",
    "poll",
    "replace_printf_handler",
    "sg_block",
    "sg_create",
    "sg_delete",
    "sg_get",
    "sg_put",
    "sg_reset",
    "sg_test",
    "str2bytes",
    "strjoin",
    "test_io",
    "use_initial_context",
    "version",
    "withSEVCHK",
    "write",
]
