"""``epics.devices.ad_fileplugin``: plug-ins of areaDetector that write files (``NDFile.template``)."""
# ruff: noqa: N801, N802 - names are those that scripts call

from __future__ import annotations

from ._area import AreaDevice

_SET = (
    "AutoIncrement", "AutoSave", "EnableCallbacks", "FileName", "FileNumber", "FilePath", "FileTemplate",
    "FileWriteMode", "NDArrayPort", "NumCapture", "ReadFile", "WriteFile",
)  # fmt: skip


class AD_FilePlugin(AreaDevice):
    """A plug-in that writes files: ``AD_FilePlugin("13SIM1:TIFF1:")``."""

    attrs = (
        *_SET, *(f"{name}_RBV" for name in _SET), "Capture", "Capture_RBV", "FilePathExists_RBV", "FullFileName_RBV",
        "NumCaptured_RBV", "WriteMessage", "WriteStatus",
    )  # fmt: skip

    def setFileName(self, fname):
        """Sets the name."""
        return self.put("FileName", fname)

    def nextFileNumber(self):
        """Goes to the next number."""
        self.setFileNumber(1 + self.get("FileNumber"))

    def setFileNumber(self, fnum=None):
        """Sets the number, which stays; without one it counts by itself."""
        if fnum is None:
            self.put("AutoIncrement", 1)
            return None
        self.put("AutoIncrement", 0)
        return self.put("FileNumber", fnum)

    def setPath(self, pathname):
        """Sets the folder."""
        return self.put("FilePath", pathname)

    def setTemplate(self, fmt):
        """Sets how the name is made of folder, name and number, as ``%s%s_%3.3d.tif``."""
        return self.put("FileTemplate", fmt)

    def setWriteMode(self, mode):
        """Sets the mode: 0 is single, 1 capture, 2 stream."""
        return self.put("FileWriteMode", mode)

    def getLastFileName(self):
        """The file that was written last."""
        return self.get("FullFileName_RBV", as_string=True)

    def CaptureOn(self):
        """Begins to write."""
        return self.put("Capture", 1)

    def CaptureOff(self):
        """Ends writing."""
        return self.put("Capture", 0)

    def setNumCapture(self, n):
        """Sets how many arrays go into a file."""
        return self.put("NumCapture", n)

    def WriteComplete(self):
        """Whether nothing is being written."""
        return self.get("WriteFile_RBV") == 0

    def getTemplate(self):
        """How the name is made."""
        return self.get("FileTemplate_RBV", as_string=True)

    def getName(self):
        """The name."""
        return self.get("FileName_RBV", as_string=True)

    def getNumber(self):
        """The number."""
        return self.get("FileNumber_RBV")

    def getPath(self):
        """The folder."""
        return self.get("FilePath_RBV", as_string=True)

    def getFileNameByIndex(self, index):
        """The file with a number."""
        return self.getTemplate() % (self.getPath(), self.getName(), index)
