"""Augmented values, and which type is asked for: what aioca and cothread have in common."""

from __future__ import annotations

import datetime as _datetime
import time
from typing import Any

import canter

from .. import _arguments, _canter
from .._errors import bad
from . import dbr

#: Attributes that values may have.
ca_extra_fields = [
    "name", "ok", "datatype", "element_count", "severity", "status", "raw_stamp", "timestamp", "datetime",
    "units", "upper_disp_limit", "lower_disp_limit", "upper_alarm_limit", "lower_alarm_limit",
    "upper_warning_limit", "lower_warning_limit", "upper_ctrl_limit", "lower_ctrl_limit", "precision",
    "enums",
]  # fmt: skip

ECA_NORMAL, ECA_TIMEOUT, ECA_DISCONN, ECA_NORDACCESS, ECA_NOWTACCESS, ECA_BADCHID = 1, 80, 192, 368, 376, 410

_MESSAGES = {
    ECA_NORMAL: "Normal successful completion",
    ECA_TIMEOUT: "User specified timeout on IO operation expired",
    114: "Data conversion or type error",
    152: "Channel read request failed",
    160: "Channel write request failed",
    176: "Invalid element count requested",
    ECA_DISCONN: "Virtual circuit disconnect",
    ECA_NORDACCESS: "Read access denied",
    ECA_NOWTACCESS: "Write access denied",
    ECA_BADCHID: "Invalid channel identifier",
}


class CANothing(Exception):
    """The result of what failed, and of what has no other: false if it failed. The exception with phase
    and remedy is its cause.
    """

    def __init__(self, name: str, errorcode: int = ECA_NORMAL) -> None:
        super().__init__(name, errorcode)
        self.ok = errorcode == ECA_NORMAL
        self.name = name
        self.errorcode = errorcode

    def __repr__(self) -> str:
        return f"CANothing({self.name!r}, {self.errorcode})"

    def __str__(self) -> str:
        return f"{self.name}: {_MESSAGES.get(self.errorcode, f'status {self.errorcode}')}"

    def __bool__(self) -> bool:
        return self.ok


def nothing(name: str, error: canter.CanterError, *, put: bool = False) -> CANothing:
    """The result of what failed."""
    if error.status:
        code = error.status
    elif isinstance(error, TimeoutError):
        code = ECA_TIMEOUT
    elif isinstance(error, canter.AccessDenied):
        code = ECA_NOWTACCESS if put else ECA_NORDACCESS
    elif isinstance(error, canter.Disconnected):
        code = ECA_DISCONN
    elif isinstance(error, canter.BadRequest):
        code = 176
    elif isinstance(error, canter.ValueProblem):
        code = 114
    else:
        code = ECA_BADCHID
    result = CANothing(name, code)
    result.__cause__ = error
    return result


def seconds(timeout: Any) -> float:
    """Seconds from now of a time-out of any form."""
    if timeout is None:
        return _arguments.LONGEST
    at = timeout[0] if isinstance(timeout, tuple) and len(timeout) == 1 else None
    left = _arguments.number(timeout if at is None else at)
    if left is None or left != left:
        raise bad(f"timeout={timeout!a}: give seconds, None for ever, or a tuple of the time at which it is up")
    return min(_arguments.LONGEST, max(0.0, left if at is None else left - time.time()))


_COUNTS = "give a number of elements, 0 for those that there are, or -1 for all"


def check_request(datatype: Any, form: Any, count: Any) -> None:
    """Refuses what cannot be asked for, whatever the PV is."""
    if not _is_whole(form, 0, 2):
        raise bad(f"format={form!a}: give FORMAT_RAW, FORMAT_TIME or FORMAT_CTRL")
    if not isinstance(count, int):
        raise bad(f"count={count!a}: {_COUNTS}")
    _kind(datatype, dbr.DBR_DOUBLE)


def check_count(count: int) -> None:
    """Refuses what no PV has."""
    if not -1 <= count < 2**32:
        raise bad(f"count={count}: {_COUNTS}")


def check_monitor(
    callback: Any, events: Any, datatype: Any, form: Any, count: Any, connect_timeout: Any
) -> None:
    """Refuses what no monitor can be: it would be found out where nobody is told."""
    _arguments.function(callback)
    check_request(datatype, form, count)
    check_count(count)
    if events is not None and not _is_whole(events, 1, 2**16 - 1):
        raise bad(f"events={events!a}: give None, or a sum of DBE_VALUE and the like")
    if connect_timeout is not None:
        seconds(connect_timeout)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most


class _Augmented:
    @property
    def datetime(self) -> _datetime.datetime:
        """The time stamp in local time."""
        return _datetime.datetime.fromtimestamp(self.timestamp)  # type: ignore[attr-defined]


class ca_int(int, _Augmented):  # noqa: N801
    """An integer with attributes; ``+value`` is without."""

    def __pos__(self) -> int:
        return int(self)


class ca_float(float, _Augmented):  # noqa: N801
    """A real number with attributes; ``+value`` is without."""

    def __pos__(self) -> float:
        return float(self)


class ca_str(str, _Augmented):  # noqa: N801
    """A text with attributes; ``+value`` is without."""

    def __pos__(self) -> str:
        return str(self)


class ca_bytes(bytes, _Augmented):  # noqa: N801
    """Bytes with attributes; ``+value`` is without."""

    def __pos__(self) -> bytes:
        return bytes(self)


_ca_array: Any = None


def _array_class() -> Any:
    global _ca_array
    if _ca_array is None:
        import numpy as np

        class ca_array(np.ndarray, _Augmented):  # noqa: N801
            """An array with attributes; ``+value`` is without."""

            def __pos__(self) -> Any:
                return np.array(self)

        ca_array.__qualname__ = "ca_array"
        _ca_array = ca_array
    return _ca_array


def request(datatype: Any, form: int, native: int) -> int:
    """Number of the type to ask for."""
    kind = _kind(datatype, native)
    if kind > 6 or form == dbr.FORMAT_RAW:
        return kind
    if form == dbr.FORMAT_TIME or kind == dbr.DBR_STRING:
        return kind + 14
    return kind + 28


def _kind(datatype: Any, native: int) -> int:
    if datatype is None:
        return native
    if getattr(datatype, "__hash__", None) is None:
        raise bad(f"{datatype!a} is no datatype; give a DBR_ number, a type of Python or a dtype of NumPy")
    if datatype in (dbr.DBR_CHAR_STR, dbr.DBR_CHAR_UNICODE, dbr.DBR_CHAR_BYTES):
        return dbr.DBR_CHAR
    if datatype == dbr.DBR_ENUM_STR:
        return dbr.DBR_STRING if native == dbr.DBR_ENUM else native
    if isinstance(datatype, int):
        if datatype in range(7) or datatype in (dbr.DBR_STSACK_STRING, dbr.DBR_CLASS_NAME):
            return datatype
        if datatype in (dbr.DBR_PUT_ACKT, dbr.DBR_PUT_ACKS):
            return datatype
    else:
        found = {str: 0, bytes: 0, int: 5, float: 6, bool: 5}.get(datatype)
        if found is None:
            found = _numpy_kind(datatype)
        if found is not None:
            return found
    raise bad(f"{datatype!a} is no datatype; give a DBR_ number, a type of Python or a dtype of NumPy")


def _numpy_kind(datatype: Any) -> int | None:
    import numpy as np

    try:
        dtype = np.dtype(datatype)
    except (TypeError, ValueError):
        return None
    if dtype.kind in "SU":
        return dbr.DBR_STRING
    return {
        ("i", 1): 4, ("u", 1): 4, ("b", 1): 4, ("i", 2): 1, ("u", 2): 5, ("i", 4): 5, ("u", 4): 6,
        ("i", 8): 6, ("u", 8): 6, ("f", 4): 2, ("f", 8): 6,
    }.get((dtype.kind, dtype.itemsize))  # fmt: skip


def augmented(reading: _canter.Reading, datatype: Any, element_count: int) -> Any:
    """A reading as the value that users get."""
    as_text = datatype in (dbr.DBR_CHAR_STR, dbr.DBR_CHAR_UNICODE)
    if as_text:
        value: Any = ca_str(reading.raw().partition(b"\0")[0].decode("utf-8", "replace"))
    elif datatype == dbr.DBR_CHAR_BYTES:
        value = ca_bytes(reading.raw().partition(b"\0")[0])
    elif element_count == 1:
        value = _scalar(reading)
    else:
        value = _array(reading)
    known = value.__dict__
    known.update(name=reading.name, ok=True, datatype=_native(reading), element_count=element_count)
    severity = reading.severity
    if severity is None:
        return value
    known.update(status=reading.status, severity=severity)
    stamp = reading.stamp
    if stamp is not None:
        whole = stamp[0] + 631152000
        known.update(raw_stamp=(whole, stamp[1]), timestamp=round(whole + stamp[1] * 1e-9, 6))
    elif reading.dbr >= 28:
        _describe(known, reading)
    return value


_NATIVE = {"STRING": 0, "SHORT": 1, "FLOAT": 2, "ENUM": 3, "CHAR": 4, "LONG": 5, "DOUBLE": 6}


def _native(reading: _canter.Reading) -> int:
    return reading.dbr % 7 if reading.dbr < 35 else reading.dbr


def _scalar(reading: _canter.Reading) -> Any:
    value = reading.plain
    if reading.is_array:
        value = value[0] if len(value) else 0
        value = value.item() if hasattr(value, "item") else value
    kind = {float: ca_float, int: ca_int}.get(type(value), ca_str)
    return kind(value)


def _array(reading: _canter.Reading) -> Any:
    import numpy as np

    value = np.atleast_1d(np.array(reading.plain))
    if not value.size:
        value = value.astype("d" if value.dtype.kind == "f" else value.dtype)
    return value.view(_array_class())


def _describe(known: dict, reading: _canter.Reading) -> None:
    if reading.enums is not None:
        known["enums"] = list(reading.enums)
        return
    real = reading.native in ("FLOAT", "DOUBLE")
    for name, limit in (reading.limits or {}).items():
        known[name] = limit if real else int(limit) if limit == limit else 0
    known["units"] = reading.units
    if real:
        known["precision"] = reading.precision


def default_events(form: int) -> int:
    """Events that suit a format."""
    return (dbr.DBE_VALUE, dbr.DBE_VALUE | dbr.DBE_ALARM, dbr.DBE_VALUE | dbr.DBE_ALARM | dbr.DBE_PROPERTY)[
        form
    ]


def put_arguments(value: Any, datatype: Any, native: int) -> tuple[Any, int | None]:
    """The value and the number of the type to put."""
    if datatype in (dbr.DBR_CHAR_STR, dbr.DBR_CHAR_UNICODE, dbr.DBR_CHAR_BYTES):
        text = value if isinstance(value, bytes) else str(value).encode()
        return bytearray(text + b"\0"), None
    if datatype in (dbr.DBR_PUT_ACKT, dbr.DBR_PUT_ACKS):
        return int(value), datatype
    if datatype is not None:
        kind = _kind(datatype, native)
        if kind == dbr.DBR_STRING:
            many = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0
            return ([str(one) for one in value] if many else str(value)), None
        if kind in (dbr.DBR_SHORT, dbr.DBR_CHAR, dbr.DBR_LONG, dbr.DBR_ENUM):
            many = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0
            return ([int(one) for one in value] if many else int(value)), None
    return value, None


class CAInfo:
    """What is known of a channel."""

    state_strings = ["never connected", "previously connected", "connected", "closed"]
    datatype_strings = ["string", "short", "float", "enum", "char", "long", "double", "no access"]

    def __init__(self, pv: str, channel: Any) -> None:
        known = channel.info()
        self.ok = True
        self.name = pv
        self.state = 2 if known["connected"] else 1 if known["trouble"] else 0
        self.host = (known["server"] or "<disconnected>").replace("127.0.0.1", "localhost", 1)
        self.read = known["can_read"]
        self.write = known["can_write"]
        self.count = known.get("count", 0)
        self.datatype = known.get("dbr", 7)

    def __str__(self) -> str:
        lines = [
            f"{self.name}:",
            f"    State: {self.state_strings[self.state]}",
            f"    Host: {self.host}",
            f"    Access: {self.read}, {self.write}",
            f"    Data type: {self.datatype_strings[self.datatype]}",
            f"    Count: {self.count}",
        ]
        return "\n".join(lines)
