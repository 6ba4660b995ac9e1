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

import inspect
from collections.abc import Callable
from typing import Any

from .._errors import CannotWrite, UnknownPv, bad, printable
from ._builder_records import CA, CP, CPP, MS, MSI, MSS, NMS, NP, PP, In, Link, Out, PlainRecord, ProgramRecord, fan
from ._builder_values import (
    as_float,
    as_int,
    as_long_text,
    as_text,
    drive,
    long_text,
    qform_string,
    states,
    to_epics_str_array,
    waveform,
)
from ._ioc import IOC
from ._near import nearest

Dispatch = Callable[..., object]


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
        if not self._prefixes:
            raise bad("there is no prefix to take off; PushPrefix puts one on")
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
        try:
            return self._known[full_name]
        except (KeyError, TypeError):
            text = f"there is no record {full_name!a}{nearest(str(full_name), self._known)}"
            raise UnknownPv(text, pv=printable(full_name), remedy="give the whole name of one that was made") from None

    def CountRecords(self) -> int:  # noqa: N802
        return len(self._known)

    def _own(self, name: str, record: PlainRecord) -> str:
        full = self.RecordName(name)
        self._check_open(full)
        if full in self._known:
            raise bad(f"there is a record {full} already")
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
        return self._in("ai", name, as_float, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, PREC=PREC, **fields))

    def aOut(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, PREC: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A number that clients write."""
        return self._out("ao", name, as_float, drive(DRVL, DRVH, dict(EGU=EGU, PREC=PREC, **fields)))

    def boolIn(self, name: str, ZNAM: Any = None, ONAM: Any = None, **fields: Any) -> In:  # noqa: N802, N803
        """One of two states that clients read."""
        return self._in("bi", name, as_int, dict(ZNAM=ZNAM, ONAM=ONAM, **fields))

    def boolOut(self, name: str, ZNAM: Any = None, ONAM: Any = None, **fields: Any) -> Out:  # noqa: N802, N803
        """One of two states that clients write."""
        return self._out("bo", name, as_int, dict(ZNAM=ZNAM, ONAM=ONAM, **fields))

    def longIn(self, name: str, LOPR: Any = None, HOPR: Any = None, EGU: Any = None, **fields: Any) -> In:  # noqa: N802, N803, E501
        """A whole number that clients read."""
        fields.setdefault("MDEL", -1)
        return self._in("longin", name, as_int, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, **fields))

    def longOut(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A whole number that clients write."""
        return self._out("longout", name, as_int, drive(DRVL, DRVH, dict(EGU=EGU, **fields)))

    def int64In(self, name: str, LOPR: Any = None, HOPR: Any = None, EGU: Any = None, **fields: Any) -> In:  # noqa: N802, N803, E501
        """A large whole number that clients read; on the wire it is a double."""
        fields.setdefault("MDEL", -1)
        return self._in("int64in", name, as_int, dict(LOPR=LOPR, HOPR=HOPR, EGU=EGU, **fields))

    def int64Out(self, name: str, DRVL: Any = None, DRVH: Any = None, EGU: Any = None, **fields: Any) -> Out:  # noqa: N802, N803, E501
        """A large whole number that clients write; on the wire it is a double."""
        return self._out("int64out", name, as_int, drive(DRVL, DRVH, dict(EGU=EGU, **fields)))

    def mbbIn(self, name: str, *options: Any, **fields: Any) -> In:  # noqa: N802
        """One of up to 16 states that clients read: texts, or pairs of a text and a severity."""
        return self._in("mbbi", name, as_int, states(name, options, fields))

    def mbbOut(self, name: str, *options: Any, **fields: Any) -> Out:  # noqa: N802
        """One of up to 16 states that clients write: texts, or pairs of a text and a severity."""
        return self._out("mbbo", name, as_int, states(name, options, fields))

    def stringIn(self, name: str, **fields: Any) -> In:  # noqa: N802
        """A text of up to 39 bytes that clients read."""
        return self._in("stringin", name, as_text, fields)

    def stringOut(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """A text of up to 39 bytes that clients write."""
        return self._out("stringout", name, as_text, fields)

    def longStringIn(self, name: str, **fields: Any) -> In:  # noqa: N802
        """A text of any length that clients read, as an array of characters."""
        long_text(fields)
        return qform_string(self._in("waveform", name, as_long_text, fields))

    def longStringOut(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """A text of any length that clients write, as an array of characters."""
        long_text(fields)
        return qform_string(self._out("waveform", name, as_long_text, fields))

    def WaveformIn(self, name: str, *value: Any, **fields: Any) -> In:  # noqa: N802
        """An array that clients read."""
        convert = waveform(name, value, fields)
        return self._in("waveform", name, convert, fields)

    Waveform = WaveformIn

    def WaveformOut(self, name: str, *value: Any, **fields: Any) -> Out:  # noqa: N802
        """An array that clients write."""
        convert = waveform(name, value, fields)
        return self._out("waveform", name, convert, fields)

    def Action(self, name: str, **fields: Any) -> Out:  # noqa: N802
        """Calls ``on_update`` with every put."""
        return self.boolOut(name, always_update=True, **fields)

    def create_fanout(self, name: str, *record_list: Any, **args: Any) -> PlainRecord:
        """A ``fanout`` record that processes these, with others behind it if they are many."""
        return fan(self, "fanout", "LNK", name, record_list, args)

    def create_dfanout(self, name: str, *record_list: Any, **args: Any) -> PlainRecord:
        """A ``dfanout`` record that writes to these, with others behind it if they are many."""
        return fan(self, "dfanout", "OUT", name, record_list, args)

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
        import os

        path = os.fspath(filename)
        text = "".join(record._text() for _, record in records)
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"{header or '# Made by canter.sim.builder'}\n\n{text}")
        except (OSError, ValueError) as error:
            reason = f"cannot write {path!a}: {error}"
            raise CannotWrite(printable(reason), remedy="give a file that can be written") from error

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
            if isinstance(record, ProgramRecord):
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
