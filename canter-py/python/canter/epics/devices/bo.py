"""``epics.devices.bo``."""

from __future__ import annotations

from ._record import COMMON, Record


class bo(Record):  # noqa: N801 - its name is that of the record
    """Binary output."""

    attrs = ("DOL", "OMSL", "RVAL", "HIGH", "ZNAM", "ONAM", *COMMON)
