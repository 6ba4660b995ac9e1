"""What PyEpics offers, on Canter: change ``import epics`` to ``import canter.epics as epics``.

Conventions are those of PyEpics: what goes wrong gives ``None`` or -1. The exception, with its phase and
remedy, is in the attribute ``last_error`` of the `PV`.
"""

from __future__ import annotations

import canter

from .. import _arguments
from . import alarm, autosave, ca, dbr, device, devices, motor, multiproc, pv
from ._channels import as_put, settle
from ._text import fmt_time
from .alarm import Alarm
from .ca import poll
from .device import Device
from .motor import Motor
from .multiproc import CAPool, CAProcess
from .pv import PV, get_pv

#: The version of PyEpics that this is like: packages look whether theirs is new enough.
__version__ = "3.5.10"

NO_ALARM = 0
MINOR_ALARM = 1
MAJOR_ALARM = 2
INVALID_ALARM = 3

_PVmonitors_: dict[str, tuple] = {}


def caput(pvname, value, wait=False, timeout=60.0, connection_timeout=5.0):
    """Puts a value by name: 1, -1 if completion did not come in time, ``None`` without connection."""
    thispv = get_pv(pvname, timeout=connection_timeout, connect=True)
    if thispv.connected:
        return thispv.put(value, wait=wait, timeout=timeout)
    return None


def caget(
    pvname,
    as_string=False,
    count=None,
    as_numpy=True,
    use_monitor=True,
    timeout=5.0,
    connection_timeout=5.0,
):
    """The value by name; ``None`` if it does not come."""
    thispv = get_pv(pvname, timeout=connection_timeout, connect=True)
    if not thispv.connected:
        return None
    if as_string:
        thispv.get_ctrlvars()
    return thispv.get(
        count=count, timeout=timeout, use_monitor=use_monitor, as_string=as_string, as_numpy=as_numpy
    )


def cainfo(pvname, print_out=True, timeout=5.0, connection_timeout=5.0):
    """Prints what is known of a PV, or gives it as text."""
    thispv = get_pv(pvname, timeout=connection_timeout, connect=True)
    if not thispv.connected:
        return None
    text = thispv.info
    if not print_out:
        return text
    ca.write(text)
    return None


def camonitor_clear(pvname):
    """Ends what `camonitor` began."""
    found = _PVmonitors_.pop(pvname, None)
    if found is not None:
        thispv, number = found
        thispv.remove_callback(number)


def camonitor(pvname, writer=None, callback=None, connection_timeout=5.0, monitor_delta=None):
    """Writes a line for each change of a PV, or calls a function."""
    if _arguments.optional(callback, pv=pvname) is None:
        write = _arguments.optional(writer, "writer", pvname) or ca.write

        def callback(pvname=None, value=None, char_value=None, timestamp=None, **kws):
            if char_value is None:
                char_value = repr(value)
            write(f"{pvname:.32s} {fmt_time(timestamp)} {char_value}")

    known = (pvname, "time", ca.current_context()) in pv._PVcache_
    # A new PV has the callback before its first value comes, which is told.
    first = {} if known else {"callback": callback, "monitor_delta": monitor_delta}
    thispv = get_pv(pvname, timeout=connection_timeout, connect=True, **first)
    if thispv.connected:
        camonitor_clear(pvname)
        if known and monitor_delta is not None:
            thispv.monitor_delta = monitor_delta
        number = thispv.add_callback(callback) if known else 0
        _PVmonitors_[pvname] = (thispv, number)


def _connect_all(pvlist, timeout):
    """PVs of names, all searched at once."""
    pvs = [name if isinstance(name, PV) else get_pv(name, connect=False) for name in pvlist]
    cores = [it._channel.fresh().core for it in pvs]
    canter.default_client()._core.connect_many(cores, timeout)
    settle()
    return pvs


def caget_many(
    pvlist,
    as_string=False,
    as_numpy=True,
    count=None,
    timeout=1.0,
    connection_timeout=5.0,
    conn_timeout=None,
):
    """Values of many PVs, all asked at once; ``None`` in the places of what does not come."""
    pvs = _connect_all(pvlist, conn_timeout or connection_timeout)
    if count is not None and not (isinstance(count, int) and 0 <= count < 2**32):
        raise canter.BadRequest(f"no PV has {count!r} elements", remedy="give a number from 0 on")
    cores = [it._channel.core for it in pvs if it.connected]
    batch = canter.default_client()._core.get_many(
        cores, timeout, family=2, count=count or 0, describe=as_string
    )
    settle()
    readings = iter(batch.readings())
    values = []
    for it in pvs:
        reading = next(readings) if it._ready else None
        if reading is None or isinstance(reading, Exception):
            it.last_error = reading or it.last_error
            values.append(None)
            continue
        value = it._take(reading, as_numpy)
        values.append(
            it._charval(long_text=True) if as_string else it._shaped(count, as_numpy) if count else value
        )
    return values


def caput_many(pvlist, values, wait=False, connection_timeout=5.0, put_timeout=60):
    """Puts values to many PVs: 1, -1 or ``None`` for each, as `caput`. ``wait`` is False, ``each`` (one
    after the other) or ``all`` (together).
    """
    if len(pvlist) != len(values):
        raise canter.BadRequest("list of PV names must be equal to list of values.", remedy="give a value for each")
    pvs = _connect_all(pvlist, connection_timeout)
    if wait == "each":
        results = []
        for it, value in zip(pvs, values):
            done = it.put(value, wait=True, timeout=put_timeout) if it.connected else None
            results.append(-1 if done is None else done)
        return results
    connected = [(it, value) for it, value in zip(pvs, values) if it.connected]
    made = [
        it._state(value) if isinstance(value, str) and it.ftype % 7 == dbr.ENUM else as_put(it._channel.core, value)
        for it, value in connected
    ]
    cores = [it._channel.core for it, _ in connected]
    until = "completed" if wait else "sent"
    errors = iter(canter.default_client()._core.put_many(cores, made, until, put_timeout))
    if wait:
        settle()
    results = []
    for it in pvs:
        it.last_error = next(errors) if it._ready else it.last_error
        results.append(1 if it._ready and it.last_error is None else -1 if wait or it._ready else None)
    return results


__all__ = [
    "Alarm", "CAPool", "CAProcess", "Device", "INVALID_ALARM", "MAJOR_ALARM", "MINOR_ALARM", "Motor",
    "NO_ALARM", "PV", "alarm", "autosave", "ca", "caget", "caget_many", "cainfo", "camonitor",
    "camonitor_clear", "caput", "caput_many", "dbr", "device", "devices", "get_pv", "motor", "multiproc",
    "poll", "pv",
]  # fmt: skip
