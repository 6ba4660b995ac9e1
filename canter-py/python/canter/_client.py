"""The native face: the client, blocking."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from . import _canter
from ._batch import Results
from ._channel import (
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    DEFAULT_WAITING,
    Channel,
    Subscription,
    _until,
)
from ._dispatch import Dispatcher, report
from ._errors import UNNAMED, BadRequest, CanterError, Unmatched, asked, unusable
from ._updates import ManySubscription, Updates

# What few programs use is imported where it is used, and `typing` by nobody: a program starts sooner.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._explain import Explanation
    from ._group import Group, RestoreReport
    from ._loops import _Jobs
    from ._record import Recording
    from ._scan import Axis, Control, Ramped, Scan

#: Rows of a recording that are kept in memory, 25 bytes each: about 25 MB.
MAX_ROWS = 1_000_000

#: Lists of PVs from this length on have a bar by themselves, in a notebook.
LONG = 1000

#: Channels that a client keeps open for names that were used.
MAX_KEPT_CHANNELS = 1_000_000


class Client:
    """A client of Channel Access. What is not given comes from the environment (``EPICS_CA_ADDR_LIST``
    and the like) when it starts, with its first use.

    It can be used from any thread, and after a fork: the child opens anew what it uses.

    Args:
        environ: variables in the place of the environment of the process.
        addr_list: where searches go to, as ``EPICS_CA_ADDR_LIST``.
        auto_addr_list: whether they go to the broadcast addresses of this host as well.
        name_servers: addresses with ports that are asked over TCP.
        timeout: default for all operations, in seconds.
        priority: of its circuits, 0 to 99.
        read_only: refuse all puts.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            self._core = _canter.Client(**settings)
        except UNNAMED as error:
            raise unusable(error, settings) from None
        self._dispatcher = Dispatcher(self._core)
        self._channels: OrderedDict[str, Channel] = OrderedDict()
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription | ManySubscription] = set()
        # Of the loop of asyncio that used it last.
        self._loop_jobs: weakref.ref[_Jobs] | None = None
        self._end = weakref.finalize(self, _canter.Client.close, self._core)
        self._end.atexit = False

    def channel(self, name: str) -> Channel:
        """The channel of a name, the same for all who ask."""
        try:
            channel = self._channels.get(name)
        except TypeError:
            channel = None
        if channel is not None:
            return channel
        if not isinstance(name, str):
            raise TypeError(f"the name of a PV is a str, not a {type(name).__name__}")
        made = Channel(self, name)
        with self._lock:
            channel = self._channels.setdefault(name, made)
            if len(self._channels) > MAX_KEPT_CHANNELS:
                self._channels.popitem(last=False)
        return channel

    def _channels_of(self, pvs: Iterable[str | Channel]) -> list[Channel]:
        """The channels of many; those that are new are opened together."""
        pvs = list(pvs)
        known = self._channels.get
        try:
            found: list[Any] = list(map(known, pvs))  # type: ignore[arg-type]
        except TypeError:
            # What cannot be looked up is told below.
            found = []
        # hot: most lists are of names that are known.
        if found and all(found):
            return found
        found = [known(pv) if type(pv) is str else self._channel_of(pv) for pv in pvs]
        new = [pv for pv, channel in zip(pvs, found) if channel is None]
        if new:
            self._open(new)
        return [self._channel_of(pv) if one is None else one for pv, one in zip(pvs, found)]

    def _open(self, names: list) -> None:
        cores = self._core.channels(names)
        with self._lock:
            channels = self._channels
            for name, core in zip(names, cores):
                if name not in channels:
                    channels[name] = Channel(self, name, core=core)
            while len(channels) > MAX_KEPT_CHANNELS:
                channels.popitem(last=False)

    def _channel_of(self, pv: str | Channel) -> Channel:
        return pv if isinstance(pv, Channel) else self.channel(pv)

    def get(self, pv: str | Channel, **options: Any) -> Any:
        """The value of a PV; see `Channel.get`."""
        return self._channel_of(pv).get(**options)

    def put(self, pv: str | Channel, value: Any, **options: Any) -> None:
        """Puts a value to a PV; see `Channel.put`."""
        self._channel_of(pv).put(value, **options)

    def monitor(
        self, pv: str | Channel, callback: Callable[[Any], object] | None = None, **options: Any
    ) -> Subscription:
        """Monitors a PV; see `Channel.monitor`."""
        return self._channel_of(pv).monitor(callback, **options)

    @asked
    def monitor_many(
        self, pvs: Iterable[str | Channel], callback: Callable[[Updates], object], **options: Any
    ) -> ManySubscription:
        """Monitors many PVs with one callback, which is called with all that has come since it was called last: columns
        of a million updates per second cost what as many callbacks never could.

        Args:
            on_connection: is told the names of PVs that connect (true) and disconnect (false).
            mask, depth, policy: as of `Channel.monitor`, for each PV.
        """
        return ManySubscription(self, pvs, callback, **options)

    def info(self, pv: str | Channel, timeout: float | None = None) -> dict[str, Any]:
        """What is known of a PV: it is waited for, and if it does not come, this tells why."""
        channel = self._channel_of(pv)
        try:
            channel.connect(timeout)
        except CanterError as error:
            known = channel.info()
            known["error"] = error
            return known
        return channel.info()

    def connect(self, pvs: str | Channel | Iterable[str | Channel], timeout: float | None = None) -> Any:
        """Connects one PV, or many at once: for those gives ``None`` or the exception, in their order."""
        if isinstance(pvs, (str, Channel)):
            return self._channel_of(pvs).connect(timeout)
        channels = [channel._core for channel in self._channels_of(pvs)]
        return self._core.connect_many(channels, timeout)

    @asked
    def get_many(
        self,
        pvs: Iterable[str | Channel],
        *,
        timeout: float | None = None,
        count: int = 0,
        throw: bool = False,
        describe: bool = False,
        progress: bool | Callable[[int, int], object] | None = None,
    ) -> Results:
        """Gets many PVs at once under one deadline: each gives its value or its own exception.

        Args:
            throw: raise the first exception; what came is in its attribute ``results``.
            describe: have units, limits and state texts along with the values, too.
            progress: true shows a bar of how many are connected, a function is told it (``done, of``); by itself lists
                of 1000 and more have a bar in notebooks.
        """
        cores = [channel._core for channel in self._channels_of(pvs)]

        def work() -> _canter.Batch:
            return self._core.get_many(cores, timeout, count=count, describe=describe)

        if progress is False or (progress is None and len(cores) < LONG):
            batch = work()
        else:
            from ._progress import told, watched

            tell = told(progress, "get", len(cores))
            if tell is None:
                batch = work()
            else:
                batch = watched(work, lambda: sum(core.connected for core in cores), len(cores), tell)
        results = Results(batch)
        return results.check() if throw else results

    @asked
    def put_many(
        self,
        pvs: Iterable[str | Channel],
        values: Sequence[Any] | Any,
        *,
        wait: bool = False,
        check: bool = True,
        timeout: float | None = None,
    ) -> list[CanterError | None]:
        """Puts a value to each of many PVs at once: for each ``None``, or its exception."""
        channels = [channel._core for channel in self._channels_of(pvs)]
        return self._core.put_many(channels, list(values), _until(wait, check), timeout)

    def wait_until(
        self, pv: str | Channel, condition: Callable[[Any], bool] | Any, *, timeout: float | None = None
    ) -> Any:
        """Waits until a PV has a value, or one that satisfies a condition; gives it.

        Raises:
            Unmatched: it did not in time.
        """
        matches = condition if callable(condition) else lambda value: _equal(value, condition)
        channel = self._channel_of(pv)
        if self._dispatcher.is_current():
            raise BadRequest(
                f'"{channel.name}" cannot be waited for in a callback: its updates come to this thread',
                pv=channel.name,
                remedy="use put_and_match_many with None as the set-point, or another thread",
            )
        deadline = _deadline(timeout, channel.name)
        last = None
        with channel.monitor() as updates:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
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

    def put_and_match(
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
        """Puts a value and waits until another PV has it, within a tolerance; gives what that has.

        Both are connected, and the value is one that can match, before it is put.

        Args:
            hold: seconds for which it must go on having it.
            wait: put with completion.
        """
        rows = [(pv, value, readback, tolerance)]
        return self.put_and_match_many(rows, hold=hold, wait=wait, timeout=timeout)[0]

    @asked
    def put_and_match_many(
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
        """Puts many values and waits until their read-backs have them at the same time; gives where those stand.

        Args:
            rows: set-point, value, read-back, and the tolerance if it is not 0. With ``None`` for the set-point
                nothing is put.
            compare: leave alone what has its value already.
            number: so many of them suffice.
            hold: seconds for which they must go on.
            wait: put with completion.
            trigger: a PV and its value, which is put behind all others.
        """
        made, options = _match(self, rows, compare, number, hold, wait, timeout, trigger)
        return self._core.match_many(made, **options)["levels"]

    @asked
    def ramp(
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
        """Moves a set-point step by step. Limits and rights are looked at before it moves.

        Args:
            steps: so many equal ones (10), or:
            rate: units per second, or:
            step_size: in units.
            period: seconds between two steps (0.1), more if the read-back or completion takes longer.
            read_back: has to have followed, up to the tolerance, before each further step.
            wait: for the completion of each put.
            control: pauses, resumes and aborts it from another thread.
        """
        follows = None if read_back is None else self._channel_of(read_back)._core
        done = self._core.ramp(
            self._channel_of(pv)._core, to, steps=steps, rate=rate, step_size=step_size, period=period,
            read_back=follows, tolerance=tolerance, wait=wait, timeout=timeout, control=control,
        )  # fmt: skip
        from ._scan import Ramped

        return Ramped(*done)

    @asked
    def scan(
        self,
        axes: Axis | Iterable[Axis],
        observe: Iterable[str | Channel],
        *,
        dwell: float = 0.0,
        restore: str = "always",
        timeout: float | None = None,
        control: Control | None = None,
    ) -> Scan:
        """A scan of set-points through points: iterate it, or `Scan.run` it.

        Everything that can be known is known before something moves: that all PVs are there, that all points are
        within the limits, that they may be written.

        Args:
            axes: one `Axis` or several; the first is the slowest.
            observe: PVs that are read at each point.
            dwell: seconds between settling and reading.
            restore: when the axes are put back where they stood: ``always``, ``on_failure`` or ``never``.
            control: pauses, resumes and aborts it from another thread.
        """
        from ._scan import Scan

        return Scan(self, axes, observe, dwell=dwell, restore=restore, timeout=timeout, control=control)

    def record(
        self,
        pvs: str | Channel | Iterable[str | Channel],
        path: Any = None,
        *,
        max_rows: int = MAX_ROWS,
        mask: int | None = None,
    ) -> Recording:
        """Records changes of PVs until it is closed: as columns, and to a file (``.csv`` or ``.jsonl``)."""
        from ._record import Recording

        return Recording(self, pvs, path, max_rows=max_rows, mask=mask)

    @asked
    def group(self, name: str, members: Iterable[Any]) -> Group:
        """A group of PVs, given by their names or as `Member`."""
        from ._group import Group

        return Group(self, name, members)

    @asked
    def load_groups(self, path: Any) -> dict[str, Group]:
        """The groups of a file in TOML, by their names.

        Raises:
            FileProblem: all mistakes of the file, with their lines.
        """
        from ._group import load

        return load(self, path)

    @asked
    def restore(
        self, path: Any, *, dry_run: bool = False, partial: bool = False, timeout: float | None = None
    ) -> RestoreReport:
        """Brings a snapshot of `Group.snapshot` back, by turns, and compares.

        Args:
            dry_run: only say what differs.
            partial: put what can be put, also when not all is there.
        """
        found = self._core.restore(path, timeout, dry_run=dry_run, partial=partial)
        from ._group import report_of

        return report_of(found)

    @asked
    def explain(self, pv: str | Channel, timeout: float | None = None) -> Explanation:
        """Finds out why a PV does not connect: it is searched anew, and every step is written down."""
        name = pv.name if isinstance(pv, Channel) else pv
        from ._explain import Explanation

        return Explanation(name, *self._core.explain(name, timeout))

    def config(self) -> str:
        """The configuration in use, one setting per line with its origin."""
        return self._core.config()

    def stats(self) -> dict[str, int]:
        """What the client holds: channels, circuits, subscriptions."""
        return self._core.stats()

    def close(self) -> None:
        """Ends all channels and subscriptions, and what waits."""
        self._end()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _deadline(timeout: float | None, pv: str) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise BadRequest(
            f'cannot wait for "{pv}": a time-out of {timeout!r} s', pv=pv, remedy="give seconds from 0 on, or None for ever"
        )
    return time.monotonic() + min(timeout, 1e9)


def _match(
    client: Client,
    rows: Iterable[Sequence[Any]],
    compare: bool,
    number: int | None,
    hold: float,
    wait: bool,
    timeout: float | None,
    trigger: tuple[str | Channel, Any] | None,
) -> tuple[list, dict[str, Any]]:
    """What `match_many` of the core takes."""
    made = []
    for pv, value, readback, *rest in rows:
        setting = None if pv is None else client._channel_of(pv)._core
        tolerance = float(rest[0]) if rest else 0.0
        condition = ("text", value) if isinstance(value, str) else ("near", float(value), tolerance)
        made.append((setting, value, client._channel_of(readback)._core, condition))
    last = None if trigger is None else (client._channel_of(trigger[0])._core, trigger[1])
    options = {
        "compare": compare, "number": number, "hold": hold, "wait": wait, "timeout": timeout, "trigger": last,
    }  # fmt: skip
    return made, options


def _equal(value: Any, wanted: Any) -> bool:
    equal = value == wanted
    return bool(equal.all()) if hasattr(equal, "all") else bool(equal)


__all__ = [
    "Channel",
    "Client",
    "DBE_ALARM",
    "DBE_LOG",
    "DBE_PROPERTY",
    "DBE_VALUE",
    "DEFAULT_WAITING",
    "Subscription",
    "_until",
    "report",
]
