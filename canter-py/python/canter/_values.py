"""Values that behave as ``float``, ``int``, ``str`` or an array, and carry what came beside them."""

from __future__ import annotations

import enum
import importlib
import operator
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import datetime

    from ._canter import Lent, Reading


class Severity(enum.IntEnum):
    """Alarm severities (``alarm.h`` of EPICS Base)."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class Value:
    """What all values carry. Results of calculations are plain Python again, and so is what is pickled."""

    __slots__ = ()
    _reading: Reading

    @property
    def name(self) -> str:
        """Name of the PV."""
        return self._reading.name

    @property
    def timestamp(self) -> int | None:
        """When the server made the value: nanoseconds since 1970, UTC."""
        return self._reading.timestamp

    @property
    def datetime(self) -> datetime.datetime | None:
        """The time stamp with its zone, to the microsecond."""
        nanos = self._reading.timestamp
        if nanos is None:
            return None
        # Not with the module: who imports canter may never ask for it.
        import datetime

        seconds, nanos = divmod(nanos, 1_000_000_000)
        whole = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        return whole.replace(microsecond=nanos // 1000)

    @property
    def severity(self) -> Severity | int | None:
        """Alarm severity, 0 (none) to 3 (invalid)."""
        severity = self._reading.severity
        return None if severity is None else _severity(severity)

    @property
    def status(self) -> int | None:
        """Alarm status, 0 (none) to 21; its name is in ``alarm``."""
        return self._reading.status

    @property
    def alarm(self) -> str:
        """Severity and status in words: ``MAJOR HIHI``; empty without an alarm."""
        words = self._reading.alarm_text
        return "" if not words or not self._reading.severity else " ".join(words)

    @property
    def units(self) -> str | None:
        """Engineering units."""
        return self._reading.units

    @property
    def precision(self) -> int | None:
        """Digits after the point that suit the value; ``None`` for what is no real number."""
        return self._reading.precision

    @property
    def enums(self) -> tuple[str, ...] | None:
        """Texts of the states of an enum."""
        return self._reading.enums

    @property
    def limits(self) -> dict[str, float] | None:
        """The eight limits by their names; those that are not defined are NaN."""
        return self._reading.limits

    @property
    def native(self) -> str:
        """Type of the elements on the wire: ``DOUBLE``, ``ENUM`` and the like."""
        return self._reading.native


def _severity(number: int) -> Severity | int:
    try:
        return Severity(number)
    except ValueError:
        return number


class FloatValue(float, Value):
    """A real number of a PV."""

    __slots__ = ("_reading",)

    def __reduce__(self):
        return float, (float(self),)


class IntValue(int, Value):
    """An integer of a PV."""

    def __reduce__(self):
        return int, (int(self),)


class StrValue(str, Value):
    """A text of a PV."""

    __slots__ = ("_reading",)

    def __reduce__(self):
        return str, (str(self),)


class EnumValue(IntValue):
    """The state of an enum: its number, which prints as its text and equals it too."""

    @property
    def label(self) -> str | None:
        """The text of the state, if the PV has one for it."""
        return self._reading.label

    def __str__(self) -> str:
        label = self._reading.label
        return int.__repr__(self) if label is None else label

    def __repr__(self) -> str:
        label = self._reading.label
        return int.__repr__(self) if label is None else f"<{int(self)}: {label!r}>"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec) if spec[-1:] in ("", "s") else format(int(self), spec)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other == self._reading.label
        return int.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


class StrList(list, Value):
    """Texts of a PV."""

    __slots__ = ("_reading",)

    def __reduce__(self):
        return list, (list(self),)


_arrays: Any = None


def _find_arrays() -> Any:
    """NumPy's arrays, or those of the standard library. NumPy is imported with the first array."""
    global _arrays
    if _arrays is None:
        try:
            _arrays = importlib.import_module("._numpy_arrays", __package__)
        except ImportError:
            _arrays = importlib.import_module("._plain_arrays", __package__)
    return _arrays


def make_array(elements: bytes | Lent, code: str, reading: Reading) -> Any:
    return (_arrays or _find_arrays()).make(elements, code, reading)


def make_plain_array(elements: bytes | Lent, code: str) -> Any:
    return (_arrays or _find_arrays()).make_plain(elements, code)


_INT32 = range(-(2**31), 2**31)


def to_wire(given: Any) -> tuple[str, Any]:
    """Elements of one type of the wire: its code and their big-endian bytes, or ``s`` and texts.

    Raises:
        TypeError: for what has no such elements.
    """
    if isinstance(given, (bytes, bytearray)):
        return "B", bytes(given)
    if hasattr(given, "__array_interface__") or hasattr(given, "__array__"):
        from . import _numpy_arrays

        return _numpy_arrays.to_wire(given)
    if isinstance(given, memoryview) or type(given).__module__ == "array":
        given = memoryview(given)
        if given.format in ("B", "c") and given.contiguous:
            return "B", given.tobytes()
        given = given.tolist()
    if isinstance(given, (str, dict, set)):
        raise TypeError(f"a {type(given).__name__} has no elements in an order")
    try:
        elements = list(given)
    except TypeError:
        return "d", struct.pack(">d", _number(given))
    return _list_to_wire(elements)


def _list_to_wire(elements: list) -> tuple[str, Any]:
    if elements and all(isinstance(one, (str, bytes)) for one in elements):
        return "s", [one if isinstance(one, str) else one.decode("utf-8", "replace") for one in elements]
    numbers = [one if type(one) in (int, float) else _number(one, n) for n, one in enumerate(elements)]
    if all(isinstance(one, int) for one in numbers):
        if all(one in _INT32 for one in numbers):
            return "i", struct.pack(f">{len(numbers)}i", *numbers)
    try:
        return "d", struct.pack(f">{len(numbers)}d", *numbers)
    except OverflowError:
        raise TypeError("an element is larger than any number of Channel Access") from None


def _number(one: Any, place: int | None = None) -> int | float:
    if not isinstance(one, (str, bytes)) and one is not None:
        for convert in (operator.index, float):
            try:
                return convert(one)
            except (TypeError, ValueError):
                pass
    if place is None:
        raise TypeError(f"a {type(one).__name__} is no value")
    raise TypeError(f"element {place} is a {type(one).__name__}, and the elements before are numbers")
