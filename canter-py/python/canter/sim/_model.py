"""Models: vectors in, vectors out."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import bad
from .. import _arguments, _canter
from .._dispatch import log

if TYPE_CHECKING:
    from ._ioc import IOC


class Model:
    """A function behind PVs of an IOC; made by `IOC.model`."""

    def __init__(
        self,
        ioc: IOC,
        function: Callable[[float, Any], Any],
        set: Sequence[str],  # noqa: A002
        read: Sequence[str],
        arrays: Iterable[tuple[str, int, int]],
        pulse: str | None,
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        import numpy

        def compute(t: float, given: bytes) -> bytes | None:
            made = function(t, numpy.frombuffer(given, dtype=numpy.float64))
            if made is None:
                return None
            vector = numpy.ascontiguousarray(made, dtype=numpy.float64)
            if vector.ndim != 1:
                raise bad(f"the model gives an array with {vector.ndim} dimensions, not a vector")
            return vector.tobytes()

        self.function = function
        self.steps = 0
        #: Steps that failed.
        self.failures = 0
        #: Steps that had to be left out, because those before took too long.
        self.overruns = 0
        #: What the last step raised; ``None`` if it succeeded.
        self.error: Exception | None = None
        self._on_error = _arguments.optional(on_error, "on_error")
        self._steps = _canter.ModelSteps(ioc._core, compute, list(set), list(read), list(arrays), pulse)
        self._ioc = weakref.ref(ioc)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self, t: float) -> None:
        """Does a step, so many seconds after the first one.

        What the function raises is raised, and ``ValueError`` if it gives too few or too many values, or some
        that are not finite. The read-backs show it as an INVALID alarm until a step succeeds.
        """
        try:
            self._steps.step(t)
        except Exception as error:
            self.failures += 1
            self.error = error
            raise
        self.steps += 1
        self.error = None

    def start(self, period: float) -> None:
        """Does a step each period, in a thread of its own."""
        period = _arguments.period(period)
        if self._thread is not None:
            raise RuntimeError("this model runs already")
        self._thread = threading.Thread(target=self._run, args=(period,), name="canter-model", daemon=True)
        self._thread.start()

    def _run(self, period: float) -> None:
        began = time.monotonic()
        number = 0
        while not self._end.is_set():
            ioc = self._ioc()
            frozen = ioc is not None and ioc.frozen
            del ioc
            if frozen:
                if self._end.wait(period):
                    return
                began = time.monotonic() - number * period
                continue
            before = self.error
            try:
                self.step(number * period)
            except Exception as error:  # noqa: BLE001 - the model may go on with the next step
                if before is None:
                    self._tell(error)
            number += 1
            now = time.monotonic() - began
            late = int(now / period) + 1 - number
            if late > 0:
                self.overruns += late
                number += late
            if self._end.wait(max(0.0, number * period - now)):
                return

    def _tell(self, error: Exception) -> None:
        log().error("a step of the model %r failed", self.function, exc_info=error)
        if self._on_error is not None:
            try:
                self._on_error(error)
            except Exception:  # noqa: BLE001
                log().exception("exception in %r", self._on_error)

    def stop(self, patience: float = 5.0) -> None:
        """Ends the steps that `start` has begun."""
        self._end.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)
