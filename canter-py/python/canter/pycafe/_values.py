"""Reading and writing: one PV, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import canter
from canter import _canter
from canter._values import make_plain_array

from ._codes import NORMAL, codes
from ._data import PVCtrl, PVData, check_datatype, elements, shaped
from ._errors import failure
from ._handles import Handle, Handles
from ._policies import GET_FROM_CACHE

#: What arrays may be had as.
ART = ("numpy", "memoryview", "list")

#: NumPy's codes of the types that arrays may be asked for as.
_NUMPY = {"float": "d", "int": "q", "str": "U"}


class Values(Handles):
    """Reading and writing."""

    # -- how

    def _seconds(self, handle: Handle | None = None) -> float | None:
        policy = self.policies.timeout
        grown = handle.timeout if handle is not None and policy.selfGoverning else None
        return policy.seconds if grown is None else grown

    def _read(self, handle: Handle) -> _canter.Reading:
        """What the server says now, or the cache if the policy says so."""
        cached = handle.reading
        if handle.monitors and cached is not None and self.policies.whenMonitor.source == GET_FROM_CACHE:
            return cached
        policy = self.policies.timeout
        for attempt in range(max(1, policy.tries)):
            seconds = self._seconds(handle)
            try:
                reading = handle.channel._core.read(seconds, describe=True)
                self._settle()
            except canter.GetTimeout:
                if policy.selfGoverning:
                    handle.timeout = min(policy.most, 2.0 * (seconds or 1.0))
                if attempt + 1 >= policy.tries:
                    raise
            else:
                handle.take(reading)
                return reading
        raise AssertionError("the last try raises or returns")

    def _cached(self, handle: Handle) -> _canter.Reading:
        if handle.reading is None and handle.monitors:
            handle.wait_for_news(self.policies.cacheWait.seconds)
        if handle.reading is None:
            message = f'nothing was read of "{handle.name}" yet'
            remedy = "get() it, or start a monitor"
            raise failure(codes.ICAFE_CACHE_EMPTY, message, handle.name, handle.number, remedy)
        return handle.reading

    def _from(self, cache: bool) -> Any:
        return self._cached if cache else self._read

    # -- one PV

    def get(self, handlePV: Any, dt: str = "native") -> Any:  # noqa: N803
        """The value as the server has it now; of an array the first element.

        Args:
            dt: ``native``, ``float``, ``int`` or ``str``. Native, the state of an enum is its text.
        """
        return self._first(handlePV, dt, False)

    def getCache(self, handlePV: Any, dt: str = "native") -> Any:  # noqa: N802, N803
        """As `get`, of what was read or monitored last."""
        return self._first(handlePV, dt, True)

    def _first(self, handle_or_pv: Any, dt: str, cache: bool) -> Any:
        def first(handle: Handle) -> Any:
            check_datatype(dt, handle.name)
            reading = self._from(cache)(handle)
            if dt == "str" and reading.native == "CHAR" and reading.is_array:
                return reading.long_string()
            found = elements(reading, dt)
            if not found:
                raise failure(codes.ECAFE_NODATA, f'"{handle.name}" is an empty array', handle.name)
            return found[0]

        return self._guard(handle_or_pv, first)

    def getPV(self, handlePV: Any, dt: str = "native") -> PVData | None:  # noqa: N802, N803
        """The value with its status, alarm and time stamp, as the server has it now.

        Without exceptions, what is not there has its status and no elements.
        """
        return self._structure(handlePV, dt, False)

    def getPVCache(self, handlePV: Any, dt: str = "native") -> PVData | None:  # noqa: N802, N803
        """As `getPV`, of what was read or monitored last."""
        return self._structure(handlePV, dt, True)

    def _structure(self, handle_or_pv: Any, dt: str, cache: bool, kind: type = PVData) -> Any:
        def made(handle: Handle) -> Any:
            check_datatype(dt, handle.name)
            reading = self._from(cache)(handle)
            # A value that is cached from before its channel was lost says so.
            status = NORMAL if not cache or handle.connected else handle.state
            return kind(handle.name, handle.number, status, reading, dt)

        found = self._guard(handle_or_pv, made)
        if found is None and self.lastError is not None:
            return kind(self.lastError.name, self.lastError.handle, self.lastError.error_code)
        return found

    def getCtrl(self, handlePV: Any, dt: str = "native") -> PVCtrl | None:  # noqa: N802, N803
        """The value with units, precision, limits and state texts."""
        return self._structure(handlePV, dt, False, PVCtrl)

    def getCtrlCache(self, handlePV: Any, dt: str = "native") -> PVCtrl | None:  # noqa: N802, N803
        """As `getCtrl`, of what was read or monitored last."""
        return self._structure(handlePV, dt, True, PVCtrl)

    def getUnits(self, handlePV: Any) -> str | None:  # noqa: N802, N803
        """The engineering units."""
        return self._guard(handlePV, lambda handle: self._described(handle).units or "")

    def getPrecision(self, handlePV: Any) -> int | None:  # noqa: N802, N803
        """Digits after the point."""
        return self._guard(handlePV, lambda handle: self._described(handle).precision or 0)

    def getEnumStrings(self, handlePV: Any) -> list[str] | None:  # noqa: N802, N803
        """Texts of the states of an enum."""
        return self._guard(handlePV, lambda handle: list(self._described(handle).enums or ()))

    def getEnumFromString(self, handlePV: Any, text: str) -> int | None:  # noqa: N802, N803
        """The number of the state that has this text."""

        def number(handle: Handle) -> int:
            states = list(self._described(handle).enums or ())
            if text in states:
                return states.index(text)
            message = f'"{handle.name}" has no state {text!r}'
            remedy = f"its states are {', '.join(states) or 'none'}"
            raise failure(codes.ECAFE_INVALID_ENUM_INDEX, message, handle.name, handle.number, remedy)

        return self._guard(handlePV, number)

    def getStringFromEnum(self, handlePV: Any, number: int) -> str | None:  # noqa: N802, N803
        """The text of a state."""

        def text(handle: Handle) -> str:
            states = list(self._described(handle).enums or ())
            if 0 <= number < len(states):
                return states[number]
            message = f'"{handle.name}" has no state {number}, but {len(states)}, from 0'
            raise failure(codes.ECAFE_INVALID_ENUM_INDEX, message, handle.name, handle.number)

        return self._guard(handlePV, text)

    def isEnum(self, handlePV: Any) -> bool:  # noqa: N802, N803
        """Whether it is an enum."""
        return bool(self._guard(handlePV, lambda handle: handle.channel.info().get("native") == "ENUM"))

    def getDescription(self, handlePV: Any) -> str | None:  # noqa: N802, N803
        """The field ``DESC`` of the record."""

        def text(handle: Handle) -> str:
            record = handle.name.partition(".")[0]
            channel = handle.channel._client.channel(f"{record}.DESC")
            return str(channel.get(timeout=self._seconds(handle)))

        return self._guard(handlePV, text)

    def _described(self, handle: Handle) -> _canter.Reading:
        return handle.reading if handle.reading is not None and handle.connected else self._read(handle)

    def getArray(self, handlePV: Any, art: str = "numpy", dt: str = "native") -> Any:  # noqa: N802, N803
        """All elements.

        Args:
            art: ``numpy`` or ``memoryview``, which are read-only views of what came if ``dt`` is native, or
                ``list``.
        """
        return self._array(handlePV, art, dt, False)

    def getArrayCache(self, handlePV: Any, art: str = "numpy", dt: str = "native") -> Any:  # noqa: N802, N803
        """As `getArray`, of what was read or monitored last."""
        return self._array(handlePV, art, dt, True)

    def _array(self, handle_or_pv: Any, art: str, dt: str, cache: bool) -> Any:
        def array(handle: Handle) -> Any:
            check_datatype(dt, handle.name)
            if art not in ART:
                message = f"art={art!r}: it is one of {', '.join(ART)}"
                raise failure(codes.ECAFE_INVALID_TYPE, message, handle.name, handle.number)
            return _as_array(self._from(cache)(handle), art, dt)

        return self._guard(handle_or_pv, array)

    def set(self, handlePV: Any, value: Any) -> int:  # noqa: N803
        """Writes a value, an array of them, or the text of a state.

        Returns:
            ``ICAFE_NORMAL`` when the server has taken it, or why not.
        """

        def put(handle: Handle) -> None:
            seconds = self._seconds(handle)
            handle.channel.put(value, wait=self.policies.request.wait, timeout=seconds)
            self._settle()

        return self._guard_status(handlePV, put)

    def setAndGet(self, handlePV: Any, value: Any, dt: str = "native") -> Any:  # noqa: N802, N803
        """Writes a value and reads what became of it."""
        if self.set(handlePV, value) != NORMAL:
            return None
        return self.get(handlePV, dt)

    # -- many

    def _read_all(self, handles: list[Handle], cache: bool = False) -> list[Any]:
        """Readings, or exceptions in the places of what did not come, all asked at once."""
        if cache:
            return [_outcome(self._cached, handle) for handle in handles]
        cores = [handle.channel._core for handle in handles]
        batch = self._of_process()._core.get_many(cores, self._seconds(), describe=True)
        self._settle()
        readings = batch.readings()
        for handle, reading in zip(handles, readings):
            if isinstance(reading, _canter.Reading):
                handle.take(reading)
        return readings

    def _lists(self, handles: list[Handle], dt: str, cache: bool, first: bool) -> list:
        """Values, the first status that is not normal, and all statuses."""
        values: list = []
        statuses: list[int] = []
        for handle, reading in zip(handles, self._read_all(handles, cache)):
            try:
                if isinstance(reading, BaseException):
                    raise reading
                found = shaped(reading, dt)
                if first and isinstance(found, list):
                    found = found[0] if found else None
                values.append(found)
                statuses.append(NORMAL)
            except canter.CanterError as error:
                values.append(None)
                statuses.append(self._note(error, handle))
        return [values, _first_bad(statuses), statuses]

    def _note(self, error: BaseException, handle: Handle, writing: bool = False) -> int:
        """Keeps an error of one of many: the others have values, so that nothing is raised."""
        return self._keep(error, handle.name, handle, writing)[0]

    def _many(self, handles: Iterable[Any], dt: str, cache: bool, first: bool) -> list | None:
        try:
            check_datatype(dt)
            found = [self._find(one) for one in handles]
        except canter.CanterError as error:
            self._failed(error, "", None)
            return None
        return self._lists(found, dt, cache, first)

    def getScalarList(self, handles: Iterable[Any], dt: str = "native") -> list | None:  # noqa: N802
        """First elements of many PVs at once: ``[values, status, statuses]``, with ``None`` in the places
        of what did not come.
        """
        return self._many(handles, dt, False, True)

    def getScalarListCache(self, handles: Iterable[Any], dt: str = "native") -> list | None:  # noqa: N802
        """As `getScalarList`, of what was read or monitored last."""
        return self._many(handles, dt, True, True)

    def getCompoundList(self, handles: Iterable[Any], dt: str = "native") -> list | None:  # noqa: N802
        """Values of many PVs at once, scalars and lists: ``[values, status, statuses]``."""
        return self._many(handles, dt, False, False)

    def getCompoundListCache(self, handles: Iterable[Any], dt: str = "native") -> list | None:  # noqa: N802
        """As `getCompoundList`, of what was read or monitored last."""
        return self._many(handles, dt, True, False)

    getList = getCompoundList
    getListCache = getCompoundListCache

    def _put_all(self, handles: list[Handle], values: Sequence[Any]) -> list:
        given = list(values)
        if len(given) != len(handles):
            message = f"{len(handles)} PVs and {len(given)} values"
            raise failure(codes.ECAFE_HANDLE_MISMATCH_SET_AND_MATCH, message, remedy="give as many of both")
        cores = [handle.channel._core for handle in handles]
        until = "completed" if self.policies.request.wait else "checked"
        errors = self._of_process()._core.put_many(cores, given, until, self._seconds())
        self._settle()
        statuses = []
        for handle, error in zip(handles, errors):
            if error is None:
                handle.status = NORMAL
            else:
                self._note(error, handle, writing=True)
            statuses.append(handle.status)
        return [_first_bad(statuses), statuses]

    def setScalarList(self, handles: Iterable[Any], values: Sequence[Any]) -> list | None:  # noqa: N802
        """Writes a value to each of many PVs at once: ``[status, statuses]``."""
        try:
            return self._put_all([self._find(one) for one in handles], values)
        except canter.CanterError as error:
            self._failed(error, "", None)
            return None

    setList = setCompoundList = setMany = setScalarList


def _outcome(work: Any, handle: Handle) -> Any:
    try:
        return work(handle)
    except canter.CanterError as error:
        return error


def _first_bad(statuses: Iterable[int]) -> int:
    return next((status for status in statuses if status != NORMAL), NORMAL)


def _as_array(reading: _canter.Reading, art: str, dt: str) -> Any:
    if art == "list":
        return elements(reading, dt)
    if dt == "native" and reading.native not in ("STRING", "ENUM"):
        plain = reading.plain
        if not reading.is_array:
            plain = make_plain_array(_one(plain), "d" if isinstance(plain, float) else "q")
        return memoryview(plain) if art == "memoryview" else plain
    found = elements(reading, dt)
    try:
        import numpy
    except ImportError:
        return found
    array: Any = numpy.array(found, dtype=_NUMPY.get(dt))
    array.flags.writeable = False
    return memoryview(array) if art == "memoryview" else array


def _one(value: float | int) -> bytes:
    import struct

    return struct.pack("d" if isinstance(value, float) else "q", value)
