"""Monitors of aioca: callbacks, plain or asynchronous, in the loop that made them."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

import canter

from .. import _dispatch
from .._loops import _bridge
from ._values import ECA_DISCONN, ECA_TIMEOUT, CANothing, augmented, default_events, request, seconds

#: Updates that wait for a slow callback that wants all of them; the oldest make room.
MAX_PENDING = 10_000


class Subscription:
    """A monitor; it ends with ``close()``."""

    OPENING, OPEN, CLOSED = range(3)

    def __init__(
        self, name, callback, events, datatype, format, count, all_updates, notify_disconnect, connect_timeout
    ):
        self.name = name
        self.callback = callback
        self.all_updates = all_updates
        self.notify_disconnect = notify_disconnect
        self.dropped_callbacks = 0
        self.state = self.OPENING
        self._client = canter.default_client()
        self._client._dispatcher.ensure()
        self.channel = self._client.channel(name)._core
        self.pending_values: deque = deque()
        self._loop_bridge = _bridge()
        self._news = asyncio.Event()
        self._key: Any = None
        self._request = (events, datatype, format, count, connect_timeout)
        open_subscriptions.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"camonitor {name}")

    async def _run(self) -> None:
        await self._open()
        while True:
            await self._news.wait()
            self._news.clear()
            while self.pending_values and self.state != self.CLOSED:
                value = self.pending_values.popleft()
                try:
                    result = self.callback(value)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:  # noqa: BLE001 - whatever a callback raises is its own
                    _dispatch.report(error, self.callback)

    async def _open(self) -> None:
        events, datatype, form, count, connect_timeout = self._request
        from . import _connected

        if connect_timeout is not None and not await _connected(self.channel, seconds(connect_timeout)):
            self._queue(CANothing(self.name, ECA_TIMEOUT), 0)
        await _connected(self.channel, 1e9)
        info = self.channel.info()
        element_count = info.get("count", 1)

        def on_update(reading: Any, skipped: int) -> None:
            value = augmented(reading, datatype, element_count)
            self._loop_bridge.call(self._queue, value, skipped)

        def on_event(word: str, _text: str | None) -> None:
            if word == "disconnected" and self.notify_disconnect:
                self._loop_bridge.call(self._queue, CANothing(self.name, ECA_DISCONN), 0)

        if self.state == self.CLOSED:
            return
        self._key = self.channel.monitor(
            on_update,
            on_event,
            mask=default_events(form) if events is None else events,
            dbr=request(datatype, form, info.get("dbr", 6)),
            count=element_count if count == -1 else count,
            depth=MAX_PENDING if self.all_updates else 1,
        )
        self.state = self.OPEN

    def _queue(self, value: Any, skipped: int) -> None:
        if self.state == self.CLOSED:
            return
        count = 1 + skipped
        if self.pending_values and (not self.all_updates or len(self.pending_values) >= MAX_PENDING):
            # A disconnect is not merged with a value.
            old = self.pending_values[-1 if not self.all_updates else 0]
            if self.all_updates:
                self.pending_values.popleft()
            elif old.ok == value.ok:
                self.pending_values.pop()
                count += old.update_count
            self.dropped_callbacks += 1
        value.update_count = count
        self.pending_values.append(value)
        self._news.set()

    def close(self, exc_info=None):
        """Ends it: no callback begins after this."""
        if self.state == self.CLOSED:
            return
        self.state = self.CLOSED
        open_subscriptions.discard(self)
        if self._key is not None:
            self._key.cancel()
        self.pending_values.clear()
        self._loop_bridge.call(self._task.cancel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


open_subscriptions: set[Subscription] = set()


def start(pv: str, callback: Callable, *options: Any) -> Subscription:
    """Starts a monitor in the running loop."""
    return Subscription(pv, callback, *options)
