"""``epics.devices.ad_mca``: spectra with the statistics of areaDetector (``NDROIStatN.template``), as for Xspress3."""

from __future__ import annotations

import canter

from ..device import Device
from ..pv import PV, get_pv
from ._spectrum import background, energies

#: Channels of a spectrum of which no length is known.
MAX_CHAN = 4096
MAX_ROIS = 48
TOOMANY_ROIS = f"Too many ROIS, only {MAX_ROIS} ROIS allowed."


class ADMCAROI(Device):
    """A region of interest: ``left``, ``width``, ``right``, ``center`` and ``name`` may be set.

    Args:
        prefix: of the plug-in, as ``13QX4:MCA1ROI``.
        roi: number of the region, from 1.
        bgr_width: channels on either side that tell the background.
        data_pv: the PV with the spectrum to count in; the plug-in counts by itself otherwise.
    """

    _attrs = ("Use", "Name", "MinX", "SizeX", "BgdWidth", "SizeX_RBV", "MinX_RBV", "Total_RBV", "Net_RBV")
    _aliases = {"left": "MinX", "width": "SizeX", "name": "Name", "sum": "Total_RBV", "net": "Net_RBV"}
    _nonpvs = (*Device._nonpvs, "data_pv", "bgr_width")

    def __init__(self, prefix, roi=1, bgr_width=3, data_pv=None, with_poll=False):
        self.data_pv = data_pv
        self.bgr_width = bgr_width
        super().__init__(
            f"{prefix}:{roi}", delim=":", attrs=("Name", "MinX"), aliases=self._aliases, with_poll=with_poll
        )

    def __eq__(self, other):
        return all(getattr(other, name, None) == self.get(name) for name in ("MinX", "SizeX", "BgdWidth"))

    def __ne__(self, other):
        return not self.__eq__(other)

    def __lt__(self, other):
        return self.MinX < getattr(other, "MinX", None)

    def __le__(self, other):
        return self.MinX <= getattr(other, "MinX", None)

    def __gt__(self, other):
        return self.MinX > getattr(other, "MinX", None)

    def __ge__(self, other):
        return self.MinX >= getattr(other, "MinX", None)


    def __repr__(self):
        return f"<ADMCAROI '{self._prefix}', name='{self.Name}', range=[{self.MinX}:{self.get_right()}]>"

    def get_right(self):
        """The channel behind the last."""
        return self.MinX + self.SizeX

    def set_right(self, val):
        """Sets the channel behind the last; the first stays."""
        self.put("SizeX", val - self.MinX)

    right = property(get_right, set_right)

    def get_center(self):
        """The channel in the middle."""
        return int(round(self.MinX + self.SizeX / 2.0))

    def set_center(self, val):
        """Sets the channel in the middle; the width stays."""
        self.put("MinX", int(round(val - self.SizeX / 2.0)))

    center = property(get_center, set_center)

    def clear(self):
        """Removes the region."""
        self.set("", 0, 0)

    def set(self, name, left, width):
        """Sets all of it, and waits until it is so."""
        for attr, value in (("Name", name), ("MinX", left), ("SizeX", width)):
            self.put(attr, value, wait=True)

    def get_counts(self, data=None, net=False):
        """Counts in the region.

        Args:
            data: a spectrum (array of one dimension) to count in; that of ``data_pv`` otherwise, or what the plug-in
                has counted.
            net: without the background, the mean of ``bgr_width`` channels on either side.
        """
        if data is None and self.data_pv is not None:
            data = self.data_pv.get()
        if not hasattr(data, "__len__"):
            return self.Net_RBV if net else self.Total_RBV
        low, high = int(self.MinX), int(self.get_right())
        total = data[low : high + 1].sum()
        return total - background(data, low, high, int(self.bgr_width)) * (high - low) if net else total


class ADMCA(Device):
    """A spectrum and its regions.

    Args:
        prefix: of the detector.
        data_pv: name of the PV with the spectrum.
        nrois: regions that are looked at.
        roi_prefix: of the plug-in that counts in them.
    """

    _attrs = ("AcquireTime", "Acquire", "NumImages")
    _calib = (0.00, 0.01, 0.00)
    _nonpvs = (*Device._nonpvs, "_roi_prefix", "_npts", "rois", "_nrois", "_calib")

    def __init__(self, prefix, data_pv=None, nrois=None, roi_prefix=None):
        self._npts = None
        self._nrois = MAX_ROIS if nrois is None else nrois
        self._roi_prefix = roi_prefix
        self.rois = []
        super().__init__(prefix, delim="", attrs=self._attrs, with_poll=False)
        if data_pv is not None:
            self._pvs["VAL"] = PV(data_pv, auto_monitor=False)
        self.get_rois()

    def start(self):
        """Begins to count."""
        self.put("Acquire", 1)
        return self.Acquire

    def stop(self):
        """Ends counting."""
        self.put("Acquire", 0)
        return self.Acquire

    def get_calib(self):
        """Offset, slope and quadratic term of the energy of a channel, in keV."""
        return self._calib

    def _length(self) -> int:
        if self._npts is None and "VAL" in self._pvs:
            value = self.get("VAL")
            self._npts = None if value is None else len(value)
        return MAX_CHAN if self._npts is None else self._npts

    def get_energy(self):
        """The energy of each channel."""
        return energies(self._length(), self._calib)

    def _roi(self, number: int) -> ADMCAROI:
        return ADMCAROI(self._roi_prefix, roi=number, data_pv=self._pvs.get("VAL"))

    def _there(self, count: int) -> int:
        """How many of the regions there are, all searched at once."""
        names = [f"{self._roi_prefix}:{number + 1}:{field}" for number in range(count) for field in ("Name", "MinX")]
        pvs = [get_pv(name) for name in names]
        canter.default_client()._core.connect_many([it._channel.fresh().core for it in pvs], 1.0)
        return next((number for number in range(count) if not pvs[2 * number].connected), count)

    def clear_rois(self, nrois=None):
        """Removes all regions."""
        for roi in self.get_rois(nrois):
            roi.clear()
        self.rois = []

    def get_rois(self, nrois=None):
        """The regions there are, up to the first that is not used."""
        self.rois = []
        if self._roi_prefix is None:
            return self.rois
        for number in range(self._there(self._nrois if nrois is None else nrois)):
            roi = self._roi(number + 1)
            if not (roi.Name or "").strip() or not (roi.MinX > 0 and roi.SizeX > 0):
                break
            self.rois.append(roi)
        return self.rois

    def del_roi(self, roiname):
        """Removes a region by its name, in whatever case."""
        wanted = roiname.strip().lower()
        self._set([it for it in self._told() if it[0].lower() != wanted])

    def add_roi(self, roiname, lo, wid=None, hi=None, sort=True):
        """Adds a region: its first channel, and its width or the channel behind its last. Without these nothing is
        added.

        Raises:
            ValueError: there is no room for it.
        """
        if lo is None or (hi is None and wid is None):
            return
        most = self._length()
        lo = min(most - 1, lo)
        end = min(most, lo + wid if hi is None else hi)
        regions = [*self._told(), (roiname.strip(), lo, end - lo)]
        self._set(sorted(regions, key=lambda it: it[1]) if sort else regions)

    def sort_rois(self):
        """Puts the regions in the order of their channels."""
        self._set(sorted(self._told(), key=lambda it: it[1]))

    def set_rois(self, roidata):
        """Sets all regions: names, first channels and channels behind the last, in any order.

        Raises:
            ValueError: there are too many.
        """
        given = [(name.strip(), lo, hi - lo) for name, lo, hi in roidata if name.strip() and hi > max(lo, 0)]
        self._set(sorted(given, key=lambda it: it[1]))

    def _told(self) -> list[tuple[str, int, int]]:
        found = ((roi.Name.strip(), roi.MinX, roi.SizeX) for roi in self.get_rois())
        return [it for it in found if it[0]]

    def _set(self, regions: list[tuple[str, int, int]]) -> None:
        if len(regions) > MAX_ROIS:
            raise ValueError(f"{self._roi_prefix}: {len(regions)} regions. {TOOMANY_ROIS}")
        before = len(self.rois)
        self.rois = []
        for number, (name, low, width) in enumerate(regions, 1):
            roi = self._roi(number)
            roi.set(name, low, width)
            self.rois.append(roi)
        for number in range(len(regions) + 1, before + 1):
            self._roi(number).clear()
