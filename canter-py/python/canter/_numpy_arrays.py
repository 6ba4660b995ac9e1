"""Arrays of NumPy: read-only views of what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._values import Value

if TYPE_CHECKING:
    from ._canter import Lent


class ArrayValue(np.ndarray, Value):
    """An array of a PV: a read-only view of what came; ``copy()`` gives one to write to.

    Slices and views carry what came beside the value, results of calculations do not.
    """

    _reading: Any

    def __array_finalize__(self, source: Any) -> None:
        self._reading = getattr(source, "_reading", None)

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def copy(self, order: Any = "C") -> np.ndarray:  # type: ignore[override]
        return np.array(self, order=order, subok=False)

    def __reduce__(self):
        return np.asarray(self).__reduce__()

    def __reduce_ex__(self, protocol: Any):
        return np.asarray(self).__reduce_ex__(protocol)


def make(elements: bytes | Lent, code: str, reading: Any) -> ArrayValue:
    array = make_plain(elements, code).view(ArrayValue)
    array._reading = reading
    return array


def make_plain(elements: bytes | Lent, code: str) -> np.ndarray:
    """A view of the elements; it keeps the object that has them."""
    if type(elements) is bytes:
        return np.frombuffer(elements, dtype=code)
    return np.asarray(elements)


#: Codes of what the wire has, by kind and bytes of an element.
_CODES = {
    ("f", 2): "f",
    ("f", 4): "f",
    ("f", 8): "d",
    ("i", 1): "h",
    ("i", 2): "h",
    ("i", 4): "i",
    ("u", 1): "B",
    ("u", 2): "i",
    ("b", 1): "B",
}


def to_wire(given: Any) -> tuple[str, Any]:
    array = np.asarray(given)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "US":
        texts = array.ravel().tolist()
        return "s", [one if isinstance(one, str) else one.decode("utf-8", "replace") for one in texts]
    if kind == "O":
        from ._values import _list_to_wire

        return _list_to_wire(array.ravel().tolist())
    code = _CODES.get((kind, size))
    if code is None and kind in "iu":
        fits = array.size == 0 or (array.min() >= -(2**31) and array.max() < 2**31)
        code = "i" if fits else "d"
    elif code is None and kind == "f":
        code = "d"
    if code is None:
        raise TypeError(f"an array of {array.dtype} has no form in Channel Access")
    wire = code if code == "B" else ">" + code
    return code, np.ascontiguousarray(array, dtype=wire).tobytes()
