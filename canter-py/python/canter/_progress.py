"""Bars that show how far something is: in notebooks, and on terminals."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ._client import LONG

#: Told how many are done, of how many.
Told = Callable[[int, int], object]

#: Seconds between two looks at what is under way.
_LOOK = 0.1


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter, which can show a bar in place."""
    shell = sys.modules.get("IPython")
    shell = shell and shell.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def told(progress: bool | Told | None, what: str, length: int) -> Told | None:
    """What is to be told: the function that was given, a bar for true, nothing for false; by itself a bar for long
    lists in notebooks.
    """
    if callable(progress):
        return progress
    if progress is None:
        progress = length >= LONG and in_notebook()
    if not progress:
        return None
    return _NotebookBar(what) if in_notebook() else _TextBar(what)


class _NotebookBar:
    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._handle: Any = None

    def __call__(self, done: int, of: int) -> None:
        from html import escape

        from IPython.display import HTML, display  # type: ignore[import-not-found]

        took = time.monotonic() - self._began
        share = 100 * done / max(1, of)
        shown = HTML(
            '<div style="display:flex;align-items:center;gap:8px;font-family:sans-serif;font-size:13px">'
            f"<span>{escape(self._what)}</span>"
            '<div style="width:240px;height:12px;border-radius:6px;background:#ddd">'
            f'<div style="width:{share:.1f}%;height:12px;border-radius:6px;background:#2a7ae2"></div></div>'
            f"<span>{done} of {of}, {took:.1f} s</span></div>"
        )
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class _TextBar:
    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        filled = 30 * done // max(1, of)
        bar = "#" * filled + "-" * (30 - filled)
        took = time.monotonic() - self._began
        end = "\n" if done >= of else ""
        print(f"\r{self._what} [{bar}] {done} of {of}, {took:.1f} s", end=end, file=sys.stderr, flush=True)


def watched(work: Callable[[], Any], count: Callable[[], int], of: int, tell: Told) -> Any:
    """Does something in a thread of its own, and tells meanwhile how far it is. What it gives, or raises."""
    results: list[tuple[Any, BaseException | None]] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            results.append((None, error))
        ended.set()

    threading.Thread(target=run, name="canter-progress", daemon=True).start()
    while not ended.wait(_LOOK):
        tell(min(count(), of), of)
    result, error = results[0]
    if error is not None:
        raise error
    tell(of, of)
    return result
