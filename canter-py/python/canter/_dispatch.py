"""The thread that runs callbacks, one for each client, and what becomes of their exceptions."""

from __future__ import annotations

import atexit
import functools
import os
import threading
from collections.abc import Callable

from . import _canter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any

#: Seconds for which an operation of the faces of libca waits for callbacks that were due before its end.
PATIENCE = 1.0

#: Functions that are told of exceptions in callbacks: ``hook(error, function)``. Without any,
#: ``threading.excepthook`` is, which prints them. They are in the log ``canter`` as well.
callback_errors: list[Callable[[BaseException, Any], object]] = []


@functools.cache
def log() -> logging.Logger:
    """The log ``canter``. Logging is imported when there is something to say."""
    import logging

    made = logging.getLogger("canter")
    made.addHandler(logging.NullHandler())
    return made


def report(error: BaseException, function: Any) -> None:
    """Tells of an exception that a callback raised."""
    log().error("exception in the callback %r", function, exc_info=error)
    if not callback_errors:
        thread = threading.current_thread()
        threading.excepthook(threading.ExceptHookArgs([type(error), error, error.__traceback__, thread]))
        return
    for hook in list(callback_errors):
        try:
            hook(error, function)
        except BaseException:  # noqa: BLE001 - the last resort must not end the thread
            log().exception("exception in the hook %r", hook)


def run(deliveries: _canter.Deliveries) -> None:
    """Runs callbacks until the client is closed."""
    function: Any
    args: tuple
    while (calls := deliveries.wait()) is not None:
        function, args = None, ()
        for function, args in calls:
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001 - whatever a callback raises is its own
                report(error, function)
        # What the last call was made with must not live until the next one.
        del calls, function, args


#: While a thread is started: of two for one client, updates would come out of order.
_starting = threading.Lock()


class Dispatcher:
    """Starts the thread of a client when there is something to run."""

    def __init__(self, core: _canter.Client) -> None:
        self._core = core
        self._deliveries: _canter.Deliveries | None = None
        self._thread: threading.Thread | None = None

    def ensure(self) -> None:
        if self._deliveries is not None and self._deliveries.is_ours():
            return
        with _starting:
            if self._deliveries is not None and self._deliveries.is_ours():
                return
            deliveries = self._core.deliveries()
            self._thread = threading.Thread(
                target=run, args=(deliveries,), name="canter-callbacks", daemon=True
            )
            self._thread.start()
            self._deliveries = deliveries

    def settle(self) -> None:
        """Has callbacks run for all that had come by now, as they have with libca when its operations return. One that
        does not end, or waits for this thread, is waited for once, and not for long.
        """
        if self._deliveries is not None:
            self._deliveries.settle(PATIENCE)

    def is_current(self) -> bool:
        """Whether this is called by a callback."""
        return threading.current_thread() is self._thread


atexit.register(_canter.prepare_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_canter.after_fork)
    # Another thread may have held it.
    os.register_at_fork(after_in_child=_starting._at_fork_reinit)  # type: ignore[attr-defined]
