"""``epics.devices.bi``."""

from __future__ import annotations

from ._record import COMMON, Record


class bi(Record):  # noqa: N801 - its name is that of the record
    """Binary input."""

    attrs = ("INP", "ZNAM", "ONAM", "RVAL", *COMMON)
