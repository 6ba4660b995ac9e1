"""Scans and ramps: set-points that are moved, and what is seen meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _canter
from ._canter import Control
from ._progress import in_notebook, told

if TYPE_CHECKING:
    from ._channel import Channel
    from ._client import Client

__all__ = ["Axis", "Control", "Ramped", "Scan", "ScanRow", "ScanTable"]


class Axis(NamedTuple):
    """A set-point of a scan.

    Attributes:
        pv: the set-point.
        points: where it is put, in its units.
        settle: when it has arrived: ``"completion"`` of the put, so many seconds after it, or the name of its
            read-back.
        tolerance: of the read-back.
        timeout: seconds for the read-back.
    """

    pv: str | Channel
    points: Iterable[float]
    settle: str | float | Channel = "completion"
    tolerance: float = 0.0
    timeout: float | None = None


class ScanRow(NamedTuple):
    """A point of a scan.

    Attributes:
        point: its number, from 0.
        of: how many there are.
        at: where the axes were put.
        read_backs: where their read-backs stood; ``None`` for axes without one.
        values: what was observed, with exceptions in the places of what did not come.
        elapsed: seconds since the scan began.
        timestamp: when it was observed, in nanoseconds since 1970.
    """

    point: int
    of: int
    at: list[float]
    read_backs: list[float | None]
    values: list[Any]
    elapsed: float
    timestamp: int


class Ramped(NamedTuple):
    """What a ramp did: where the set-point stood, where it stands, the steps, the seconds."""

    before: float
    now: float
    steps: int
    elapsed: float


class ScanTable:
    """The rows of a scan that has ended, with columns by the names of the PVs."""

    def __init__(self, axes: Sequence[str], observed: Sequence[str], rows: Sequence[ScanRow]) -> None:
        self.axes = list(axes)
        self.observed = list(observed)
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ScanRow]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Any:
        """A column as an array of doubles: NaN for what did not come or is no number; of an axis where it
        was put.
        """
        if name in self.observed:
            place = self.observed.index(name)
            return _numbers([row.values[place] for row in self.rows])
        if name in self.axes:
            place = self.axes.index(name)
            return _numbers([row.at[place] for row in self.rows])
        known = ", ".join([*self.axes, *self.observed])
        raise KeyError(f"the scan has no {name!r}, but {known}")

    def plot(self, *, axes: Any = None) -> Any:
        """Plots what was observed over the first axis; the axes of matplotlib, which it needs."""
        from ._notebook import plot_scan

        return plot_scan(self, axes)

    @property
    def records(self) -> Any:
        """All of it as a structured array of NumPy: a row for each point, a column for each PV."""
        import numpy

        names = list(dict.fromkeys([*self.axes, *self.observed]))
        table = numpy.zeros(len(self.rows), dtype=[("timestamp", "i8"), *((name, "f8") for name in names)])
        table["timestamp"] = [row.timestamp for row in self.rows]
        for name in names:
            table[name] = self[name]
        return table

    def __repr__(self) -> str:
        return f"<canter.ScanTable of {len(self)} points: {', '.join([*self.axes, *self.observed])}>"


def _numbers(values: Iterable[Any]) -> Any:
    from array import array

    from ._values import make_plain_array

    return make_plain_array(array("d", map(_number, values)).tobytes(), "d")


def _number(value: Any) -> float:
    try:
        first = value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value
        return float("nan") if isinstance(first, BaseException) else float(first)
    except (TypeError, ValueError, IndexError):
        return float("nan")


class Scan:
    """A scan: iterate it for its rows, as they come, or `run` it for all.

    It moves when a row is asked for. Where the iteration is left before its end, and after a failure or an
    abort, the axes are put back as ``restore`` says. It can be iterated once.
    """

    def __init__(
        self,
        client: Client,
        axes: Axis | Iterable[Axis],
        observe: Iterable[str | Channel],
        *,
        dwell: float = 0.0,
        restore: str = "always",
        timeout: float | None = None,
        control: Control | None = None,
    ) -> None:
        if isinstance(axes, Axis):
            axes = [axes]
        made = [_axis(client, axis) for axis in axes]
        observed = [client._channel_of(pv) for pv in observe]
        self.axes = [channel.name for channel, _, _ in made]
        self.observed = [channel.name for channel in observed]
        #: How many there are.
        self.points = math.prod(len(points) for _, points, _ in made)
        #: Pauses, resumes and aborts it, from any thread.
        self.control = control or Control()
        self._rows: _canter.Rows = client._core.scan(
            [(channel._core, points, settle) for channel, points, settle in made],
            [channel._core for channel in observed],
            dwell=dwell,
            restore=restore,
            timeout=timeout,
            control=self.control,
        )

    def __iter__(self) -> Iterator[ScanRow]:
        done = False
        try:
            while (row := self._rows.next()) is not None:
                yield ScanRow(*row)
            done = True
        except GeneratorExit:
            raise
        except BaseException as error:
            # What it ended with has put the axes back; what came from elsewhere, as Ctrl-C, has not.
            done = isinstance(error, Exception)
            raise
        finally:
            if not done:
                self._put_back()

    def _put_back(self) -> None:
        self.control.abort()
        try:
            while self._rows.next() is not None:
                pass
        except Exception:  # noqa: BLE001, S110 - it says that it was aborted
            pass

    def run(self, progress: Callable[[ScanRow], object] | bool | None = None) -> ScanTable:
        """Goes through all points.

        Args:
            progress: is called with each row; true shows a bar, as does a notebook by itself unless it is false.
        """
        bar = None
        if not callable(progress):
            wanted = in_notebook() if progress is None else progress
            bar = told(wanted, f"scan of {', '.join(self.axes)}", self.points)
        rows: list[ScanRow] = []
        if bar is not None:
            bar(0, self.points)
        for row in self:
            rows.append(row)
            if callable(progress):
                progress(row)
            elif bar is not None:
                bar(len(rows), self.points)
        return ScanTable(self.axes, self.observed, rows)

    def __repr__(self) -> str:
        return f"<canter.Scan of {', '.join(self.axes)} observing {', '.join(self.observed)}>"


def _axis(client: Client, axis: Axis) -> tuple[Channel, list[float], tuple]:
    if not isinstance(axis, Axis):
        axis = Axis(*axis)
    points = [float(point) for point in axis.points]
    channel = client._channel_of(axis.pv)
    if axis.settle == "completion":
        return channel, points, ("completion",)
    if isinstance(axis.settle, (int, float)):
        return channel, points, ("time", float(axis.settle))
    read_back = client._channel_of(axis.settle)
    return channel, points, ("read_back", read_back._core, float(axis.tolerance), axis.timeout)
