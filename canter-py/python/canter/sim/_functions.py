"""Functions of a group as PVs, and pairs of a setpoint and a readback."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ._instance import Instance
from ._property import Scan, pvproperty
from .group import PVGroup, SubGroup

#: PVs of a function beside its parameters.
_NAMES = {"process": "Process", "retval": "Retval", "status": "Status"}


class pvfunction(SubGroup):  # noqa: N801 - as in caproto
    """Decorates a function whose parameters become PVs: a put to ``Process`` calls it, ``Retval`` has what it gives,
    ``Status`` tells whether it succeeded.

    All parameters, and what it gives, need annotations. Its ``self`` is the group of these PVs, whose ``parent`` is the
    one around it.

    Args:
        func: the function.
        default: first value of ``Retval``.
        names: of PVs, by parameters and by ``process``, ``retval`` and ``status``.
        alarm_group: nothing; for those who give it.
        prefix, macros, attr_separator, doc: as of `SubGroup`.
    """

    default_names = _NAMES

    def __init__(
        self,
        func: Callable[..., Any] | None = None,
        default: Any = None,
        names: Mapping[str, str] | None = None,
        alarm_group: str | None = None,
        prefix: str | None = None,
        macros: Mapping[str, str] | None = None,
        attr_separator: str | None = None,
        doc: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix, macros=macros, attr_separator=attr_separator, doc=doc)
        self.default_retval = default
        self.names = {**_NAMES, **(names or {})}
        if func is not None:
            self._wrap(func)

    def __call__(  # type: ignore[override]
        self,
        func: Callable[..., Any] | None = None,
        *,
        prefix: str | None = None,
        macros: Mapping[str, str] | None = None,
        doc: str | None = None,
    ) -> pvfunction:
        made = super().__call__(prefix=prefix, macros=macros, doc=doc)
        assert isinstance(made, pvfunction)
        if func is not None:
            made._wrap(func)
        return made

    def _wrap(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.__doc__ = self.__doc__ or inspect.getdoc(func)
        hints = typing.get_type_hints(func)
        parameters = list(inspect.signature(func).parameters)[1:]
        missing = [name for name in (*parameters, "return") if name not in hints]
        if missing:
            raise TypeError(f"pvfunction {func.__name__}: no annotation of {', '.join(missing)}")
        defaults = {name: one.default for name, one in inspect.signature(func).parameters.items()}
        members: dict[str, Any] = {
            name: pvproperty(
                name=self.names.get(name, name),
                dtype=hints[name],
                value=None if defaults[name] is inspect.Parameter.empty else defaults[name],
            )
            for name in parameters
        }
        members["retval"] = pvproperty(
            name=self.names["retval"], dtype=hints["return"], value=_one(self.default_retval), read_only=True
        )
        members["status"] = pvproperty(name=self.names["status"], value="Init", read_only=True, dtype=str)

        async def process(group: PVGroup, instance: Instance, value: Any) -> None:
            try:
                given = {name: getattr(group, name).value for name in parameters}
                made = func(group, **given)
                group.retval.write(await made if inspect.isawaitable(made) else made)  # type: ignore[attr-defined]
            except Exception as error:
                group.status.write(f"{type(error).__name__}: {error}"[:39])  # type: ignore[attr-defined]
                raise
            group.status.write("Success")  # type: ignore[attr-defined]

        members[self.names["process"]] = pvproperty(value=0, put=process)
        self._take(type(func.__name__, (PVGroup,), members))


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def get_pv_pair_wrapper(setpoint_suffix: str = "", readback_suffix: str = "_RBV") -> Callable[..., SubGroup]:
    """A function like `pvproperty`, which makes two PVs with these endings: ``setpoint``, and ``readback``, which
    clients cannot write. Without a putter the readback follows the setpoint.
    """

    def wrapped(
        *,
        get: Callable[..., Any] | None = None,
        put: Callable[..., Any] | None = None,
        startup: Callable[..., Any] | None = None,
        shutdown: Callable[..., Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
        value: Any = None,
        max_length: int | None = None,
        alarm_group: str | None = None,
        doc: str | None = None,
        fields: Any = None,
        scan: Scan | None = None,
        setpoint_kw: Mapping[str, Any] | None = None,
        readback_kw: Mapping[str, Any] | None = None,
        **cls_kwargs: Any,
    ) -> SubGroup:
        """A pair; functions other than ``put`` are of the readback.

        Args:
            name: of both, before their endings; that of the attribute otherwise.
            setpoint_kw, readback_kw: keywords for one of them.
            cls_kwargs: and those for both.
        """
        if cls_kwargs.pop("read_only", None):
            raise RuntimeError("a pair has a setpoint, which is not read only; give read_only to neither")
        both = dict(dtype=dtype, value=value, max_length=max_length, doc=doc, fields=fields, **cls_kwargs)
        setpoint = {**both, "name": setpoint_suffix, "put": put or _follow, **(setpoint_kw or {})}
        readback = {**both, "name": readback_suffix, "get": get, "read_only": True, "scan": scan, "startup": startup,
                    "shutdown": shutdown, **(readback_kw or {})}  # fmt: skip
        return SubGroup(dict(setpoint=setpoint, readback=readback), attr_separator="", doc=doc, prefix=name)

    return wrapped


async def _follow(group: Any, instance: Instance, value: Any) -> None:
    await group.readback.write(value)
