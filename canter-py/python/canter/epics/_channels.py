"""Channels of the default client, by name and by number, with their connection and access callbacks."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import canter

from .. import _canter

_numbers = itertools.count(1)
_by_name: dict[str, LibChannel] = {}
_by_number: dict[int, LibChannel] = {}
#: One for all channels and PVs: it is held for moments, and one for each of a million is not free.
lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # Another thread may have held it.
    os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]


class Listener:
    """Is told of connects, disconnects and rights of a channel: a `PV`, or functions."""

    __slots__ = ()

    def _on_connection(self, conn: bool) -> None:
        pass

    def _on_access(self, read: bool, write: bool) -> None:
        pass

    def _on_opened(self) -> None:
        """It was opened anew: what was known of it is old."""


class _OnConnection(Listener):
    __slots__ = ("_function",)

    def __init__(self, function: Callable[[bool], object]) -> None:
        self._function = function

    def _on_connection(self, conn: bool) -> None:
        self._function(conn)


class _OnAccess(Listener):
    __slots__ = ("_function",)

    def __init__(self, function: Callable[[bool, bool], object]) -> None:
        self._function = function

    def _on_access(self, read: bool, write: bool) -> None:
        self._function(read, write)


class LibChannel:
    """A channel, which tells of its connects and disconnects. There may be a million of them: they are small."""

    __slots__ = ("_told", "client", "core", "generation", "listeners", "name", "number", "watch")

    client: canter.Client
    core: _canter.Channel
    generation: int
    watch: int

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = next(_numbers)
        #: Another tuple with each change, so that who goes through it is not disturbed.
        self.listeners: tuple[Listener, ...] = ()
        self._told: bool | None = None
        self._open()

    def _open(self) -> None:
        self.client = canter.default_client()
        self.generation = _canter.generation()
        self.core = self.client.channel(self.name)._core
        self.client._dispatcher.ensure()
        self.watch = self.core.watch(self)
        self._told = None
        for listener in self.listeners:
            listener._on_opened()

    def fresh(self) -> LibChannel:
        """Itself, opened anew after a fork or a change of the default client."""
        stale = self.generation != _canter.generation() or self.client is not canter._default
        if stale:
            with lock:
                self._open()
        return self

    @property
    def connected(self) -> bool:
        try:
            return self.fresh().core.connected
        except canter.CanterError:
            return False

    def connect(self, timeout: float) -> canter.CanterError | None:
        """Waits for the connection; why it is not there."""
        try:
            self.fresh().core.connect(max(0.0, timeout))
        except canter.CanterError as error:
            return error
        self.tell(True)
        self.client._dispatcher.settle()
        return None

    def tell(self, conn: bool) -> None:
        """Tells who listens, once for each change."""
        with lock:
            if self._told == conn:
                return
            self._told = conn
            listeners = self.listeners
        for listener in listeners:
            run(listener._on_connection, conn)

    def listen(self, listener: Listener) -> None:
        """Has it told from now on, and at once if there is a connection."""
        with lock:
            self.listeners = (*self.listeners, listener)
            told = self._told
        if self.connected:
            if told:
                run(listener._on_connection, True)
            else:
                self.tell(True)

    def leave(self, listener: Listener) -> None:
        """Has it told no more."""
        with lock:
            self.listeners = tuple(one for one in self.listeners if one is not listener)

    def add_connection_callback(self, callback: Callable[[bool], object]) -> None:
        self.listen(_OnConnection(callback))

    def add_access_callback(self, callback: Callable[[bool, bool], object]) -> None:
        with lock:
            self.listeners = (*self.listeners, _OnAccess(callback))

    def __call__(self, word: str, text: str | None) -> None:
        """What the client tells of it."""
        if word in ("connected", "disconnected"):
            self.tell(word == "connected")
        elif word == "rights":
            known = self.core.info()
            for listener in self.listeners:
                run(listener._on_access, known["can_read"], known["can_write"])

    def read(self, timeout: float, ftype: int | None, count: int) -> _canter.Reading:
        """What the server says now. What it said before has reached the callbacks when this returns."""
        reading = self.core.read(timeout, dbr=ftype, count=count)
        self.client._dispatcher.settle()
        return reading

    def put(self, value: Any, wait: bool, timeout: float, ftype: int | None = None) -> None:
        """Puts a value. What the server sends before it tells of the completion has reached the callbacks
        when this returns.
        """
        core = self.fresh().core
        core.put(as_put(core, value, ftype), "completed" if wait else "sent", timeout, dbr=ftype)
        if wait:
            self.client._dispatcher.settle()

    def close(self) -> None:
        self.core.unwatch(self.watch)
        self.core.close()
        _by_name.pop(self.name, None)
        _by_number.pop(self.number, None)

    def info(self) -> dict[str, Any]:
        return self.fresh().core.info()

    @property
    def access(self) -> str:
        known = self.info()
        return ("no access", "read-only", "write-only", "read/write")[
            known["can_read"] + 2 * known["can_write"]
        ]

    @property
    def host(self) -> str:
        """As libca tells it: this host by its name."""
        server = self.info()["server"] or "<disconnected>"
        return server.replace("127.0.0.1", "localhost", 1)


#: Bits and sign of the integers that PVs hold, by the number of their type.
_INTEGERS = {1: (16, True), 3: (16, False), 4: (8, False), 5: (32, True)}


def as_put(core: _canter.Channel, value: Any, ftype: int | None = None) -> Any:
    """A value as PyEpics puts it: of integers that a PV has no room for it takes the bits that fit, so that masks without a
    sign can be put. Other faces refuse them.
    """
    kind = type(value)
    # hot: every put.
    if kind is float or kind is bool or (kind is int and 0 <= value <= 127):
        return value
    whole = kind is int or kind is str or getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u")
    if not whole and not (kind in (list, tuple) and value and all(isinstance(one, int) for one in value)):
        return value
    bits, signed = _INTEGERS.get(core.info().get("dbr", -1) if ftype is None else ftype % 7, (0, False))
    if not bits or (kind is str and not signed):
        # A text is a text for characters, and for states.
        return value
    if kind is str:
        try:
            value = int(value, 0)
        except ValueError:
            return value
    elif kind is not int and hasattr(value, "astype"):
        return value.astype(f"{'i' if signed else 'u'}{bits // 8}")
    if isinstance(value, int):
        return _cut(value, bits, signed)
    return [_cut(int(one), bits, signed) for one in value]


def _cut(number: int, bits: int, signed: bool) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if signed and number >> (bits - 1) else number


def as_keywords(data: Any) -> dict[str, Any]:
    """What belongs to a put, as its callback gets it: a dictionary as keywords of their own."""
    return data if isinstance(data, dict) else {"data": data}


def run(function: Callable[..., object], *args: Any) -> None:
    """Runs a callback; its exception goes where those of the native face go."""
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001
        canter._client.report(error, function)


def settle() -> None:
    """Has callbacks run for what came before an operation with many channels returns."""
    client = canter._default
    if client is not None:
        client._dispatcher.settle()


def open_channel(name: str) -> LibChannel:
    """The channel of a name."""
    with lock:
        found = _by_name.get(name)
        if found is None:
            found = _by_name[name] = LibChannel(name)
            _by_number[found.number] = found
    return found.fresh()


def by_number(chid: Any) -> LibChannel | None:
    """The channel of a number."""
    return _by_number.get(getattr(chid, "value", chid))


def forget_all() -> None:
    """Closes all channels."""
    for channel in list(_by_number.values()):
        if channel.generation == _canter.generation():
            channel.close()
    _by_name.clear()
    _by_number.clear()
