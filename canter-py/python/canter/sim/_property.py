"""PVs of a group, as its class describes them."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .. import _arguments
from .._errors import bad
from ._db import record_text
from ._fields import FieldSpec, field_name
from ._states import STATE_PREFIXES

#: What PVs begin with when only their type is given.
_ZERO: dict[Any, Any] = {float: 0.0, int: 0, str: "", bool: 0}

_TYPES = {
    "double": "double",
    "float": "float",
    "long": "long",
    "int": "short",
    "short": "short",
    "char": "char",
    "string": "string",
    "enum": "enum",
}

#: Keywords of caproto, and what they are here.
_LIMITS = {
    "display": ("lower_disp_limit", "upper_disp_limit"),
    "control": ("lower_ctrl_limit", "upper_ctrl_limit"),
    "alarm": ("lower_alarm_limit", "upper_alarm_limit"),
    "warning": ("lower_warning_limit", "upper_warning_limit"),
}


Function = Callable[..., Any]


class Scan(NamedTuple):
    """A function that runs again and again: ``pvproperty(scan=scan_wrapper(function, period))``."""

    function: Function
    #: Seconds from one beginning to the next.
    period: float
    #: Whether what a turn takes is a part of the period.
    subtract_elapsed: bool = True
    stop_on_error: bool = False
    #: Of the alarm while turns fail.
    failure_severity: int = 2
    #: The field SCAN of the record says the period.
    use_scan_field: bool = False


def scan_wrapper(
    scan_function: Function,
    period: float,
    *,
    subtract_elapsed: bool = True,
    stop_on_error: bool = False,
    failure_severity: int = 2,
    use_scan_field: bool = False,
) -> Scan:
    """A function for the keyword ``scan`` of `pvproperty`; see `pvproperty.scan`."""
    severity = _arguments.whole(failure_severity, "failure_severity", 0, 3)
    period = _arguments.span(period, "period") if use_scan_field else _arguments.period(period)
    return Scan(scan_function, period, subtract_elapsed, stop_on_error, severity, use_scan_field)


def _as_scan(given: Any) -> Scan:
    """What `scan_wrapper` gives, or a period and a function."""
    if isinstance(given, Scan):
        return given
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise bad(f"scan={given!a}: give a period and a function, or what scan_wrapper gives")
    return Scan(_check_function(given[1]), _arguments.period(given[0]))


#: Limits of records, and the severity that they have where they are given.
_SEVERITIES = {"LOLO": ("LLSV", "MAJOR"), "LOW": ("LSV", "MINOR"), "HIGH": ("HSV", "MINOR"), "HIHI": ("HHSV", "MAJOR")}

#: Keywords of caproto that say how its server works.
_OF_CAPROTO = ("string_encoding", "report_as_string", "cls_kwargs", "timestamp", "max_subscription_backlog", "alarm")


class pvproperty:  # noqa: N801 - as in caproto
    """A PV of a `PVGroup`.

    Args:
        get, put, startup, shutdown: functions, instead of the decorators `getter`, `putter` and so on.
        scan: what `scan_wrapper` gives, or a period and a function, instead of the decorator.
        name: of the PV, behind the prefix; that of the attribute otherwise. ``{macro}`` is replaced.
        dtype: ``float``, ``int``, ``str``, ``bool``, an ``enum.Enum``, or the name of a type of Channel
            Access (``"double"``, ``"long"``, ``"enum"`` …); that of the value otherwise.
        value: the first one.
        max_length: elements of an array, bytes of a text.
        alarm_group: nothing, each PV has an alarm of its own; for those who give it.
        doc: what it is; the record's DESC.
        read_only: clients cannot write it.
        field_spec: fields of another one (``other.field_spec``), whose record and functions this one gets, too.
        fields: of the record, with their values.
        record: make it a record of this type, with all its fields and what it does.
        enum_strings: texts of the states.

    ``units``, ``precision``, ``lower_disp_limit``, ``upper_ctrl_limit`` and the others of caproto, and the
    keywords of `canter.sim.Pv`.
    """

    def __init__(
        self,
        get: Any = None,
        put: Function | None = None,
        startup: Function | None = None,
        shutdown: Function | None = None,
        *,
        scan: Any = None,
        name: str | None = None,
        dtype: Any = None,
        value: Any = None,
        max_length: int | None = None,
        alarm_group: str | None = None,
        doc: str | None = None,
        read_only: bool | None = None,
        field_spec: FieldSpec | None = None,
        fields: Any = None,
        record: Any = None,
        enum_strings: Sequence[str] | None = None,
        **description: Any,
    ) -> None:
        if get is not None and not callable(get):
            # `pvproperty(1.5)`.
            get, value = None, get
        if read_only and put is not None:
            raise bad(f"PV {name or value!r}: what is read only has no putter")
        self.pvname = name
        self.attr_name = ""
        self.value = value
        self.dtype = type(value) if dtype is None and isinstance(value, enum.Enum) else getattr(dtype, "_dtype", dtype)
        # `PvpropertyDouble[AiFields]` has both.
        self.record = _record_type(record) or _record_type(getattr(dtype, "_record", None))
        read_only = read_only or getattr(dtype, "_read_only", None)
        self.record_fields = dict(fields) if isinstance(fields, Mapping) else {}
        self.doc = doc or (get is not None and inspect.getdoc(get)) or None
        self.read_only = bool(read_only)
        self.enum_strings = enum_strings
        self.max_length = max_length
        self.description = description
        self.get_function: Function | None = get
        self.put_function = put
        self.startup_function = startup
        self.shutdown_function = shutdown
        self.scanned: Scan | None = None
        if scan is not None:
            self.scanned = _as_scan(scan)
        self.field_spec = FieldSpec(self)
        if field_spec is not None:
            if not isinstance(field_spec, FieldSpec):
                raise bad(f"field_spec={field_spec!a}: give the field_spec of another pvproperty")
            self.record = self.record or field_spec.record_type
            self.field_spec.functions.update(field_spec.functions)
        if fields is not None and not isinstance(fields, Mapping):
            try:
                functions = {(field_name(word), kind): one for (word, kind), one in fields}
            except ValueError:
                raise bad(f"fields={fields!a}: give a dictionary, or pairs of a field with its kind and a function") from None
            self.field_spec.functions.update(functions)
        for function in (get, put, startup, shutdown, *self.field_spec.functions.values()):
            _check_function(function)
        # What it is of a group within the group that decorates its functions.
        self._parent: Any = None

    def _annotated(self, hint: Any) -> None:
        """Has the type of an annotation, where it says nothing of it itself."""
        made = pvproperty(dtype=hint) if is_dtype(hint) else None
        if made is None:
            return
        self.dtype = made.dtype if self.dtype is None else self.dtype
        self.record = self.record or made.record
        self.read_only = self.read_only or made.read_only

    @property
    def fields(self) -> FieldSpec:
        """Its fields, for decorators: ``@position.fields.RVAL.putter``.

        Raises:
            AttributeError: it is no record.
        """
        if self.record is None:
            raise AttributeError(f"PV {self.attr_name!r} has no fields: give it record=")
        return self.field_spec

    @property
    def record_type(self) -> str | None:
        return self.record

    @property
    def pvspec(self) -> pvproperty:
        return self

    @property
    def attr(self) -> str:
        return self.attr_name

    def __copy__(self) -> pvproperty:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        made.attr_name = ""
        made.field_spec = FieldSpec(made)
        made.field_spec.functions.update(self.field_spec.functions)
        return made

    def __set_name__(self, owner: type, name: str) -> None:
        # Functions that decorators replace have the name of the property.
        if not self.attr_name:
            self.attr_name = name

    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else group._members[self.attr_name]

    def __set__(self, group: Any, value: Any) -> None:
        raise AttributeError(f'to set the PV, write "await self.{self.attr_name}.write(value)"')

    def _decorated(self) -> Any:
        return self if self._parent is None else self._parent

    def getter(self, get: Function) -> Any:
        """Decorates ``function(self, instance)``, which makes the value when a client reads it.

        What it gives is written, so that monitors see it, too; with ``None`` the value stays. If it raises, the PV has
        the alarm INVALID (READ). The reader waits, for 10 s at most, and nobody else. Monitors do not call it: `scan`
        or `startup` keep a value up to date for them, and reading it costs nothing then.
        """
        self.get_function = _check_function(get)
        self.doc = self.doc or inspect.getdoc(get)
        return self._decorated()

    def putter(self, put: Function) -> Any:
        """Decorates ``function(self, instance, value)``, which decides what clients write.

        It gives ``None`` (the value is written), another value, or `canter.sim.SKIP` (nothing is written). An
        exception refuses the put. A put with completion is complete when it returns.
        """
        if self.read_only:
            raise bad(f"PV {self.attr_name!r}: what is read only has no putter")
        self.put_function = _check_function(put)
        return self._decorated()

    def startup(self, startup: Function) -> Any:
        """Decorates ``function(self, instance, async_lib)``, which runs when the IOC has started."""
        self.startup_function = _check_function(startup)
        return self._decorated()

    def shutdown(self, shutdown: Function) -> Any:
        """Decorates ``function(self, instance, async_lib)``, which runs when the IOC is closed."""
        self.shutdown_function = _check_function(shutdown)
        return self._decorated()

    def scan(
        self,
        period: float,
        *,
        subtract_elapsed: bool = True,
        stop_on_error: bool = False,
        failure_severity: int = 2,
        use_scan_field: bool = False,
    ) -> Callable[[Function], Any]:
        """Decorates ``function(self, instance, async_lib)``, which runs each period in seconds.

        Args:
            period: seconds from one beginning to the next; with ``use_scan_field`` until SCAN says another one.
            subtract_elapsed: whether what a turn takes is a part of the period; it is slept after each turn otherwise.
            stop_on_error: end with the first exception. Each raises the alarm SCAN until a turn succeeds.
            failure_severity: of that alarm.
            use_scan_field: follow the field SCAN of the record, which clients may write.
        """
        if use_scan_field and self.record is None:
            raise bad(f"PV {self.attr_name!r}: use_scan_field needs record=")
        period = _arguments.span(period, "period") if use_scan_field else _arguments.period(period)

        def decorate(function: Function) -> Any:
            self.scanned = scan_wrapper(
                _check_function(function),
                period,
                subtract_elapsed=subtract_elapsed,
                stop_on_error=stop_on_error,
                failure_severity=failure_severity,
                use_scan_field=use_scan_field,
            )
            return self._decorated()

        return decorate

    def __call__(
        self,
        get: Function,
        put: Function | None = None,
        startup: Function | None = None,
        shutdown: Function | None = None,
        scan: Any = None,
    ) -> pvproperty:
        """``@pvproperty(value=1)`` decorates the getter; other functions may come behind it."""
        self.getter(get)
        for function, keep in ((put, self.putter), (startup, self.startup), (shutdown, self.shutdown)):
            if function is not None:
                keep(function)
        if scan is not None:
            self.scanned = _as_scan(scan)
        return self

    # ---- What the IOC is told. ----

    def _native(self) -> tuple[Any, str | None, list[str] | None]:
        """First value, type of Channel Access, states."""
        dtype, value = self.dtype, self.value
        states = list(self.enum_strings) if self.enum_strings else None
        if isinstance(dtype, type) and issubclass(dtype, enum.Enum):
            states = states or [member.name for member in dtype]
            value = value.name if isinstance(value, enum.Enum) else value
            return (states[0] if value is None else value), "enum", states
        if isinstance(value, enum.Enum):
            kind = type(value)
            return value.name, "enum", states or [member.name for member in kind]
        if dtype is bool or isinstance(value, bool) or states:
            states = states or ["Off", "On"]
            value = 0 if value is None else value
            return (int(value) if isinstance(value, (bool, int)) else value), "enum", states
        word = None
        if dtype is not None and dtype not in _ZERO:
            text = getattr(dtype, "name", dtype)
            word = _TYPES.get(str(text).lower())
            if word is None:
                raise TypeError(f"PV {self.attr_name!r}: dtype {dtype!r}; give float, int, str, bool, an Enum or "
                                f"one of {', '.join(_TYPES)}")  # fmt: skip
        if value is None:
            value = _ZERO.get(dtype, "" if word == "string" else 0)
        if dtype is float and isinstance(value, int):
            value = float(value)
        if isinstance(value, str) and (self.max_length or 0) > 40:
            word = "text"
        if self.max_length in (None, 1) and isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        return value, word, states

    def _described(self, doc: bool = True) -> dict[str, Any]:
        description = dict(self.description)
        value, word, states = self._native()
        given: dict[str, Any] = {"value": value}
        if word and word != "enum":
            given["type"] = word
        if states:
            given["states"] = states
        for key, (low, high) in _LIMITS.items():
            if low in description or high in description:
                given[key] = (description.pop(low, 0.0), description.pop(high, 0.0))
        if word == "text":
            given["capacity"] = self.max_length
        elif (self.max_length or 0) > 1 and not isinstance(value, str):
            given["capacity"] = self.max_length
            if not hasattr(value, "__len__"):
                given["value"] = [value]
        if self.doc:
            given["description"] = self.doc[:40]
        if self.read_only:
            given["read_only"] = True
        for word in _OF_CAPROTO:
            description.pop(word, None)
        return {**given, **description}

    def _record(self, name: str) -> tuple[str, Any]:
        """The text of the record, and its first value."""
        fields = dict(self.record_fields)
        value, _, states = self._native()
        for key, field in (("units", "EGU"), ("precision", "PREC")):
            if key in self.description:
                fields.setdefault(field, self.description[key])
        drives = ("DRVL", "DRVH") if self.record in ("ao", "longout", "int64out") else ("LOPR", "HOPR")
        pairs = {"display": ("LOPR", "HOPR"), "control": drives, "alarm": ("LOLO", "HIHI"),
                 "warning": ("LOW", "HIGH")}  # fmt: skip
        for key, (low, high) in pairs.items():
            lower, upper = self.description.get(key, (None, None))
            lower = self.description.get(_LIMITS[key][0], lower)
            upper = self.description.get(_LIMITS[key][1], upper)
            for field, limit in ((low, lower), (high, upper)):
                if limit is not None:
                    fields.setdefault(field, limit)
                    if field in _SEVERITIES:
                        fields.setdefault(*_SEVERITIES[field])
        if self.doc:
            fields.setdefault("DESC", self.doc[:40])
        if states and self.record in ("bi", "bo"):
            for field, text in zip(("ZNAM", "ONAM"), states):
                fields.setdefault(field, text)
        elif states and self.record in ("mbbi", "mbbo"):
            for prefix, text in zip(STATE_PREFIXES, states):
                fields.setdefault(f"{prefix}ST", text)
        return record_text(str(self.record), name, fields), value if self.value is not None else None


def is_dtype(hint: Any) -> bool:
    """Whether an annotation is the type of a PV."""
    if hasattr(hint, "_dtype"):
        return True
    return hint in _ZERO or (isinstance(hint, type) and issubclass(hint, enum.Enum))


def _record_type(given: Any) -> str | None:
    """The type of a record: its name, or a class of caproto's manner with it."""
    return getattr(given, "_record_type", given)


def _check_function(function: Any) -> Any:
    if function is not None and not callable(function):
        raise TypeError(f"{function!r} is no function")
    return function
