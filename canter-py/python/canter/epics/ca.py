"""``epics.ca``: the functions of libca, by numbers of channels, on ours.

What only makes sense for a library in C succeeds and does nothing: there are no contexts to attach to, and
nothing has to be polled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .. import _arguments
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
    if _arguments.optional(callback, pv=channel.name) is not None:
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
    if _arguments.optional(callback, pv=channel.name) is not None:
        channel.add_access_callback(callback)
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
from ._ca_values import (  # noqa: E402
    _found,
    get,
    get_complete,
    get_complete_with_metadata,
    get_ctrlvars,
    get_enum_strings,
    get_precision,
    get_severity,
    get_timeout,
    get_timestamp,
    get_timevars,
    get_with_metadata,
    put,
    put_channel,
)

# What is from elsewhere and belongs here.
__all__ = [
    "_found",
    "attach_context",
    "bytes2str",
    "CASeverityException",
    "CAThread",
    "ChannelAccessException",
    "ChannelAccessGetFailure",
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
    "Empty",
    "enable_ca_messages",
    "find_lib",
    "find_libca",
    "find_libCom",
    "flush_io",
    "get",
    "get_complete",
    "get_complete_with_metadata",
    "get_ctrlvars",
    "get_enum_strings",
    "GET_PENDING",
    "get_precision",
    "get_severity",
    "get_timeout",
    "get_timestamp",
    "get_timevars",
    "get_with_metadata",
    "IOENCODING",
    "message",
    "pend_event",
    "pend_io",
    "poll",
    "put",
    "put_channel",
    "PySEVCHK",
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
