"""Runs ``on_update`` functions in an asyncio loop, as the module of pythonSoftIOC with this name."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

from .._errors import bad
from .._dispatch import report
from ._desk import Loop


class AsyncioDispatcher:
    """To be given to ``softioc.iocInit``.

    Args:
        loop: a running loop; one in a thread of its own otherwise.
        debug: of that loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, debug: bool = False) -> None:
        if loop is not None and not loop.is_running():
            raise bad("the asyncio loop does not run: give a running one, or none")
        self._loop = Loop(loop)
        self.loop = self._loop.loop
        if loop is None:
            self.loop.set_debug(debug)

    def __call__(
        self,
        func: Callable[..., Any],
        func_args: tuple = (),
        completion: Callable[..., Any] | None = None,
        completion_args: tuple = (),
    ) -> None:
        async def run() -> None:
            try:
                made = func(*func_args)
                if inspect.isawaitable(made):
                    await made
            except Exception as error:  # noqa: BLE001 - whatever a callback raises is its own
                report(error, func)
            finally:
                if completion is not None:
                    completion(*completion_args)

        self._loop.start(run())

    def wait_for_quit(self) -> None:
        """Waits until the process is told to end (SIGINT, SIGTERM)."""
        import signal

        quit_ = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: quit_.set())
        while not quit_.wait(1.0):
            pass

    def close(self) -> None:
        """Ends what runs in it, and the loop, if it is its own."""
        self._loop.close()

    def __enter__(self) -> AsyncioDispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
