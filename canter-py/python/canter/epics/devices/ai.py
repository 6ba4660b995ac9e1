"""``epics.devices.ai``."""

from __future__ import annotations

from ._record import ALARMS, COMMON, LINEAR, Record


class ai(Record):  # noqa: N801 - its name is that of the record
    """Analogue input."""

    attrs = (*COMMON, "INP", *LINEAR, "SMOO", *ALARMS)
