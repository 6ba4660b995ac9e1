"""Results of a get of many PVs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence

from . import _canter
from ._errors import CanterError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Results(Sequence):
    """What came for each of many PVs, in their order: values, and exceptions in the places of what did
    not come. Objects are made of what is looked at; columns are arrays of NumPy.
    """

    def __init__(self, batch: _canter.Batch) -> None:
        self._batch = batch
        self._names: list[str] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the PVs, in their order."""
        if self._names is None:
            self._names = self._batch.names()
        return self._names

    def __len__(self) -> int:
        return len(self._batch)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            index = self.names.index(index)
        if isinstance(index, slice):
            return [self._batch.result(n)[1] for n in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"{len(self)} PVs were asked for")
        return self._batch.result(index)[1]

    def __iter__(self) -> Iterator[Any]:
        return iter(_without_collector(self._batch.all))

    @property
    def errors(self) -> dict[str, CanterError]:
        """What did not come: exceptions by the name of the PV."""
        return {self.names[n]: error for n, error in self._batch.errors()}

    @property
    def ok(self) -> bool:
        """Whether all came."""
        return not self._batch.errors()

    def check(self) -> Results:
        """Itself, if all came.

        Raises:
            CanterError: the first that did not; its attribute ``results`` has all.
        """
        for _, error in self._batch.errors():
            error.results = self
            raise error
        return self

    def to_dict(self) -> dict[str, Any]:
        """Values, or exceptions, by the name of the PV."""
        return dict(zip(self.names, self))

    @property
    def values(self) -> Any:
        """First elements as an array of doubles; NaN for what did not come or is no number."""
        return _column(self._batch.doubles(), "d")

    @property
    def timestamps(self) -> Any:
        """Nanoseconds since 1970 as an array of integers; 0 for what did not come."""
        return _column(self._batch.timestamps(), "q")

    @property
    def severities(self) -> Any:
        """Alarm severities as an array; 3, which is ``INVALID``, for what did not come."""
        return _column(self._batch.severities(), "H")

    @property
    def records(self) -> Any:
        """All of it as a structured array of NumPy: ``ok``, ``value``, ``timestamp``, ``severity``, in the order
        of ``names``; for what did not come ``ok`` is false, and the others as in their columns.
        """
        import numpy

        kinds = [("ok", "?"), ("value", "f8"), ("timestamp", "i8"), ("severity", "u2")]
        table = numpy.ones(len(self), dtype=kinds)
        table["value"], table["timestamp"] = self.values, self.timestamps
        table["severity"] = self.severities
        table["ok"][[place for place, _ in self._batch.errors()]] = False
        return table

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """For what reads Arrow (``pyarrow.table(results)``, ``polars.DataFrame(results)``): the columns ``name``, ``value``
        (first elements), ``text`` (of strings, and of states whose texts are known), ``timestamp``, ``severity`` and
        ``error``, with nulls for what did not come.
        """
        return self._batch.arrow(self._names)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """As `__arrow_c_array__`, for what reads streams of batches (DuckDB, polars)."""
        from ._arrow import stream

        return stream(self.__arrow_c_array__)

    def _repr_html_(self) -> str:
        from ._notebook import ROWS, table_html

        failed = len(self._batch.errors())
        # Objects are made of what is shown only.
        shown = [self[place] for place in range(min(len(self), ROWS + 1))]
        return table_html(f"{len(self)} PVs, {failed} failed", self.names, shown)

    def __repr__(self) -> str:
        failed = len(self._batch.errors())
        return f"<canter.Results of {len(self)} PVs, {failed} failed>"


def _without_collector(make: Callable[[], list]) -> list:
    """So many objects at once, none of which can go yet, would make the garbage collector look at them again and again."""
    if not gc.isenabled():
        return make()
    gc.disable()
    try:
        return make()
    finally:
        gc.enable()


def _column(buffer: bytes, code: str) -> Any:
    from ._values import make_plain_array

    return make_plain_array(buffer, code)
