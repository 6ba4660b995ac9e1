"""The IOC of `canter.sim.builder`, in the manner of the module of pythonSoftIOC with this name."""

from __future__ import annotations

import code
import fnmatch
import sys
import threading
from collections.abc import Mapping
from typing import Any

from . import builder
from ._ioc import IOC

__all__ = [
    "dba", "dbgf", "dbgrep", "dbl", "dbLoadDatabase", "dbpf", "dbpr", "dbnr", "interactive_ioc", "iocInit",
    "non_interactive_ioc", "safeEpicsExit",
]  # fmt: skip


def iocInit(dispatcher: Any = None, enable_pva: bool = True, **settings: Any) -> IOC:  # noqa: N802
    """Serves the records of `canter.sim.builder`; see `Builder.iocInit`."""
    return builder.default.iocInit(dispatcher, enable_pva, **settings)


def dbLoadDatabase(database: str, path: str | None = None, substitutions: str | None = None) -> None:  # noqa: N802
    """Has `iocInit` read a file of records."""
    builder.default.dbLoadDatabase(database, path, substitutions)


def _ioc() -> IOC:
    ioc = builder.default.ioc
    if ioc is None:
        raise RuntimeError("only after iocInit")
    return ioc


def _is_of(name: str, kind: str) -> bool:
    try:
        return not kind or _ioc()._core.read(f"{name}.RTYP")[0] == kind
    except KeyError:
        return False


def dbl(record_type: str = "", fields: str = "") -> None:
    """Prints the names of all records, or of those of a type, perhaps with some fields."""
    for name in _ioc().names:
        if _is_of(name, record_type):
            values = ", ".join(f'"{_ioc()._core.text(f"{name}.{field}")}"' for field in fields.split())
            print(f"{name}, {values}" if values else name)


def dbgrep(pattern: str) -> None:
    """Prints the names that fit a pattern with ``*`` and ``?``."""
    for name in _ioc().names:
        if fnmatch.fnmatchcase(name, pattern):
            print(name)


def dba(field: str) -> None:
    """Prints what is known of a field."""
    state = _ioc().read(field)
    print(f"{field}: {state}")


def dbgf(field: str) -> None:
    """Prints the value of a field."""
    print(f"{field}: {_ioc()._core.text(field)}")


def dbpf(field: str, value: Any) -> None:
    """Sets a field, and prints its value."""
    _ioc()._core.post(field, value)
    dbgf(field)


def dbpr(record: str, interest: int = 0) -> None:
    """Prints fields of a record."""
    for field in ("NAME", "RTYP", "DESC", "SCAN", "DISP", "UDF", "STAT", "SEVR", "TIME", "FLNK", "VAL"):
        try:
            print(f"{field}: {_ioc()._core.text(f'{record}.{field}')}")
        except KeyError:
            pass


def dbnr(all: int = 0) -> None:  # noqa: A002 - as there
    """Prints how many records there are of each type."""
    kinds: dict[str, int] = {}
    for name in _ioc().names:
        kind = _ioc()._core.read(f"{name}.RTYP")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    for kind, count in sorted(kinds.items()):
        print(f"{count:6} {kind}")


def interactive_ioc(context: Mapping[str, Any] | None = None, call_exit: bool = True) -> None:
    """Runs a console with these names and the functions of this module until its end."""
    names = {**globals(), **(context or {})}
    code.interact(banner="", local=names, exitmsg="")
    if call_exit:
        safeEpicsExit(0)


def non_interactive_ioc() -> None:
    """Serves until the process is interrupted."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    safeEpicsExit(0)


def safeEpicsExit(code: int = 0) -> None:  # noqa: N802
    """Stops the IOC, and ends the program."""
    ioc = builder.default.ioc
    if ioc is not None:
        ioc.close()
    sys.exit(code)
