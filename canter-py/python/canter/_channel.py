"""Channels and subscriptions of the native face."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator

from . import _arguments, _canter
from ._errors import UNNAMED, BadName, Closed, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import queue

    from ._client import Client
    from ._notebook import Trail

#: Values that wait for the reader of a subscription without callback; the oldest make room.
DEFAULT_WAITING = 1000

DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY = 1, 2, 4, 8

_DBR_STRING, _DBR_LONG, _DBR_DOUBLE = 14, 19, 20  # with alarm and time stamp
_AS = {str: _DBR_STRING, int: _DBR_LONG, float: _DBR_DOUBLE}


class Channel:
    """The way to one PV. It is opened when it is first used, and comes back by itself when it is lost."""

    __slots__ = ("__dict__", "__weakref__", "_client", "_core", "_trail")

    def __init__(
        self, client: Client, name: str, priority: int | None = None, *, core: _canter.Channel | None = None
    ) -> None:
        self._client = client
        try:
            self._core = client._core.channel(name, priority) if core is None else core
        except UnicodeError as error:
            text = f"{ascii(name)}: a PV name has no characters that no server knows, halves of surrogate pairs"
            raise BadName(text, pv=ascii(name), remedy="check how the name is spelled") from error
        #: What it did since a notebook has shown it.
        self._trail: Trail | None = None

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def connected(self) -> bool:
        """Whether it can be used at this moment."""
        return self._core.connected

    def connect(self, timeout: float | None = None) -> Channel:
        """Waits until it can be used.

        Raises:
            ConnectTimeout: it goes on trying.
            NowhereToSearch: at once, if no time would suffice.
        """
        try:
            self._core.connect(timeout)
        except (Closed, *UNNAMED) as error:
            raise named(error, "connect", self.name) from None
        return self

    def get(self, *, timeout: float | None = None, count: int = 0, as_type: type | None = None) -> Any:
        """The value: a number, text or array that carries time stamp, alarm, units and the like.

        Args:
            timeout: seconds for the answer, and for the connection if there is none.
            count: number of elements; 0 for as many as there are.
            as_type: ``str``, ``int`` or ``float``: the server converts. A text in an array of
                ``CHAR`` comes whole as ``str``.
        """
        try:
            if as_type is None:
                return self._core.get(timeout, count=count)
            if as_type not in _AS:
                raise TypeError(f"as_type is str, int or float, not {as_type!r}")
            if as_type is str:
                self._core.connect(timeout)
                if self._core.info().get("native") == "CHAR":
                    return self._core.read(timeout, count=count).long_string()
            return self._core.get(timeout, dbr=_AS[as_type], count=count)
        except (Closed, *UNNAMED) as error:
            raise named(error, "read", self.name) from None

    def put(
        self, value: Any, *, wait: bool = False, check: bool = True, timeout: float | None = None
    ) -> None:
        """Puts a value.

        Args:
            wait: return when what follows from the value is complete: a motor has arrived.
            check: return when the server has looked at the value, so that what it refuses is an
                exception. Without, return when it is on its way.
        """
        try:
            self._core.put(value, _until(wait, check), timeout)
        except (Closed, *UNNAMED) as error:
            raise named(error, "write", self.name) from None

    def monitor(
        self,
        callback: Callable[[Any], object] | None = None,
        *,
        on_connection: Callable[[bool], object] | None = None,
        mask: int = DBE_VALUE | DBE_ALARM,
        count: int = 0,
        depth: int | None = None,
        policy: str = "squash",
    ) -> Subscription:
        """Monitors the PV: the callback is called with each value, or the subscription is iterated.

        Args:
            on_connection: is told of connects (true) and disconnects (false).
            mask: which changes cause an update: ``DBE_VALUE``, ``DBE_LOG``, ``DBE_ALARM``, ``DBE_PROPERTY``.
            depth: updates that may wait for a slow callback, 10 000 unless told, of at most 64 MiB.
            policy: what becomes of more: ``squash`` (replaces the newest), ``latest``, ``oldest``
                (makes room).
        """
        return Subscription(self, callback, on_connection, mask, count, depth, policy)

    def info(self) -> dict[str, Any]:
        """What is known of the channel at this moment: server, type, element count, rights, trouble."""
        return self._core.info()

    def plot(self, seconds: float | None = None, *, axes: Any = None) -> Any:
        """Plots an array over its index, or a number over time: since it was shown or plotted for the first time, and
        so many seconds more. Up to 300 values are kept for it. It needs matplotlib.

        Args:
            axes: of matplotlib, to plot into.

        Returns:
            The axes.
        """
        from ._notebook import plot_pv

        return plot_pv(self, seconds, axes)

    def close(self) -> None:
        """Closes it; it is opened again when it is used."""
        trail, self._trail = self._trail, None
        if trail is not None:
            trail.close()
        self._core.close()

    def _repr_html_(self) -> str:
        from ._notebook import pv_html

        return pv_html(self)

    def __repr__(self) -> str:
        return f"<canter.Channel {self.name!r}>"


def _until(wait: bool, check: bool) -> str:
    return "completed" if wait else "checked" if check else "sent"


class Subscription:
    """Changes of a PV; it ends with ``close()``, or when it is dropped without a callback."""

    def __init__(
        self,
        channel: Channel,
        callback: Callable[[Any], object] | None,
        on_connection: Callable[[bool], object] | None,
        mask: int,
        count: int,
        depth: int | None,
        policy: str,
    ) -> None:
        _arguments.optional(callback, pv=channel.name)
        _arguments.optional(on_connection, "on_connection", channel.name)
        self.channel = channel
        self._skipped = 0
        self._callback = callback
        self._on_connection = on_connection
        self._closed = False
        self._connected = False
        self._waiting: queue.Queue | None = None
        on_update: Callable[..., object] = self._update
        on_event: Callable[..., object] | None = self._event
        # Nothing is to be done beside: the values go straight to the callback.
        straight = callback is not None and on_connection is None
        if straight:
            assert callback is not None
            on_update, on_event = callback, None
        elif callback is None:
            # Not with the module: few programs need it.
            import queue

            self._waiting = queue.Queue(depth or DEFAULT_WAITING)
            # The client must not keep what nobody reads.
            on_update, on_event = _weak(self._update), _weak(self._event)
        client = channel._client
        try:
            client._dispatcher.ensure()
            self._key = channel._core.monitor(
                on_update, on_event, mask=mask, count=count, depth=depth, policy=policy, describe=True,
                values=straight,
            )  # fmt: skip
        except (Closed, *UNNAMED) as error:
            raise named(error, "monitor", channel.name) from None
        if callback is not None:
            client._subscriptions.add(self)

    @property
    def names(self) -> list[str]:
        """The name of its PV, alone in a list, as subscriptions to many have theirs."""
        return [self.channel.name]

    @property
    def skipped(self) -> int:
        """Updates that were left out, as they came faster than they were taken."""
        return self._skipped + self._key.skipped

    def _update(self, reading: _canter.Reading, skipped: int) -> None:
        if self._closed:
            return
        self._skipped += skipped
        # One that was connected before is told of, too.
        self._tell(True)
        if self._callback is not None:
            self._callback(reading.value)
        else:
            self._offer(reading.value)

    def _event(self, word: str, _text: str | None) -> None:
        if not self._closed and word in ("connected", "disconnected"):
            self._tell(word == "connected")

    def _tell(self, connected: bool) -> None:
        if self._on_connection is not None and connected != self._connected:
            self._connected = connected
            self._on_connection(connected)

    def _offer(self, value: Any) -> None:
        import queue

        assert self._waiting is not None
        while True:
            try:
                return self._waiting.put_nowait(value)
            except queue.Full:
                try:
                    self._waiting.get_nowait()
                    self._skipped += 1
                except queue.Empty:
                    pass

    def get(self, timeout: float | None = None) -> Any:
        """The next value of a subscription without callback.

        Raises:
            TimeoutError: none came in time.
        """
        if self._waiting is None:
            raise TypeError("this subscription has a callback, which gets the values")
        import queue

        try:
            value = self._waiting.get(timeout=_arguments.patience(timeout, pv=self.channel.name))
        except queue.Empty:
            raise TimeoutError(f'no update of "{self.channel.name}" within {timeout} s') from None
        if value is _END:
            self._waiting.put(_END)
            raise Closed(f'the subscription to "{self.channel.name}" was closed', pv=self.channel.name)
        return value

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yield self.get()
            except Closed:
                return

    def close(self) -> None:
        """Ends it: no callback begins after this returns, but one may still run in its thread."""
        if self._closed:
            return
        self._closed = True
        self._key.cancel()
        self.channel._client._subscriptions.discard(self)
        if self._waiting is not None:
            self._offer(_END)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and hasattr(self, "_key"):
            self._key.cancel()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "active"
        return f"<canter.Subscription {self.channel.name!r}, {state}>"


_END = object()


def _weak(method: Any) -> Callable[..., None]:
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        found = reference()
        if found is not None:
            found(*args)

    return call
