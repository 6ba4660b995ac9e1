"""The scaler record of the module std of synApps, with the calculations of its database."""

from __future__ import annotations

from ..device import Device


class Scaler(Device):
    """Counters that count for a time.

    Args:
        prefix: name of the record.
        nchan: number of its channels.
    """

    attrs = ("CNT", "CONT", "TP", "T", "VAL", "TP1", "FREQ")
    attr_kws = {"calc_enable": "%s_calcEnable.VAL"}
    chan_attrs = ("NM%i", "S%i", "PR%i", "G%i")
    calc_attrs = {"calc%i": "%s_calc%i.VAL", "expr%i": "%s_calc%i.CALC"}
    _nonpvs = (*Device._nonpvs, "_nchan", "_chans")

    def __init__(self, prefix, nchan=8):
        self.__dict__["_nchan"] = int(nchan)
        self.__dict__["_chans"] = range(1, int(nchan) + 1)
        fields = [field % n for n in self._chans for field in self.chan_attrs]
        super().__init__(prefix, delim=".", attrs=(*self.attrs, *fields))
        for attr, name in self.attr_kws.items():
            self.add_pv(name % prefix, attr=attr)
        for n in self._chans:
            for attr, name in self.calc_attrs.items():
                self.add_pv(name % (prefix, n), attr=attr % n)

    def AutoCountMode(self):  # noqa: N802
        """Counts again and again."""
        self.put("CONT", 1)

    def OneShotMode(self):  # noqa: N802
        """Counts once when told."""
        self.put("CONT", 0)

    def CountTime(self, ctime):  # noqa: N802
        """Sets the time to count, in seconds."""
        self.put("TP", ctime)

    def Count(self, ctime=None, wait=False):  # noqa: N802
        """Begins to count; with ``wait`` until it has."""
        if ctime is not None:
            self.CountTime(ctime)
        self.put("CNT", 1, wait=wait, timeout=(ctime or self.get("TP") or 0) + 10)

    def EnableCalcs(self):  # noqa: N802
        """Has the calculations follow the counts."""
        self.put("calc_enable", 1)

    def setCalc(self, i, calc):  # noqa: N802
        """Sets the expression of a calculation."""
        self.put(f"expr{i}", calc)

    def getNames(self):  # noqa: N802
        """Names of the channels."""
        return [self.get(f"NM{n}") for n in self._chans]

    def Read(self, use_calc=False):  # noqa: N802
        """Counts of the channels, or results of the calculations."""
        field = "calc%i" if use_calc else "S%i"
        return [self.get(field % n) for n in self._chans]
