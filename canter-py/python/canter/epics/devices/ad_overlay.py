"""``epics.devices.ad_overlay``: figures drawn over images of areaDetector (``NDOverlayN.template``)."""

from __future__ import annotations

from ._area import AreaDevice

_SET = ("Name", "Use", "PositionX", "PositionY", "SizeX", "SizeY", "Shape", "DrawMode", "Red", "Green", "Blue")


class AD_OverlayPlugin(AreaDevice):  # noqa: N801
    """A figure: ``AD_OverlayPlugin("13SIM1:Over1:1:")``."""

    attrs = (
        *_SET, *(f"{name}_RBV" for name in _SET), "PositionXLink", "PositionYLink", "SizeXLink", "SizeYLink",
    )  # fmt: skip
