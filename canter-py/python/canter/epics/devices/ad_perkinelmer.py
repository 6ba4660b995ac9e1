"""``epics.devices.ad_perkinelmer``: flat panels of Perkin Elmer, by their driver of areaDetector."""
# ruff: noqa: N801, N802 - names are those that scripts call

from __future__ import annotations

import time

from ..device import Device
from ._area import FileWriter
from ._wait import until

#: Seconds that the panel needs between a change of its modes or its shutter and what follows.
_SETTLE = 0.5
_TRIGGERS = {"ext": 1, "fre": 2, "sof": 3}


class AD_PerkinElmer(Device, FileWriter):
    """A flat panel and the plug-in that writes its images.

    Args:
        prefix: what the names of both begin with; the camera is behind ``cam1:``.
        filesaver: what the names of the plug-in begin with behind that. Its PVs are attributes ``File_…``.
    """

    camattrs = (
        "PEAcquireOffset", "PENumOffsetFrames", "ImageMode", "TriggerMode", "Acquire", "AcquireTime", "Model_RBV",
        "NumImages", "ShutterControl", "ShutterMode",
    )  # fmt: skip
    pathattrs = (
        "FilePath", "FileTemplate", "FileWriteMode", "FileName", "FileNumber", "FullFileName_RBV", "Capture",
        "Capture_RBV", "NumCapture", "WriteFile_RBV", "AutoSave", "EnableCallbacks", "ArraySize0_RBV",
        "FileTemplate_RBV", "FileName_RBV", "AutoIncrement",
    )  # fmt: skip
    _nonpvs = (*Device._nonpvs, "filesaver", "camattrs", "pathattrs")

    def __init__(self, prefix, filesaver="netCDF1:"):
        super().__init__(f"{prefix}cam1:", delim="", mutable=False, attrs=self.camattrs)
        self.filesaver = f"{prefix}{filesaver}"
        for name in self.pathattrs:
            self.add_pv(f"{self.filesaver}{name}", attr=f"File_{name}")

    def AcquireOffset(self, timeout=10, open_shutter=True):
        """Measures what the panel shows in the dark, with the shutter closed and one image at a time, and sets its
        modes back.

        Args:
            timeout: seconds beside those that the images take.
            open_shutter: whether the shutter is open afterwards.
        """
        self.ShutterMode = 1
        self.ShutterControl = 0
        before = {name: self.get(name) for name in ("ImageMode", "TriggerMode")}
        self.ImageMode = 0
        self.TriggerMode = 0
        takes = self.PENumOffsetFrames * self.AcquireTime
        time.sleep(_SETTLE)
        self.put("PEAcquireOffset", 1, wait=True, timeout=timeout + takes)
        until(self.PV("PEAcquireOffset"), lambda value: value <= 0, timeout + takes)
        time.sleep(_SETTLE)
        for name, value in before.items():
            self.put(name, value)
        time.sleep(_SETTLE)
        if open_shutter:
            self.ShutterControl = 1
        self.ShutterMode = 0
        time.sleep(_SETTLE)

    def SetExposureTime(self, t, open_shutter=True):
        """Sets the time of an image in seconds, and measures the dark anew."""
        self.AcquireTime = t
        self.AcquireOffset(open_shutter=open_shutter)

    def SetMultiFrames(self, n, trigger="external"):
        """Prepares so many images, all in one file.

        Args:
            n: of the camera, and of the plug-in.
            trigger: ``internal``, ``external``, ``free running`` or ``soft``; their first three letters are enough.
        """
        self.ImageMode = 1
        self.TriggerMode = _TRIGGERS.get(trigger.lower()[:3], 0)
        self.NumImages = n
        for name, value in (("NumCapture", n), ("EnableCallbacks", 1), ("FileNumber", 1), ("AutoIncrement", 1)):
            self.filePut(name, value)
        time.sleep(_SETTLE)

    def StartStreaming(self):
        """Begins to take images, and to write them."""
        self.ShutterMode = 0
        self.filePut("AutoSave", 1)
        self.filePut("FileWriteMode", 2)
        self.filePut("Capture", 1)
        until(self.PV("File_Capture_RBV"), lambda value: value == 1, _SETTLE)
        self.Acquire = 1

    def FinishStreaming(self, timeout=5.0):
        """Waits until all is written; what is not by then is ended."""
        capturing = self.PV("File_Capture_RBV")
        if not until(capturing, lambda value: value == 0, timeout):
            print("Forcing XRD Streaming to stop")
            self.filePut("Capture", 0)
            until(capturing, lambda value: value == 0, timeout)

    def filePut(self, attr, value, **kw):
        """Puts to a PV of the plug-in."""
        return self.put(f"File_{attr}", value, **kw)

    def fileGet(self, attr, **kw):
        """The value of a PV of the plug-in."""
        return self.get(f"File_{attr}", **kw)
