"""EPICS Channel Access: client and simulated IOC, without libca.

>>> import canter
>>> current = canter.get("ring:current")        # doctest: +SKIP
>>> current, current.units, current.severity    # doctest: +SKIP
(299.8, 'mA', <Severity.NO_ALARM: 0>)
>>> canter.put("ring:mode", "top-up")           # doctest: +SKIP

The functions use one client for the process, configured by the environment (``EPICS_CA_ADDR_LIST`` and
the like); `Client` makes others. `canter.aio` has the same for asyncio, `canter.sim` simulated IOCs, and
`canter.epics`, `canter.aioca` and `canter.catools` are what PyEpics, aioca and cothread offer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from . import _interpreters  # isort: skip - first of all: it refuses where nothing else may be loaded
from ._batch import Results
from ._canter import Reading, __version__
from ._client import (
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    Channel,
    Client,
    Subscription,
)
from ._dispatch import callback_errors
from ._errors import (
    Aborted,
    AccessDenied,
    BadName,
    BadRequest,
    CannotStart,
    CannotWrite,
    CanterError,
    Closed,
    ConnectError,
    ConnectTimeout,
    Disconnected,
    FileProblem,
    GetError,
    GetRefused,
    GetTimeout,
    Malformed,
    MonitorError,
    NowhereToSearch,
    PutError,
    PutRefused,
    PutTimeout,
    RampError,
    ReadOnly,
    ScanError,
    TooManyChannels,
    UnknownPv,
    Unmatched,
    ValueProblem,
)
from ._updates import ManySubscription, Updates
from ._values import EnumValue, FloatValue, IntValue, Severity, StrList, StrValue, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._explain import Explanation
    from ._group import Group, Member, RestoreReport
    from ._record import Recording
    from ._scan import Axis, Control, Ramped, Scan, ScanRow, ScanTable

#: What is imported with its first use, by the module that it is in.
_LATE = {
    "Explanation": "_explain",
    "Group": "_group", "Member": "_group", "RestoreReport": "_group",
    "Recording": "_record",
    "Axis": "_scan", "Control": "_scan", "Ramped": "_scan", "Scan": "_scan", "ScanRow": "_scan", "ScanTable": "_scan",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


_default: Client | None = None
_lock = threading.Lock()


def default_client() -> Client:
    """The client of the functions of this module, and of the faces."""
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = Client()
    return _default


def configure(**settings: Any) -> Client:
    """Makes another client the default: see `Client` for the settings. The one before is closed."""
    global _default
    with _lock:
        before, _default = _default, Client(**settings)
        if before is not None:
            before.close()
        return _default


def channel(name: str) -> Channel:
    """The channel of a name."""
    return default_client().channel(name)


def get(
    pv: str | Channel, *, timeout: float | None = None, count: int = 0, as_type: type | None = None
) -> Any:
    """The value of a PV: a number, text or array that carries time stamp, alarm, units and the like."""
    return default_client().get(pv, timeout=timeout, count=count, as_type=as_type)


def put(
    pv: str | Channel, value: Any, *, wait: bool = False, check: bool = True, timeout: float | None = None
) -> None:
    """Puts a value to a PV; with ``wait`` until what follows from it is complete."""
    default_client().put(pv, value, wait=wait, check=check, timeout=timeout)


def monitor(
    pv: str | Channel, callback: Callable[[Any], object] | None = None, **options: Any
) -> Subscription:
    """Monitors a PV: with a callback, or as an iterator of values."""
    return default_client().monitor(pv, callback, **options)


def monitor_many(
    pvs: Iterable[str | Channel], callback: Callable[[Updates], object], **options: Any
) -> ManySubscription:
    """Monitors many PVs with one callback for batches of updates; see `Client.monitor_many`."""
    return default_client().monitor_many(pvs, callback, **options)


def info(pv: str | Channel, timeout: float | None = None) -> dict[str, Any]:
    """What is known of a PV: server, type, rights; or why it is not there."""
    return default_client().info(pv, timeout)


def explain(pv: str | Channel, timeout: float | None = None) -> Explanation:
    """Finds out why a PV does not connect; print what it gives."""
    return default_client().explain(pv, timeout)


def connect(pvs: str | Channel | Iterable[str | Channel], timeout: float | None = None) -> Any:
    """Connects one PV or many at once."""
    return default_client().connect(pvs, timeout)


def get_many(pvs: Iterable[str | Channel], **options: Any) -> Results:
    """Gets many PVs at once: each gives its value or its own exception."""
    return default_client().get_many(pvs, **options)


def put_many(pvs: Iterable[str | Channel], values: Sequence[Any], **options: Any) -> list[CanterError | None]:
    """Puts a value to each of many PVs at once: for each ``None`` or its exception."""
    return default_client().put_many(pvs, values, **options)


def wait_until(pv: str | Channel, condition: Any, *, timeout: float | None = None) -> Any:
    """Waits until a PV has a value, or one that satisfies a condition."""
    return default_client().wait_until(pv, condition, timeout=timeout)


def put_and_match(pv: str | Channel, value: Any, readback: str | Channel, **options: Any) -> Any:
    """Puts a value and waits until another PV has it."""
    return default_client().put_and_match(pv, value, readback, **options)


def put_and_match_many(rows: Iterable[Sequence[Any]], **options: Any) -> list[Any]:
    """Puts many values and waits until their read-backs have them; see `Client.put_and_match_many`."""
    return default_client().put_and_match_many(rows, **options)


def ramp(pv: str | Channel, to: float, **options: Any) -> Ramped:
    """Moves a set-point step by step; see `Client.ramp`."""
    return default_client().ramp(pv, to, **options)


def scan(axes: Axis | Iterable[Axis], observe: Iterable[str | Channel], **options: Any) -> Scan:
    """A scan of set-points through points; see `Client.scan`."""
    return default_client().scan(axes, observe, **options)


def record(pvs: str | Channel | Iterable[str | Channel], path: Any = None, **options: Any) -> Recording:
    """Records changes of PVs; see `Client.record`."""
    return default_client().record(pvs, path, **options)


def group(name: str, members: Iterable[Any]) -> Group:
    """A group of PVs; see `Client.group`."""
    return default_client().group(name, members)


def load_groups(path: Any) -> dict[str, Group]:
    """The groups of a file in TOML; see `Client.load_groups`."""
    return default_client().load_groups(path)


def restore(path: Any, **options: Any) -> RestoreReport:
    """Brings a snapshot of a group back; see `Client.restore`."""
    return default_client().restore(path, **options)


__all__ = [
    "Aborted",
    "AccessDenied",
    "Axis",
    "BadName",
    "BadRequest",
    "CannotStart",
    "CannotWrite",
    "CanterError",
    "Channel",
    "Client",
    "Closed",
    "ConnectError",
    "ConnectTimeout",
    "Control",
    "DBE_ALARM",
    "DBE_LOG",
    "DBE_PROPERTY",
    "DBE_VALUE",
    "Disconnected",
    "EnumValue",
    "Explanation",
    "FileProblem",
    "FloatValue",
    "GetError",
    "GetRefused",
    "GetTimeout",
    "Group",
    "IntValue",
    "Malformed",
    "ManySubscription",
    "Member",
    "MonitorError",
    "NowhereToSearch",
    "PutError",
    "PutRefused",
    "PutTimeout",
    "RampError",
    "Ramped",
    "ReadOnly",
    "Reading",
    "Recording",
    "RestoreReport",
    "Results",
    "Scan",
    "ScanError",
    "ScanRow",
    "ScanTable",
    "Severity",
    "StrList",
    "StrValue",
    "Subscription",
    "TooManyChannels",
    "UnknownPv",
    "Unmatched",
    "Updates",
    "Value",
    "ValueProblem",
    "__version__",
    "callback_errors",
    "channel",
    "configure",
    "connect",
    "default_client",
    "explain",
    "get",
    "get_many",
    "group",
    "info",
    "load_groups",
    "monitor",
    "monitor_many",
    "put",
    "put_and_match",
    "put_and_match_many",
    "put_many",
    "ramp",
    "record",
    "restore",
    "scan",
    "wait_until",
]
