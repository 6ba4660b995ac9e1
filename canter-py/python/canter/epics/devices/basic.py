"""Analogue and binary records (``aiRecord.dbd`` and the like of EPICS Base)."""

from __future__ import annotations

from ..device import Device

_COMMON = ("VAL", "EGU", "HOPR", "LOPR", "PREC", "NAME", "DESC", "DTYP")
_ALARMS = ("HIHI", "LOLO", "HIGH", "LOW", "HHSV", "LLSV", "HSV", "LSV", "HYST")
_LINEAR = ("LINR", "RVAL", "ROFF", "EGUF", "EGUL", "AOFF", "ASLO", "ESLO", "EOFF")


class _Record(Device):
    attrs: tuple = ()

    def __init__(self, prefix, **kwargs):
        prefix = prefix.removesuffix(".")
        super().__init__(prefix, delim=".", attrs=self.attrs, **kwargs)


class ai(_Record):  # noqa: N801
    """Analogue input."""

    attrs = (*_COMMON, "INP", *_LINEAR, "SMOO", *_ALARMS)


class ao(_Record):  # noqa: N801
    """Analogue output."""

    attrs = ("OUT", *_LINEAR, *_COMMON, *_ALARMS, "OMSL", "DOL", "OIF", "DRVH", "DRVL", "OROC", "OVAL")


class bi(_Record):  # noqa: N801
    """Binary input."""

    attrs = ("INP", "ZNAM", "ONAM", "RVAL", *_COMMON)


class bo(_Record):  # noqa: N801
    """Binary output."""

    attrs = ("DOL", "OMSL", "RVAL", "HIGH", "ZNAM", "ONAM", *_COMMON)
