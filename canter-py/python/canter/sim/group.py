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

import copy
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from .. import _arguments
from .._errors import bad
from ._desk import SKIP
from ._errors import Refuse
from ._instance import AsyncLib, Instance, Written, logger_of
from ._ioc import IOC
from ._property import is_dtype, pvproperty
from ._run import run
from ._turns import decider, field_decider, maker, once, scan, turn, write_at_once, write_through


class SubGroup:
    """A group within a group: ``SubGroup(Motor, prefix="m1:")``, or as a decorator of a class in it.

    Args:
        group: a class; or PVs by their attributes, each a `pvproperty` or its keywords.
        prefix: what its PVs begin with behind that of the group; the attribute with the separator otherwise.
        macros: for its names, beside those of the group.
        attr_separator: between the attribute and the names of the PVs; a colon, or that of the class.
        doc: what it is.
        base: classes that a group of PVs by their attributes is made of.
        init: keywords for the class.
    """

    def __init__(
        self,
        group: type | Mapping[str, Any] | None = None,
        *,
        prefix: str | None = None,
        macros: Mapping[str, str] | None = None,
        attr_separator: str | None = None,
        doc: str | None = None,
        base: tuple[type, ...] | None = None,
        **init: Any,
    ) -> None:
        self.prefix = prefix
        self.macros = _arguments.mapping(macros, "macros")
        self.attr_separator = attr_separator
        self.init = init
        self.attr_name = ""
        self.__doc__ = doc
        self._base = base
        self.group_cls: type[PVGroup] | None = None
        if group is not None:
            self._take(group)

    def _take(self, group: type | Mapping[str, Any]) -> None:
        bases = self._base or (PVGroup,)
        if isinstance(group, Mapping):
            own = {name: _as_property(one) for name, one in group.items()}
            group = type("Group", bases, own)
            for prop in own.values():
                prop._parent = self
        elif not issubclass(group, PVGroup):
            own = {name: one for name, one in vars(group).items() if name not in ("__dict__", "__weakref__")}
            group = type(group.__name__, bases, own)
        self.group_cls = group
        if self.attr_separator is None:
            self.attr_separator = getattr(group, "attr_separator", None)

    def __call__(
        self,
        group: type | Mapping[str, Any] | None = None,
        *,
        prefix: str | None = None,
        macros: Mapping[str, str] | None = None,
        doc: str | None = None,
    ) -> SubGroup:
        """One more with this class, prefix and macros."""
        made = copy.copy(self)
        made.attr_name = ""
        made.prefix = self.prefix if prefix is None else prefix
        made.macros = self.macros if macros is None else _arguments.mapping(macros, "macros")
        made.__doc__ = self.__doc__ if doc is None else doc
        if group is not None:
            made._take(group)
        return made

    def __getattr__(self, name: str) -> Any:
        # PVs of it, for decorators in the class around it.
        found = None if name.startswith("_") else getattr(vars(self).get("group_cls"), name, None)
        if not isinstance(found, pvproperty):
            raise AttributeError(f"the group {vars(self).get('attr_name')!r} has no {name!r}")
        return found

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.attr_name:
            self.attr_name = name

    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else group._members[self.attr_name]

    def _begins(self) -> str:
        """What its names begin with behind those of the group."""
        if self.prefix is not None:
            return self.prefix
        return self.attr_name + (":" if self.attr_separator is None else self.attr_separator)


def _as_property(given: Any) -> pvproperty:
    if isinstance(given, pvproperty):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"{given!r} is no pvproperty, and no keywords of one")
    known = dict(given)
    return pvproperty(**{**known.pop("cls_kwargs", {}), **known})


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
                known._annotated(hint)
            elif name not in own and not name.startswith("_") and is_dtype(hint):
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
        self.macros = _arguments.mapping(macros, "macros")
        self.prefix = _expand(prefix, self.macros)
        self.parent = parent
        self.name = name or type(self).__name__
        self.async_lib = AsyncLib()
        if not isinstance(getattr(type(self), "log", None), (pvproperty, SubGroup)):
            self.log = logger_of(self)
        self._ioc: IOC | None = None
        self._members: dict[str, Any] = {}
        self.groups: dict[str, PVGroup] = {}
        for attr, member in _members(type(self)):
            if isinstance(member, pvproperty):
                own = attr if member.pvname is None else member.pvname
                self._members[attr] = Instance(self, member, self.prefix + _expand(own, self.macros))
            else:
                if member.group_cls is None:
                    raise bad(f"the group {attr!r} has no members: give SubGroup a class, or decorate one")
                below = self.prefix + member._begins()
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
    def attr_pvdb(self) -> dict[str, Instance]:
        """Its PVs by their attributes; those of its groups as ``group.attribute``."""
        found: dict[str, Instance] = {}
        for attr, member in self._members.items():
            if isinstance(member, Instance):
                found[attr] = member
            else:
                found.update((f"{attr}.{name}", one) for name, one in member.attr_pvdb.items())
        return found

    @property
    def attr_to_pvname(self) -> dict[str, str]:
        """Names of its PVs by their attributes."""
        return {attr: instance.name for attr, instance in self.attr_pvdb.items()}

    async def group_read(self, instance: Instance) -> Any:
        """In a class that has it: makes the values of PVs without a getter when clients read them."""

    async def group_write(self, instance: Instance, value: Any) -> Any:
        """In a class that has it: decides puts to PVs without a putter."""
        return value

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
                raise bad(f"two PVs of the group {self.name!r} are called {instance.name!r}")
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
        needs_loop: list[tuple[Any, Any]] = []
        for instance in self._instances():
            self._begin(ioc, instance, needs_loop)
        for instance in self._instances():
            function = instance.pvspec.startup_function
            if function is not None:
                needs_loop.insert(0, (once(instance.group, instance, function), function))
        for coroutine, function in needs_loop:
            ioc._desk.start(coroutine, function)
        if any(one.pvspec.shutdown_function for one in self._instances()):
            ioc._at_close.append(lambda: self._shut_down(ioc))
        ioc._at_close.append(self._left)

    def _begin(self, ioc: IOC, instance: Instance, needs_loop: list[tuple[Any, Any]]) -> None:
        """Sets the first values of a PV, and has its functions called."""
        prop, group = instance.pvspec, instance.group
        if prop.record is not None and prop.value is not None:
            ioc._core.write_record(instance.name, prop._record(instance.name)[1], None, True)
        for value in instance._waiting:
            ioc._core.post(instance.name, value)
        instance._waiting.clear()
        putter, getter = prop.put_function or _overridden(group, "group_write"), prop.get_function
        if putter is not None:
            ioc.on_put(instance.name, decider(group, instance, putter))
        getter = getter or _overridden(group, "group_read")
        if getter is not None:
            ioc.on_get(instance.name, maker(group, instance, getter))
        for (field, kind), function in prop.field_spec.functions.items():
            fields, of_field = instance.fields, instance.fields[field]
            if kind == "put":
                ioc.on_put(of_field.name, field_decider(fields, of_field, function))
            elif kind == "startup":
                needs_loop.append((_started(fields, of_field, function, group.async_lib), function))
        scanned = prop.scanned
        if scanned is not None and ioc._desk.inline:
            ioc._world.every(scanned.period, turn(group, instance, scanned))  # type: ignore[attr-defined]
        elif scanned is not None:
            needs_loop.append((scan(group, instance, scanned), scanned.function))

    def _write_through(
        self, instance: Instance, putter: Any, value: Any, severity: Any, status: Any, metadata: dict[str, Any]
    ) -> Any:
        rest = (severity, status, metadata)
        if inspect.iscoroutinefunction(putter):
            return write_through(self, instance, putter, value, rest)
        write_at_once(self, instance, putter, value, rest)
        return Written()

    def _shut_down(self, ioc: IOC) -> None:
        waits = []
        for instance in self._instances():
            function = instance.pvspec.shutdown_function
            if function is not None and ioc._desk.inline:
                ioc._desk.start(once(instance.group, instance, function), function)
            elif function is not None:
                waits.append(ioc._desk.start(once(instance.group, instance, function), function))
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


def _overridden(group: PVGroup, name: str) -> Any:
    """A method of a class of the user."""
    found = getattr(type(group), name)
    return None if found is getattr(PVGroup, name) else found


async def _started(fields: Any, instance: Any, function: Any, async_lib: AsyncLib) -> None:
    made = function(fields, instance, async_lib)
    if inspect.isawaitable(made):
        await made


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


def _expand(text: str, macros: Mapping[str, str]) -> str:
    for name, value in macros.items():
        text = text.replace("{%s}" % name, str(value))
    return text


__all__ = ["AsyncLib", "Instance", "PVGroup", "Refuse", "SKIP", "SubGroup", "pvproperty", "run"]
