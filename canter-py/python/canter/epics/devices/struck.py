"""``epics.devices.struck``: the multi-channel scaler SIS 38XX of Struck (module mca of synApps)."""
# ruff: noqa: N802 - names are those that scripts call

from __future__ import annotations

from ..device import Device
from ..utils import IOENCODING
from .mca import MCA
from .scaler import Scaler

HEADER = """# Struck MCA data: %s
# Nchannels, Nmca = %i, %i
# Time in microseconds
#----------------------
# %s
# %s
"""


class Struck(Device):
    """A multi-channel scaler.

    Args:
        prefix: what its names begin with.
        scaler: the scaler record that shows the same inputs, if there is one.
        nchan: inputs.
        clockrate: of the first input, in MHz.
    """

    attrs = (
        "ChannelAdvance", "Prescale", "EraseStart", "EraseAll", "StartAll", "StopAll", "PresetReal", "ElapsedReal",
        "Dwell", "Acquiring", "NuseAll", "CurrentChannel", "CountOnStart", "InitialChannelAdvance",
        "SoftwareChannelAdvance", "Channel1Source", "ReadAll", "DoReadAll", "Model", "Firmware",
    )  # fmt: skip
    _nonpvs = (*Device._nonpvs, "_nchan", "clockrate", "scaler", "mcas")

    def __init__(self, prefix, scaler=None, nchan=8, clockrate=50.0):
        prefix = prefix if prefix.endswith(":") else f"{prefix}:"
        self._nchan = nchan
        self.clockrate = clockrate
        self.scaler = None if scaler is None else Scaler(scaler, nchan=nchan)
        self.mcas = [MCA(prefix, mca=number + 1, nrois=2) for number in range(nchan)]
        super().__init__(prefix, delim="", attrs=self.attrs, mutable=False)

    def ExternalMode(self, countonstart=0, initialadvance=None, realtime=0, prescale=1):
        """Channels advance with a signal from outside. What is ``None`` stays as it is.

        Args:
            countonstart: whether the first channel counts before the first signal.
            initialadvance: whether the first signal is made by the start.
            realtime: seconds after which it ends, 0 for never.
            prescale: signals for each channel.
        """
        made = self.put("ChannelAdvance", 1)
        if self.scaler is not None:
            self.scaler.OneShotMode()
        given = {"PresetReal": realtime, "Prescale": prescale, "CountOnStart": countonstart,
                 "InitialChannelAdvance": initialadvance}  # fmt: skip
        for name, value in given.items():
            if value is not None:
                self.put(name, value)
        return made

    def InternalMode(self, prescale=None):
        """Channels advance with its own clock."""
        made = self.put("ChannelAdvance", 0)
        if self.scaler is not None:
            self.scaler.OneShotMode()
        if prescale is not None:
            self.put("Prescale", prescale)
        return made

    def setPresetReal(self, val):
        """Sets the seconds after which it ends."""
        return self.put("PresetReal", val)

    def setDwell(self, val):
        """Sets the seconds of a channel."""
        return self.put("Dwell", val)

    def AutoCountMode(self):
        """Has the scaler count again and again."""
        if self.scaler is not None:
            self.scaler.AutoCountMode()

    def start(self):
        """Begins to count, from nothing."""
        if self.scaler is not None:
            self.scaler.OneShotMode()
        return self.put("EraseStart", 1)

    def stop(self):
        """Ends counting."""
        return self.put("StopAll", 1)

    def erase(self):
        """Forgets what it has counted."""
        return self.put("EraseAll", 1)

    def mcaNread(self, nmca=1):
        """Channels that an input has counted in."""
        return self.get(f"mca{nmca}.NORD")

    def readmca(self, nmca=1, count=None):
        """Counts of an input, in each channel."""
        return self.get(f"mca{nmca}", count=count)

    def read_all_mcas(self):
        """Counts of all inputs."""
        return [self.readmca(nmca=number + 1) for number in range(self._nchan)]

    def _named(self, number: int) -> tuple[str, str]:
        """Name and PV of an input."""
        given = self.scaler.get(f"NM{number}") if self.scaler is not None else None
        if given is None:
            return f"MCA{number}", f"{self._prefix}mca{number}"
        return given.replace(" ", "_"), f"{self.scaler._prefix}S{number}"

    def saveMCAdata(self, fname="Struck.dat", mcas=None, ignore_prefix=None, npts=None):
        """Writes counts to a file, a line for each channel; the first input as microseconds.

        Args:
            fname: the file.
            mcas: numbers of the inputs; all, otherwise. Those without name and counts are left out.
            ignore_prefix: inputs whose names begin so are left out.
            npts: channels, at most.

        Returns:
            Numbers of inputs and channels that were written.
        """
        import numpy

        columns, names, addresses = [], [], []
        for number in range(1, self._nchan + 1) if mcas is None else mcas:
            name, address = self._named(number)
            if ignore_prefix and name.startswith(ignore_prefix):
                continue
            counts = self.readmca(nmca=number)
            if counts is not None and (name or sum(counts) > 0):
                columns.append(numpy.atleast_1d(counts) / (self.clockrate if number == 1 else 1))
                names.append(name)
                addresses.append(address)
        lengths = [len(column) for column in columns] + ([] if npts is None else [int(npts)])
        npts = min(lengths) if columns else 0
        with open(fname, "w", encoding=IOENCODING) as file:
            file.write(HEADER % (self._prefix, npts, len(columns), " | ".join(addresses), " | ".join(names)))
            for row in zip(*(column[:npts] for column in columns)):
                file.write("".join(f"{int(one):9} " for one in row) + "\n")
        return len(columns), npts
