"""Monitors: callbacks get the handle, and may do all that is allowed elsewhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from canter import _arguments, _canter

from ._codes import DBE, DBR, NORMAL, codes
from ._errors import failure
from ._handles import Handle
from ._values import Values

Callback = Callable[[int], object]

_ids = itertools.count(1)


class Monitors(Values):
    """Monitors of single PVs."""

    def __init__(self) -> None:
        super().__init__()
        self._monitors_preparing: list[Handle] | None = None

    def openMonitorPrepare(self) -> None:  # noqa: N802 - the names are CAFE's
        """First values of monitors that are started from now on are waited for together: by
        `openMonitorNowAndWait`.
        """
        self._monitors_preparing = []

    def openMonitorNowAndWait(self, timeout: float = 1.0) -> int:  # noqa: N802
        """Waits until all monitors that were started since `openMonitorPrepare` have a value.

        Returns:
            ``ICAFE_NORMAL``, or ``ICAFE_CALLBACK_NOT_YET_INVOKED``: what is missing comes later.
        """
        prepared, self._monitors_preparing = self._monitors_preparing or [], None
        deadline = time.monotonic() + _arguments.span(timeout, "timeout")
        came = [handle.wait_for_news(max(0.0, deadline - time.monotonic())) for handle in prepared]
        return NORMAL if all(came) else codes.ICAFE_CALLBACK_NOT_YET_INVOKED

    def monitorStart(  # noqa: N802
        self,
        handlePV: Any,  # noqa: N803
        cb: Callback | None = None,
        dbr: int = DBR["CY_DBR_PLAIN"],
        mask: int = DBE["CY_DBE_VALUE"] | DBE["CY_DBE_ALARM"],
    ) -> int | None:
        """Monitors a PV: the cache has its newest value, and ``cb(handle)`` is called for each.

        In the callback everything is allowed, ``get`` as well. Alarm, time stamp and description come
        along, whatever ``dbr`` says.

        Returns:
            The number of the monitor, for `monitorStop`.
        """
        return self._guard(handlePV, lambda handle: self._start(handle, cb, dbr, mask))

    def _start(self, handle: Handle, cb: Callback | None, dbr: int, mask: int) -> int:
        if cb is not None and not callable(cb):
            raise failure(codes.ECAFE_INVALID_TYPE, f"cb={cb!r} cannot be called", handle.name, handle.number)
        if not isinstance(mask, int) or not 0 < mask < 2**16:
            message = f"mask={mask!a}: it is a sum of {', '.join(DBE)}"
            raise failure(codes.ECAFE_INVALID_TYPE, message, handle.name, handle.number)
        if not isinstance(dbr, int) or dbr not in DBR.values():
            message = f"dbr={dbr!r}: it is one of {', '.join(DBR)}"
            raise failure(codes.ECAFE_INVALID_TYPE, message, handle.name, handle.number)

        def update(reading: _canter.Reading, _skipped: int) -> None:
            handle.take(reading)
            if cb is not None:
                cb(handle.number)

        def event(word: str, _text: str | None) -> None:
            # Who looks at the connection in the callback is told when it is lost.
            if word == "disconnected" and cb is not None:
                handle.status = codes.ICAFE_CS_DISCONN
                cb(handle.number)

        client = handle.channel._client
        client._dispatcher.ensure()
        key = handle.channel._core.monitor(update, event, mask=mask, family=2, describe=True)
        number = next(_ids)
        handle.monitors[number] = key
        if self._monitors_preparing is not None:
            self._monitors_preparing.append(handle)
        return number

    def monitorStop(self, handlePV: Any, monitorID: int | None = None) -> int:  # noqa: N802, N803
        """Ends the monitors of a PV, or the one with this number."""

        def stop(handle: Handle) -> None:
            if monitorID is None:
                handle.end_monitors()
                return
            key = handle.monitors.pop(monitorID, None)
            if key is None:
                message = f'"{handle.name}" has no monitor {monitorID!r}'
                known = ", ".join(map(str, handle.monitors)) or "none"
                remedy = f"those that it has: {known}"
                raise failure(codes.ECAFE_NULLEVID, message, handle.name, handle.number, remedy)
            key.cancel()

        return self._guard_status(handlePV, stop)

    def monitorStopAll(self) -> int:  # noqa: N802
        """Ends all monitors, those of groups as well."""
        for handle in list(self._handles.values()):
            handle.end_monitors()
        return NORMAL

    def getMonitorIDs(self, handlePV: Any) -> list[int] | None:  # noqa: N802, N803
        """Numbers of the monitors of a PV."""
        return self._guard(handlePV, lambda handle: list(handle.monitors))

    def _start_all(
        self, handles: Iterable[Handle], callbacks: Iterable[Callback | None], dbr: int, mask: int
    ) -> list[int]:
        return [self._start(handle, cb, dbr, mask) for handle, cb in zip(handles, callbacks)]
