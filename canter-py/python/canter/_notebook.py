"""What notebooks show: PVs with their alarm colours and what they did, groups and results as tables, plots."""

from __future__ import annotations

import html
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ._errors import CanterError

if TYPE_CHECKING:
    from ._channel import Channel

#: Values of a PV that are kept for its line.
KEPT = 300
#: Rows of a table; of more, the first ones are shown.
ROWS = 100
#: Points of a line.
_POINTS = 120
#: Seconds for a value that is to be shown.
PATIENCE = 2.0

#: Backgrounds and names of severities; those are the colours of the field.
_COLOURS = {0: "#2e9e4f", 1: "#e0b000", 2: "#d03030", 3: "#b030b0"}
_DISCONNECTED = "#808080"
_WORDS = {0: "", 1: "MINOR", 2: "MAJOR", 3: "INVALID"}


class Trail:
    """The last values of a PV since it was shown for the first time, kept by a monitor."""

    def __init__(self, channel: Channel) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._subscription = channel.monitor(self._take)

    def _take(self, value: Any) -> None:
        number = number_of(value)
        if number is not None and value.timestamp is not None:
            with self._lock:
                self._kept.append((value.timestamp / 1e9, number))

    def points(self) -> list[tuple[float, float]]:
        """Seconds since 1970 and values, oldest first."""
        with self._lock:
            return list(self._kept)

    def close(self) -> None:
        """Ends it."""
        self._subscription.close()


def number_of(value: Any) -> float | None:
    """A value as a number; ``None`` for texts and arrays."""
    if isinstance(value, str) or hasattr(value, "__len__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def text_of(value: Any) -> str:
    """A value as it is shown: with its digits, the text of its state, the beginning of an array."""
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:77]}…"
    if hasattr(value, "__len__"):
        shown = ", ".join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in value[:4])
        return f"[{shown}{', …' if len(value) > 4 else ''}] {len(value)} elements"
    number = number_of(value)
    precision = getattr(value, "precision", None)
    if number is None or getattr(value, "native", "") not in ("FLOAT", "DOUBLE"):
        return str(value)
    return f"{number:.{precision}f}" if precision is not None and 0 < precision <= 15 else f"{number:g}"


def spark(values: Sequence[float], colour: str, width: int = 160, height: int = 32) -> str:
    """A small line of values, as SVG."""
    numbers = [float(one) for one in values if one == one and abs(one) != float("inf")]
    if len(numbers) < 2:
        return ""
    if len(numbers) > _POINTS:
        step = len(numbers) / _POINTS
        numbers = [numbers[int(place * step)] for place in range(_POINTS)]
    low, high = min(numbers), max(numbers)
    scale = (height - 4) / (high - low) if high > low else 0.0
    middle = height / 2
    across = (width - 4) / (len(numbers) - 1)
    points = " ".join(
        f"{2 + place * across:.1f},{(height - 2 - (one - low) * scale) if scale else middle:.1f}"
        for place, one in enumerate(numbers)
    )
    return (
        f'<svg width="{width}" height="{height}" style="vertical-align:middle">'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/></svg>'
    )


def _badge(severity: Any, alarm: str) -> tuple[str, str]:
    """Colour and words of an alarm."""
    number = 0 if severity is None else int(severity)
    return _COLOURS.get(number, _DISCONNECTED), alarm or _WORDS.get(number, str(number))


def pv_html(channel: Channel) -> str:
    """A PV: its value in the colour of its alarm, and a line of what it did since it was shown first."""
    trail = channel._trail
    try:
        value = channel.get(timeout=PATIENCE)
    except CanterError as error:
        return _box(channel.name, '<span style="color:#808080">no value</span>', _DISCONNECTED, str(error), "")
    if trail is None and number_of(value) is not None:
        trail = channel._trail = Trail(channel)
    colour, alarm = _badge(value.severity, value.alarm)
    if number_of(value) is not None:
        line = spark([one for _, one in trail.points()], colour) if trail is not None else ""
    else:
        line = "" if isinstance(value, str) else spark(_numbers(value), colour)
    shown = f"<b>{html.escape(text_of(value))}</b> {html.escape(value.units or '')}"
    when = value.datetime
    told = " ".join(filter(None, [alarm, when.astimezone().strftime("%H:%M:%S.%f")[:-3] if when else ""]))
    return _box(channel.name, shown, colour, told, line)


def _box(name: str, shown: str, colour: str, told: str, line: str) -> str:
    return (
        f'<div style="display:inline-flex;align-items:center;gap:12px;padding:6px 12px;border-left:6px solid {colour};'
        'background:rgba(128,128,128,.08);font-family:sans-serif;font-size:14px">'
        f"<code>{html.escape(name)}</code><span>{shown}</span>{line}"
        f'<span style="color:{colour};font-size:12px">{html.escape(told)}</span></div>'
    )


def _numbers(value: Any) -> list[float]:
    try:
        return [float(one) for one in value]
    except (TypeError, ValueError):
        return []


def table_html(title: str, names: Sequence[str], values: Iterable[Any]) -> str:
    """A table with a row for each PV: value, units, alarm, time; or why there is none."""
    rows = []
    for place, (name, value) in enumerate(zip(names, values)):
        if place >= ROWS:
            rows.append(f'<tr><td colspan="5">… and {len(names) - ROWS} more</td></tr>')
            break
        rows.append(_row(name, value))
    head = "".join(f'<th style="text-align:left">{word}</th>' for word in ("PV", "value", "units", "alarm", "time"))
    return (
        f'<table style="font-family:sans-serif;font-size:13px"><caption style="text-align:left">{html.escape(title)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(name: str, value: Any) -> str:
    first = f'<td style="text-align:left"><code>{html.escape(name)}</code></td>'
    if isinstance(value, BaseException) or value is None:
        told = html.escape(str(value or "no value"))
        return f'<tr>{first}<td colspan="4" style="text-align:left;color:{_DISCONNECTED}">{told}</td></tr>'
    colour, alarm = _badge(value.severity, value.alarm)
    when = value.datetime
    stamp = when.astimezone().strftime("%H:%M:%S.%f")[:-3] if when else ""
    return (
        f'<tr>{first}<td style="text-align:left;color:{colour}"><b>{html.escape(text_of(value))}</b></td>'
        f"<td>{html.escape(value.units or '')}</td>"
        f'<td style="text-align:left;color:{colour}">{html.escape(alarm)}</td><td>{stamp}</td></tr>'
    )


def _axes(axes: Any) -> Any:
    if axes is not None:
        return axes
    try:
        from matplotlib import pyplot  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install matplotlib") from error
    return pyplot.subplots(figsize=(7, 3))[1]


def plot_pv(channel: Channel, seconds: float | None, axes: Any) -> Any:
    """Plots an array over its index, or a number over time; see `Channel.plot`."""
    import datetime
    import time

    value = channel.get()
    axes = _axes(axes)
    label = f"{channel.name} [{value.units}]" if value.units else channel.name
    if number_of(value) is None:
        axes.plot(_numbers(value), linewidth=1)
        axes.set_xlabel("element")
    else:
        if channel._trail is None:
            channel._trail = Trail(channel)
        if seconds:
            time.sleep(seconds)
        points = channel._trail.points() or [(time.time(), float(value))]
        times = [datetime.datetime.fromtimestamp(at) for at, _ in points]
        # The value stands until the next one comes.
        axes.step([*times, max(datetime.datetime.now(), times[-1])], [*(one for _, one in points), points[-1][1]],
                  where="post", linewidth=1)  # fmt: skip
        limits = value.limits or {}
        for name, colour in (("warning", _COLOURS[1]), ("alarm", _COLOURS[2])):
            for side in ("lower", "upper"):
                limit = limits.get(f"{side}_{name}_limit")
                if limit is not None and limit == limit and axes.get_ylim()[0] <= limit <= axes.get_ylim()[1]:
                    axes.axhline(limit, color=colour, linewidth=0.8, linestyle="--")
        from matplotlib import dates

        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set_ylabel(label)
    return axes


def plot_scan(table: Any, axes: Any) -> Any:
    """Plots what was observed over the first axis; see `ScanTable.plot`."""
    axes = _axes(axes)
    along = table[table.axes[0]]
    for name in table.observed:
        axes.plot(along, table[name], marker=".", linewidth=1, label=name)
    axes.set_xlabel(table.axes[0])
    axes.legend()
    return axes
