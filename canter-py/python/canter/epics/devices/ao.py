"""``epics.devices.ao``."""

from __future__ import annotations

from ._record import ALARMS, COMMON, LINEAR, Record


class ao(Record):  # noqa: N801 - its name is that of the record
    """Analogue output."""

    attrs = ("OUT", *LINEAR, *COMMON, *ALARMS, "OMSL", "DOL", "OIF", "DRVH", "DRVL", "OROC", "OVAL")
