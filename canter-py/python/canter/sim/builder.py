"""IOCs made record by record, in the manner of pythonSoftIOC.

>>> from canter.sim import builder, softioc
>>> builder.SetDeviceName("LAB:PS")
>>> current = builder.aIn("CURRENT", initial_value=0.0, EGU="A", PREC=2)
>>> setpoint = builder.aOut("SETPOINT", initial_value=0.0, DRVH=10, on_update=current.set)
>>> builder.LoadDatabase()
>>> ioc = softioc.iocInit(udp_port=0)
>>> with ioc, ioc.client() as client:
...     client.put("LAB:PS:SETPOINT", 2.5, wait=True)
...     float(client.wait_until("LAB:PS:CURRENT", 2.5, timeout=10))
2.5

What pythonSoftIOC does once in a process can be done again: `ClearRecords` begins anew, also after ``iocInit``. A
`Builder` has records of its own.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from ._db import record_text
from ._desk import SKIP, After, Put
from ._errors import Refuse
from ._ioc import IOC

#: What the fields of the states of ``mbbi`` and ``mbbo`` records begin with.
STATE_PREFIXES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")

_SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_STATUSES = (
    "NO_ALARM READ WRITE HIHI HIGH LOLO LOW STATE COS COMM TIMEOUT HWLIMIT CALC SCAN LINK SOFT BAD_SUB UDF DISABLE "
    "SIMM READ_ACCESS WRITE_ACCESS"
).split()

#: Types of arrays: those of NumPy, and of FTVL.
_FTVL = {
    "int8": "CHAR",
    "uint8": "UCHAR",
    "int16": "SHORT",
    "uint16": "USHORT",
    "int32": "LONG",
    "uint32": "ULONG",
    "int64": "LONG",
    "uint64": "ULONG",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
_DTYPES = {"CHAR": "int8", "UCHAR": "uint8", "SHORT": "int16", "USHORT": "uint16", "LONG": "int32",
           "ULONG": "uint32", "FLOAT": "float32", "DOUBLE": "float64", "STRING": "S40"}  # fmt: skip

Dispatch = Callable[..., object]


class Link:
    """A record or a field of it with the flags of a link; its text is what a link field takes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _flagged(flag: str) -> Callable[[Any], Link]:
    def make(record: Any) -> Link:
        return Link(f"{record} {flag}")

    make.__name__ = flag
    make.__doc__ = f"A link to a record with the flag {flag}."
    return make


PP, CP, CPP, CA, NP = (_flagged(flag) for flag in ("PP", "CP", "CPP", "CA", "NPP"))
MS, NMS, MSI, MSS = (_flagged(flag) for flag in ("MS", "NMS", "MSI", "MSS"))


class PlainRecord:
    """A record that works by itself. Its fields are attributes: ``record.FLNK = other``."""

    def __init__(self, builder: Builder, kind: str, name: str, fields: Mapping[str, Any]) -> None:
        set_ = super().__setattr__
        set_("_builder", builder)
        set_("_kind", kind)
        set_("name", builder._own(name, self))
        set_("_fields", {field: value for field, value in fields.items() if value is not None})
        set_("_infos", {})
        set_("_aliases", [])

    _builder: Builder
    _kind: str
    name: str
    _fields: dict[str, Any]
    _infos: dict[str, Any]
    _aliases: list[str]

    def __setattr__(self, field: str, value: Any) -> None:
        if field.isupper():
            self._builder._check_open(self.name)
            self._fields[field] = value
        else:
            super().__setattr__(field, value)

    def __getattr__(self, field: str) -> Any:
        if not field.isupper() or field.startswith("_"):
            raise AttributeError(field)
        if self._builder._loaded:
            return Link(f"{self.name}.{field}")
        return self._fields[field] if field in self._fields else Link(f"{self.name}.{field}")

    def add_alias(self, alias: str) -> None:
        """Gives it another name, which has no prefix."""
        self._builder._check_open(self.name)
        self._aliases.append(alias)

    def add_info(self, name: str, value: Any) -> None:
        """Adds an ``info`` item."""
        self._builder._check_open(self.name)
        self._infos[name] = value

    def _text(self) -> str:
        return record_text(self._kind, self.name, self._fields, self._infos, self._aliases)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self._kind} {self.name}>"

    # ---- While it is served. ----

    @property
    def _ioc(self) -> IOC:
        ioc = self._builder.ioc
        if ioc is None:
            raise RuntimeError(f"{self.name}: only after iocInit")
        return ioc

    def get_field(self, field: str) -> str:
        """The text of a field."""
        value = self._ioc._core.read(f"{self.name}.{field}")
        made = value[0]
        if isinstance(made, int):
            # Choices have texts.
            return self._ioc._core.text(f"{self.name}.{field}")
        return str(made)

    def set_field(self, field: str, value: Any) -> None:
        """Sets a field, as a client would, and processes the record if it is one for which that is done. That the
        record takes no puts (DISP) counts for clients only.
        """
        core = self._ioc._core
        if core.read(f"{self.name}.DISP")[0]:
            core.write_record(f"{self.name}.{field}", str(value), None, False)
        else:
            core.post(f"{self.name}.{field}", str(value))


class _Python(PlainRecord):
    """A record whose value is of the program."""

    def __init__(
        self, builder: Builder, kind: str, name: str, fields: dict[str, Any], convert: Callable[[Any], Any]
    ) -> None:
        status, severity = fields.pop("status", None), fields.pop("severity", None)
        if status is not None:
            fields["STAT"] = _STATUSES[status]
        if severity is not None:
            fields["SEVR"] = _SEVERITIES[severity]
        self._first_alarm = (severity or 0, status or 0)
        for field in ("STAT", "SEVR"):
            fields.pop(field, None)
        self._convert = convert
        self._has_value = "initial_value" in fields
        self._value = convert(fields.pop("initial_value")) if self._has_value else convert(None)
        fields.pop("autosave", None)
        super().__init__(builder, kind, name, fields)

    _convert: Callable[[Any], Any]
    _value: Any
    _has_value: bool

    def get(self) -> Any:
        """The value that was written last."""
        return self._value

    def _started(self, ioc: IOC) -> None:
        raise NotImplementedError


class In(_Python):
    """An input record: the program sets it, clients read it."""

    def __init__(self, builder: Builder, kind: str, name: str, fields: dict[str, Any], convert: Any) -> None:
        fields.setdefault("PINI", "YES")
        fields.setdefault("DISP", 1)
        super().__init__(builder, kind, name, fields, convert)

    def set(self, value: Any, severity: int = 0, alarm: int = 0, timestamp: Any = None) -> None:
        """Sets value and alarm, and processes the record.

        Raises:
            NotImplementedError: for a time stamp of one's own.
        """
        if timestamp is not None:
            raise NotImplementedError(f"{self.name}: records have the time at which they are set")
        self._value = self._convert(value)
        self._has_value = True
        self._first_alarm = (severity, alarm)
        ioc = self._builder.ioc
        if ioc is not None:
            ioc._core.write_record(self.name, _wire(self._value), (severity, alarm), True)

    def set_alarm(self, severity: int, alarm: int, timestamp: Any = None) -> None:
        """Sets the alarm, and processes the record."""
        self.set(self._value, severity, alarm, timestamp)

    def _started(self, ioc: IOC) -> None:
        value = _wire(self._value) if self._has_value or not _is_empty(self._value) else None
        ioc._core.write_record(self.name, value, self._first_alarm, True)


class Out(_Python):
    """An output record: clients write it, and ``on_update`` is called with what they wrote."""

    def __init__(self, builder: Builder, kind: str, name: str, fields: dict[str, Any], convert: Any) -> None:
        on_update, by_name = fields.pop("on_update", None), fields.pop("on_update_name", None)
        if on_update is not None and by_name is not None:
            raise TypeError(f"{name}: give on_update or on_update_name, not both")
        if by_name is not None:
            on_update = lambda value: by_name(value, name)  # noqa: E731
        self._on_update = on_update
        self._validate = fields.pop("validate", None)
        self._always = fields.pop("always_update", False)
        self._blocking = fields.pop("blocking", builder.blocking)
        if kind in ("ao", "bo", "longout", "int64out", "mbbo", "stringout"):
            fields.setdefault("OMSL", "supervisory")
        super().__init__(builder, kind, name, fields, convert)

    _on_update: Callable[[Any], Any] | None
    _validate: Callable[[Any, Any], Any] | None

    def set(self, value: Any, process: bool = True, severity: int = 0, alarm: int = 0) -> None:
        """Sets the value and the alarm; with ``process`` as a client would, so that ``validate`` and ``on_update``
        are called, and what is behind the record is processed.
        """
        new = self._convert(value)
        ioc = self._builder.ioc
        changed = self._always or not _same(new, self._value)
        if ioc is None:
            self._value, self._has_value, self._first_alarm = new, True, (severity, alarm)
            return
        if process and changed and self._validate is not None and not self._validate(self, new):
            return
        self._value = new
        ioc._core.write_record(self.name, _wire(new), (severity, alarm), process)
        if process and changed:
            self._updated(new)

    def set_alarm(self, severity: int, alarm: int) -> None:
        """Sets the alarm."""
        self.set(self._value, severity=severity, alarm=alarm)

    def _started(self, ioc: IOC) -> None:
        if self._has_value:
            ioc._core.write_record(self.name, _wire(self._value), self._first_alarm, False)
            ioc._core.write_record(self.name, None, None, False)
        if self._validate is not None or self._blocking or self._always:
            ioc.on_put(self.name, self._decide)
        ioc.observe(self.name, self._observed)

    def _decide(self, put: Put) -> Any:
        """A put of a client."""
        new = self._convert(put.value)
        if not self._always and _same(new, self._value):
            return None
        if self._validate is not None and not self._validate(self, new):
            raise Refuse
        self._value = new
        if not self._blocking or self._on_update is None:
            return After(lambda: self._updated(new))
        # The value is seen at once, the put is complete when `on_update` has returned.
        self._ioc._core.write_record(self.name, _wire(new), None, True)
        done: concurrent.futures.Future = concurrent.futures.Future()
        self._updated(new, lambda: done.set_result(SKIP))
        return done

    def _observed(self, value: Any) -> None:
        """What the record has posted: also written through links."""
        new = self._convert(value)
        if _same(new, self._value):
            return
        self._value = new
        self._updated(new)

    def _updated(self, value: Any, completion: Callable[[], object] | None = None) -> None:
        if self._on_update is None:
            return
        if completion is None:
            self._builder._dispatch(self._on_update, (value,))
        else:
            self._builder._dispatch(self._on_update, (value,), completion)


# ---- Values. ----


def _float(value: Any) -> float:
    return 0.0 if value is None else float(value)


def _int(value: Any) -> int:
    return 0 if value is None else int(value)


def _str(value: Any) -> str:
    return "" if value is None else str(value)


def _long_str(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return bytes(bytearray(int(one) & 255 for one in value)).split(b"\0")[0].decode("utf-8", "replace")


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") or hasattr(other, "shape"):
        import numpy

        return bool(numpy.array_equal(one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return bool(one == other)


def _is_empty(value: Any) -> bool:
    return hasattr(value, "__len__") and len(value) == 0


def _wire(value: Any) -> Any:
    if getattr(getattr(value, "dtype", None), "char", "") == "S":
        return [one.decode("utf-8", "replace") for one in value.tolist()]
    return value


class _Records:
    """Records of any type, which work by themselves: ``records.calc("X", CALC="A+1", INPA=other)``."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def __getattr__(self, kind: str) -> Callable[..., PlainRecord]:
        if kind.startswith("_"):
            raise AttributeError(kind)

        def make(name: str, **fields: Any) -> PlainRecord:
            return PlainRecord(self._builder, kind, name, fields)

        make.__name__ = kind
        return make


class Builder:
    """Records, and the IOC that serves them. The functions of this module are the methods of one of them."""

    def __init__(self, device: str | None = None, separator: str = ":") -> None:
        self.blocking = False
        self.ioc: IOC | None = None
        self.records = _Records(self)
        self._prefixes: list[str] = [] if device is None else [device]
        self._separator = separator
        self._known: dict[str, PlainRecord] = {}
        self._files: list[tuple[str, str, str]] = []
        self._loaded = False
        self._dispatcher: Dispatch | None = None
        self._convert_name: Callable[[str], str] | None = None

    # ---- Names. ----

    def SetDeviceName(self, name: str) -> None:  # noqa: N802
        """What all names begin with, and a colon."""
        self._prefixes = [name]

    def UnsetDevice(self) -> None:  # noqa: N802
        """Names stand as they are, again."""
        self._prefixes = []

    def SetPrefix(self, prefix: str) -> None:  # noqa: N802
        """As `SetDeviceName`."""
        self._prefixes = [prefix]

    def PushPrefix(self, prefix: str) -> None:  # noqa: N802
        self._prefixes.append(prefix)

    def PopPrefix(self) -> str:  # noqa: N802
        return self._prefixes.pop()

    def SetSeparator(self, separator: str) -> None:  # noqa: N802
        self._separator = separator

    def RecordName(self, name: str) -> str:  # noqa: N802
        """The whole name of a record."""
        if self._convert_name is not None:
            return self._convert_name(name)
        return self._separator.join([*self._prefixes, name])

    def SetRecordNames(self, names: Callable[[str], str] | None) -> None:  # noqa: N802
        """A function that makes the whole names; ``None`` for prefixes again."""
        self._convert_name = names

    def GetRecordNames(self) -> Callable[[str], str]:  # noqa: N802
        return self.RecordName

    def LookupRecord(self, full_name: str) -> PlainRecord:  # noqa: N802
        return self._known[full_name]

    def CountRecords(self) -> int:  # noqa: N802
        return len(self._known)

    def _own(self, name: str, record: PlainRecord) -> str:
        full = self.RecordName(name)
        self._check_open(full)
        if full in self._known:
            raise ValueError(f"there is a record {full} already")
        self._known[full] = record
        return full

    def _check_open(self, name: str) -> None:
        if self.ioc is not None:
            raise RuntimeError(f"{name}: the IOC runs; ClearRecords begins another one")

    # ---- Records. ----

    def _in(self, kind: str, name: str, convert: Any, fields: dict[str, Any]) -> In:
        return In(self, kind, name, fields, convert)

    def _out(self, kind: str, name: str, convert: Any, fields: dict[str, Any]) -> Out:
        return Out(self, kind, name, fields, convert)

    def aIn(self, name: str, LOPR: Any = None, HOPR: Any = None, EGU: Any = None, PREC: Any = None, **fields: Any) -> In:  # noqa: N802, N803, E501
        """A number that clients read."""
        return self._in("ai", name, _float, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, PREC=PREC, **fields))

    def aOut(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, PREC: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A number that clients write."""
        return self._out("ao", name, _float, _drive(DRVL, DRVH, dict(EGU=EGU, PREC=PREC, **fields)))

    def boolIn(self, name: str, ZNAM: Any = None, ONAM: Any = None, **fields: Any) -> In:  # noqa: N802, N803
        """One of two states that clients read."""
        return self._in("bi", name, _int, dict(ZNAM=ZNAM, ONAM=ONAM, **fields))

    def boolOut(self, name: str, ZNAM: Any = None, ONAM: Any = None, **fields: Any) -> Out:  # noqa: N802, N803
        """One of two states that clients write."""
        return self._out("bo", name, _int, dict(ZNAM=ZNAM, ONAM=ONAM, **fields))

    def longIn(self, name: str, LOPR: Any = None, HOPR: Any = None, EGU: Any = None, **fields: Any) -> In:  # noqa: N802, N803, E501
        """A whole number that clients read."""
        fields.setdefault("MDEL", -1)
        return self._in("longin", name, _int, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, **fields))

    def longOut(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A whole number that clients write."""
        return self._out("longout", name, _int, _drive(DRVL, DRVH, dict(EGU=EGU, **fields)))

    def int64In(self, name: str, LOPR: Any = None, HOPR: Any = None, EGU: Any = None, **fields: Any) -> In:  # noqa: N802, N803, E501
        """A large whole number that clients read; on the wire it is a double."""
        fields.setdefault("MDEL", -1)
        return self._in("int64in", name, _int, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, **fields))

    def int64Out(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A large whole number that clients write; on the wire it is a double."""
        return self._out("int64out", name, _int, _drive(DRVL, DRVH, dict(EGU=EGU, **fields)))

    def mbbIn(self, name: str, *options: Any, **fields: Any) -> In:  # noqa: N802
        """One of up to 16 states that clients read: texts, or pairs of a text and a severity."""
        return self._in("mbbi", name, _int, _states(name, options, fields))

    def mbbOut(self, name: str, *options: Any, **fields: Any) -> Out:  # noqa: N802
        """One of up to 16 states that clients write: texts, or pairs of a text and a severity."""
        return self._out("mbbo", name, _int, _states(name, options, fields))

    def stringIn(self, name: str, **fields: Any) -> In:  # noqa: N802
        """A text of up to 39 bytes that clients read."""
        return self._in("stringin", name, _str, fields)

    def stringOut(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """A text of up to 39 bytes that clients write."""
        return self._out("stringout", name, _str, fields)

    def longStringIn(self, name: str, **fields: Any) -> In:  # noqa: N802
        """A text of any length that clients read, as an array of characters."""
        _long(fields)
        return qform_string(self._in("waveform", name, _long_str, fields))

    def longStringOut(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """A text of any length that clients write, as an array of characters."""
        _long(fields)
        return qform_string(self._out("waveform", name, _long_str, fields))

    def WaveformIn(self, name: str, *value: Any, **fields: Any) -> In:  # noqa: N802
        """An array that clients read."""
        convert = _waveform(name, value, fields)
        return self._in("waveform", name, convert, fields)

    Waveform = WaveformIn

    def WaveformOut(self, name: str, *value: Any, **fields: Any) -> Out:  # noqa: N802
        """An array that clients write."""
        convert = _waveform(name, value, fields)
        return self._out("waveform", name, convert, fields)

    def Action(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """Calls ``on_update`` with every put."""
        return self.boolOut(name, always_update=True, **fields)

    def create_fanout(self, name: str, *record_list: Any, **args: Any) -> PlainRecord:
        """A ``fanout`` record that processes these, with others behind it if they are many."""
        return _fan(self, "fanout", "LNK", name, record_list, args)

    def create_dfanout(self, name: str, *record_list: Any, **args: Any) -> PlainRecord:
        """A ``dfanout`` record that writes to these, with others behind it if they are many."""
        return _fan(self, "dfanout", "OUT", name, record_list, args)

    def ImportRecord(self, name: str) -> Link:  # noqa: N802
        """A record that is described elsewhere, for links to it."""
        return Link(name)

    def SetBlocking(self, new_val: bool) -> bool:  # noqa: N802
        """Whether puts with completion to records made from now on wait for ``on_update``; gives the value before."""
        before, self.blocking = self.blocking, new_val
        return before

    # ---- The IOC. ----

    def text(self) -> str:
        """All records, as a ``.db`` file has them."""
        return "".join(record._text() for record in self._known.values())

    def WriteRecords(self, filename: str, header: str | None = None, alphabetical: bool = True) -> None:  # noqa: N802
        """Writes the records to a ``.db`` file."""
        records = self._known.items()
        if alphabetical:
            records = sorted(records)  # type: ignore[assignment]
        with open(filename, "w", encoding="utf-8") as file:
            file.write((header or "# Made by canter.sim.builder") + "\n\n")
            file.writelines(record._text() for _, record in records)

    def dbLoadDatabase(self, database: str, path: str | None = None, substitutions: str | None = None) -> None:  # noqa: N802, E501
        """Has `iocInit` read a file of records, too."""
        import os

        self._check_open(str(database))
        full = os.path.join(path, database) if path else database
        self._files.append(("file", full, substitutions or ""))

    def LoadDatabase(self) -> None:  # noqa: N802
        """Says that all records are made."""
        self._loaded = True

    def ClearRecords(self) -> None:  # noqa: N802
        """Begins anew; what runs is stopped."""
        ioc, self.ioc = self.ioc, None
        if ioc is not None:
            ioc.close()
        self._known.clear()
        self._files.clear()
        self._loaded = False

    ResetRecords = ClearRecords

    def iocInit(  # noqa: N802
        self, dispatcher: Dispatch | None = None, enable_pva: bool = True, **settings: Any
    ) -> IOC:
        """Serves the records.

        Without settings (those of `canter.sim.IOC`) it serves 127.0.0.1, or ``EPICS_CAS_INTF_ADDR_LIST``, and the
        port of ``EPICS_CAS_SERVER_PORT`` or ``EPICS_CA_SERVER_PORT``, 5064 otherwise.

        Args:
            dispatcher: runs ``on_update`` functions; without one they run in a thread of the IOC, coroutines in a
                loop of its own.
            enable_pva: nothing, as there is no PVAccess.
        """
        from ._env import settings_of_environment

        if self.ioc is not None:
            raise RuntimeError("this IOC runs already; ClearRecords begins another one")
        given = {**settings_of_environment(), **settings}
        db = [(self.text(), "")] if self._known else []
        db += [(what, macros) for _, what, macros in self._files]
        ioc = IOC(db=db, **given)
        self._dispatcher = dispatcher
        self._loaded = True
        self.ioc = ioc
        for record in self._known.values():
            if isinstance(record, _Python):
                record._started(ioc)
        ioc._at_close.append(self._ended)
        return ioc

    def _ended(self) -> None:
        self.ioc = None

    def _dispatch(
        self, function: Callable[..., Any], args: tuple, completion: Callable[[], object] | None = None
    ) -> None:
        if self._dispatcher is not None:
            if completion is None:
                self._dispatcher(function, func_args=args)
            else:
                self._dispatcher(function, func_args=args, completion=completion)
            return
        ioc = self.ioc
        if ioc is not None:
            # In turn, so that one that sets other records is not called within itself.
            ioc._desk.run(lambda: self._run(ioc, function, args, completion))

    @staticmethod
    def _run(
        ioc: IOC, function: Callable[..., Any], args: tuple, completion: Callable[[], object] | None
    ) -> None:
        from .._dispatch import report

        made: Any = None
        try:
            made = function(*args)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises is its own
            report(error, function)
        if inspect.iscoroutine(made):
            task = ioc._desk.start(made, function)
            if completion is not None:
                task.add_done_callback(lambda _: completion())
        elif completion is not None:
            completion()


def _drive(low: Any, high: Any, fields: dict[str, Any]) -> dict[str, Any]:
    fields.setdefault("LOPR", low)
    fields.setdefault("HOPR", high)
    return {"DRVL": low, "DRVH": high, **fields}


def _states(name: str, options: tuple, fields: dict[str, Any]) -> dict[str, Any]:
    if len(options) > len(STATE_PREFIXES):
        raise ValueError(f"{name}: {len(options)} states, at most 16 are possible")
    for number, (prefix, option) in enumerate(zip(STATE_PREFIXES, options)):
        text, severity = option if isinstance(option, tuple) else (option, None)
        fields[f"{prefix}ST"] = text
        fields[f"{prefix}VL"] = number
        if severity:
            fields[f"{prefix}SV"] = _SEVERITIES[severity] if isinstance(severity, int) else severity
    return fields


def _length(name: str, fields: dict[str, Any], default: int | None = None) -> int:
    if "length" in fields and "NELM" in fields:
        raise TypeError(f"{name}: give length or NELM, not both")
    length = fields.pop("length", fields.pop("NELM", default))
    if length is None:
        raise TypeError(f"{name}: an array without a first value needs its length")
    if length <= 0:
        raise ValueError(f"{name}: an array has a length above 0")
    return int(length)


def _long(fields: dict[str, Any]) -> None:
    text = fields.setdefault("initial_value", "")
    needed = len(text.encode("utf-8", "replace")) + 1 if text else 256
    fields["NELM"] = _length("a long text", fields, needed)
    fields["FTVL"] = "CHAR"


def _waveform(name: str, value: tuple, fields: dict[str, Any]) -> Callable[[Any], Any]:
    import numpy

    if value and "initial_value" in fields:
        raise TypeError(f"{name}: two first values are given")
    if len(value) > 1:
        raise TypeError(f"{name}: give the first value as one array")
    first = value[0] if value else fields.pop("initial_value", None)
    if "datatype" in fields and "FTVL" in fields:
        raise TypeError(f"{name}: give datatype or FTVL, not both")
    datatype = fields.pop("datatype", None)
    if datatype is not None:
        dtype = numpy.dtype("int32" if datatype in (int, "int") else datatype)
    elif "FTVL" in fields:
        dtype = numpy.dtype(_DTYPES[fields["FTVL"]])
    elif first is None:
        raise TypeError(f"{name}: an array without a first value needs its datatype")
    else:
        dtype = numpy.asarray(numpy.frombuffer(first, numpy.uint8) if isinstance(first, bytes) else first).dtype
        dtype = numpy.dtype({"int64": "int32", "uint64": "uint32"}.get(dtype.name, dtype))
    if dtype.kind in "SU":
        dtype = numpy.dtype("S40")
    elif dtype.name not in _FTVL:
        raise TypeError(f"{name}: an array cannot have elements of type {dtype}")
    ftvl = "STRING" if dtype.kind == "S" else _FTVL[dtype.name]
    length = _length(name, fields, None if first is None else max(1, numpy.size(first)))
    fields["NELM"], fields["FTVL"] = length, ftvl

    def convert(given: Any) -> Any:
        if given is None:
            made = numpy.array([], dtype=dtype)
        elif dtype.kind == "S":
            made = to_epics_str_array(given)
        else:
            if isinstance(given, bytes):
                given = numpy.frombuffer(given, numpy.uint8)
            made = numpy.atleast_1d(numpy.array(given, dtype=dtype))
        if made.ndim != 1 or len(made) > length:
            raise ValueError(f"{name}: an array of up to {length} elements is wanted, not one of shape {made.shape}")
        made.flags.writeable = False
        return made

    if first is not None:
        fields["initial_value"] = first
    return convert


def _fan(builder: Builder, kind: str, link: str, name: str, records: tuple, args: dict[str, Any]) -> PlainRecord:
    letters = "123456" if kind == "fanout" else "ABCDEFGH"
    first = PlainRecord(builder, kind, name, args)
    at, number = first, 0
    left = list(records)
    while left:
        now, left = left[: len(letters)], left[len(letters) :]
        for letter, record in zip(letters, now):
            at._fields[f"{link}{letter}"] = record if isinstance(record, Link) else Link(f"{record}")
        if left:
            number += 1
            more = PlainRecord(builder, kind, f"{name}{number}", {} if kind == "fanout" else dict(args))
            at._fields["FLNK"] = more
            if kind == "dfanout":
                more._fields.update(OMSL="closed_loop", DOL=Link(f"{at.name}.VAL"))
            at = more
    return first


def qform_string(rec: Any) -> Any:
    """Has programs show an array of characters as a text."""
    rec.add_info("Q:form", "String")
    return rec


def to_epics_str_array(value: Any) -> Any:
    """An array of texts of up to 39 bytes."""
    import numpy

    made = numpy.empty(len(value), "S40")
    for at, one in enumerate(value):
        made[at] = one.encode("utf-8", "replace")[:39] if isinstance(one, str) else one
    return made


def ConstArray(value: Any) -> Link:  # noqa: N802
    """An array as a constant link."""
    import json

    return Link(json.dumps(list(value)))


#: The builder of the functions of this module.
default = Builder()
records = default.records

_METHODS = """
    SetDeviceName UnsetDevice SetPrefix PushPrefix PopPrefix SetSeparator RecordName SetRecordNames GetRecordNames
    LookupRecord CountRecords aIn aOut boolIn boolOut longIn longOut int64In int64Out mbbIn mbbOut stringIn stringOut
    longStringIn longStringOut Waveform WaveformIn WaveformOut Action create_fanout create_dfanout ImportRecord
    SetBlocking WriteRecords dbLoadDatabase LoadDatabase ClearRecords ResetRecords
""".split()

for _name in _METHODS:
    globals()[_name] = getattr(default, _name)

__all__ = [*_METHODS, "Builder", "CA", "CP", "CPP", "ConstArray", "Link", "MS", "MSI", "MSS", "NMS", "NP", "PP",
           "default", "qform_string", "records", "to_epics_str_array"]  # fmt: skip
