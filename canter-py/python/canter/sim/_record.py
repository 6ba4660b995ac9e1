"""A PV, record or field of an IOC, in the hands of the program."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._values import Severity
from ._desk import After, Put

if TYPE_CHECKING:
    from ._ioc import IOC


class State(NamedTuple):
    """The state of a PV of an IOC."""

    value: Any
    severity: Severity
    status: int
    timestamp: int


def _compare(name: str) -> Callable[[Any, Any], Any]:
    compare = getattr(operator, name)

    def method(self: Record, other: object) -> Any:
        if isinstance(other, Record):
            other = other.value
        return compare(self.value, other)

    method.__name__ = name
    return method


def _calculate(name: str) -> Callable[..., Any]:
    work = getattr(operator, name)

    def method(self: Record, *others: Any) -> Any:
        return work(self.value, *others)

    method.__name__ = name
    return method


class Record:
    """A PV, record or field by its name. In comparisons, calculations and loops it is its value.

    ``record["DESC"]`` is a field, ``record[0]`` an element of its value.
    """

    __slots__ = ("ioc", "name")

    def __init__(self, ioc: IOC, name: str) -> None:
        self.ioc = ioc
        self.name = name

    @property
    def value(self) -> Any:
        """The value. Setting it does as `post`."""
        return self.ioc._core.read(self.name)[0]

    @value.setter
    def value(self, value: Any) -> None:
        self.post(value)

    @property
    def state(self) -> State:
        """Value, alarm and time stamp."""
        return self.ioc.read(self.name)

    def get(self) -> Any:
        """The value."""
        return self.value

    def post(self, value: Any) -> None:
        """Sets the value as the program of an IOC does: alarms, time stamp, updates, and the records behind it."""
        self.ioc._core.post(self.name, value)

    def put(self, value: Any) -> None:
        """Sets the value as a client would: what decides puts is asked first.

        Raises:
            Refuse: it refuses.
        """
        self.ioc._put(self.name, value)

    def alarm(self, severity: int, status: int = 0) -> None:
        """Raises an alarm beside those of its own, the worse one of them; severity 0 ends it."""
        self.ioc.set_alarm(self.name, severity, status)

    def device(self, value: Any = None, *, alarm: tuple[int, int] | None = None, process: bool = True) -> None:
        """Sets the value of a record of a file as its device does: SCAN and DISP do not count.

        Args:
            alarm: severity and status, which show until others are given; ``(0, 0)`` ends that.
            process: process the record.
        """
        self.ioc._core.write_record(self.name, value, alarm, process)

    def on_put(self, function: Callable[[Put], Any] | None) -> Callable[[Put], Any] | None:
        """Has a function decide the puts of clients; see `IOC.on_put`. It works as a decorator."""
        self.ioc.on_put(self.name, function)
        return function

    def on_get(self, function: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """Has a function make the value when a client reads it; see `IOC.on_get`. It works as a decorator."""
        self.ioc.on_get(self.name, function)
        return function

    def on_update(self, function: Callable[[Any], object]) -> Callable[[Any], object]:
        """Calls a function with each value that a client has written, when it is written; as a decorator, too."""

        def decide(put: Put) -> After:
            return After(lambda: function(put.value))

        self.ioc.on_put(self.name, decide)
        return function

    def rights(self, *, read: bool = True, write: bool = True) -> None:
        """What clients may do."""
        self.ioc.set_rights(self.name, read=read, write=write)

    def completion(self, after: float | None) -> None:
        """When puts with completion are answered: after so many seconds, or never."""
        self.ioc.set_completion(self.name, after)

    def field(self, name: str) -> Record:
        """A field of it."""
        return self.ioc[f"{self.name}.{name}"]

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            return self.field(which).value
        return self.value[which]

    def __setitem__(self, field: str, value: Any) -> None:
        if not isinstance(field, str):
            raise TypeError("an array is set as a whole: record.post(values)")
        self.ioc._core.post(f"{self.name}.{field}", value)

    __eq__ = _compare("__eq__")
    __ne__ = _compare("__ne__")
    __lt__ = _compare("__lt__")
    __le__ = _compare("__le__")
    __gt__ = _compare("__gt__")
    __ge__ = _compare("__ge__")
    __hash__ = None  # type: ignore[assignment]
    __add__ = _calculate("__add__")
    __sub__ = _calculate("__sub__")
    __mul__ = _calculate("__mul__")
    __truediv__ = _calculate("__truediv__")
    __neg__ = _calculate("__neg__")
    __abs__ = _calculate("__abs__")
    __index__ = _calculate("__index__")

    def __radd__(self, other: Any) -> Any:
        return other + self.value

    def __rsub__(self, other: Any) -> Any:
        return other - self.value

    def __rmul__(self, other: Any) -> Any:
        return other * self.value

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return iter(self.value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy

        return numpy.array(self.value, dtype=dtype)

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __repr__(self) -> str:
        return f"<canter.sim.Record {self.name!r}: {self.value!r}>"
