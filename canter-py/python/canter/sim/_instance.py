"""PVs of a group that is served, as its functions get them."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _arguments
from ._choice import Choice
from ._fields import FieldInstance, Fields
from ._turns import DECIDING

if TYPE_CHECKING:
    from ._property import pvproperty
    from .group import PVGroup

#: Keywords of `Instance.write_metadata`, and the fields that they set.
_METADATA = {
    "units": "EGU",
    "precision": "PREC",
    "upper_disp_limit": "HOPR",
    "lower_disp_limit": "LOPR",
    "upper_alarm_limit": "HIHI",
    "upper_warning_limit": "HIGH",
    "lower_warning_limit": "LOW",
    "lower_alarm_limit": "LOLO",
    "upper_ctrl_limit": "DRVH",
    "lower_ctrl_limit": "DRVL",
}


def logger_of(group: Any) -> logging.Logger:
    """The log of a group: that of its class."""
    return logging.getLogger(f"{type(group).__module__}.{type(group).__name__}")


class AlarmState(NamedTuple):
    """The alarm of a PV: severity and status."""

    severity: int
    status: int
    instance: Any = None

    def write(self, *, status: Any = None, severity: Any = None, **_: Any) -> Written:
        """Sets what is given. It may be awaited, and need not be."""
        severity = self.severity if severity is None else _arguments.whole(severity, "severity", 0, 3)
        status = self.status if status is None else _arguments.whole(status, "status", 0, _MOST_STATUS)
        self.instance.group.ioc.set_alarm(self.instance.name, severity, status)
        return Written()


class Instance:
    """A PV of a group that is served, as functions of the group get it."""

    def __init__(self, group: PVGroup, prop: pvproperty, name: str) -> None:
        self.group = group
        self.pvspec = prop
        self.name = name
        #: How it is called in the group.
        self.attr_name = prop.attr_name
        self.log = logger_of(group)
        self._waiting: list[Any] = []
        #: What SCAN was at first, where a scan follows it.
        self._scan_text: str | None = None

    @property
    def pvname(self) -> str:
        return self.name

    @property
    def value(self) -> Any:
        """The value; that of an enum is the text of its state, which is equal to its number as well."""
        ioc = self.group._ioc
        if ioc is None:
            return self._choice(self._waiting[-1] if self._waiting else self.pvspec._native()[0])
        return self._choice(ioc._core.read(self.name)[0])

    def _choice(self, value: Any) -> Any:
        states = self.enum_strings
        if not states:
            if self.pvspec._native()[1] == "text" and not isinstance(value, str):
                return bytes(value).split(b"\0")[0].decode("utf-8", "replace")
            return value
        if isinstance(value, str) and value in states:
            return Choice(value, states.index(value))
        return Choice(states[value], value) if isinstance(value, int) and 0 <= value < len(states) else value

    def get(self) -> Any:
        return self.value

    @property
    def enum_strings(self) -> tuple[str, ...]:
        """Texts of the states of an enum."""
        return tuple(self.pvspec._native()[2] or ())

    @property
    def raw_value(self) -> Any:
        """The number of an enum; the value of others."""
        value = self.value
        return int(value) if isinstance(value, Choice) else value

    @property
    def alarm(self) -> AlarmState:
        """Severity and status."""
        state = self.group.ioc.read(self.name)
        return AlarmState(state.severity, state.status, self)

    @property
    def timestamp(self) -> int:
        """Nanoseconds since 1970."""
        return self.group.ioc.read(self.name).timestamp

    def write(
        self,
        value: Any,
        *,
        flags: int = 0,
        verify_value: bool = True,
        update_fields: bool = True,
        severity: int | None = None,
        status: int = 0,
        **metadata: Any,
    ) -> Any:
        """Sets the value and tells clients. It may be awaited; it needs to be only where there is a putter that is a
        coroutine function.

        Args:
            value: the value; of an enum the text or the number of a state, or a member.
            verify_value: have the ``putter`` decide it, as if a client had written it. A putter that writes its own PV
                is not called again.
            severity, status: the alarm.
            flags, update_fields: nothing; for those who give them.
            metadata: as of `write_metadata`. ``timestamp`` does nothing: PVs have the time at which they are set.
        """
        if severity is not None:
            severity = _arguments.whole(severity, "severity", 0, 3, self.name)
        status = _arguments.whole(status, "status", 0, _MOST_STATUS, self.name)
        putter = self.pvspec.put_function
        if putter is not None and verify_value and self.group._ioc is not None and self not in DECIDING.get():
            return self.group._write_through(self, putter, value, severity, status, metadata)
        self._set(value, severity, status, metadata)
        return Written()

    def _set(self, value: Any, severity: int | None, status: int, metadata: dict[str, Any]) -> None:
        if isinstance(value, enum.Enum):
            value = value.name
        elif isinstance(value, Choice):
            value = value.number
        elif isinstance(value, bool):
            value = int(value)
        ioc = self.group._ioc
        if ioc is None:
            self._waiting.append(value)
            return
        metadata.pop("timestamp", None)
        if metadata:
            self.write_metadata(**metadata)
        if severity is not None:
            ioc.set_alarm(self.name, int(severity), int(status))
        ioc._core.post(self.name, value)

    def write_metadata(self, **metadata: Any) -> Written:
        """Sets ``units``, ``precision``, ``upper_disp_limit``, ``lower_alarm_limit`` and the like.

        Raises:
            TypeError: for a word that is none of them.
        """
        metadata.pop("publish", None)
        for word, value in metadata.items():
            if word not in _METADATA:
                raise TypeError(f"PV {self.name!r}: no metadata {word!r}; there are {', '.join(_METADATA)}")
            if value is not None:
                self.write_field(_METADATA[word], value)
        return Written()

    async def alarm_write(self, severity: int, status: int = 0) -> None:
        self.group.ioc.set_alarm(self.name, severity, status)

    def write_field(self, field: str, value: Any) -> Written:
        """Sets a field, such as ``HIHI``."""
        self.group.ioc._core.post(f"{self.name}.{field}", int(value) if isinstance(value, bool) else value)
        return Written()

    def field(self, field: str) -> Any:
        """The value of a field."""
        return self.group.ioc._core.read(f"{self.name}.{field}")[0]

    def get_field(self, field: str) -> Instance | FieldInstance:
        """A field, as an object with ``value`` and ``write``; itself for VAL."""
        return self if field in ("", "VAL") else FieldInstance(self, field)

    @property
    def fields(self) -> Fields:
        """Fields of the record, by their names."""
        return Fields(self)

    field_inst = fields

    def __repr__(self) -> str:
        return f"<PV {self.name!r} of {type(self.group).__name__}>"


#: The last of the statuses of alarms.
_MOST_STATUS = 21


class Written:
    """Nothing to wait for."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


class ThreadsafeQueue:
    """A queue between threads and coroutines."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._things: deque[Any] = deque()
        self._waiting: deque[asyncio.Future] = deque()

    def get(self) -> Any:
        """Waits for something, in a thread."""
        with self._changed:
            while not self._things:
                self._changed.wait()
            return self._things.popleft()

    def put(self, value: Any) -> None:
        """Adds something, from a thread."""
        with self._changed:
            self._things.append(value)
            self._changed.notify()
            waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            one.get_loop().call_soon_threadsafe(_wake, one)

    async def async_get(self) -> Any:
        """Waits for something, in a coroutine."""
        while True:
            with self._changed:
                if self._things:
                    return self._things.popleft()
                told = asyncio.get_running_loop().create_future()
                self._waiting.append(told)
            await told

    async def async_put(self, value: Any) -> None:
        """Adds something, in a coroutine."""
        self.put(value)


def _wake(told: asyncio.Future) -> None:
    if not told.done():
        told.set_result(None)


class AsyncLib:
    """What functions get as ``async_lib``: asyncio."""

    library = asyncio
    name = "asyncio"
    Event = asyncio.Event
    Queue = asyncio.Queue
    ThreadsafeQueue = ThreadsafeQueue
    sleep = staticmethod(asyncio.sleep)
