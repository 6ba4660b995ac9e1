"""``epics.devices.ad_image``: the plug-in of areaDetector that gives images as a PV (``NDStdArrays.template``)."""

from __future__ import annotations

from ._area import AreaDevice

_SET = ("UniqueId", "NDimensions", "ArraySize0", "ArraySize1", "ArraySize2", "ColorMode")


class AD_ImagePlugin(AreaDevice):  # noqa: N801
    """Images: ``AD_ImagePlugin("13SIM1:image1:")``."""

    attrs = ("ArrayData", *_SET, *(f"{name}_RBV" for name in _SET))
