"""Records of a builder: those that work by themselves, and those whose values are of the program."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import _arguments
from .._errors import UNNAMED, CanterError, ValueProblem, named
from ._builder_values import SEVERITIES, STATUSES, is_empty, same, wire
from ._db import record_text
from ._desk import SKIP, After, Put
from ._errors import Refuse
from ._ioc import IOC

if TYPE_CHECKING:
    from .builder import Builder


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
        core = self._ioc._core
        try:
            made = core.read(f"{self.name}.{field}")[0]
            # Choices have texts.
            return core.text(f"{self.name}.{field}") if isinstance(made, int) else str(made)
        except UNNAMED as error:
            raise named(error, "read", f"{self.name}.{field}") from None

    def set_field(self, field: str, value: Any) -> None:
        """Sets a field, as a client would, and processes the record if it is one for which that is done. That the
        record takes no puts (DISP) counts for clients only.
        """
        core = self._ioc._core
        try:
            if core.read(f"{self.name}.DISP")[0]:
                core.write_record(f"{self.name}.{field}", str(value), None, False)
            else:
                core.post(f"{self.name}.{field}", str(value))
        except UNNAMED as error:
            raise named(error, "write", f"{self.name}.{field}") from None


def alarm_of(severity: Any, status: Any, name: str) -> tuple[int, int]:
    """Severity and status of an alarm."""
    severity = _arguments.whole(severity, "severity", 0, len(SEVERITIES) - 1, name)
    return severity, _arguments.whole(status, "status", 0, len(STATUSES) - 1, name)


class ProgramRecord(PlainRecord):
    """A record whose value is of the program."""

    def __init__(
        self, builder: Builder, kind: str, name: str, fields: dict[str, Any], convert: Callable[[Any], Any]
    ) -> None:
        status, severity = fields.pop("status", None), fields.pop("severity", None)
        self._first_alarm = alarm_of(severity or 0, status or 0, name)
        for field in ("STAT", "SEVR"):
            fields.pop(field, None)

        def converted(value: Any) -> Any:
            try:
                if getattr(getattr(value, "dtype", None), "kind", "") == "c":
                    raise ValueError("complex numbers have no place in a record")
                return convert(value)
            except CanterError:
                raise
            except (ValueError, OverflowError, AttributeError) as error:
                text = f'"{name}" cannot be {value if isinstance(value, float) else type(value).__name__!r}'
                raise ValueProblem(f"{text}: {ascii(str(error))[1:-1]}", pv=name, remedy="give a value of its type") from None

        self._convert = converted
        self._has_value = "initial_value" in fields
        self._value = converted(fields.pop("initial_value")) if self._has_value else converted(None)
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


class In(ProgramRecord):
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
        severity, alarm = alarm_of(severity, alarm, self.name)
        self._value = self._convert(value)
        self._has_value = True
        self._first_alarm = (severity, alarm)
        ioc = self._builder.ioc
        if ioc is not None:
            ioc._core.write_record(self.name, wire(self._value), (severity, alarm), True)

    def set_alarm(self, severity: int, alarm: int, timestamp: Any = None) -> None:
        """Sets the alarm, and processes the record."""
        self.set(self._value, severity, alarm, timestamp)

    def _started(self, ioc: IOC) -> None:
        value = wire(self._value) if self._has_value or not is_empty(self._value) else None
        ioc._core.write_record(self.name, value, self._first_alarm, True)


class Out(ProgramRecord):
    """An output record: clients write it, and ``on_update`` is called with what they wrote."""

    def __init__(self, builder: Builder, kind: str, name: str, fields: dict[str, Any], convert: Any) -> None:
        on_update, by_name = fields.pop("on_update", None), fields.pop("on_update_name", None)
        if on_update is not None and by_name is not None:
            raise TypeError(f"{name}: give on_update or on_update_name, not both")
        _arguments.optional(on_update, "on_update", name)
        if _arguments.optional(by_name, "on_update_name", name) is not None:
            on_update = lambda value: by_name(value, name)  # noqa: E731
        self._on_update = on_update
        self._validate = _arguments.optional(fields.pop("validate", None), "validate", name)
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
        severity, alarm = alarm_of(severity, alarm, self.name)
        new = self._convert(value)
        ioc = self._builder.ioc
        new = new if ioc is None else self._limited(new, ioc)
        changed = self._always or not same(new, self._value)
        if ioc is None:
            self._value, self._has_value, self._first_alarm = new, True, (severity, alarm)
            return
        if process and changed and self._validate is not None and not self._validate(self, new):
            return
        self._value = new
        ioc._core.write_record(self.name, wire(new), (severity, alarm), process)
        if process and changed:
            self._updated(new)

    def _limited(self, value: Any, ioc: IOC) -> Any:
        """The value within DRVL and DRVH, as the record will have it: the program is told of no other."""
        if self._kind not in ("ao", "longout", "int64out"):
            return value
        low, high = (ioc._core.read(f"{self.name}.{field}")[0] for field in ("DRVL", "DRVH"))
        return min(max(value, low), high) if low < high else value

    def set_alarm(self, severity: int, alarm: int) -> None:
        """Sets the alarm."""
        self.set(self._value, severity=severity, alarm=alarm)

    def _started(self, ioc: IOC) -> None:
        if self._has_value:
            ioc._core.write_record(self.name, wire(self._value), self._first_alarm, False)
            ioc._core.write_record(self.name, None, None, False)
        if self._validate is not None or self._blocking or self._always:
            ioc.on_put(self.name, self._decide)
        ioc.observe(self.name, self._observed)

    def _decide(self, put: Put) -> Any:
        """A put of a client."""
        new = self._limited(self._convert(put.value), self._ioc)
        if not self._always and same(new, self._value):
            return None
        if self._validate is not None and not self._validate(self, new):
            raise Refuse
        self._value = new
        if not self._blocking or self._on_update is None:
            return After(lambda: self._updated(new))
        # The value is seen at once, the put is complete when `on_update` has returned.
        self._ioc._core.write_record(self.name, wire(new), None, True)
        done: concurrent.futures.Future = concurrent.futures.Future()
        self._updated(new, lambda: done.set_result(SKIP))
        return done

    def _observed(self, value: Any) -> None:
        """What the record has posted: also written through links."""
        new = self._convert(value)
        if same(new, self._value):
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


def fan(builder: Builder, kind: str, link: str, name: str, records: tuple, args: dict[str, Any]) -> PlainRecord:
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
