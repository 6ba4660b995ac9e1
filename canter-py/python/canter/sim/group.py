"""IOCs described as classes, in the manner of caproto's ``PVGroup``.

>>> from canter.sim import PVGroup, pvproperty
>>> class Heater(PVGroup):
...     setpoint = pvproperty(value=20.0, units="C", precision=1)
...     readback = pvproperty(value=20.0, units="C", precision=1, read_only=True)
...
...     @setpoint.putter
...     async def setpoint(self, instance, value):
...         await self.readback.write(value)
>>> with Heater(prefix="lab:heater:").serve() as ioc, ioc.client() as client:
...     client.put("lab:heater:setpoint", 30.0, wait=True)
...     float(client.get("lab:heater:readback"))
30.0

Annotated names are PVs as well: ``current: float`` is ``current = pvproperty(dtype=float)``, and
``current: float = pvproperty(units="mA")`` has both. Functions may be coroutine functions or plain ones.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import threading
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ._db import record_text
from ._desk import SKIP, Put
from ._errors import Refuse
from ._ioc import IOC

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


class pvproperty:  # noqa: N801 - as in caproto
    """A PV of a `PVGroup`.

    Args:
        value: the first one.
        name: of the PV, behind the prefix; that of the attribute otherwise. ``{macro}`` is replaced.
        dtype: ``float``, ``int``, ``str``, ``bool``, an ``enum.Enum``, or the name of a type of Channel
            Access (``"double"``, ``"long"``, ``"enum"`` …); that of the value otherwise.
        record: make it a record of this type, with all its fields and what it does.
        fields: of that record.
        doc: what it is; the record's DESC.
        read_only: clients cannot write it.
        enum_strings: texts of the states.
        max_length: elements of an array, bytes of a text.
        put, startup, shutdown, scan: functions, instead of decorators.

    ``units``, ``precision``, ``lower_disp_limit``, ``upper_ctrl_limit`` and the others of caproto, and the
    keywords of `canter.sim.Pv`.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        record: str | None = None,
        fields: Mapping[str, Any] | None = None,
        doc: str | None = None,
        read_only: bool = False,
        enum_strings: Sequence[str] | None = None,
        max_length: int | None = None,
        put: Callable[..., Any] | None = None,
        startup: Callable[..., Any] | None = None,
        shutdown: Callable[..., Any] | None = None,
        scan: tuple[float, Callable[..., Any]] | None = None,
        **description: Any,
    ) -> None:
        self.pvname = name
        self.attr_name = ""
        self.value = value
        self.dtype = type(value) if dtype is None and isinstance(value, enum.Enum) else dtype
        self.record = record
        self.fields = dict(fields or {})
        self.doc = doc
        self.read_only = read_only
        self.enum_strings = enum_strings
        self.max_length = max_length
        self.description = description
        self.put_function = put
        self.startup_function = startup
        self.shutdown_function = shutdown
        self.scan_function: Callable[..., Any] | None = None
        self.scan_period = 0.0
        self.scan_at_start = True
        if scan is not None:
            self.scan_period, self.scan_function = scan

    def __set_name__(self, owner: type, name: str) -> None:
        # Functions that decorators replace have the name of the property.
        if not self.attr_name:
            self.attr_name = name

    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else group._members[self.attr_name]

    def __set__(self, group: Any, value: Any) -> None:
        raise AttributeError(f'to set the PV, write "await self.{self.attr_name}.write(value)"')

    def putter(self, function: Callable[..., Any]) -> pvproperty:
        """Decorates ``function(self, instance, value)``, which decides what clients write.

        It gives ``None`` (the value is written), another value, or `canter.sim.SKIP` (nothing is written). An
        exception refuses the put. A put with completion is complete when it returns.
        """
        self.put_function = function
        return self

    def startup(self, function: Callable[..., Any]) -> pvproperty:
        """Decorates ``function(self, instance, async_lib)``, which runs when the IOC has started."""
        self.startup_function = function
        return self

    def shutdown(self, function: Callable[..., Any]) -> pvproperty:
        """Decorates ``function(self, instance, async_lib)``, which runs when the IOC is closed."""
        self.shutdown_function = function
        return self

    def scan(
        self, period: float, *, subtract_elapsed: bool = True, stop_on_error: bool = False
    ) -> Callable[[Callable[..., Any]], pvproperty]:
        """Decorates ``function(self, instance, async_lib)``, which runs each period in seconds."""
        if period <= 0:
            raise ValueError(f"a period of {period} s: give seconds above 0")

        def decorate(function: Callable[..., Any]) -> pvproperty:
            self.scan_period = period
            self.scan_function = function
            self.stop_on_error = stop_on_error
            return self

        return decorate

    stop_on_error = False

    def getter(self, function: Callable[..., Any]) -> pvproperty:
        """Is not there: what clients read is what was written last, so that reading costs nothing.

        Raises:
            TypeError: always; `scan` or `startup` keep a value up to date.
        """
        raise TypeError(
            f"PV {self.attr_name!r}: there is no getter, as clients read what was written last; "
            "write the value by @scan(period), @startup, or when it changes"
        )

    def __call__(self, function: Callable[..., Any]) -> pvproperty:
        return self.putter(function)

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
            value = _ZERO.get(dtype, "" if word == "string" else 0.0 if word is None else 0)
        if dtype is float and isinstance(value, int):
            value = float(value)
        if isinstance(value, str) and (self.max_length or 0) > 40:
            word = "text"
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
        if self.max_length and word != "text":
            given["capacity"] = self.max_length
            if not hasattr(value, "__len__") or isinstance(value, str):
                given["value"] = [value] if value != "" else [""]
        elif self.max_length:
            given["capacity"] = self.max_length
        if self.doc:
            given["description"] = self.doc[:40]
        if self.read_only:
            given["read_only"] = True
        for word_of_caproto in ("string_encoding", "report_as_string", "alarm_group", "cls_kwargs", "timestamp"):
            description.pop(word_of_caproto, None)
        return {**given, **description}

    def _record(self, name: str) -> tuple[str, Any]:
        """The text of the record, and its first value."""
        fields = {key: value for key, value in self.fields.items()}
        value, _, states = self._native()
        for key, field in (("units", "EGU"), ("precision", "PREC")):
            if key in self.description:
                fields.setdefault(field, self.description[key])
        pairs = {"display": ("LOPR", "HOPR"), "control": ("DRVL", "DRVH"), "alarm": ("LOLO", "HIHI"),
                 "warning": ("LOW", "HIGH")}  # fmt: skip
        for key, (low, high) in pairs.items():
            lower, upper = self.description.get(key, (None, None))
            lower = self.description.get(_LIMITS[key][0], lower)
            upper = self.description.get(_LIMITS[key][1], upper)
            for field, limit in ((low, lower), (high, upper)):
                if limit is not None:
                    fields.setdefault(field, limit)
        if self.doc:
            fields.setdefault("DESC", self.doc[:40])
        if states and self.record in ("bi", "bo"):
            for field, text in zip(("ZNAM", "ONAM"), states):
                fields.setdefault(field, text)
        elif states and self.record in ("mbbi", "mbbo"):
            from .builder import STATE_PREFIXES

            for prefix, text in zip(STATE_PREFIXES, states):
                fields.setdefault(f"{prefix}ST", text)
        return record_text(str(self.record), name, fields), value if self.value is not None else None


class Instance:
    """A PV of a group that is served, as functions of the group get it."""

    def __init__(self, group: PVGroup, prop: pvproperty, name: str) -> None:
        self.group = group
        self.pvspec = prop
        self.name = name
        #: How it is called in the group.
        self.attr_name = prop.attr_name
        self._waiting: list[Any] = []

    @property
    def pvname(self) -> str:
        return self.name

    @property
    def value(self) -> Any:
        """The value; that of an enum is its number."""
        ioc = self.group._ioc
        if ioc is None:
            return self._waiting[-1] if self._waiting else self.pvspec._native()[0]
        return ioc._core.read(self.name)[0]

    def get(self) -> Any:
        return self.value

    @property
    def alarm(self) -> tuple[int, int]:
        """Severity and status."""
        state = self.group.ioc.read(self.name)
        return state.severity, state.status

    @property
    def timestamp(self) -> int:
        """Nanoseconds since 1970."""
        return self.group.ioc.read(self.name).timestamp

    def write(self, value: Any, *, severity: int | None = None, status: int = 0, **_: Any) -> _Written:
        """Sets the value and tells clients; ``putter`` is not called. It may be awaited, and need not be."""
        if isinstance(value, enum.Enum):
            value = value.name
        elif isinstance(value, bool):
            value = int(value)
        ioc = self.group._ioc
        if ioc is None:
            self._waiting.append(value)
            return _Written()
        if severity is not None:
            ioc.set_alarm(self.name, severity, status)
        ioc._core.post(self.name, value)
        return _Written()

    async def alarm_write(self, severity: int, status: int = 0) -> None:
        self.group.ioc.set_alarm(self.name, severity, status)

    def write_field(self, field: str, value: Any) -> _Written:
        """Sets a field, such as ``HIHI``."""
        self.group.ioc._core.post(f"{self.name}.{field}", value)
        return _Written()

    def field(self, field: str) -> Any:
        """The value of a field."""
        return self.group.ioc._core.read(f"{self.name}.{field}")[0]

    def __repr__(self) -> str:
        return f"<PV {self.name!r} of {type(self.group).__name__}>"


class _Written:
    """Nothing to wait for."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


class AsyncLib:
    """What functions get as ``async_lib``: asyncio."""

    library = asyncio
    name = "asyncio"
    Event = asyncio.Event
    Queue = asyncio.Queue
    sleep = staticmethod(asyncio.sleep)


class SubGroup:
    """A group within a group: ``SubGroup(Motor, prefix="m1:")``, or as a decorator of a class in it.

    Args:
        prefix: what its PVs begin with behind that of the group; the attribute with a colon otherwise.
        macros: for its names, beside those of the group.
    """

    def __init__(
        self,
        group: type | Mapping[str, Any] | None = None,
        *,
        prefix: str | None = None,
        macros: Mapping[str, str] | None = None,
        base: tuple[type, ...] | None = None,
        **init: Any,
    ) -> None:
        self.prefix = prefix
        self.macros = dict(macros or {})
        self.init = init
        self.attr_name = ""
        self._base = base
        self.group_cls: type[PVGroup] | None = None
        if group is not None:
            self(group)

    def __call__(self, group: type | Mapping[str, Any]) -> SubGroup:
        if isinstance(group, Mapping):
            group = type("Group", (), dict(group))
        if not issubclass(group, PVGroup):
            bases = self._base or (PVGroup,)
            own = {name: one for name, one in vars(group).items() if name not in ("__dict__", "__weakref__")}
            group = type(group.__name__, bases, own)
        self.group_cls = group
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self.attr_name = name

    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else group._members[self.attr_name]


class PVGroup:
    """An IOC, or a part of one, as a class with PVs, functions and groups in it.

    Args:
        prefix: what the names of its PVs begin with. ``{macro}`` is replaced.
        macros: for the prefix and the names.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        try:
            hints = typing.get_type_hints(cls)
        except Exception:  # noqa: BLE001 - names that are not known here are those of the class itself
            hints = {}
        for name, hint in own.get("__annotations__", {}).items():
            known = own.get(name)
            hint = hints.get(name, hint)
            if isinstance(known, pvproperty):
                if known.dtype is None:
                    known.dtype = hint
            elif name not in own and not name.startswith("_") and _is_dtype(hint):
                prop = pvproperty(dtype=hint)
                prop.__set_name__(cls, name)
                setattr(cls, name, prop)

    def __init__(
        self,
        prefix: str = "",
        *,
        macros: Mapping[str, str] | None = None,
        parent: PVGroup | None = None,
        name: str | None = None,
    ) -> None:
        self.macros = dict(macros or {})
        self.prefix = _expand(prefix, self.macros)
        self.parent = parent
        self.name = name or type(self).__name__
        self.async_lib = AsyncLib()
        self._ioc: IOC | None = None
        self._members: dict[str, Any] = {}
        self.groups: dict[str, PVGroup] = {}
        for attr, member in _members(type(self)):
            if isinstance(member, pvproperty):
                own = attr if member.pvname is None else member.pvname
                self._members[attr] = Instance(self, member, self.prefix + _expand(own, self.macros))
            else:
                assert member.group_cls is not None, f"{attr}: give the class of the group"
                below = self.prefix + (f"{attr}:" if member.prefix is None else member.prefix)
                macros_of = {**self.macros, **member.macros}
                made = member.group_cls(prefix=below, macros=macros_of, parent=self, name=attr, **member.init)
                self._members[attr] = self.groups[attr] = made

    @property
    def ioc(self) -> IOC:
        """The IOC that serves it.

        Raises:
            RuntimeError: none does.
        """
        if self._ioc is None:
            raise RuntimeError(f"the group {self.name!r} is not served: canter.sim.IOC(group), or group.serve()")
        return self._ioc

    @property
    def pvdb(self) -> PVDatabase:
        """Its PVs by their names, those of its groups among them."""
        return PVDatabase(self)

    def serve(self, **settings: Any) -> IOC:
        """An `IOC` that serves it, with these settings."""
        return IOC(self, **settings)

    def _instances(self) -> Iterator[Instance]:
        for member in self._members.values():
            if isinstance(member, Instance):
                yield member
            else:
                yield from member._instances()

    def _described(self) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
        plain: dict[str, Any] = {}
        texts = []
        for instance in self._instances():
            prop = instance.pvspec
            if instance.name in plain:
                raise ValueError(f"two PVs of the group {self.name!r} are called {instance.name!r}")
            if prop.record is None:
                plain[instance.name] = prop._described()
            else:
                texts.append(("text", prop._record(instance.name)[0], ""))
        return plain, texts

    def _serve(self, ioc: IOC) -> None:
        """Begins to be served by this IOC."""
        if self._ioc is not None and self._ioc.running:
            raise RuntimeError(f"the group {self.name!r} is served by another IOC already")
        for group in (self, *_all_groups(self)):
            group._ioc = ioc
        needs_loop = []
        for instance in self._instances():
            prop, group = instance.pvspec, instance.group
            if prop.record is not None and prop.value is not None:
                ioc._core.write_record(instance.name, prop._record(instance.name)[1], None, True)
            for value in instance._waiting:
                ioc._core.post(instance.name, value)
            instance._waiting.clear()
            if prop.put_function is not None:
                ioc.on_put(instance.name, _decider(group, instance, prop.put_function))
            if prop.scan_function is not None and ioc._desk.inline:
                ioc._world.every(prop.scan_period, _turn(group, instance, prop.scan_function))  # type: ignore[attr-defined]
            elif prop.scan_function is not None:
                needs_loop.append((_scan(group, instance, prop), prop.scan_function))
        startups = [(one.group, one, one.pvspec.startup_function) for one in self._instances()]
        for group, instance, function in startups:
            if function is not None:
                needs_loop.insert(0, (_once(group, instance, function), function))
        for coroutine, function in needs_loop:
            ioc._desk.start(coroutine, function)
        if any(one.pvspec.shutdown_function for one in self._instances()):
            ioc._at_close.append(lambda: self._shut_down(ioc))
        ioc._at_close.append(self._left)

    def _shut_down(self, ioc: IOC) -> None:
        waits = []
        for instance in self._instances():
            function = instance.pvspec.shutdown_function
            if function is not None and ioc._desk.inline:
                ioc._desk.start(_once(instance.group, instance, function), function)
            elif function is not None:
                waits.append(ioc._desk.start(_once(instance.group, instance, function), function))
        if waits and not ioc._desk.loop.is_current():
            for one in waits:
                one.exception(timeout=10.0)

    def _left(self) -> None:
        for group in (self, *_all_groups(self)):
            group._ioc = None


class PVDatabase(dict):
    """PVs of a group by their names; `canter.sim.run` and `canter.sim.IOC` take it."""

    def __init__(self, group: PVGroup) -> None:
        super().__init__((instance.name, instance) for instance in group._instances())
        self.group = group
        self._serve = group._serve
        self._described = group._described


def _all_groups(group: PVGroup) -> Iterator[PVGroup]:
    for below in group.groups.values():
        yield below
        yield from _all_groups(below)


def _members(cls: type) -> list[tuple[str, Any]]:
    """PVs and groups of a class, those of its bases first."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, (pvproperty, SubGroup)):
                found[name] = member
            elif name in found:
                del found[name]
    return list(found.items())


def _is_dtype(hint: Any) -> bool:
    return hint in _ZERO or (isinstance(hint, type) and issubclass(hint, enum.Enum))


def _expand(text: str, macros: Mapping[str, str]) -> str:
    for name, value in macros.items():
        text = text.replace("{%s}" % name, str(value))
    return text


def _shown(instance: Instance, value: Any) -> Any:
    """A written value, as the group's functions get it: that of an enum is the text of its state."""
    states = instance.pvspec._native()[2]
    if states is None or not isinstance(value, int) or not 0 <= value < len(states):
        return value
    dtype = instance.pvspec.dtype
    if isinstance(dtype, type) and issubclass(dtype, enum.Enum):
        return dtype[states[value]]
    return states[value]


def _decider(group: PVGroup, instance: Instance, function: Callable[..., Any]) -> Callable[[Put], Any]:
    def settled(made: Any) -> Any:
        if isinstance(made, enum.Enum):
            return made.name
        return int(made) if isinstance(made, bool) else made

    if inspect.iscoroutinefunction(function):

        async def decide(put: Put) -> Any:
            return settled(await function(group, instance, _shown(instance, put.value)))

        return decide
    return lambda put: settled(function(group, instance, _shown(instance, put.value)))


async def _once(group: PVGroup, instance: Instance, function: Callable[..., Any]) -> None:
    made = function(group, instance, group.async_lib)
    if inspect.isawaitable(made):
        await made


def _turn(group: PVGroup, instance: Instance, function: Callable[..., Any]) -> Callable[[], object]:
    """One turn of a scan in a world."""
    return lambda: group.ioc._desk.start(_once(group, instance, function), function)


async def _scan(group: PVGroup, instance: Instance, prop: pvproperty) -> None:
    from .._dispatch import report

    loop = asyncio.get_running_loop()
    due = loop.time()
    assert prop.scan_function is not None
    while True:
        try:
            await _once(group, instance, prop.scan_function)
        except Exception as error:  # noqa: BLE001 - the next turn may succeed
            if prop.stop_on_error:
                raise
            report(error, prop.scan_function)
        due = max(due + prop.scan_period, loop.time())
        await asyncio.sleep(due - loop.time())


def run(
    group: PVGroup | PVDatabase,
    *,
    interfaces: Sequence[str] | None = None,
    startup_hook: Callable[..., Any] | None = None,
    log_pv_names: bool = False,
    **settings: Any,
) -> None:
    """Serves a group until it is interrupted (Ctrl-C), as the ``run`` of caproto.

    Without ``interfaces`` it serves 127.0.0.1, and the port of ``EPICS_CAS_SERVER_PORT`` or
    ``EPICS_CA_SERVER_PORT``, 5064 otherwise.
    """
    from ._env import settings_of_environment

    given = {**settings_of_environment(), **settings}
    if interfaces:
        given["interface"] = interfaces[0]
    with IOC(group, **given) as ioc:
        if startup_hook is not None:
            ioc._desk.start(startup_hook(AsyncLib()), startup_hook)
        if log_pv_names:
            print("\n".join(ioc.names))
        print(f"serving {len(ioc)} PVs at {ioc.address}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


__all__ = ["AsyncLib", "Instance", "PVGroup", "Refuse", "SKIP", "SubGroup", "pvproperty", "run"]
