"""``epics.devices.xspress3``: the Xspress 3 electronics of Quantum Detectors, by their drivers of areaDetector."""
# ruff: noqa: N802 - names are those that scripts call

from __future__ import annotations

import os

from ..device import Device
from ._area import FileWriter
from .ad_mca import ADMCA
from .mca import MAX_ROIS, MCA, ROI, regions_of

__all__ = ["ADMCA", "MAX_ROIS", "MCA", "ROI", "ADFileMixin", "Xspress3", "Xspress310", "Xspress3BaseMixin"]

#: Channels of the last region that is saved, where fewer than four are named.
_REST = (50, 4050)


class ADFileMixin(FileWriter):
    """The plug-in that writes files: ``filesaver`` is what its names begin with, ``fileroot`` what folders are in."""

    def filePut(self, attr, value, **kws):
        """Puts to a PV of the plug-in."""
        return self.put(f"{self.filesaver}{attr}", value, **kws)

    def fileGet(self, attr, **kws):
        """The value of a PV of the plug-in."""
        return self.get(f"{self.filesaver}{attr}", **kws)

    def setFilePath(self, pathname):
        """Sets the folder, within ``fileroot``."""
        return self.filePut("FilePath", os.path.join(self.fileroot, pathname))


class Xspress3BaseMixin:
    """Triggers, start and stop."""

    def useExternalTrigger(self):
        """Counts while a signal is there."""
        self.TriggerMode = 3

    def useInternalTrigger(self):
        """Counts by its own clock."""
        self.TriggerMode = 1

    def setTriggerMode(self, mode):
        """Sets the mode by its number."""
        self.TriggerMode = mode

    def start(self, capture=True):
        """Begins to count, and to write."""
        if capture:
            self.FileCaptureOn()
        self.Acquire = 1

    def stop(self):
        """Ends counting and writing."""
        self.Acquire = 0
        self.FileCaptureOff()

    def get_rois(self):
        """Regions of all elements."""
        return [one.get_rois() for one in self.mcas]


def _lines(regions: list[tuple[str, list[str]]], elements: int) -> list[str]:
    """A file of regions; the calibration of these electronics is fixed."""
    lines = ["[rois]"]
    lines += [f"ROI{number:02} = {name} | {' '.join(places)}" for number, (name, places) in enumerate(regions)]
    lines.append("[calibration]")
    for word, text in (("OFFSET", "0.000 "), ("SLOPE ", "0.010 "), ("QUAD  ", "0.000 ")):
        lines.append(f"{word} = {' '.join([text] * elements)} ")
    return [*lines, "[dxp]"]


class Xspress3(Device, ADFileMixin, Xspress3BaseMixin):
    """Electronics of several elements.

    Args:
        prefix: what all names begin with.
        nmca: number of elements.
        filesaver: what the names of the plug-in begin with behind that.
        fileroot: the folder that those of files are in.
    """

    det_attrs = (
        "NumImages", "NumImages_RBV", "Acquire", "Acquire_RBV", "ArrayCounter_RBV", "ERASE", "UPDATE", "AcquireTime",
        "TriggerMode", "StatusMessage_RBV", "DetectorState_RBV",
    )  # fmt: skip
    pathattrs = ("FilePath", "FileTemplate", "FileName", "FileNumber", "Capture", "NumCapture")
    _nonpvs = (*Device._nonpvs, "filesaver", "fileroot", "pathattrs", "nmca", "mcas")

    def __init__(self, prefix, nmca=4, filesaver="HDF1:", fileroot="/home/xspress3/cars5/Data"):
        prefix = prefix if prefix.endswith(":") else f"{prefix}:"
        self.nmca = nmca
        self.filesaver = filesaver
        self.fileroot = fileroot
        self.mcas = [
            ADMCA(
                f"{prefix}det1:", data_pv=f"{prefix}MCA{one}:ArrayData", roi_prefix=f"{prefix}MCA{one}ROI"
            )
            for one in range(1, nmca + 1)
        ]
        super().__init__(prefix, attrs=[f"{filesaver}{name}" for name in self.pathattrs], delim="")
        for name in self.det_attrs:
            self.add_pv(f"{prefix}det1:{name}", name)
        for one in range(1, nmca + 1):
            for scaler in range(1, 9):
                name = f"C{one}SCA{scaler}"
                self.add_pv(f"{prefix}{name}:Value_RBV", name)
            for name in ("TSNumPoints", "TSControl"):
                self.add_pv(f"{prefix}MCA{one}ROI:{name}", f"MCA{one}{name}")
                self.add_pv(f"{prefix}C{one}SCA:{name}", f"SCA{one}{name}")

    def _series(self, name: str, value) -> None:
        for one in range(1, self.nmca + 1):
            for kind in ("MCA", "SCA"):
                self._pvs[f"{kind}{one}{name}"].put(value)

    def TimeSeriesCaptureOn(self, npts=None):
        """Begins to keep counts of regions and scalers, of so many times."""
        if npts is not None:
            self._series("TSNumPoints", npts)
        self._series("TSControl", 0)

    def TimeSeriesCaptureOff(self):
        """Ends that."""
        self._series("TSControl", 2)

    def roi_calib_info(self):
        """Regions of the first element, as lines of a file that `restore_rois` reads."""
        regions = [
            (roi.Name, [str(roi.MinX), str(roi.get_right())] * self.nmca)
            for roi in self.mcas[0].get_rois()
            if roi.Name.strip() and roi.get_right() > 0
        ]
        return _lines(regions, self.nmca)

    def restore_rois(self, roifile):
        """Sets the regions that a file has for the first element, for all."""
        regions = regions_of(roifile)
        for one in self.mcas:
            one.set_rois(regions)


class Xspress310(Device, ADFileMixin, Xspress3BaseMixin):
    """Electronics of several elements, by the older driver with MCA records; arguments are those of `Xspress3`."""

    attrs = Xspress3.det_attrs
    pathattrs = Xspress3.pathattrs
    _nonpvs = (*Xspress3._nonpvs, "_save_rois")

    def __init__(self, prefix, nmca=4, filesaver="HDF5:", fileroot="/home/xspress3/cars5/Data"):
        self.nmca = nmca
        self.filesaver = filesaver
        self.fileroot = fileroot
        self._save_rois = []
        self.mcas = [MCA(prefix, mca=one + 1) for one in range(nmca)]
        attrs = [*self.attrs, *(f"{filesaver}{name}" for name in self.pathattrs)]
        super().__init__(prefix, attrs=attrs, delim="")

    def select_rois_to_save(self, roilist):
        """Has the electronics save the counts of regions: names of those of the first element, or pairs of their first
        and last channel. With fewer than four, nearly the whole spectrum is another one.
        """
        wanted = list(roilist)
        if len(wanted) < 4:
            wanted.append(_REST)
        known = {roi.NM.strip().lower(): (roi.LO, roi.HI) for roi in self.mcas[0].get_rois()}
        self._save_rois = []
        for number, given in enumerate(wanted, 1):
            is_name = isinstance(given, str)
            low, high = known.get(given.strip().lower(), _REST) if is_name else given
            self._save_rois.append(given if is_name else f"[{low}:{high}]")
            for one in range(1, self.nmca + 1):
                self.put(f"C{one}_MCA_ROI{number}_HLM", high)
                self.put(f"C{one}_MCA_ROI{number}_LLM", low)

    def roi_calib_info(self):
        """Regions of all elements, as lines of a file that `restore_rois` reads."""
        regions = [
            (same[0].NM, [str(place) for roi in same for place in (roi.LO, roi.HI)])
            for same in zip(*self.get_rois())
            if same[0].NM.strip() and same[0].HI > 0
        ]
        return _lines(regions, self.nmca)

    def restore_rois(self, roifile):
        """Sets the regions that a file has for the first element, at the same energies for the others."""
        self.mcas[0]._set(regions_of(roifile))
        calib = self.mcas[0].get_calib()
        for one in self.mcas[1:]:
            one.set_rois(self.mcas[0].rois, calib=calib)
