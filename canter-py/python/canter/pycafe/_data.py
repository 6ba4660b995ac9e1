"""What comes back: values with their status, groups of them, descriptions, facts of channels."""

from __future__ import annotations

import datetime
from typing import Any

from canter._canter import Reading

from ._codes import CONDITIONS, NORMAL, SEVERITIES, alarm_text, codes, name_of
from ._errors import failure

#: Types that a value may be asked for as.
DATATYPES = ("native", "float", "int", "str")

#: Seconds between 1970 and 1990.
_EPOCH = 631_152_000


def check_datatype(dt: str, name: str = "") -> str:
    """The name of a type.

    Raises:
        CafeException: there is no such type.
    """
    if dt in DATATYPES:
        return dt
    known = ", ".join(DATATYPES)
    raise failure(codes.ECAFE_INVALID_TYPE, f"dt={dt!r}: it is one of {known}", name)


def convert(one: Any, dt: str, name: str = "", precision: int | None = None) -> Any:
    """An element as another type, as a server converts it.

    Raises:
        CafeException: it has no form of this type.
    """
    if dt == "native":
        return one
    try:
        if dt == "str":
            if isinstance(one, float) and precision is not None and precision >= 0:
                return f"{one:.{precision}f}"
            return one if isinstance(one, str) else repr(one)
        return float(one) if dt == "float" else int(float(one) if isinstance(one, str) else one)
    except (TypeError, ValueError, OverflowError):
        kind = type(one).__name__
        message = f'"{name}" is {one!r}, and no {kind} of this kind is a {dt}'
        raise failure(codes.ECAFE_NO_CONVERT, message, name, remedy="ask for dt='native'") from None


def elements(reading: Reading, dt: str = "native") -> list:
    """The elements of a reading.

    The state of an enum is its text; its number where the PV has no text for it.
    """
    plain = reading.plain
    if reading.native == "ENUM" and dt in ("native", "str"):
        states = reading.enums or ()
        numbers = plain if reading.is_array else [plain]
        texts = [states[int(n)] if int(n) < len(states) else "" for n in numbers]
        found: list = [text or (str(int(n)) if dt == "str" else int(n)) for text, n in zip(texts, numbers)]
        return found
    if reading.is_array:
        found = plain.tolist() if hasattr(plain, "tolist") else list(plain)
    else:
        found = [plain]
    return [convert(one, dt, reading.name, reading.precision) for one in found]


def shaped(reading: Reading, dt: str = "native") -> Any:
    """The value: one element, or a list of them if the PV is an array."""
    found = elements(reading, dt)
    return found if reading.is_array else found[0]


class PVData:
    """A value with its status.

    Attributes:
        pv, handle: whose it is.
        value: list of its elements; empty if there is none.
        status: ``ICAFE_NORMAL``, or why there is no value; ``statusAsString`` is its name.
        alarmStatus, alarmSeverity: -1 if not known; ``…AsString`` are their words.
        ts: seconds since 1970 and nanoseconds; ``tsDate`` is the same as a date in UTC.
        pulseID: the last six digits of the nanoseconds, where SwissFEL's timing has the number of the
            pulse.
        nelem, dataType: number of elements, and native type of the PV.
    """

    def __init__(
        self, name: str, handle: int, status: int, reading: Reading | None = None, dt: str = "native"
    ) -> None:
        self.pv = name
        self.handle = handle
        self.status = status
        self.value: list = []
        self.nelem = 0
        self.dataType = ""
        self.alarmStatus = self.alarmSeverity = -1
        self.ts = [0, 0]
        self.pulseID = self.beamEventNo = 0
        if reading is not None:
            self.value = elements(reading, dt)
            self.nelem = reading.count
            self.dataType = reading.native
            if reading.status is not None and reading.severity is not None:
                self.alarmStatus, self.alarmSeverity = reading.status, reading.severity
            if reading.stamp is not None:
                seconds, nanos = reading.stamp
                self.ts = [seconds + _EPOCH, nanos]
                self.pulseID = self.beamEventNo = nanos % 1_000_000

    @property
    def statusAsString(self) -> str:  # noqa: N802 - the names are CAFE's
        return name_of(self.status)

    @property
    def alarmStatusAsString(self) -> str:  # noqa: N802
        return alarm_text(CONDITIONS, self.alarmStatus)

    @property
    def alarmSeverityAsString(self) -> str:  # noqa: N802
        return alarm_text(SEVERITIES, self.alarmSeverity)

    @property
    def tsDate(self) -> datetime.datetime:  # noqa: N802
        seconds, nanos = self.ts
        whole = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        return whole.replace(microsecond=nanos // 1000)

    def show(self, wf: int = 8) -> None:
        """Prints it, with at most so many elements of an array."""
        print(self._line(wf))

    def _line(self, wf: int) -> str:
        if self.status != NORMAL and not self.value:
            return f"{self.pv} (handle={self.handle}) {self.statusAsString}"
        shown = " ".join(str(one) for one in self.value[:wf])
        more = f" … ({self.nelem} elements)" if self.nelem > wf else ""
        alarm = f"{self.alarmSeverityAsString} {self.alarmStatusAsString}"
        return f"{self.pv} (handle={self.handle}) {shown}{more} {alarm} {self.tsDate:%Y-%m-%d %H:%M:%S.%f}"

    def __repr__(self) -> str:
        return f"<PVData {self.pv!r} {self.value[:4]!r} {self.statusAsString}>"


class PVGroup:
    """The values of a group: it is indexed and iterated as a list of `PVData`."""

    def __init__(self, name: str, handle: int, members: list[PVData]) -> None:
        self.name = name
        self.groupHandle = handle
        self.pvdata = members
        self.npv = len(members)

    @property
    def status(self) -> int:
        """``ICAFE_NORMAL``, or the first status that is not."""
        return next((one.status for one in self.pvdata if one.status != NORMAL), NORMAL)

    statusGroup = status

    def getPV(self, index: int) -> PVData:  # noqa: N802
        """The member at a place, from 0."""
        return self.pvdata[index]

    def show(self, wf: int = 8) -> None:
        """Prints all members."""
        print(f"{self.name} (handle={self.groupHandle}) {self.npv} PVs, {name_of(self.status)}")
        for one in self.pvdata:
            print(f"  {one._line(wf)}")

    def __len__(self) -> int:
        return self.npv

    def __getitem__(self, index: int) -> PVData:
        return self.pvdata[index]

    def __repr__(self) -> str:
        return f"<PVGroup {self.name!r} of {self.npv} PVs, {name_of(self.status)}>"


_LIMITS = {
    f"{bound}{kind}Limit": f"{bound}_{ours}_limit"
    for bound in ("lower", "upper")
    for kind, ours in (("Disp", "disp"), ("Alarm", "alarm"), ("Warning", "warning"), ("Ctrl", "ctrl"))
}


class PVCtrl(PVData):
    """A value with what describes its PV: ``units``, ``precision``, the eight limits by CAFE's names
    (``upperDispLimit`` …), ``enumStrings``.
    """

    def __init__(
        self, name: str, handle: int, status: int, reading: Reading | None = None, dt: str = "native"
    ) -> None:
        super().__init__(name, handle, status, reading, dt)
        known = None if reading is None else reading.limits
        self.units = "" if reading is None else reading.units or ""
        self.precision = 0 if reading is None else reading.precision or 0
        self.enumStrings = [] if reading is None else list(reading.enums or ())
        self.noStr = len(self.enumStrings)
        for theirs, ours in _LIMITS.items():
            setattr(self, theirs, None if known is None else known[ours])

    def show(self, wf: int = 8) -> None:
        super().show(wf)
        print(f"  units={self.units!r} precision={self.precision} states={self.enumStrings}")
        for name in _LIMITS:
            print(f"  {name} = {getattr(self, name)}")


class ChannelInfo:
    """What is known of a channel at this moment: ``pvName handle connectionState hostName dataType nelem
    readAccess writeAccess``; ``trouble`` says why it is not connected.
    """

    def __init__(self, name: str, handle: int, state: int, known: dict[str, Any]) -> None:
        self.pvName = name
        self.handle = handle
        self.connectionState = state
        self.hostName = known.get("server") or ""
        self.dataType = known.get("native") or ""
        self.nelem = known.get("count") or 0
        self.readAccess = bool(known.get("can_read"))
        self.writeAccess = bool(known.get("can_write"))
        self.trouble = known.get("trouble")

    def show(self) -> None:
        """Prints it."""
        print(f"{self.pvName} (handle={self.handle}) {name_of(self.connectionState)}")
        rights = f"read={self.readAccess} write={self.writeAccess}"
        print(f"  host={self.hostName or '?'} type={self.dataType or '?'} nelem={self.nelem} {rights}")
        if self.trouble:
            print(f"  {self.trouble}")

    def __repr__(self) -> str:
        return f"<ChannelInfo {self.pvName!r} {name_of(self.connectionState)}>"
