"""``epics.multiproc``: processes that use PVs. Every process may: what a child needs it opens anew."""

from __future__ import annotations

import multiprocessing as mp
from multiprocessing.pool import Pool

from .ca import clear_cache

__all__ = ["CAPool", "CAProcess", "clear_cache"]


class CAProcess(mp.Process):
    """A process; there is nothing to prepare in it."""

    def __init__(self, **kws):
        super().__init__(**kws)

    def run(self):
        super().run()


class CAPool(Pool):
    """A pool of processes; there is nothing to prepare in them."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("context", mp.get_context())
        super().__init__(*args, **kwargs)
