"""Simulated IOCs in this process, on loopback: for tests, and for trying things out.

>>> from canter import sim
>>> with sim.IOC({"motor": sim.Pv(1.5, units="mm"), "valve": sim.Pv("Open", states=["Closed", "Open"])}) as ioc:
...     client = ioc.client()
...     client.get("motor").units
'mm'
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import _canter
from ._client import Client
from ._dispatch import report
from ._values import Severity

_DESCRIPTIONS = dict[str, Any]


def Pv(value: Any, **description: Any) -> _DESCRIPTIONS:  # noqa: N802 - it reads as the thing it makes
    """Describes a PV: its first value, and whatever else.

    Keywords: ``type`` (double, float, long, short, char, string, text, enum), ``states``, ``units``,
    ``precision``, ``description``, ``display``, ``control``, ``alarm``, ``warning`` (pairs of low and
    high), ``hysteresis``, ``value_deadband``, ``archive_deadband``, ``capacity``, ``read_only``,
    ``undefined``, ``completes_after`` (seconds, ``None`` for never).
    """
    return {"value": value, **description}


class State(NamedTuple):
    """The state of a PV of an IOC."""

    value: Any
    severity: Severity
    status: int
    timestamp: int


class Put(NamedTuple):
    """A put by a client."""

    name: str
    field: str
    value: Any
    who: str


class IOC:
    """An IOC that serves PVs on this host until it is stopped.

    Args:
        pvs: first values, or descriptions made by `Pv`, by name.
        toml: descriptions in TOML, as those of ``canter ioc``.
        on_put: is called with a `Put` after a client has written a value.
        interface: where it serves; 127.0.0.1, so that nobody else can write.
        tcp_port, udp_port: 0 lets the system choose.
    """

    def __init__(
        self,
        pvs: Mapping[str, Any] | None = None,
        *,
        toml: str | None = None,
        on_put: Callable[[Put], object] | None = None,
        interface: str = "127.0.0.1",
        tcp_port: int = 0,
        udp_port: int = 0,
        seed: int | None = None,
    ) -> None:
        described = [(name, _description(given)) for name, given in (pvs or {}).items()]
        self._core = _canter.Ioc(
            described, toml=toml, interface=interface, tcp_port=tcp_port, udp_port=udp_port, seed=seed
        )
        self._on_put = on_put
        if on_put is not None:
            threading.Thread(target=self._tell, name="canter-ioc-puts", daemon=True).start()

    def _tell(self) -> None:
        assert self._on_put is not None
        while (puts := self._core.wait_puts()) is not None:
            for put in puts:
                try:
                    self._on_put(Put(*put))
                except BaseException as error:  # noqa: BLE001 - whatever a callback raises is its own
                    report(error, self._on_put)

    @property
    def address(self) -> str:
        """Where searches are answered: what belongs into a client's address list."""
        return self._core.udp_addr()

    @property
    def env(self) -> dict[str, str]:
        """The environment with which clients find this IOC, and no other."""
        return dict(self._core.env())

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Has clients of this process, ours and others, find this IOC; then the environment is as before."""
        before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def client(self, **settings: Any) -> Client:
        """A client that finds this IOC, and no other."""
        return Client(environ=self.env, repeater_port=0, **settings)

    @property
    def names(self) -> list[str]:
        return self._core.names()

    @property
    def running(self) -> bool:
        return self._core.is_running()

    def __getitem__(self, name: str) -> Any:
        """The value of a PV or field."""
        return self._core.read(name)[0]

    def __setitem__(self, name: str, value: Any) -> None:
        """Sets a value or field, as the program of an IOC does."""
        self._core.post(name, value)

    def post(self, name: str, value: Any) -> None:
        """Sets a value or field, as the program of an IOC does."""
        self._core.post(name, value)

    def read(self, name: str) -> State:
        """Value, alarm and time stamp of a PV or field."""
        value, severity, status, stamp = self._core.read(name)
        return State(value, Severity(severity), status, stamp)

    def set_alarm(self, name: str, severity: int, status: int = 0) -> None:
        """Raises an alarm, which the next change of the value ends."""
        self._core.set_alarm(name, severity, status)

    def set_rights(self, name: str, *, read: bool = True, write: bool = True) -> None:
        """What clients may do with a PV."""
        self._core.set_rights(name, read, write)

    def set_completion(self, name: str, after: float | None) -> None:
        """When puts with completion are answered: after so many seconds, or never."""
        self._core.set_completion(name, after)

    def add(self, name: str, given: Any) -> None:
        """Adds a PV, also while clients are connected."""
        self._core.add(name, _description(given))

    def remove(self, name: str) -> bool:
        """Takes a PV away: clients see it disconnect."""
        return self._core.remove(name)

    @property
    def lost_puts(self) -> int:
        """Puts that ``on_put`` was not told of, because too many waited."""
        return self._core.lost_puts()

    def start(self) -> None:
        """Serves again after `stop`, on the same ports."""
        self._core.start()

    def stop(self) -> None:
        """Ends all circuits, as when an IOC is killed; the values stay."""
        self._core.stop()

    def restart(self) -> None:
        """Stops and starts: clients lose their connections and come back."""
        self._core.stop()
        self._core.start()

    def close(self) -> None:
        """Stops it, and ``on_put`` with it."""
        self._core.stop()
        self._core.end_puts()

    def __enter__(self) -> IOC:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _description(given: Any) -> _DESCRIPTIONS:
    return given if isinstance(given, dict) else {"value": given}


__all__ = ["IOC", "Put", "Pv", "State"]
