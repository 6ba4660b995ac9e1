"""PyCafe's interface on Canter: ``import canter.pycafe as PyCafe``.

>>> import canter.pycafe as PyCafe
>>> cafe = PyCafe.CyCafe()
>>> cyca = PyCafe.CyCa()
>>> handle = cafe.open("ring:current")                  # doctest: +SKIP
>>> cafe.get(handle), cafe.getPV("ring:current").ts     # doctest: +SKIP

A PV is named by its handle or by its name. What goes wrong gives ``None`` or a status, with the reason in
``cafe.lastError``; after ``cafe.withExceptions(True)`` it raises `CafeException`, which is one of
`canter.CanterError`. Names, numbers and results are those of CAFE (https://cafe.web.psi.ch/cython.html,
``statusCodes.h``). What is otherwise:

- in callbacks of monitors everything is allowed, ``get`` as well;
- a state of an enum without a text is its number, not an empty text;
- the order of preparing and opening does not matter: channels are searched for together at once;
- ``set`` and ``setGroup`` return when the server has taken the value, so that their status means something;
- channels are those of the process: two `CyCafe` have handles of their own, and share circuits.
"""

from __future__ import annotations

from ._codes import CyCa
from ._collections import Collections
from ._data import ChannelInfo, PVCtrl, PVData, PVGroup
from ._errors import CafeException
from ._xml import Collection


class CyCafe(Collections):
    """The client of CAFE: handles, groups, collections, caches, matches, monitors."""

    def __repr__(self) -> str:
        return f"<CyCafe: {len(self._handles)} handles, {len(self._groups)} groups open>"


__all__ = [
    "CafeException",
    "ChannelInfo",
    "Collection",
    "CyCa",
    "CyCafe",
    "PVCtrl",
    "PVData",
    "PVGroup",
]
