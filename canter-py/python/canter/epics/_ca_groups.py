"""Of ``epics.ca`` the subscriptions and the synchronous groups."""

from __future__ import annotations

import threading
import time

from .. import _arguments
from . import ca, dbr
from ._channels import as_put
from ._vars import plain_value


def create_subscription(
    chid, use_time=False, use_ctrl=False, ftype=None, mask=None, callback=None, count=0, timeout=None
):
    """Subscribes: the callback, the number of arguments and the subscription, as three values."""
    channel = ca._channel(chid)
    function = _arguments.function(callback, pv=channel.name)
    if not ca.connect_channel(chid, timeout):
        return None
    if ftype is None:
        ftype = ca.promote_type(chid, use_time=use_time, use_ctrl=use_ctrl)
    kind = ftype

    def on_update(reading, _skipped):
        known = ca._found(reading, kind, chid, False, True)
        known.update(ftype=kind, count=reading.count, chid=channel.number, pvname=channel.name)
        function(**known)

    channel.client._dispatcher.ensure()
    key = channel.core.monitor(
        on_update, mask=mask or ca.DEFAULT_SUBSCRIPTION_MASK, dbr=ftype, count=count or 0
    )
    return on_update, channel.number, key


def clear_subscription(event_id):
    """Ends a subscription, by what `create_subscription` gave or its last part."""
    key = event_id[2] if isinstance(event_id, tuple) else event_id
    key.cancel()
    return dbr.ECA_NORMAL


# -- synchronous groups

_groups: dict[int, list] = {}


def sg_create():
    """A group: its number."""
    number = max(_groups, default=0) + 1
    _groups[number] = []
    return number


def sg_delete(gid):
    """Ends a group."""
    _groups.pop(gid)
    return dbr.ECA_NORMAL


def sg_reset(gid):
    """Forgets what is pending in a group."""
    _groups[gid].clear()
    return dbr.ECA_NORMAL


def sg_get(gid, chid, ftype=None, as_numpy=True, as_string=True):
    """Asks for a value: a list, to which `sg_block` appends it."""
    channel = ca._connected(chid)
    place: list = []
    ready = threading.Event()
    kind = ca.field_type(chid) if ftype is None else ftype

    def done(reading, error):
        if reading is not None:
            place.append(plain_value(reading, as_numpy))
        ready.set()

    channel.client._dispatcher.ensure()
    channel.core.start_read(done, 1e9, dbr=kind)
    _groups[gid].append(ready)
    return place


def sg_put(gid, chid, value):
    """Puts a value, whose completion `sg_block` waits for."""
    channel = ca._connected(chid)
    ready = threading.Event()
    channel.client._dispatcher.ensure()
    channel.core.start_put(lambda _result, _error: ready.set(), as_put(channel.core, value), "completed", 1e9)
    _groups[gid].append(ready)
    return dbr.ECA_NORMAL


def sg_block(gid, timeout=10.0):
    """Waits until all of a group is done."""
    deadline = time.monotonic() + timeout
    for ready in _groups[gid]:
        if not ready.wait(max(0.0, deadline - time.monotonic())):
            return dbr.ECA_TIMEOUT
    _groups[gid].clear()
    return dbr.ECA_NORMAL


def sg_test(gid):
    """Whether all of a group is done."""
    return dbr.ECA_IODONE if all(ready.is_set() for ready in _groups[gid]) else 43
