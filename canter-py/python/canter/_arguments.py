"""Arguments that many functions have. What cannot be is refused where it is given, not in a thread that comes to it later."""

from __future__ import annotations

from ._errors import bad, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Seconds, about 30 years: longer ones are for ever, and the waits of systems end not far above.
LONGEST = 1e9
#: Seconds: no timer tells shorter ones from none.
SHORTEST = 1e-6


def number(value: Any) -> float | None:
    """A real number, if it is one: a text is none, and neither is an array of many."""
    if isinstance(value, (str, bytes, bytearray)) or getattr(getattr(value, "dtype", None), "kind", "") == "c":
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else -float("inf")
    except (TypeError, ValueError):
        return None


def period(value: Any, what: str = "period", pv: str = "") -> float:
    """Seconds between two turns."""
    seconds = number(value)
    if seconds is None or not SHORTEST <= seconds <= LONGEST:
        raise bad(f"{what}={_shown(value)}: give seconds from {SHORTEST:g} to {LONGEST:g}", printable(pv))
    return seconds


def span(value: Any, what: str = "seconds", pv: str = "") -> float:
    """Seconds that may be none."""
    seconds = number(value)
    if seconds is None or not 0 <= seconds <= LONGEST:
        raise bad(f"{what}={_shown(value)}: give seconds from 0 to {LONGEST:g}", printable(pv))
    return seconds


def patience(value: Any, what: str = "timeout", pv: str = "") -> float | None:
    """Seconds of a wait; ``None``, and more than anybody has, are for ever."""
    if value is None:
        return None
    seconds = number(value)
    if seconds is None or not seconds >= 0:
        raise bad(f"{what}={_shown(value)}: give seconds from 0, or None for ever", printable(pv))
    return None if seconds > LONGEST else seconds


def whole(value: Any, what: str, least: int, most: int, pv: str = "") -> int:
    """A whole number in a range."""
    index = getattr(type(value), "__index__", None)
    try:
        number = None if index is None else index(value)
    except TypeError:
        # An array of many.
        number = None
    if number is None or not least <= number <= most:
        raise bad(f"{what}={_shown(value)}: give a whole number from {least} to {most}", printable(pv))
    return number


def mapping(value: Any, what: str, pv: str = "") -> dict[str, Any]:
    """Texts by names; none without."""
    if value is None:
        return {}
    if not hasattr(value, "keys"):
        raise bad(f"{what}={_shown(value)}: give a dictionary", printable(pv))
    return dict(value)


def function(value: Any, what: str = "callback", pv: str = "") -> Callable[..., Any]:
    """Something to call."""
    if not callable(value):
        raise bad(f"{what}={_shown(value)} cannot be called: give a function", printable(pv))
    return value


def optional(value: Any, what: str = "callback", pv: str = "") -> Callable[..., Any] | None:
    """Something to call, or nothing."""
    return None if value is None else function(value, what, pv)


def _shown(value: Any) -> str:
    """An argument as a part of a message, however large it is."""
    try:
        text = ascii(value)
    except ValueError:
        # An integer with more digits than Python shows.
        text = f"an {type(value).__name__} too large to show"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
