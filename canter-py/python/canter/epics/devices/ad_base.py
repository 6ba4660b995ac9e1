"""``epics.devices.ad_base``: cameras of areaDetector (``ADBase.template``)."""

from __future__ import annotations

from ._area import AreaDevice

_SET = (
    "AcquirePeriod", "AcquireTime", "ArrayCallbacks", "ArrayCounter", "BinX", "BinY", "ColorMode", "DataType", "Gain",
    "ImageMode", "MinX", "MinY", "NumImages", "SizeX", "SizeY", "TriggerMode",
)  # fmt: skip
_TOLD = (
    "ArrayRate_RBV", "ArraySizeX_RBV", "ArraySizeY_RBV", "ArraySize_RBV", "DetectorState_RBV", "MaxSizeX_RBV",
    "MaxSizeY_RBV", "NumImagesCounter_RBV", "TimeRemaining_RBV",
)  # fmt: skip


class AD_Camera(AreaDevice):  # noqa: N801
    """A camera: ``AD_Camera("13SIM1:cam1:")``."""

    attrs = ("Acquire", "TriggerSoftware", *_SET, *(f"{name}_RBV" for name in _SET), *_TOLD)
