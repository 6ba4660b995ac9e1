"""The functions of a group, as an IOC calls them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._choice import Choice
from ._desk import SKIP, Put
from ._errors import SkipWrite

if TYPE_CHECKING:
    from ._fields import FieldInstance, Fields
    from ._instance import Instance
    from ._property import Scan
    from .group import PVGroup

#: PVs whose putters run, in this thread or task.
DECIDING: contextvars.ContextVar[tuple] = contextvars.ContextVar("DECIDING", default=())

#: Status of a PV whose scan fails.
SCAN_ALARM = 13
#: Seconds until a scan that its field SCAN has stopped is looked at again.
IDLE = 0.1


def _shown(instance: Instance, value: Any) -> Any:
    """A written value, as the group's functions get it: that of an enum is the text of its state."""
    states = instance.pvspec._native()[2]
    if states is None or not isinstance(value, int) or not 0 <= value < len(states):
        return value
    dtype = instance.pvspec.dtype
    if isinstance(dtype, type) and issubclass(dtype, enum.Enum):
        return dtype[states[value]]
    return states[value]


def settled(made: Any) -> Any:
    """What a function of a group gives, as an IOC takes it."""
    if made is SkipWrite:
        return SKIP
    if isinstance(made, enum.Enum):
        return made.name
    if isinstance(made, Choice):
        return made.number
    return int(made) if isinstance(made, bool) else made


def _is_coroutine(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


@contextlib.contextmanager
def _within(instance: Any) -> Iterator[None]:
    """While a putter runs, what it writes to its own PV does not call it."""
    token = DECIDING.set((*DECIDING.get(), instance))
    try:
        yield
    finally:
        DECIDING.reset(token)


def _deciding(call: Callable[[Any], Any], function: Callable[..., Any], instance: Any) -> Callable[[Put], Any]:
    """What decides puts: ``call`` calls a function of the user with a value."""
    if _is_coroutine(function):

        async def decide(put: Put) -> Any:
            try:
                with _within(instance):
                    return settled(await call(put.value))
            except SkipWrite:
                return SKIP

        return decide

    def at_once(put: Put) -> Any:
        try:
            with _within(instance):
                return settled(call(put.value))
        except SkipWrite:
            return SKIP

    return at_once


def decider(group: Any, instance: Any, function: Callable[..., Any]) -> Callable[[Put], Any]:
    """What decides the puts of clients to a PV."""
    return _deciding(lambda value: function(group, instance, _shown(instance, value)), function, instance)


def field_decider(fields: Fields, field: FieldInstance, function: Callable[..., Any]) -> Callable[[Put], Any]:
    """What decides the puts of clients to a field."""
    return _deciding(lambda value: function(fields, field, value), function, field)


def maker(group: PVGroup, instance: Instance, function: Callable[..., Any]) -> Callable[[], Any]:
    """What makes a value when a client reads it."""
    if _is_coroutine(function):

        async def make() -> Any:
            return settled(await function(group, instance))

        return make
    return lambda: settled(function(group, instance))


async def write_through(
    group: PVGroup, instance: Instance, function: Callable[..., Any], value: Any, rest: tuple
) -> None:
    """Writes a value that the putter of the PV decides."""
    try:
        with _within(instance):
            made = await function(group, instance, value)
    except SkipWrite:
        return
    _wrote(instance, made, value, rest)


def write_at_once(
    group: PVGroup, instance: Instance, function: Callable[..., Any], value: Any, rest: tuple
) -> None:
    """As `write_through`, for a putter that is a plain function."""
    try:
        with _within(instance):
            made = function(group, instance, value)
    except SkipWrite:
        return
    _wrote(instance, made, value, rest)


def _wrote(instance: Instance, made: Any, value: Any, rest: tuple) -> None:
    made = settled(made)
    if made is not SKIP:
        instance._set(value if made is None else made, *rest)


async def once(group: Any, instance: Any, function: Callable[..., Any]) -> None:
    made = function(group, instance, group.async_lib)
    if inspect.isawaitable(made):
        await made


async def one_turn(group: PVGroup, instance: Instance, scanned: Scan) -> None:
    """One turn of a scan; its alarm shows whether it failed."""
    try:
        await once(group, instance, scanned.function)
    except Exception:
        group.ioc.set_alarm(instance.name, scanned.failure_severity, SCAN_ALARM)
        raise
    if instance.alarm[:2] == (scanned.failure_severity, SCAN_ALARM):
        group.ioc.set_alarm(instance.name, 0, 0)


def turn(group: PVGroup, instance: Instance, scanned: Scan) -> Callable[[], object]:
    """One turn of a scan in a world."""
    return lambda: group.ioc._desk.start(one_turn(group, instance, scanned), scanned.function)


def _period(instance: Instance, scanned: Scan) -> float:
    """Seconds of a scan, 0 while it is not to run."""
    if not scanned.use_scan_field:
        return scanned.period
    text = instance.group.ioc._core.text(f"{instance.name}.SCAN").split(" ")[0]
    try:
        return float(text)
    except ValueError:
        # Passive, Event or I/O Intr: as the class says until a client has chosen a period.
        return scanned.period if instance._scan_text in (None, text) else 0.0
    finally:
        instance._scan_text = instance._scan_text or text


async def scan(group: PVGroup, instance: Instance, scanned: Scan) -> None:
    from .._dispatch import report

    loop = asyncio.get_running_loop()
    due = loop.time()
    while group._ioc is not None:
        period = 0.0
        try:
            period = _period(instance, scanned)
            if period > 0:
                await one_turn(group, instance, scanned)
        except Exception as error:  # noqa: BLE001 - the next turn may succeed
            if group._ioc is None:
                return  # its IOC was closed in the middle of this turn
            if scanned.stop_on_error:
                raise
            report(error, scanned.function)
        now = loop.time()
        due = max(due + (period or IDLE), now) if scanned.subtract_elapsed else now + (period or IDLE)
        await asyncio.sleep(due - now)
