"""``epics.devices.mca``: multi-channel analysers, their regions of interest, and xMAP and DXP electronics (modules mca
and dxp of synApps).
"""
# ruff: noqa: N802 - names are those that scripts call

from __future__ import annotations

import configparser
import time

from ..device import Device
from ..pv import get_pv
from ..utils import IOENCODING
from ._area import FileWriter
from ._spectrum import background, energies, shifted
from ._wait import until

#: Regions that an MCA record has.
MAX_ROIS = 32

#: Elements that a buffer of an xMAP has once it is in mapping mode.
_MAPPING = 16384


class DXP(Device):
    """Electronics of one element: ``DXP("13SDD1:", mca=2)``."""

    _attrs = (
        "PreampGain", "MaxEnergy", "ADCPercentRule", "BaselineCutPercent", "BaselineThreshold", "BaselineFilterLength",
        "BaselineCutEnable", "InputCountRate", "OutputCountRate", "GapTime", "PeakingTime", "EnergyThreshold",
        "MaxWidth", "PresetMode", "TriggerPeakingTime", "TriggerGapTime", "TriggerThreshold",
    )  # fmt: skip

    def __init__(self, prefix, mca=1):
        super().__init__(f"{prefix}dxp{mca}", delim=":", attrs=self._attrs)


class ROI(Device):
    """A region of interest of an MCA record: ``left``, ``right`` and ``name`` may be set.

    Args:
        prefix: the MCA record.
        roi: number of the region, 0 to 31.
        bgr_width: channels on either side that tell the background of `net`.
        data_pv: a PV, or its name, with the spectrum to count in; the record counts by itself otherwise.
    """

    _aliases = {"left": "LO", "right": "HI", "name": "NM"}
    _nonpvs = (*Device._nonpvs, "attrs", "width", "center", "bgr_width", "address", "net", "total", "sum", "_data")

    def __init__(self, prefix, roi=0, bgr_width=3, data_pv=None):
        self.address = f"{prefix}.R{roi}"
        self.bgr_width = bgr_width
        self._data = get_pv(data_pv) if isinstance(data_pv, str) else data_pv
        super().__init__(self.address, delim="", attrs=("NM", "LO", "HI"), aliases=self._aliases, with_poll=False)
        # What the record counts: all, and without the background.
        self.add_pv(self.address, attr="_dat_")
        self.add_pv(f"{self.address}N", attr="_net_")

    def __eq__(self, other):
        return all(getattr(other, name, None) == getattr(self, name) for name in ("LO", "HI", "bgr_width"))

    def __ne__(self, other):
        return not self.__eq__(other)

    def __lt__(self, other):
        return self.LO < getattr(other, "LO", None)

    def __le__(self, other):
        return self.LO <= getattr(other, "LO", None)

    def __gt__(self, other):
        return self.LO > getattr(other, "LO", None)

    def __ge__(self, other):
        return self.LO >= getattr(other, "LO", None)


    def __repr__(self):
        return f"<ROI '{self._prefix}', name='{self.NM}', range=[{self.LO}:{self.HI}]>"

    @property
    def total(self):
        """All counts."""
        return self.get_counts(net=False)

    @property
    def sum(self):
        """All counts."""
        return self.get_counts(net=False)

    @property
    def net(self):
        """Counts without the background."""
        return self.get_counts(net=True)

    @property
    def center(self):
        """The channel in the middle."""
        return int(round(self.HI + self.LO) / 2.0)

    @property
    def width(self):
        """Channels from the first to the last."""
        return int(round(self.HI - self.LO))

    def clear(self):
        """Removes the region."""
        self.set("", -1, -1)

    def set(self, name, left, right):
        """Sets all of it, and waits until it is so."""
        for attr, value in (("NM", name), ("LO", left), ("HI", right)):
            self.put(attr, value, wait=True)

    def get_counts(self, data=None, net=False):
        """Counts in the region.

        Args:
            data: a spectrum (array of one dimension) to count in; that of ``data_pv`` otherwise, or what the record
                has counted.
            net: without the background, the mean of ``bgr_width`` channels on either side.
        """
        if data is None and self._data is None:
            return self.get("_net_" if net else "_dat_")
        data = self._data.get() if data is None else data
        if not hasattr(data, "__len__"):
            return data
        low, high = int(self.LO), int(self.HI)
        total = data[low : high + 1].sum()
        return total - background(data, low, high, int(self.bgr_width)) * (high - low) if net else total


class MCA(Device):
    """An MCA record: ``MCA("13SDD1:mca1")`` or ``MCA("13SDD1:", mca=1)``.

    Args:
        prefix: the record, or what its name begins with.
        mca: its number, behind ``mca``.
        nrois: regions that are looked at.
        data_pv: name of a PV with the spectrum that regions count in.
    """

    _attrs = ("CALO", "CALS", "CALQ", "TTH", "EGU", "PRTM", "PLTM", "ACQG", "NUSE", "DWEL", "ERTM", "ELTM", "IDTIM")
    _nonpvs = (*Device._nonpvs, "_npts", "rois", "_nrois", "_data")

    def __init__(self, prefix, mca=None, nrois=None, data_pv=None):
        self._npts = None
        self._nrois = MAX_ROIS if nrois is None else nrois
        self.rois = []
        self._data = None if data_pv is None else get_pv(data_pv)
        record = f"{prefix}mca{mca}" if isinstance(mca, int) else prefix
        super().__init__(record, delim=".", attrs=self._attrs, with_poll=False)
        # Not all spectra, only those that are asked for.
        self._pvs["VAL"] = get_pv(f"{self._prefix}VAL", auto_monitor=False)

    def _roi(self, number: int) -> ROI:
        return ROI((self._prefix or "").removesuffix("."), roi=number, data_pv=self._data)

    def get_rois(self, nrois=None):
        """The regions there are, up to the first that is not used."""
        self.rois = []
        for number in range(self._nrois if nrois is None else nrois):
            roi = self._roi(number)
            if not (roi.NM or "").strip() or roi.HI <= 0:
                break
            self.rois.append(roi)
        return self.rois

    def del_roi(self, roiname):
        """Removes a region by its name, in whatever case."""
        wanted = roiname.strip().lower()
        self.set_rois([roi for roi in self.get_rois() if roi.NM.strip().lower() != wanted])

    def add_roi(self, roiname, lo=-1, hi=-1, calib=None):
        """Adds a region of channels.

        Args:
            roiname: its name.
            lo, hi: its first and last channel; without them nothing is added.
            calib: what `get_calib` of another MCA gave, if the channels are of that one: the region is set to the same
                energies here.

        Raises:
            ValueError: there is no room for it.
        """
        if lo < 0 or hi < 0:
            return
        rois = self._told(self.get_rois())
        if len(rois) >= MAX_ROIS:
            raise ValueError(f"{self._prefix}: no room for region {roiname!r}, there are {MAX_ROIS} already")
        self._set([*rois, (roiname.strip(), *self._shifted(lo, hi, calib))])

    def set_rois(self, rois, calib=None):
        """Sets all regions, in the order of their channels; those behind are removed.

        Args:
            rois: regions, of this MCA or of another one.
            calib: what `get_calib` of that one gave, for regions at the same energies.
        """
        self._set([(name, *self._shifted(lo, hi, calib)) for name, lo, hi in self._told(rois) if lo >= 0 and hi >= 0])

    def _told(self, rois) -> list[tuple[str, int, int]]:
        return [(roi.NM.strip(), roi.LO, roi.HI) for roi in rois]

    def _shifted(self, lo, hi, calib) -> tuple[int, int]:
        return (round(lo), round(hi)) if calib is None else shifted(lo, hi, calib, self.get_calib())

    def _set(self, regions: list[tuple[str, int, int]]) -> None:
        self.rois = []
        for number, (name, low, high) in enumerate(sorted((it for it in regions if it[0]), key=lambda it: it[1:])):
            roi = self._roi(number)
            roi.set(name, low, high)
            self.rois.append(roi)
        for number in range(len(self.rois), MAX_ROIS):
            roi = self._roi(number)
            if roi.LO is None or roi.LO < 0:
                break
            roi.clear()

    def clear_rois(self, nrois=None):
        """Removes all regions."""
        for roi in self.get_rois(nrois=nrois):
            roi.clear()
        self.rois = []

    def get_calib(self):
        """Offset, slope and quadratic term of the energy of a channel."""
        return [self.get(name) for name in ("CALO", "CALS", "CALQ")]

    def get_energy(self):
        """The energy of each channel."""
        if self._npts is None:
            self._npts = len(self.get("VAL"))
        return energies(self._npts, self.get_calib())


class MultiXMAP(Device, FileWriter):
    """Electronics of several elements, and the plug-in that writes their maps.

    Args:
        prefix: what all names begin with.
        filesaver: what those of the plug-in begin with behind that.
        nmca: number of elements.
    """

    attrs = (
        "PresetReal", "Dwell", "Acquiring", "EraseStart", "StopAll", "PresetMode", "PixelsPerBuffer_RBV", "NextPixel",
        "PixelsPerRun", "Apply", "AutoApply", "CollectMode", "SyncCount", "BufferSize_RBV",
    )  # fmt: skip
    pathattrs = (
        "FilePath", "FileTemplate", "FileWriteMode", "FileName", "FileNumber", "FullFileName_RBV", "Capture",
        "NumCapture", "WriteFile_RBV", "AutoSave", "EnableCallbacks", "ArraySize0_RBV", "FileTemplate_RBV",
        "FileName_RBV", "AutoIncrement",
    )  # fmt: skip
    _nonpvs = (*Device._nonpvs, "filesaver", "pathattrs", "nmca", "dxps", "mcas")

    def __init__(self, prefix, filesaver="netCDF1:", nmca=4):
        self.filesaver = filesaver
        self.nmca = nmca
        self.dxps = [DXP(prefix, mca=number + 1) for number in range(nmca)]
        self.mcas = [MCA(prefix, mca=number + 1) for number in range(nmca)]
        super().__init__(prefix, attrs=self.attrs, delim="", mutable=True)
        for name in self.pathattrs:
            self.add_pv(f"{prefix}{filesaver}{name}", attr=name)

    def get_calib(self):
        """Calibrations of all elements."""
        return [one.get_calib() for one in self.mcas]

    def get_rois(self):
        """Regions of all elements."""
        return [one.get_rois() for one in self.mcas]

    def roi_calib_info(self):
        """Regions, calibrations and settings of the electronics, as lines of a file that `restore_rois` reads."""
        lines = ["[rois]"]
        for number, same in enumerate(zip(*self.get_rois())):
            places = " ".join(f"{roi.LO} {roi.HI}" for roi in same)
            lines.append(f"ROI{number:02} = {same[0].NM} | {places}")
        lines.append("[calibration]")
        for word, numbers in zip(("OFFSET", "SLOPE ", "QUAD  "), zip(*self.get_calib())):
            lines.append(f"{word} = {' '.join(f'{one:.7g}' for one in numbers)} ")
        lines.append("[dxp]")
        for name in DXP._attrs:
            texts = [str(one.get(name, as_string=True)).replace(" ", "_") for one in self.dxps]
            lines.append(f"{name} = {' '.join(texts)}")
        return lines

    def restore_rois(self, roifile):
        """Sets the regions that a file has for the first element, at the same energies for the others."""
        self.mcas[0]._set(regions_of(roifile))
        calib = self.mcas[0].get_calib()
        for one in self.mcas[1:]:
            one.set_rois(self.mcas[0].rois, calib=calib)

    def Write_CurrentConfig(self, filename=None):
        """What `roi_calib_info` tells, and of what; written to a file, if one is given."""
        head = [f"#Multi-Element xMAP Settings saved: {time.ctime()}", "[general]", f"prefix= {self._prefix}",
                f"nmcas = {self.nmca}", f"filesaver= {self.filesaver}"]  # fmt: skip
        text = "\n".join([*head, *self.roi_calib_info()])
        if filename is not None:
            with open(filename, "w", encoding=IOENCODING) as file:
                file.write(text)
        return text

    def start(self):
        """Begins to count, from nothing."""
        self.put("EraseStart", 1)
        if not until(self.PV("Acquiring"), bool, 0.1):
            self.put("EraseStart", 1)
        return self.EraseStart

    def stop(self):
        """Ends counting."""
        self.StopAll = 1
        return self.StopAll

    def next_pixel(self):
        """Goes to the next pixel of a map."""
        self.NextPixel = 1
        return self.NextPixel

    def finish_pixels(self, timeout=2):
        """Waits until the map has all its pixels, and goes on to those that are missing then: whether none was, and
        how many.
        """
        wanted = self.PixelsPerRun
        current = self.dxps[0].PV("CurrentPixel")
        complete = until(current, lambda value: value >= wanted, timeout)
        missing = max(0, int(wanted - (current.get() or 0)))
        if not complete:
            print("XMAP needs to finish pixels ", wanted - missing, " / ", wanted)
            for _ in range(missing):
                self.put("NextPixel", 1, wait=True)
            self.FileCaptureOff()
        return complete, missing

    def readmca(self, n=1):
        """The spectrum of an element."""
        return self.get(f"mca{n}")

    def SCAMode(self):
        """Maps counts of regions."""
        self.CollectMode = 2

    def SpectraMode(self):
        """Takes spectra, no maps."""
        self.stop()
        self.CollectMode = 0
        self.PresetMode = 0
        until(self.PV("BufferSize_RBV"), lambda size: size < _MAPPING, 5.0)

    def MCAMode(self, filename=None, filenumber=None, npulses=11):
        """Maps spectra: prepares a file with so many pixels."""
        npulses = max(2, npulses)
        self.AutoApply = 1
        self.stop()
        self.PresetMode = 0
        self.setFileWriteMode(2)
        self.CollectMode = 1
        self.PixelsPerRun = npulses
        self.FileCaptureOff()
        # The plug-in takes the size of its arrays from the first one.
        self.start()
        size = self.PV(f"{self.filesaver}ArraySize0_RBV")
        ends = time.monotonic() + 10.0
        while time.monotonic() < ends and not until(size, lambda value: value > _MAPPING, 0.1):
            self.NextPixel = 1
        self.PixelsPerRun = npulses
        self.SyncCount = 1
        self.setFileNumber(filenumber)
        if filename is not None:
            self.setFileName(filename)
        self.Apply = 1
        self.CollectMode = 1
        self.PixelsPerRun = npulses
        until(self.PV("BufferSize_RBV"), lambda value: value > _MAPPING, 10.0)
        per_buffer = self.PixelsPerBuffer_RBV or 124
        self.setFileNumCapture(1 + (npulses - 1) // int(per_buffer))
        until(size, lambda value: value == self.BufferSize_RBV, 5.0)

    def filePut(self, attr, value, **kw):
        """Puts to a PV of the plug-in."""
        return self.put(f"{self.filesaver}{attr}", value, **kw)

    def fileGet(self, attr, **kw):
        """The value of a PV of the plug-in."""
        return self.get(f"{self.filesaver}{attr}", **kw)


def regions_of(file) -> list[tuple[str, int, int]]:
    """Names and channels of the regions in a file, those of its first element.

    Raises:
        OSError: it cannot be read.
        ValueError: a line of a region is none.
    """
    found = configparser.ConfigParser()
    with open(file, encoding=IOENCODING) as lines:
        found.read_file(lines)
    regions = []
    for word, text in found.items("rois"):
        if word.startswith("roi"):
            name, bar, places = text.rpartition("|")
            numbers = places.split()
            if not bar or len(numbers) < 2:
                raise ValueError(f"{file}: {word} is {text!r}, not a name, a bar and two channels")
            regions.append((name.strip(), int(numbers[0]), int(numbers[1])))
    return regions
