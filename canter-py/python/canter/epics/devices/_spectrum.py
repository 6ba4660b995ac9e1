"""Arithmetic of spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def background(data: Any, low: int, high: int, width: int) -> float:
    """Mean of so many channels on either side of a region; 0 if there is none there."""
    import numpy

    sides = numpy.concatenate((data[max(low - width, 0) : low], data[high + 1 : high + 1 + width]))
    return sides.mean() if len(sides) else 0.0


def energies(channels: int, calibration: Sequence[float]) -> Any:
    """The energy of each channel, by offset, slope and quadratic term."""
    import numpy

    at = numpy.arange(channels, dtype=float)
    offset, slope, quadratic = calibration
    return offset + at * (slope + at * quadratic)


def shifted(low: float, high: float, theirs: Sequence[float], ours: Sequence[float]) -> tuple[int, int]:
    """Channels of another calibration as those of ours with the same energies, by offset and slope."""
    scale = theirs[1] / ours[1]
    offset = (theirs[0] - ours[0]) / ours[1]
    return round(offset + scale * low), round(offset + scale * high)
