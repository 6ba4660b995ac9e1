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

    def put(self, value: Any, wait: bool, timeout: float, ftype: int | None = None) -> None:
        """Puts a value. What the server sends before it tells of the completion has reached the callbacks
        when this returns, as PyEpics has it: completion takes the way of the updates.
        """
        dispatcher = self.fresh().client._dispatcher
        if not wait or dispatcher.is_current():
            self.core.put(value, "completed" if wait else "sent", timeout, dbr=ftype)
            return
        ended = threading.Event()
        errors: list = []

        def done(_result: Any, error: BaseException | None) -> None:
            errors.append(error)
            ended.set()

        dispatcher.ensure()
        self.core.start_put(done, value, "completed", timeout, dbr=ftype)
        ended.wait()
        if errors[0] is not None:
            raise errors[0]

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


def run(function: Callable[..., object], *args: Any) -> None:
    """Runs a callback; its exception goes where those of the native face go."""
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001
        canter._client.report(error, function)


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
