"""Arrays without NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ._values import Value

if TYPE_CHECKING:
    from ._canter import Lent


class ArrayValue(Sequence, Value):
    """An array of a PV: a read-only sequence over what came, without NumPy."""

    __slots__ = ("_reading", "_view")

    def __init__(self, view: memoryview, reading: Any) -> None:
        self._view = view
        self._reading = reading

    def memoryview(self) -> memoryview:
        """The elements, without a copy."""
        return self._view

    def tolist(self) -> list:
        return self._view.tolist()

    def copy(self) -> list:
        return self._view.tolist()

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: Any) -> Any:
        found = self._view[index]
        return ArrayValue(found, self._reading) if isinstance(found, memoryview) else found

    def __iter__(self) -> Iterator:
        return iter(self._view)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._view[:6].tolist()))
        return f"ArrayValue([{shown}{', ...' if len(self) > 6 else ''}])"

    def __reduce__(self):
        return list, (self.tolist(),)


def make(elements: bytes | Lent, code: str, reading: Any) -> ArrayValue:
    return ArrayValue(make_plain(elements, code), reading)


def make_plain(elements: bytes | Lent, code: Any) -> Any:
    """A view of the elements; it keeps the object that has them."""
    if isinstance(elements, bytes):
        return memoryview(elements).cast(code)
    import ctypes

    memory = (ctypes.c_char * len(elements)).from_address(elements.address)
    memory._lent = elements  # type: ignore[attr-defined]
    return memoryview(memory).toreadonly().cast("B").cast(code)
