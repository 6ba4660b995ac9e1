"""How calls wait, and where values come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _arguments
from .._errors import bad

#: How often a read may be tried.
MAX_TRIES = 1000
#: Where a get takes the value of a PV that has a monitor from.
GET_FROM_IOC, GET_FROM_CACHE = "ioc", "cache"


class _Checked:
    """Refuses attributes that it does not know, so that a slip of the pen is seen."""

    __slots__ = ()

    #: What makes of a value what an attribute takes, or refuses it.
    _RULES: dict[str, Callable[[Any, str], Any]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__slots__:
            known = ", ".join(self.__slots__)
            raise AttributeError(f"{type(self).__name__} has no {name}; it has {known}")
        super().__setattr__(name, self._RULES[name](value, name))


def _switch(value: Any, _name: str) -> bool:
    return bool(value)


def _tries(value: Any, name: str) -> int:
    return _arguments.whole(value, name, 1, MAX_TRIES)


def _source(value: Any, name: str) -> str:
    if not isinstance(value, str) or value not in (GET_FROM_IOC, GET_FROM_CACHE):
        raise bad(f"{name}={value!a}: give {GET_FROM_IOC!r} or {GET_FROM_CACHE!r}")
    return value


class Timeout(_Checked):
    """How long an answer is waited for.

    Attributes:
        seconds: of the first try; ``None`` is the time-out of the client.
        tries: how often it is asked. A circuit loses nothing: a second try is for servers that are slow at
            times.
        selfGoverning: a handle whose time was up is given twice the time from then on, up to ``most``.
        most: seconds.
    """

    __slots__ = ("seconds", "tries", "selfGoverning", "most")
    _RULES = {"seconds": _arguments.patience, "tries": _tries, "selfGoverning": _switch, "most": _arguments.span}

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.tries = 1
        self.selfGoverning = False
        self.most = 20.0

    def setSelfGoverning(self, seconds: float = 0.4, tries: int = 2, most: float = 20.0) -> None:  # noqa: N802
        """CAFE's own way: 0.4 s, twice, doubled when the time is up, at most 20 s."""
        self.seconds, self.tries, self.most, self.selfGoverning = seconds, tries, most, True


class GetCacheWait(_Checked):
    """How long ``getCache`` waits for the first value of a monitor that has just begun: ``seconds``."""

    __slots__ = ("seconds",)
    _RULES = {"seconds": _arguments.span}

    def __init__(self) -> None:
        self.seconds = 1.0


class GetActionWhenMonitor(_Checked):
    """Where ``get`` takes the value of a PV with a monitor from: ``source`` is ``"ioc"`` or ``"cache"``."""

    __slots__ = ("source",)
    _RULES = {"source": _source}

    def __init__(self) -> None:
        self.source = GET_FROM_IOC


class Request(_Checked):
    """When ``set`` returns: with ``wait`` when what follows from the value is complete, else when the
    server has taken it.
    """

    __slots__ = ("wait",)
    _RULES = {"wait": _switch}

    def __init__(self) -> None:
        self.wait = False


class PrintError(_Checked):
    """Whether errors are printed: ``always``."""

    __slots__ = ("always",)
    _RULES = {"always": _switch}

    def __init__(self) -> None:
        self.always = False


class Policies:
    """The policies of a `CyCafe`."""

    def __init__(self) -> None:
        self.timeout = Timeout()
        self.cacheWait = GetCacheWait()
        self.whenMonitor = GetActionWhenMonitor()
        self.request = Request()
        self.printError = PrintError()
