"""What the devices of areaDetector have in common."""
# ruff: noqa: N802 - names are those that scripts call

from __future__ import annotations

from ..device import Device


class AreaDevice(Device):
    """PVs of a camera or a plug-in, many of which have another one with what was set (``_RBV``)."""

    attrs: tuple = ()

    def __init__(self, prefix):
        super().__init__(prefix, delim="", mutable=False, attrs=self.attrs)

    def ensure_value(self, attr, value, wait=False):
        """Puts a value unless the readback has it already: as a number, or as the text of a state."""
        readback = self._pvs.get(f"{attr}_RBV")
        if readback is None:
            return self._pvs[attr].put(value, wait=wait)
        if readback.get(as_string=True) != str(value) and readback.get() != value:
            return self._pvs[attr].put(value, wait=wait)
        return None


class FileWriter:
    """What a device with a file plug-in does with it. ``filePut`` and ``fileGet`` say where its PVs are."""

    def setFilePath(self, pathname):
        """Sets the folder."""
        return self.filePut("FilePath", pathname)

    def setFileTemplate(self, fmt):
        """Sets how the name is made of folder, name and number, as ``%s%s_%3.3d.dat``."""
        return self.filePut("FileTemplate", fmt)

    def setFileWriteMode(self, mode):
        """Sets the mode: 0 is single, 1 capture, 2 stream."""
        return self.filePut("FileWriteMode", mode)

    def setFileName(self, fname):
        """Sets the name."""
        return self.filePut("FileName", fname)

    def nextFileNumber(self):
        """Goes to the next number."""
        self.setFileNumber(1 + self.fileGet("FileNumber"))

    def setFileNumber(self, fnum=None):
        """Sets the number, which stays; without one it counts by itself."""
        if fnum is None:
            self.filePut("AutoIncrement", 1)
            return None
        self.filePut("AutoIncrement", 0)
        return self.filePut("FileNumber", fnum)

    def getLastFileName(self):
        """The file that was written last."""
        return self.fileGet("FullFileName_RBV", as_string=True)

    def FileCaptureOn(self):
        """Begins to write."""
        return self.filePut("Capture", 1)

    def FileCaptureOff(self):
        """Ends writing."""
        return self.filePut("Capture", 0)

    def setFileNumCapture(self, n):
        """Sets how many arrays go into a file."""
        return self.filePut("NumCapture", n)

    def FileWriteComplete(self):
        """Whether nothing is being written."""
        return self.fileGet("WriteFile_RBV") == 0

    def getFileTemplate(self):
        """How the name is made."""
        return self.fileGet("FileTemplate_RBV", as_string=True)

    def getFileName(self):
        """The name."""
        return self.fileGet("FileName_RBV", as_string=True)

    def getFileNumber(self):
        """The number."""
        return self.fileGet("FileNumber_RBV")

    def getFilePath(self):
        """The folder."""
        return self.fileGet("FilePath_RBV", as_string=True)

    def getFileNameByIndex(self, index):
        """The file with a number."""
        return self.getFileTemplate() % (self.getFilePath(), self.getFileName(), index)
