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
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from . import _arguments, _canter
from ._batch import _without_collector
from ._client import (
    DBE_ALARM,
    DBE_VALUE,
    DEFAULT_WAITING,
    Channel,
    Client,
    _equal,
    _match,
    _until,
)
from ._errors import UNNAMED, CanterError, Closed, Unmatched, asked_beside, named
from ._explain import Explanation
from ._group import Group, RestoreReport, report_of
from ._loops import _begin, _begin_put, _bridge, _waiter
from ._record import Recording
from ._scan import Axis, Control, Ramped, ScanRow


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
        return self.client._channel_of(pv)._core

    async def connect(self, pv: str | Channel, timeout: float | None = None) -> None:
        """Waits until the PV can be used."""
        await _begin(self.client, self._channel(pv).start_connect, timeout)

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
        core = self._channel(pv)
        try:
            return await _begin(
                self.client, core.start_read, timeout, dbr=dbr, family=family, count=count, describe=describe
            )
        except (Closed, *UNNAMED) as error:
            raise named(error, "read", core.name) from None

    async def get(self, pv: str | Channel, *, timeout: float | None = None, count: int = 0) -> Any:
        """The value of a PV; see `canter.Channel.get`."""
        client = self.client
        # hot: most gets are of a name that is known.
        channel = client._channels.get(pv) if type(pv) is str else None
        core = (channel or client._channel_of(pv))._core
        try:
            reading = await _begin(client, core.start_read, timeout, count=count, describe=True)
        except (Closed, *UNNAMED) as error:
            raise named(error, "read", core.name) from None
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
        core = self._channel(pv)
        try:
            await _begin_put(self.client, core.start_put, value, _until(wait, check), timeout)
        except (Closed, *UNNAMED) as error:
            raise named(error, "write", core.name) from None

    @asked_beside
    async def get_many(self, pvs: Iterable[str | Channel], *, timeout: float | None = None) -> list[Any]:
        """Gets many PVs at once: values, and exceptions in the places of what did not come."""
        channels = [channel._core for channel in self.client._channels_of(pvs)]
        future, done = self._waiter()
        self.client._core.get_many(channels, timeout, describe=True, callback=done)
        return _without_collector((await future).all)

    @asked_beside
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
        name = self.client._channel_of(pv).name
        most = DEFAULT_WAITING if depth is None else _arguments.whole(depth, "depth", 1, 2**31, name)
        waiting: deque = deque(maxlen=most)
        news = asyncio.Event()

        def take(reading: _canter.Reading) -> None:
            waiting.append(reading.value)
            news.set()

        self.client._dispatcher.ensure()
        channel = self._channel(pv)
        try:
            key = channel.monitor(
                lambda reading, _: bridge.call(take, reading), mask=mask, count=count, describe=True
            )
        except (Closed, *UNNAMED) as error:
            raise named(error, "monitor", name) from None
        try:
            while True:
                await news.wait()
                news.clear()
                while waiting:
                    yield waiting.popleft()
        finally:
            key.cancel()

    async def wait_until(
        self, pv: str | Channel, condition: Callable[[Any], bool] | Any, *, timeout: float | None = None
    ) -> Any:
        """Waits until a PV has a value, or one that satisfies a condition; gives it.

        Raises:
            Unmatched: it did not in time.
        """
        matches = condition if callable(condition) else lambda value: _equal(value, condition)
        timeout = _arguments.patience(timeout, pv=self.client._channel_of(pv).name)
        last: Any = None

        async def wait() -> Any:
            nonlocal last
            updates = self.monitor(pv)
            try:
                async for last in updates:
                    if matches(last):
                        return last
            finally:
                await updates.aclose()  # type: ignore[attr-defined]

        try:
            return await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError:
            name = self.client._channel_of(pv).name
            raise Unmatched(
                f'"{name}" is not what was waited for after {timeout} s: it is {last!r}',
                pv=name,
                elapsed=timeout or 0.0,
                remedy="wait longer, or look at what drives it",
            ) from None

    @asked_beside
    async def put_and_match(
        self,
        pv: str | Channel,
        value: Any,
        readback: str | Channel,
        *,
        tolerance: float = 0.0,
        hold: float = 0.0,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Puts a value and waits until another PV has it; see `canter.Client.put_and_match`."""
        rows = [(pv, value, readback, tolerance)]
        return (await self.put_and_match_many(rows, hold=hold, wait=wait, timeout=timeout))[0]

    @asked_beside
    async def put_and_match_many(
        self,
        rows: Iterable[Sequence[Any]],
        *,
        compare: bool = False,
        number: int | None = None,
        hold: float = 0.0,
        wait: bool = False,
        timeout: float | None = None,
        trigger: tuple[str | Channel, Any] | None = None,
    ) -> list[Any]:
        """Puts many values and waits until they are seen; see `canter.Client.put_and_match_many`."""
        made, options = _match(self.client, rows, compare, number, hold, wait, timeout, trigger)
        future, done = self._waiter()
        self.client._core.match_many(made, **options, callback=done)
        return (await future)["levels"]

    @asked_beside
    async def ramp(
        self,
        pv: str | Channel,
        to: float,
        *,
        steps: int | None = None,
        rate: float | None = None,
        step_size: float | None = None,
        period: float | None = None,
        read_back: str | Channel | None = None,
        tolerance: float = 0.0,
        wait: bool = False,
        timeout: float | None = None,
        control: Control | None = None,
    ) -> Ramped:
        """Moves a set-point step by step; see `canter.Client.ramp`. Cancelled, it goes no further."""
        control = control or Control()
        future, done = self._waiter()
        follows = None if read_back is None else self._channel(read_back)
        self.client._core.ramp(
            self._channel(pv), to, steps=steps, rate=rate, step_size=step_size, period=period,
            read_back=follows, tolerance=tolerance, wait=wait, timeout=timeout, control=control, callback=done,
        )  # fmt: skip
        try:
            return Ramped(*await future)
        except asyncio.CancelledError:
            control.abort()
            raise

    async def scan(
        self,
        axes: Axis | Iterable[Axis],
        observe: Iterable[str | Channel],
        *,
        dwell: float = 0.0,
        restore: str = "always",
        timeout: float | None = None,
        control: Control | None = None,
    ) -> AsyncIterator[ScanRow]:
        """A scan of set-points through points, row by row; see `canter.Client.scan`. Close the iterator
        (``contextlib.aclosing``) to leave it early: then the axes are put back.
        """
        scan = self.client.scan(axes, observe, dwell=dwell, restore=restore, timeout=timeout, control=control)

        async def next_row() -> Any:
            future, done = self._waiter()
            scan._rows.next(done)
            return await future

        done = False
        try:
            while (row := await next_row()) is not None:
                yield ScanRow(*row)
            done = True
        except (CanterError, ValueError):
            # What it ended with has put the axes back.
            done = True
            raise
        finally:
            if not done:
                scan.control.abort()
                try:
                    while await next_row() is not None:
                        pass
                except CanterError:
                    pass

    def record(
        self, pvs: str | Channel | Iterable[str | Channel], path: Any = None, **options: Any
    ) -> Recording:
        """Records changes of PVs; see `canter.Client.record`. Wait with ``asyncio.to_thread(recording.wait)``."""
        return self.client.record(pvs, path, **options)

    def group(self, name: str, members: Iterable[Any]) -> AsyncGroup:
        """A group of PVs; see `canter.Client.group`."""
        return AsyncGroup(self, self.client.group(name, members))

    def load_groups(self, path: Any) -> dict[str, AsyncGroup]:
        """The groups of a file in TOML, by their names."""
        return {name: AsyncGroup(self, group) for name, group in self.client.load_groups(path).items()}

    @asked_beside
    async def restore(
        self, path: Any, *, dry_run: bool = False, partial: bool = False, timeout: float | None = None
    ) -> RestoreReport:
        """Brings a snapshot of a group back; see `canter.Client.restore`."""
        future, done = self._waiter()
        self.client._core.restore(path, timeout, dry_run=dry_run, partial=partial, callback=done)
        return report_of(await future)

    async def explain(self, pv: str | Channel, timeout: float | None = None) -> Explanation:
        """Finds out why a PV does not connect; see `canter.Client.explain`."""
        return await asyncio.to_thread(self.client.explain, pv, timeout)

    def _waiter(self) -> tuple[asyncio.Future, Any]:
        self.client._dispatcher.ensure()
        return _waiter()

    async def close(self) -> None:
        """Ends the client beneath."""
        await asyncio.get_running_loop().run_in_executor(None, self.client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncGroup:
    """A group of PVs; see `canter.Group`."""

    def __init__(self, client: AsyncClient, group: Group) -> None:
        self._client = client
        self.group = group

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def names(self) -> list[str]:
        """What the members are called."""
        return self.group.names

    async def get(self, *, timeout: float | None = None) -> dict[str, Any]:
        """All values at once, by the names of the members; exceptions in the places of what did not come."""
        values = await self._client.get_many(self.group._channels, timeout=timeout)
        return dict(zip(self.group.members, values))

    async def put(
        self, values: Mapping[str, Any], *, wait: bool = False, timeout: float | None = None
    ) -> dict[str, CanterError | None]:
        """Puts values by the names of members, all at once: for each ``None``, or its exception."""
        pvs = [self.group._member(name).pv for name in values]
        errors = await self._client.put_many(pvs, list(values.values()), wait=wait, timeout=timeout)
        return dict(zip(values, errors))

    async def snapshot(self, path: Any, *, timeout: float | None = None) -> dict[str, str]:
        """Keeps all values in a file; see `canter.Group.snapshot`."""
        rows = [tuple(member) for member in self.group.members.values()]
        future, done = self._client._waiter()
        self._client.client._core.snapshot(self.group.name, rows, path, timeout, callback=done)
        return dict(await future)

    async def restore(
        self, path: Any, *, dry_run: bool = False, partial: bool = False, timeout: float | None = None
    ) -> RestoreReport:
        """Brings a snapshot back; see `canter.Client.restore`."""
        return await self._client.restore(path, dry_run=dry_run, partial=partial, timeout=timeout)

    def __repr__(self) -> str:
        return f"<canter.aio.AsyncGroup {self.name!r} of {len(self.group)} PVs>"
