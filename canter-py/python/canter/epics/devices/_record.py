"""What the devices of analogue and binary records have in common (``dbCommon.dbd``, ``aiRecord.dbd``)."""

from __future__ import annotations

from ..device import Device

COMMON = ("VAL", "EGU", "HOPR", "LOPR", "PREC", "NAME", "DESC", "DTYP")
ALARMS = ("HIHI", "LOLO", "HIGH", "LOW", "HHSV", "LLSV", "HSV", "LSV", "HYST")
LINEAR = ("LINR", "RVAL", "ROFF", "EGUF", "EGUL", "AOFF", "ASLO", "ESLO", "EOFF")


class Record(Device):
    """A record, whose attributes are its fields."""

    attrs: tuple = ()

    def __init__(self, prefix, **kwargs):
        prefix = prefix.removesuffix(".")
        super().__init__(prefix, delim=".", attrs=self.attrs, **kwargs)
