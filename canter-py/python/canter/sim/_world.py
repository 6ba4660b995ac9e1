"""A virtual world: clients and IOCs without sockets, and a clock that moves when it is told."""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import _arguments, _canter
from .._channel import _END, Channel, Subscription
from .._client import Client, _equal
from .._dispatch import report
from .._errors import Closed, bad
from ._ioc import IOC


class World:
    """A world of its own: IOCs and clients that meet on a network in memory.

    Time stands still, but while something is waited for and in `run`: an hour passes in a blink. The same seed gives
    the same messages at the same times. Callbacks run in the thread that waits.

    Args:
        seed: of all that is random.
        shuffled: the seed also chooses among things that may come in any order, so that each seed is another story.
    """

    def __init__(self, seed: int = 0, *, shuffled: bool = False) -> None:
        if not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise bad(f"seed={seed!a}: give a whole number from 0 to 2**64 - 1")
        self._core = _canter.World(seed, shuffled)
        # In the order in which they came, so that the same seed is the same story.
        self._iocs: list[_WorldIOC] = []
        self._clients: list[_WorldClient] = []
        self._addresses = (f"10.0.0.{n}" for n in itertools.count(1))
        self._due: list[tuple[float, int, float, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._closed = False
        pump = weakref.WeakMethod(self._pump)

        def call() -> None:
            found = pump()
            if found is not None:
                found()

        self._core.set_pump(call)

    # ---- Who lives in it. ----

    def _next_address(self) -> str:
        address = next(self._addresses)
        if address == "10.0.0.255":
            raise RuntimeError("a world has room for 254 hosts")
        return address

    def ioc(self, pvs: Any = None, **settings: Any) -> IOC:
        """An IOC in this world; settings are those of `canter.sim.IOC`, but for addresses and loops.

        Functions that decide puts are plain functions, or coroutine functions that wait for nothing.
        """
        return _WorldIOC(self, pvs, settings)

    def client(self, **settings: Any) -> Client:
        """A client in this world, with all the words of `canter.Client`; it finds all IOCs that there are when it is
        first used."""
        return _WorldClient(self, settings)

    # ---- Time. ----

    @property
    def now(self) -> float:
        """Seconds since its begin."""
        return self._core.now()

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + _arguments.span(seconds)
        while self._due and self._due[0][0] <= end:
            at, _, period, function = heapq.heappop(self._due)
            self._core.sleep(max(0.0, at - self.now))
            try:
                function()
            except Exception as error:  # noqa: BLE001 - whatever it raises is its own
                report(error, function)
            if period:
                heapq.heappush(self._due, (at + period, next(self._numbers), period, function))
        self._core.sleep(max(0.0, end - self.now))

    def after(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function once, so many seconds from now, in `run`."""
        seconds = _arguments.span(seconds)
        _arguments.function(function, "function")
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), 0.0, function))

    def every(self, period: float, function: Callable[[], object]) -> None:
        """Calls a function each period in seconds, in `run`."""
        period = _arguments.period(period)
        _arguments.function(function, "function")
        heapq.heappush(self._due, (self.now + period, next(self._numbers), period, function))

    # ---- The network. ----

    def cut(self, one: Any, other: Any) -> None:
        """Cuts the way between two of its IOCs and clients: datagrams are lost, circuits stand still."""
        self._core.partition(one._address, other._address, True)

    def mend(self, one: Any, other: Any) -> None:
        """Mends what was cut."""
        self._core.partition(one._address, other._address, False)

    @property
    def trace(self) -> list[str]:
        """What passed so far: one message per line."""
        return self._core.trace()

    # ---- What comes for Python. ----

    def _pump(self) -> None:
        more = True
        while more:
            more = False
            for ioc in list(self._iocs):
                more |= ioc._pump()
            for client in list(self._clients):
                more |= client._pump()

    def close(self) -> None:
        """Ends all that lives in it."""
        if self._closed:
            return
        self._closed = True
        for client in list(self._clients):
            client.close()
        for ioc in list(self._iocs):
            ioc.close()
        self._due.clear()
        self._clients.clear()
        self._iocs.clear()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<canter.sim.World at {self.now:.6f} s>"


@contextmanager
def world(seed: int = 0, *, shuffled: bool = False) -> Iterator[World]:
    """A `World` for a ``with`` statement.

    >>> from canter import sim
    >>> with sim.world(seed=7) as w:
    ...     ioc = w.ioc({"x": 1.5})
    ...     client = w.client()
    ...     values = []
    ...     subscription = client.monitor("x", values.append)
    ...     w.run(3600)
    ...     ioc["x"].post(2.5)
    ...     w.run(1)
    ...     [float(value) for value in values], client.get("x"), w.now > 3600
    ([1.5, 2.5], 2.5, True)
    """
    made = World(seed, shuffled=shuffled)
    try:
        yield made
    finally:
        made.close()


class _WorldIOC(IOC):
    def __init__(self, world: World, pvs: Any, settings: dict[str, Any]) -> None:
        for word in ("interface", "tcp_port", "udp_port", "loop"):
            if word in settings:
                raise TypeError(f"{word}: in a world, IOCs have addresses of their own and no loops")
        self._world = world
        self._address = world._next_address()
        super().__init__(
            pvs, interface=self._address, udp_port=5064, tcp_port=5064, _world=world._core, **settings
        )
        world._iocs.append(self)

    def model(self, function: Any, *, period: float | None = 0.1, **options: Any) -> Any:
        if period is not None:
            period = _arguments.period(period)
        model = super().model(function, period=None, **options)
        if period is not None:
            began = self._world.now
            self._world.every(period, lambda: model.step(self._world.now - began))
        return model

    def _pump(self) -> bool:
        told = self._core.take_told()
        for one in told:
            self._desk.turn(one)
        return bool(told)

    def client(self, **settings: Any) -> Client:
        return self._world.client(**settings)

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        raise RuntimeError("this IOC lives in a world: only the clients of that find it")
        yield {}


class _Inline:
    """Instead of the thread that runs callbacks: the world runs them."""

    def __init__(self, core: _canter.Client) -> None:
        self._core = core
        self.deliveries: _canter.Deliveries | None = None
        self.busy = False

    def ensure(self) -> None:
        if self.deliveries is None:
            self.deliveries = self._core.deliveries()

    def is_current(self) -> bool:
        return self.busy

    def settle(self) -> None:
        """What comes is delivered by who waits, before it goes on."""


class _WorldClient(Client):
    def __init__(self, world: World, settings: dict[str, Any]) -> None:
        self._world = world
        self._address = world._next_address()
        iocs = " ".join(f"{ioc._address}:5064" for ioc in world._iocs)
        given = {"addr_list": iocs or "10.0.0.255", "auto_addr_list": False, "environ": {}, "user": "user",
                 "host": "host", **settings}  # fmt: skip
        super().__init__(world=world._core, address=self._address, repeater_port=0, **given)
        self._dispatcher = _Inline(self._core)  # type: ignore[assignment]
        world._clients.append(self)

    def _pump(self) -> bool:
        inline: Any = self._dispatcher
        if inline.deliveries is None or inline.busy:
            return False
        calls = inline.deliveries.take()
        inline.busy = True
        any_call = False
        try:
            for function, args in calls:
                any_call = True
                try:
                    function(*args)
                except BaseException as error:  # noqa: BLE001 - whatever a callback raises is its own
                    report(error, function)
        finally:
            inline.busy = False
        return any_call

    def monitor(self, pv: str | Channel, callback: Any = None, **options: Any) -> Subscription:
        subscription = super().monitor(pv, callback, **options)
        if callback is None:
            subscription.__class__ = _WorldSubscription
        return subscription

    def wait_until(self, pv: str | Channel, condition: Any, *, timeout: float | None = None) -> Any:
        from .._errors import Unmatched

        matches = condition if callable(condition) else lambda value: _equal(value, condition)
        channel = self._channel_of(pv)
        end = None if timeout is None else self._world.now + timeout
        last = None
        with self.monitor(channel) as updates:
            while True:
                left = None if end is None else max(0.0, end - self._world.now)
                try:
                    last = updates.get(left)
                except TimeoutError:
                    break
                if matches(last):
                    return last
        raise Unmatched(
            f'"{channel.name}" is not what was waited for after {timeout} s: it is {last!r}',
            pv=channel.name,
            elapsed=timeout or 0.0,
            remedy="wait longer, or look at what drives it",
        )


class _WorldSubscription(Subscription):
    #: Seconds that pass between two looks.
    _STEP = 0.01
    #: Seconds after which a wait without end gives up: nothing more will come.
    _PATIENCE = 86_400.0

    def get(self, timeout: float | None = None) -> Any:
        world: World = self.channel._client._world  # type: ignore[attr-defined]
        assert self._waiting is not None
        end = world.now + (self._PATIENCE if timeout is None else timeout)
        step = self._STEP
        while self._waiting.empty():
            left = end - world.now
            if left <= 0.0:
                raise TimeoutError(f'no update of "{self.channel.name}" within {timeout} s')
            world.run(min(step, left))
            step = min(2 * step, 60.0) if timeout is None else step
        value = self._waiting.get_nowait()

        if value is _END:
            self._waiting.put(_END)
            raise Closed(f'the subscription to "{self.channel.name}" was closed', pv=self.channel.name)
        return value
