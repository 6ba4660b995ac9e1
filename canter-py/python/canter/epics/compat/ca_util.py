"""``ca_util``: channels by name, with retries, and puts that are read back.

>>> from canter.epics.compat.ca_util import caget, caputw
>>> caputw("xxx:m1", 2.5, wait_timeout=60, read_check_tolerance=0.01)   # doctest: +SKIP

Functions raise `CaChannelException` or `ca_utilException`. ``None`` for ``timeout``, ``retries`` and
``read_check_tolerance`` is what `set_ca_util_defaults` has set, the text ``"NONE"`` nothing at all.
"""
# ruff: noqa: N801, N802, N803 - names are those that scripts call

from __future__ import annotations

import sys
import threading
import traceback
from typing import Any

from .. import dbr
from .CaChannel import CaChannel, CaChannelException

version = "3.0"

#: States of channels in words.
ca_states = {
    dbr.CS_NEVER_CONN: "never connected",
    dbr.CS_PREV_CONN: "previously connected",
    dbr.CS_CONN: "connected",
    dbr.CS_CLOSED: "closed",
    dbr.CS_NEVER_SEARCH: "never searched",
}

#: Seconds for connections and answers; ``None`` is that of `CaChannel`.
defaultTimeout: Any = None
#: How often something is tried again.
defaultRetries: Any = 3
#: How far what is read back may be from what was put; ``None`` reads nothing back.
readCheckTolerance: Any = None

EXCEPTION_NULL_NAME = 0
EXCEPTION_READBACK_DISAGREES = 1
EXCEPTION_NOT_CONNECTED = 2
ca_utilExceptionStrings = [
    "No name was provided.",
    "Readback disagrees with put value.",
    "PV is not connected.",
]


class ca_utilException(Exception):
    """What went wrong: its ``int`` is one of the ``EXCEPTION_`` numbers, its text may say more."""

    def __init__(self, *args):
        super().__init__(*args)
        self.errorNumber = args[0]

    def __int__(self):
        return int(self.errorNumber)

    def __str__(self):
        return " ".join([ca_utilExceptionStrings[self.errorNumber], *map(str, self.args[1:])])


class cadictEntry:
    """A channel that is kept."""

    def __init__(self, channel):
        self.channel = channel
        self.callbackReceived = 0
        self.field_type = channel.field_type()
        self.element_count = channel.element_count()


#: Channels by their names.
cadict: dict[str, cadictEntry] = {}


# -- defaults


def set_ca_util_defaults(timeout=None, retries=None, read_check_tolerance=None):
    """Sets what is not ``None``, or all three of a list; those before, as a list."""
    global defaultTimeout, defaultRetries, readCheckTolerance
    old = get_ca_util_defaults()
    if isinstance(timeout, list):
        timeout, retries, read_check_tolerance = timeout
    if timeout is not None:
        defaultTimeout = timeout
    if retries is not None:
        defaultRetries = retries
    if read_check_tolerance is not None:
        readCheckTolerance = read_check_tolerance
    return old


def get_ca_util_defaults():
    """Time-out, retries and tolerance."""
    return [defaultTimeout, defaultRetries, readCheckTolerance]


def set_ca_util_default_timeout(timeout=None):
    """Sets the time-out; the one before."""
    global defaultTimeout
    old, defaultTimeout = defaultTimeout, timeout
    return old


def get_ca_util_default_timeout():
    """The time-out."""
    return defaultTimeout


def set_ca_util_default_retries(retries=None):
    """Sets the retries; those before."""
    global defaultRetries
    old, defaultRetries = defaultRetries, retries
    return old


def get_ca_util_default_retries():
    """The retries."""
    return defaultRetries


def set_ca_util_default_read_check_tolerance(read_check_tolerance=None):
    """Sets the tolerance; the one before."""
    global readCheckTolerance
    old, readCheckTolerance = readCheckTolerance, read_check_tolerance
    return old


def get_ca_util_default_read_check_tolerance():
    """The tolerance."""
    return readCheckTolerance


def _chosen(given: Any, default: Any) -> Any:
    chosen = default if given is None else given
    return None if chosen == "NONE" else chosen


def _tries(retries: Any) -> int:
    return 1 + max(0, _chosen(retries, defaultRetries) or 0)


# -- channels


def checkName(name, timeout=None, retries=None):
    """Connects a channel, if it is not yet."""
    _named(name)
    timeout = _chosen(timeout, defaultTimeout)
    failed: Exception | None = None
    for _ in range(_tries(retries)):
        if name in cadict:
            break
        channel = CaChannel()
        try:
            channel.setTimeout(timeout)
            channel.searchw(name)
            cadict[name] = cadictEntry(channel)
        except CaChannelException as error:
            failed = error
    if name not in cadict:
        print(f"ca_util.checkName: Can't connect to '{name}'")
        assert failed is not None
        raise failed


def _named(name: Any) -> None:
    if not name:
        raise ca_utilException(EXCEPTION_NULL_NAME)


def _entry(name: str, timeout: Any, retries: Any = 0) -> cadictEntry:
    """A channel that is connected, with its time-out."""
    checkName(name, timeout, retries)
    cadict[name].channel.setTimeout(_chosen(timeout, defaultTimeout))
    return cadict[name]


def castate(name=None, timeout=None, retries=None):
    """The state of a channel in words, after an attempt to read it: ``connected``, perhaps with ``noread`` or
    ``nowrite``, ``not connected``. It raises nothing.
    """
    if not name:
        return "Null name has no state"
    try:
        caget(name, timeout=timeout, retries=retries)
    except CaChannelException:
        pass
    try:
        checkName(name, timeout=timeout, retries=0)
        channel = cadict[name].channel
        if channel.state() != dbr.CS_CONN:
            return "not connected"
        lacks = [word for may, word in ((channel.read_access(), "noread"), (channel.write_access(), "nowrite")) if not may]
        return ", ".join(["connected", *lacks])
    except CaChannelException:
        return "not connected"


# -- get


def caget(name, timeout=None, retries=None, req_type=None, req_count=None):
    """The value, of ``req_count`` elements at most."""
    _named(name)
    failed: Exception | None = None
    for _ in range(_tries(retries)):
        try:
            entry = _entry(name, timeout)
            kind = entry.field_type if req_type is None else req_type
            # Characters are told as numbers.
            kind = dbr.INT if kind == dbr.CHAR else kind
            most = entry.element_count
            count = most if req_count is None else max(0, min(req_count, most))
            return entry.channel.getw(req_type=kind, count=count)
        except CaChannelException as error:
            failed = error
    assert failed is not None
    raise failed


# -- put


def same(value, readback, native_readback, field_type, read_check_tolerance):
    """Whether what was read back is what was put, as far as its type can tell."""
    if field_type in (dbr.FLOAT, dbr.DOUBLE):
        return _all(value, readback, lambda one, other: abs(float(other) - float(one)) < read_check_tolerance)
    if field_type in (dbr.INT, dbr.LONG):
        return _all(value, readback, lambda one, other: int(other) == int(one))
    if field_type == dbr.ENUM:
        return str(value) in (str(readback), str(native_readback))
    if field_type == dbr.CHAR and isinstance(value, str):
        value = list(value.encode("utf-8", "replace"))
    return _all(value, readback, lambda one, other: str(other) == str(one))


def _all(value: Any, readback: Any, is_same: Any) -> bool:
    """Compares numbers, or what was put of an array."""
    values, others = ([it] if isinstance(it, str) or not hasattr(it, "__len__") else it for it in (value, readback))
    return len(values) <= len(others) and all(map(is_same, values, others))


def caput(name, value, timeout=None, req_type=None, retries=None, read_check_tolerance=None):
    """Puts a value; with a tolerance it is read back: real numbers must be that near, others the same.

    Raises:
        ca_utilException: what was read back is another value.
    """
    _put("caput", name, value, timeout, req_type, retries, read_check_tolerance)


def caputw(
    name, value, wait_timeout=None, timeout=None, req_type=None, retries=None, read_check_tolerance=None
):
    """As `caput`, and waits until the put is complete, for ``wait_timeout`` seconds at most; a message says if it is
    not.
    """
    done = threading.Event()
    _put("caputw", name, value, timeout, req_type, retries, read_check_tolerance, done)
    cadict[name].callbackReceived = int(done.wait(wait_timeout or None))
    if not done.is_set():
        print(f"Execution not completed by wait_timeout ({wait_timeout} seconds)")


def _put(function, name, value, timeout, req_type, retries, tolerance, done: threading.Event | None = None) -> None:
    _named(name)
    tolerance = _chosen(tolerance, readCheckTolerance)
    failed: Exception | None = None
    for _ in range(_tries(retries)):
        try:
            entry = _entry(name, timeout)
            kind = entry.field_type if req_type is None else req_type
            if done is None:
                entry.channel.putw(value, req_type=kind)
            else:
                entry.channel.array_put_callback(
                    value, kind, entry.element_count, lambda _known, args: args[0].set(), done
                )
            break
        except CaChannelException as error:
            failed = error
    else:
        assert failed is not None
        raise failed
    if tolerance is None:
        return
    if done is not None:
        # What is read back before the record is through may be the old value.
        done.wait(entry.channel._seconds())
    # What a state is called is compared with its text.
    shown = dbr.STRING if entry.field_type == dbr.ENUM and isinstance(value, str) else req_type
    readback, native = caget(name, timeout, retries, shown), caget(name, timeout, retries)
    if not same(value, readback, native, entry.field_type, float(tolerance)):
        raise ca_utilException(
            EXCEPTION_READBACK_DISAGREES, f"{function}: '{name}' is {readback!r} after {value!r} was put"
        )


def convertToType(type, value):  # noqa: A002 - its name is what scripts give
    """A value as a text or a number of a type; 0 for what is none."""
    make = {dbr.STRING: str, dbr.INT: int, dbr.LONG: int, dbr.FLOAT: float, dbr.DOUBLE: float}.get(type)
    if make is None:
        return value
    try:
        return make(value)
    except (TypeError, ValueError):
        return make(0)


def isNumber(s):
    """Whether something is a whole number, or the text of one."""
    try:
        int(s)
    except (TypeError, ValueError):
        return False
    return True


# -- monitors


def camonitor(name, function, user_args=None, timeout=None, retries=None):
    """Calls a function with changes of the value: what `CaChannel.add_masked_array_event` tells, and a tuple of
    ``user_args``, the name otherwise.
    """
    _named(name)
    if not callable(function):
        raise ca_utilException(EXCEPTION_NULL_NAME, f"camonitor of '{name}': the function is missing")
    entry = _entry(name, timeout, retries)
    given = user_args or name
    entry.channel.add_masked_array_event(entry.field_type, entry.element_count, dbr.DBE_VALUE, function, given)


def caunmonitor(name, timeout=None):
    """Ends what `camonitor` began.

    Raises:
        ca_utilException: there is no channel of this name.
    """
    _named(name)
    if name not in cadict:
        raise ca_utilException(EXCEPTION_NOT_CONNECTED, f"'{name}' has no channel here")
    cadict[name].channel.clear_event()


def test_monitor_function(epics_args, user_args):
    """A function for `camonitor`, which prints what it is told."""
    print("test_monitor_function:")
    print("...epics_args: ", repr(epics_args))
    print("...user_args: ", repr(user_args))


test_monitor_function.__test__ = False  # type: ignore[attr-defined]


# -- others


def endianUs():
    """``Little Endian`` or ``Big Endian``."""
    return f"{sys.byteorder.capitalize()} Endian"


def formatExceptionInfo(maxTBlevel=5):
    """Name, arguments and trace of the exception that is being handled."""
    kind, error, trace = sys.exc_info()
    name = "<no exception>" if kind is None else kind.__name__
    return name, getattr(error, "args", "<no args>"), traceback.format_tb(trace, maxTBlevel)


def printExceptionInfo(maxTBlevel=15):
    """Prints that."""
    name, args, trace = formatExceptionInfo(maxTBlevel)
    print(f"Unanticipated exception: {name} {args}\n")
    if trace:
        print("Traceback:\n" + "".join(trace))
