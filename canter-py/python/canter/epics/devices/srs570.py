"""The current amplifier SR570, by the database of the module ip of synApps."""

from __future__ import annotations

from ..device import Device

_VALUES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_UNITS = ("pA/V", "nA/V", "uA/V", "mA/V")


class SRS570(Device):
    """A current amplifier."""

    attrs = (
        "sens_num", "sens_unit", "offset_num", "offset_unit", "offset_sign", "offset_on", "off_u_put",
        "bias_put", "gain_mode", "filter_type", "invert_on", "init.PROC",
    )  # fmt: skip

    def __init__(self, prefix):
        super().__init__(prefix, delim="", attrs=self.attrs, mutable=False)

    def initialize(self, bias=0, gain_mode=0, filter_type=0, invert=False):
        """Sets all of it: bias in volts, gain mode and filter by their numbers."""
        inverted = 1 if invert else 0
        self.put("init.PROC", 1)
        self.put("bias_put", 1000 * bias)
        self.put("gain_mode", gain_mode)
        self.put("filter_type", filter_type)
        self.put("invert_on", inverted)

    def set_sensitivity(self, value, units, offset=None, scale_offset=True):
        """Sets the sensitivity, as 5 and ``nA/V``; with ``scale_offset`` the offset is a tenth of it."""
        if value not in _VALUES or units not in _UNITS:
            raise ValueError(
                f"sensitivity {value} {units} of {self._prefix}: there are {_VALUES} and {_UNITS}"
            )
        self.put("sens_num", _VALUES.index(value))
        self.put("sens_unit", _UNITS.index(units))
        if offset is not None:
            self.set_offset(offset)
        elif scale_offset:
            self._scale_offset(value, units)

    def _scale_offset(self, value, units):
        number, unit = value / 10, _UNITS.index(units)
        if number < 1:
            if unit == 0:
                return
            number, unit = number * 1000, unit - 1
        self.put("offset_num", _VALUES.index(int(number)))
        self.put("offset_unit", unit)

    def set_offset(self, value):
        """Sets the offset in per mille of its range."""
        self.put("off_u_put", int(value))

    def _step(self, by):
        index = self.get("sens_num") + by
        unit = self.get("sens_unit")
        if index < 0:
            index, unit = len(_VALUES) - 1, unit - 1
        elif index >= len(_VALUES):
            index, unit = 0, unit + 1
        if 0 <= unit < len(_UNITS):
            self.set_sensitivity(_VALUES[index], _UNITS[unit])

    def increase_sensitivity(self):
        """To the next smaller current."""
        self._step(-1)

    def decrease_sensitivity(self):
        """To the next larger current."""
        self._step(1)
