"""Waiting until a PV is what is wanted, with or without writing something before.

It is done with monitors, so that nothing that passes is missed, and nobody is asked again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import canter
from canter import _arguments
from canter._errors import UNNAMED, named

from ._codes import NORMAL, codes
from ._errors import failure
from ._groups import Groups
from ._handles import Handle

#: Seconds that are waited for a match.
MATCH_TIME = 1.0


def _condition(value: Any, tolerance: Any) -> tuple:
    if isinstance(value, str):
        return ("text", value)
    near, within = _arguments.number(value), _arguments.number(0.0 if tolerance is None else tolerance)
    if near is None or within is None:
        raise ValueError("no number")
    return ("near", near, abs(within))


class Match(Groups):
    """Matches."""

    def match(  # noqa: PLR0913 - the arguments are CAFE's
        self, value: Any, ch: Any, tolerance: float = 0.0, timeout: float = MATCH_TIME, num: int = 0
    ) -> int | None:
        """Waits until a PV has a value.

        Args:
            value: a number, or a text, which the state of an enum may be.
            tolerance: how far away it may be.
            num: other than 0, what became of it is printed.

        Returns:
            ``ICAFE_NORMAL``, or ``ECAFE_TIMEOUT_SET_AND_MATCH``.
        """
        return self._matched([(None, value, ch)], tolerance, timeout, num)

    def setAndMatch(  # noqa: N802, PLR0913 - the names are CAFE's
        self,
        chSet: Any,  # noqa: N803
        value: Any,
        chRead: Any,  # noqa: N803
        tolerance: float = 0.0,
        timeout: float = MATCH_TIME,
        num: int = 0,
    ) -> int | None:
        """Writes a value and waits until another PV, the read-back, has it.

        Both are connected, and the tolerance is one that can match, before anything is written.
        """
        return self._matched([(chSet, value, chRead)], tolerance, timeout, num)

    def matchMany(  # noqa: N802, PLR0913
        self,
        values: Sequence[Any],
        chs: Sequence[Any],
        tolerance: float = 0.0,
        timeout: float = MATCH_TIME,
        num: int = 0,
        *,
        needed: int | None = None,
    ) -> int | None:
        """Waits until many PVs have their values at the same time, or so many of them as are ``needed``."""
        rows = self._rows([None] * len(chs), values, chs)
        return rows if isinstance(rows, int) else self._matched(rows, tolerance, timeout, num, needed)

    def setAndMatchMany(  # noqa: N802, PLR0913
        self,
        chsSet: Sequence[Any],  # noqa: N803
        values: Sequence[Any],
        chsRead: Sequence[Any],  # noqa: N803
        tolerance: float = 0.0,
        timeout: float = MATCH_TIME,
        num: int = 0,
        *,
        needed: int | None = None,
    ) -> int | None:
        """Writes many values and waits until their read-backs have them."""
        rows = self._rows(chsSet, values, chsRead)
        return rows if isinstance(rows, int) else self._matched(rows, tolerance, timeout, num, needed)

    def compareAndMatchMany(  # noqa: N802, PLR0913
        self,
        chsSet: Sequence[Any],  # noqa: N803
        values: Sequence[Any],
        chsRead: Sequence[Any],  # noqa: N803
        tolerance: float = 0.0,
        timeout: float = MATCH_TIME,
        num: int = 0,
    ) -> int | None:
        """As `setAndMatchMany`; what has its value already is left alone."""
        rows = self._rows(chsSet, values, chsRead)
        return rows if isinstance(rows, int) else self._matched(rows, tolerance, timeout, num, compare=True)

    def setTriggerAndMatchMany(  # noqa: N802, PLR0913
        self,
        chsSet: Sequence[Any],  # noqa: N803
        values: Sequence[Any],
        chTrigger: Any,  # noqa: N803
        valueTrigger: Any,  # noqa: N803
        chsRead: Sequence[Any],  # noqa: N803
        tolerance: float = 0.0,
        timeout: float = MATCH_TIME,
        num: int = 0,
    ) -> int | None:
        """As `setAndMatchMany`, with a last value that has the devices take the others."""
        rows = self._rows(chsSet, values, chsRead)
        if isinstance(rows, int):
            return rows
        return self._matched(rows, tolerance, timeout, num, trigger=(chTrigger, valueTrigger))

    def _rows(self, sets: Sequence[Any], values: Sequence[Any], reads: Sequence[Any]) -> Any:
        if len(sets) == len(values) == len(reads):
            return list(zip(sets, values, reads))
        message = f"{len(sets)} set-points, {len(values)} values and {len(reads)} read-backs"
        error = failure(codes.ECAFE_HANDLE_MISMATCH_SET_AND_MATCH, message, remedy="give as many of each")
        return self._failed(error, "", None)

    def _matched(  # noqa: PLR0913
        self,
        rows: Iterable[tuple[Any, Any, Any]],
        tolerance: float,
        timeout: float,
        num: int,
        needed: int | None = None,
        compare: bool = False,
        trigger: tuple[Any, Any] | None = None,
    ) -> int:
        last: Handle | None = None
        name = ""
        reads: list[Handle] = []
        try:
            made = []
            for to_set, value, to_read in rows:
                name = str(to_read)
                last = self._find(to_read)
                name = last.name
                reads.append(last)
                condition = _wanted(value, tolerance, name)
                setting = None if to_set is None else self._find(to_set).channel._core
                made.append((setting, value, last.channel._core, condition))
            last_put = None
            if trigger is not None:
                last_put = (self._find(trigger[0]).channel._core, trigger[1])
            self._of_process()._core.match_many(
                made,
                compare=compare,
                number=needed,
                wait=self.policies.request.wait,
                timeout=float(timeout),
                trigger=last_put,
            )
        except (canter.CanterError, *UNNAMED) as error:
            status = self._failed(named(error, "match", name), name, last, writing=True)
            return self._told(status, num)
        # The caches have what matched, also before its monitor has told it.
        self._read_all(reads)
        return self._told(NORMAL, num)

    def _told(self, status: int, num: int) -> int:
        if num:
            self.printStatus(status)
            if status != NORMAL and self.lastError is not None:
                print(f"  {self.lastError.error_info}")
        return status


def _wanted(value: Any, tolerance: float, name: str) -> tuple:
    try:
        return _condition(value, tolerance)
    except (TypeError, ValueError):
        message = f'"{name}" cannot be {value!r} with a tolerance of {tolerance!r}'
        remedy = "give numbers, or a text"
        raise failure(codes.ECAFE_INVALID_TYPE, message, name, remedy=remedy) from None
