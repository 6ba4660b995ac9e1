"""Subscriptions to many PVs, whose updates come in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from . import _arguments, _canter
from ._batch import _column, _without_collector
from ._channel import DBE_ALARM, DBE_VALUE, Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._client import Client


class Updates:
    """Updates of a `ManySubscription` in the order in which they came. Objects are made of what is looked at; columns
    are arrays of NumPy.
    """

    def __init__(self, core: _canter.Updates, names: list[str]) -> None:
        self._core = core
        self._names = names

    def __len__(self) -> int:
        return len(self._core)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of the name of a PV and its value."""
        return zip(self.names, _without_collector(self._core.all))

    @property
    def places(self) -> Any:
        """Where the PV of each update stands among those of the subscription, as an array of integers."""
        return _column(self._core.places(), "I")

    @property
    def names(self) -> list[str]:
        """The name of the PV of each update."""
        names = self._names
        return [names[place] for place in self.places.tolist()]

    @property
    def values(self) -> Any:
        """First elements as an array of doubles; NaN for what is no number."""
        return _column(self._core.doubles(), "d")

    @property
    def timestamps(self) -> Any:
        """Nanoseconds since 1970 as an array of integers."""
        return _column(self._core.timestamps(), "q")

    @property
    def severities(self) -> Any:
        """Alarm severities as an array."""
        return _column(self._core.severities(), "H")

    @property
    def skipped(self) -> int:
        """Updates that were left out before these, as they came faster than the callback took them."""
        return self._core.skipped

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """For what reads Arrow: the columns ``name``, ``value``, ``timestamp`` and ``severity``."""
        return self._core.arrow()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """As `__arrow_c_array__`, for what reads streams of batches (``pyarrow.table(updates)``, DuckDB, polars)."""
        from ._arrow import stream

        return stream(self.__arrow_c_array__)

    def __repr__(self) -> str:
        return f"<canter.Updates: {len(self)}>"


class ManySubscription:
    """Changes of many PVs, told in batches; it ends with ``close()``."""

    def __init__(
        self,
        client: Client,
        pvs: Iterable[str | Channel],
        callback: Callable[[Updates], object],
        on_connection: Callable[[str, bool], object] | None = None,
        *,
        mask: int = DBE_VALUE | DBE_ALARM,
        depth: int | None = None,
        policy: str = "squash",
    ) -> None:
        _arguments.function(callback)
        _arguments.optional(on_connection, "on_connection")
        channels = [channel._core for channel in client._channels_of(pvs)]
        #: Names of the PVs, in their order.
        self.names = [channel.name for channel in channels]
        self._client = client
        self._callback = callback
        self._on_connection = on_connection
        self._closed = False
        self._connected: set[str] = set()
        client._dispatcher.ensure()
        self._key = client._core.monitor_many(
            channels, self._updates, self._event, mask=mask, depth=depth, policy=policy
        )
        client._subscriptions.add(self)

    def _updates(self, core: _canter.Updates) -> None:
        if self._closed:
            return
        updates = Updates(core, self.names)
        if self._on_connection is not None and len(self._connected) < len(self.names):
            # Those that were connected before are told of, too.
            for name in dict.fromkeys(updates.names):
                self._tell(name, True)
        self._callback(updates)

    def _event(self, place: int, word: str, _text: str | None) -> None:
        if not self._closed and word in ("connected", "disconnected"):
            self._tell(self.names[place], word == "connected")

    def _tell(self, name: str, connected: bool) -> None:
        if self._on_connection is None or connected == (name in self._connected):
            return
        (self._connected.add if connected else self._connected.discard)(name)
        self._on_connection(name, connected)

    def close(self) -> None:
        """Ends it: no callback begins after this returns, but one may still run in its thread."""
        if not self._closed:
            self._closed = True
            self._key.cancel()
            self._client._subscriptions.discard(self)

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> ManySubscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<canter.ManySubscription to {len(self)} PVs, {state}>"
