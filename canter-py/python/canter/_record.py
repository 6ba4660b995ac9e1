"""Recordings: values of monitors, kept as columns and written to a file as they come."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import _arguments
from ._client import MAX_ROWS
from ._errors import CannotWrite, FileProblem
from ._values import make_plain_array

if TYPE_CHECKING:
    from typing import TextIO

    from ._channel import Channel, Subscription
    from ._client import Client

#: Connects and disconnects that are kept.
MAX_EVENTS = 10_000

#: Column names of a file.
COLUMNS = ("timestamp", "pv", "value", "severity", "status")


class Recording:
    """Values of PVs from its begin until it is closed.

    Each update is a row: when the server made it (nanoseconds since 1970), of which PV, its value (of arrays the
    first element, of texts NaN; the file has them whole), its alarm severity. Rows beyond ``max_rows`` go to the
    file alone, and are counted in ``left_out``.

    Attributes:
        names: of the PVs.
        events: connects and disconnects: nanoseconds since 1970, name, ``connected`` or ``disconnected``.
        skipped: updates that were squashed because too many waited.
        error: what ended it before it was closed: a full disk.
    """

    def __init__(
        self,
        client: Client,
        pvs: str | Channel | Iterable[str | Channel],
        path: str | os.PathLike | None = None,
        *,
        max_rows: int = MAX_ROWS,
        mask: int | None = None,
    ) -> None:
        single = isinstance(pvs, str) or not hasattr(pvs, "__iter__")
        given: list[Any] = [pvs] if single else list(pvs)  # type: ignore[arg-type]
        channels = [client._channel_of(pv) for pv in given]
        self.names = [channel.name for channel in channels]
        self.events: list[tuple[int, str, str]] = []
        self.skipped = self.left_out = 0
        self.error: BaseException | None = None
        self._max_rows = _arguments.whole(max_rows, "max_rows", 0, 10**9)
        self._timestamps, self._places = array("q"), array("I")
        self._numbers, self._severities = array("d"), array("B")
        self._count = 0
        self._closed = False
        self._news = threading.Condition()
        self._file: TextIO | None = None
        self._write: Callable[[tuple], object] | None = None
        if path is not None:
            self._file, self._write = _open(path)
        options: dict[str, Any] = {} if mask is None else {"mask": mask}
        self._subscriptions: list[Subscription] = []
        try:
            for place, channel in enumerate(channels):
                self._subscriptions.append(
                    channel.monitor(self._taker(place), on_connection=self._watcher(place), **options)
                )
        except BaseException:
            self.close()
            raise

    def _taker(self, place: int) -> Callable[[Any], None]:
        return lambda value: self._take(place, value)

    def _watcher(self, place: int) -> Callable[[bool], None]:
        return lambda connected: self._watch(place, connected)

    def _take(self, place: int, value: Any) -> None:
        with self._news:
            if self._closed or self.error is not None:
                return
            reading = value._reading
            stamp = reading.timestamp or 0
            severity = reading.severity or 0
            self._count += 1
            if len(self._timestamps) < self._max_rows:
                self._timestamps.append(stamp)
                self._places.append(place)
                self._numbers.append(_number(value))
                self._severities.append(min(severity, 255))
            else:
                self.left_out += 1
            if self._write is not None:
                row = (stamp, self.names[place], _plain(value), severity, reading.status or 0)
                self._put(row)
            self._news.notify_all()

    def _watch(self, place: int, connected: bool) -> None:
        with self._news:
            if self._closed or self.error is not None:
                return
            word = "connected" if connected else "disconnected"
            now = time.time_ns()
            if len(self.events) < MAX_EVENTS:
                self.events.append((now, self.names[place], word))
            if self._write is not None and not connected:
                self._put((now, self.names[place], None, 3, word))
            self._news.notify_all()

    def _put(self, row: tuple) -> None:
        assert self._write is not None
        try:
            self._write(row)
        except (OSError, ValueError) as error:
            self.error = error

    def wait(self, seconds: float | None = None, *, rows: int | None = None) -> bool:
        """Waits for so many seconds, or until there are so many rows; whether there are.

        Raises:
            OSError: the file could not be written.
        """
        seconds = _arguments.patience(seconds, "seconds")
        with self._news:
            self._news.wait_for(
                lambda: self._closed or self.error is not None or (rows is not None and self._count >= rows),
                seconds,
            )
            if self.error is not None:
                raise self.error
            return rows is not None and self._count >= rows

    def close(self) -> None:
        """Ends it, and writes what is left to the file.

        Raises:
            OSError: the file could not be written.
        """
        for subscription in self._subscriptions:
            subscription.close()
        with self._news:
            if self._closed:
                return
            self._closed = True
            self._news.notify_all()
            if self._file is not None:
                self._file.close()
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Rows that are kept."""
        return len(self._timestamps)

    def _columns(self) -> tuple[array, array, array, array]:
        with self._news:
            return self._timestamps[:], self._places[:], self._numbers[:], self._severities[:]

    @property
    def records(self) -> Any:
        """The rows as a structured array of NumPy: ``timestamp``, ``pv`` (its place in ``names``), ``value``,
        ``severity``.
        """
        import numpy

        columns = self._columns()
        kinds = [("timestamp", "i8"), ("pv", "u4"), ("value", "f8"), ("severity", "u1")]
        table = numpy.zeros(len(columns[0]), dtype=kinds)
        for (name, _), column in zip(kinds, columns):
            table[name] = column
        return table

    def __getitem__(self, pv: str) -> tuple[Any, Any]:
        """Time stamps and values of one PV, as two arrays."""
        if pv not in self.names:
            raise KeyError(f"{pv!r} is not recorded, but {', '.join(self.names[:8])}")
        place = self.names.index(pv)
        stamps, places, numbers, _ = self._columns()
        chosen = [row for row, one in enumerate(places) if one == place]
        times = array("q", [stamps[row] for row in chosen])
        values = array("d", [numbers[row] for row in chosen])
        return make_plain_array(times.tobytes(), "q"), make_plain_array(values.tobytes(), "d")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running"
        return f"<canter.Recording of {len(self.names)} PVs, {self._count} rows, {state}>"


def _number(value: Any) -> float:
    try:
        first = value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value
        return float(first)
    except (TypeError, ValueError, IndexError):
        return float("nan")


def _plain(value: Any) -> Any:
    plain = value._reading.plain
    return plain.tolist() if hasattr(plain, "tolist") else plain


def _open(given: Any) -> tuple[TextIO, Callable[[tuple], object]]:
    """A file, and what writes a row to it.

    Raises:
        FileProblem: there is no such format.
        CannotWrite: it cannot be written.
    """
    # Not with the module: few programs record.
    import csv
    import json

    path = os.fspath(given)
    kind = os.path.splitext(path)[1].lower()
    if kind not in (".csv", ".jsonl"):
        raise FileProblem(
            f"{path!r}: recordings are written as .csv or .jsonl, not {kind or 'without an ending'}",
            remedy="give the file such an ending",
        )
    try:
        file = open(path, "w", newline="", encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotWrite(f"cannot write {path!r}: {why}", remedy="give a file that can be written") from error
    if kind == ".jsonl":
        return file, lambda row: file.write(json.dumps(dict(zip(COLUMNS, row))) + "\n")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)

    def write(row: tuple) -> None:
        stamp, pv, value, *rest = row
        # Arrays are one cell, as in JSON.
        writer.writerow((stamp, pv, json.dumps(value) if isinstance(value, list) else value, *rest))

    return file, write
