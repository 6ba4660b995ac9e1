"""The native face for asyncio: the same words, awaited.

>>> from canter.aio import AsyncClient
>>> async def main(client: AsyncClient) -> None:
...     value = await client.get("ring:current")
...     await client.put("ring:mode", 1, wait=True)
...     async for value in client.monitor("ring:current"):
...         print(value)
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from . import _canter
from ._client import DBE_ALARM, DBE_VALUE, DEFAULT_WAITING, Channel, Client, _until
from ._errors import CanterError


class _Bridge:
    """Carries what ends in the thread of callbacks over to a loop: one wake-up for all that has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # What a loop is found by must not keep it.
        self._loop = weakref.ref(loop)
        self._done: deque = deque()
        self._awake = False

    def call(self, function: Any, *args: Any) -> None:
        self._done.append((function, args))
        # Set before the loop looks: it clears it before it empties the queue.
        if not self._awake:
            self._awake = True
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                # The loop was closed: nobody waits any more.
                self._done.clear()

    def _drain(self) -> None:
        self._awake = False
        while self._done:
            function, args = self._done.popleft()
            function(*args)


_bridges: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _bridge() -> _Bridge:
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    return bridge


def _settle(future: asyncio.Future, result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _waiter() -> tuple[asyncio.Future, Any]:
    """A future of the running loop, and the callback that ends it from any thread."""
    bridge = _bridge()
    future = asyncio.get_running_loop().create_future()
    return future, lambda result, error: bridge.call(_settle, future, result, error)


class AsyncClient:
    """A client for asyncio. It may share the channels of a blocking one.

    Args:
        client: the blocking client beneath; without, one is made with the settings of `canter.Client`.
    """

    def __init__(self, client: Client | None = None, **settings: Any) -> None:
        if client is not None and settings:
            raise TypeError("give a client or settings for one, not both")
        self.client = client or Client(**settings)

    def _channel(self, pv: str | Channel) -> _canter.Channel:
        self.client._dispatcher.ensure()
        return self.client._channel_of(pv)._core

    async def connect(self, pv: str | Channel, timeout: float | None = None) -> None:
        """Waits until the PV can be used."""
        future, done = _waiter()
        self._channel(pv).start_connect(done, timeout)
        await future

    async def read(
        self,
        pv: str | Channel,
        *,
        timeout: float | None = None,
        dbr: int | None = None,
        family: int = 2,
        count: int = 0,
        describe: bool = False,
    ) -> _canter.Reading:
        """What came, of which the value is a part."""
        future, done = _waiter()
        channel = self._channel(pv)
        channel.start_read(done, timeout, dbr=dbr, family=family, count=count, describe=describe)
        return await future

    async def get(self, pv: str | Channel, *, timeout: float | None = None, count: int = 0) -> Any:
        """The value of a PV; see `canter.Channel.get`."""
        reading = await self.read(pv, timeout=timeout, count=count, describe=True)
        return reading.value

    async def put(
        self,
        pv: str | Channel,
        value: Any,
        *,
        wait: bool = False,
        check: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Puts a value to a PV; see `canter.Channel.put`."""
        future, done = _waiter()
        self._channel(pv).start_put(done, value, _until(wait, check), timeout)
        await future

    async def get_many(self, pvs: Iterable[str | Channel], *, timeout: float | None = None) -> list[Any]:
        """Gets many PVs at once: values, and exceptions in the places of what did not come."""
        gets = [self.get(pv, timeout=timeout) for pv in pvs]
        return await asyncio.gather(*gets, return_exceptions=True)

    async def put_many(
        self,
        pvs: Iterable[str | Channel],
        values: Sequence[Any],
        *,
        wait: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """Puts a value to each of many PVs at once: for each ``None`` or its exception."""
        puts = [self.put(pv, value, wait=wait, timeout=timeout) for pv, value in zip(pvs, values)]
        return await asyncio.gather(*puts, return_exceptions=True)

    async def info(self, pv: str | Channel, timeout: float | None = None) -> dict[str, Any]:
        """What is known of a PV, or why it is not there."""
        try:
            await self.connect(pv, timeout)
        except CanterError as error:
            return {**self._channel(pv).info(), "error": error}
        return self._channel(pv).info()

    async def monitor(
        self,
        pv: str | Channel,
        *,
        mask: int = DBE_VALUE | DBE_ALARM,
        count: int = 0,
        depth: int | None = None,
    ) -> AsyncIterator[Any]:
        """Values of a PV as they change. Those that wait for a slow reader are bounded; the oldest make
        room.
        """
        bridge = _bridge()
        waiting: deque = deque(maxlen=depth or DEFAULT_WAITING)
        news = asyncio.Event()

        def take(reading: _canter.Reading) -> None:
            waiting.append(reading.value)
            news.set()

        channel = self._channel(pv)
        key = channel.monitor(
            lambda reading, _: bridge.call(take, reading), mask=mask, count=count, describe=True
        )
        try:
            while True:
                await news.wait()
                news.clear()
                while waiting:
                    yield waiting.popleft()
        finally:
            key.cancel()

    async def close(self) -> None:
        """Ends the client beneath."""
        await asyncio.get_running_loop().run_in_executor(None, self.client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
