"""What aioca offers, on Canter: change ``from aioca import …`` to ``from canter.aioca import …``."""

from __future__ import annotations

import asyncio
import time
import warnings
from typing import Any

import canter

from .._errors import UNNAMED, named
from .._loops import _begin, _begin_put
from ._subscription import Subscription, open_subscriptions, start
from ._values import (
    CAInfo,
    CANothing,
    augmented,
    check_count,
    check_monitor,
    check_request,
    ca_extra_fields,
    nothing,
    put_arguments,
    request,
    seconds,
)
from .dbr import (
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    DBR_CHAR,
    DBR_CHAR_BYTES,
    DBR_CHAR_STR,
    DBR_CHAR_UNICODE,
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

_used: set[str] = set()


def _channel(pv: str) -> Any:
    core = canter.default_client().channel(pv)._core
    _used.add(pv)
    return core


async def _connected(channel: Any, timeout: float) -> bool:
    try:
        await _begin(canter.default_client(), channel.start_connect, timeout)
    except canter.CanterError:
        return False
    return True


async def _native(channel: Any, timeout: float) -> dict:
    """What is known of the channel, which is waited for."""
    if not channel.connected:
        await _begin(canter.default_client(), channel.start_connect, timeout)
    return channel.info()


async def _one(pv: str, work: Any, timeout: Any, throw: bool, put: bool = False) -> Any:
    try:
        return await work(_channel(pv), seconds(timeout))
    except (canter.CanterError, *UNNAMED) as error:
        cause = named(error, "write" if put else "read", pv)
        result = nothing(pv, cause, put=put)
        if throw:
            raise result from cause
        return result


def _many(pvs: Any) -> list[str] | None:
    return None if isinstance(pvs, str) else list(pvs)


def caget(pv, datatype=None, format=FORMAT_RAW, count=0, *, timeout=5.0, throw=True):
    """The value of a PV, or a list of those of many, which are asked together.

    Args:
        datatype: what to ask for: a ``DBR_`` number, a type of Python or a dtype of NumPy.
        format: what comes along: ``FORMAT_RAW`` nothing, ``FORMAT_TIME`` alarm and time stamp,
            ``FORMAT_CTRL`` the description.
        count: number of elements; 0 for those that there are, -1 for all that there can be.
        timeout: seconds; ``None`` for ever, a tuple of one number for the time at which it is up.
        throw: raise what fails; else it is in the place of the value, as a false `CANothing`.
    """

    check_request(datatype, format, count)

    async def get(channel: Any, left: float) -> Any:
        check_count(count)
        known = await _native(channel, left)
        elements = known.get("count", 1)
        kind = request(datatype, format, known.get("dbr", 6))
        wanted = elements if count == -1 else count
        read = channel.start_read
        reading = await _begin(canter.default_client(), read, left, dbr=kind, count=wanted)
        return augmented(reading, datatype, elements)

    return _all(pv, get, timeout, throw)


async def _all(pvs: Any, work: Any, timeout: Any, throw: bool) -> Any:
    names = _many(pvs)
    if names is None:
        return await _one(pvs, work, timeout, throw)
    # One deadline for all.
    deadline = _deadline(timeout)
    return list(await asyncio.gather(*(_one(name, work, deadline, throw) for name in names)))


def _deadline(timeout: Any) -> Any:
    return timeout if isinstance(timeout, tuple) or timeout is None else (time.time() + seconds(timeout),)


async def caput(pv, value, datatype=None, wait=False, *, timeout=5.0, throw=True, repeat_value=False):
    """Puts a value to a PV, or values to many: a true `CANothing` for each that arrived.

    Args:
        wait: until what follows from the value is complete.
        repeat_value: put the same value to all of them, also when it is a list.
    """
    names = _many(pv)
    check_request(datatype, FORMAT_RAW, 0)

    def put(one: Any) -> Any:
        async def work(channel: Any, left: float) -> Any:
            known = await _native(channel, left)
            made, kind = put_arguments(one, datatype, known.get("dbr", 6))
            until = "completed" if wait else "sent"
            await _begin_put(canter.default_client(), channel.start_put, made, until, left, dbr=kind)
            return CANothing(channel.name)

        return work

    if names is None:
        return await _one(pv, put(value), timeout, throw, put=True)
    single = repeat_value or isinstance(value, (str, bytes)) or not hasattr(value, "__len__")
    values = [value] * len(names) if single else list(value)
    if len(values) != len(names):
        raise canter.BadRequest(f"{len(names)} PVs and {len(values)} values", remedy="repeat_value puts one to all")
    deadline = _deadline(timeout)
    puts = (_one(name, put(one), deadline, throw, put=True) for name, one in zip(names, values))
    return list(await asyncio.gather(*puts))


def camonitor(
    pv,
    callback,
    events=None,
    datatype=None,
    format=FORMAT_RAW,
    count=0,
    all_updates=False,
    notify_disconnect=False,
    connect_timeout=None,
):
    """Calls a function, plain or asynchronous, with each value of a PV; with those of many and their index.

    Args:
        events: which changes are told, as an or of ``DBE_VALUE`` and the like.
        all_updates: tell all, also when the callback is slow; else the newest.
        notify_disconnect: tell disconnects, as a false `CANothing`.
        connect_timeout: seconds after which a PV that is not there is told so, too.
    """
    check_monitor(callback, events, datatype, format, count, connect_timeout)
    options = (events, datatype, format, count, bool(all_updates), bool(notify_disconnect), connect_timeout)
    names = _many(pv)
    if names is None:
        return start(pv, callback, *options)

    def indexed(index: int) -> Any:
        return lambda value: callback(value, index)

    return [start(name, indexed(index), *options) for index, name in enumerate(names)]


def connect(pv, wait=True, *, timeout=5.0, throw=True):
    """Waits until a PV is connected, or many are: a true `CANothing` for each."""

    async def work(channel: Any, left: float) -> Any:
        if wait:
            await _native(channel, left)
        return CANothing(channel.name)

    return _all(pv, work, timeout, throw)


def cainfo(pv, wait=True, *, timeout=5.0, throw=True):
    """What is known of a PV, or of many: `CAInfo`."""

    async def work(channel: Any, left: float) -> Any:
        if wait:
            await _native(channel, left)
        return CAInfo(channel.name, channel)

    return _all(pv, work, timeout, throw)


class ChannelInfo:
    """A channel in use."""

    def __init__(self, name, connected, subscriber_count):
        self.name = name
        self.connected = connected
        self.subscriber_count = subscriber_count


def get_channel_infos():
    """The channels in use."""
    counts: dict[str, int] = {}
    for subscription in open_subscriptions:
        counts[subscription.name] = counts.get(subscription.name, 0) + 1
    client = canter.default_client()
    return [ChannelInfo(name, client.channel(name).connected, counts.get(name, 0)) for name in sorted(_used)]


def purge_channel_caches():
    """Ends all subscriptions and closes the channels."""
    for subscription in list(open_subscriptions):
        subscription.close()
    client = canter.default_client()
    for name in list(_used):
        client.channel(name).close()
    _used.clear()


def run(coro, forever=False):
    """Runs a coroutine to its end, or for ever."""
    warnings.warn("run is deprecated, use asyncio.run", DeprecationWarning, stacklevel=2)

    async def main() -> Any:
        result = await coro
        if forever:
            await asyncio.Event().wait()
        return result

    return asyncio.run(main())


__all__ = [
    "CAInfo", "CANothing", "ChannelInfo", "DBE_ALARM", "DBE_LOG", "DBE_PROPERTY", "DBE_VALUE", "DBR_CHAR",
    "DBR_CHAR_BYTES", "DBR_CHAR_STR", "DBR_CHAR_UNICODE", "DBR_CLASS_NAME", "DBR_DOUBLE", "DBR_ENUM",
    "DBR_ENUM_STR", "DBR_FLOAT", "DBR_LONG", "DBR_PUT_ACKS", "DBR_PUT_ACKT", "DBR_SHORT", "DBR_STRING",
    "DBR_STSACK_STRING", "FORMAT_CTRL", "FORMAT_RAW", "FORMAT_TIME", "Subscription", "ca_extra_fields",
    "caget", "cainfo", "camonitor", "caput", "connect", "get_channel_infos", "purge_channel_caches", "run",
]  # fmt: skip
