"""``epics.devices.scan``: the sscan record of synApps, which moves positioners and reads detectors by itself."""

from __future__ import annotations

from ..device import Device

NUM_POSITIONERS = 4
NUM_TRIGGERS = 4
NUM_DETECTORS = 70

_MODES = {"table": 1, "fly": 2}
#: What is told of a positioner by words, and the field of it.
_PLACES = {"start": "SP", "stop": "EP", "step": "SI", "center": "CP", "width": "WD", "array": "PA"}


class ScanException(Exception):
    """What a scan record cannot do."""

    def __init__(self, msg, *args):
        super().__init__(msg, *args)
        self.msg = msg

    def __str__(self):
        return str(self.msg)


class Scan(Device):
    """A sscan record: ``Scan("13IDA:scan1")``.

    Raises:
        ScanException: it is a record of another type.
    """

    attrs = ("VAL", "SMSG", "CMND", "NPTS", "EXSC", "NAME", "PDLY", "PAUS", "CPT", "DDLY", "RTYP")
    pos_attrs = ("PV", "SP", "EP", "SI", "CP", "WD", "PA", "AR", "SM")
    trig_attrs = ("PV", "NV")
    _alias = {
        "device": "P1PV", "start": "P1SP", "end": "P1EP", "step": "P1SI", "table": "P1PA", "absrel": "P1AR",
        "mode": "P1SM", "npts": "NPTS", "execute": "EXSC", "trigger": "T1PV", "pause": "PAUS",
        "current_point": "CPT",
    }  # fmt: skip

    def __init__(self, name, **kwargs):
        attrs = list(self.attrs)
        attrs += [f"P{number + 1}{field}" for number in range(NUM_POSITIONERS) for field in self.pos_attrs]
        attrs += [f"T{number + 1}{field}" for number in range(NUM_TRIGGERS) for field in self.trig_attrs]
        attrs += [f"D{number + 1:02}PV" for number in range(NUM_DETECTORS)]
        super().__init__(name, delim=".", attrs=attrs, **kwargs)
        for attr, field in self._alias.items():
            self.add_pv(f"{name}.{field}", attr)
        kind = self.get("RTYP")
        if kind != "sscan":
            what = "does not answer" if kind is None else f"is of type {kind}"
            raise ScanException(f"{name} is not an Epics Scan: it {what}, not sscan")
        self.put("SMSG", "")

    def run(self, wait=False, timeout=86400):
        """Scans; with ``wait`` until it is done, for so many seconds at most."""
        self.put("EXSC", 1, wait=wait, timeout=timeout)

    def reset(self):
        """Removes positioners, triggers and detectors."""
        self.put("NPTS", 0)
        for number in range(1, NUM_TRIGGERS + 1):
            self.clear_trigger(number)
        for number in range(1, NUM_POSITIONERS + 1):
            self.clear_positioner(number)
        for number in range(1, NUM_DETECTORS + 1):
            self.clear_detector(number)

    def _print(self):
        for word, field in (("PV", "P1PV"), ("SP", "P1SP"), ("EP", "P1EP"), ("NPTS", "NPTS"), ("T ", "T1PV")):
            print(f"{word} = {self.get(field)}")

    def _free(self, fields: list[str], what: str) -> int:
        """The first of these that names nothing yet."""
        for number, field in enumerate(fields, 1):
            if len(self.get(field) or "") < 2:
                return number
        raise ScanException(f"{len(fields)} {what} already defined.")

    def clear_detector(self, idet=1):
        """Removes a detector, by its number."""
        self.put(f"D{idet:02}PV", "")

    def add_detector(self, detector):
        """Adds a detector, by the name of its PV; its number.

        Raises:
            ScanException: there are 70 already.
        """
        number = self._free([f"D{n + 1:02}PV" for n in range(NUM_DETECTORS)], "Detectors")
        self.put(f"D{number:02}PV", detector, wait=True)
        return number

    def clear_trigger(self, itrig=1):
        """Removes a trigger, by its number."""
        self.put(f"T{itrig}PV", "")

    def add_trigger(self, trigger, value=1.0):
        """Adds a trigger, by the name of its PV, and the value that is put to it; its number.

        Raises:
            ScanException: there are 4 already.
        """
        number = self._free([f"T{n + 1}PV" for n in range(NUM_TRIGGERS)], "Triggers")
        self.put(f"T{number}PV", trigger, wait=True)
        self.put(f"T{number}CD", value, wait=True)
        return number

    def clear_positioner(self, ipos=1):
        """Removes a positioner, by its number."""
        for field in self.pos_attrs:
            self.put(f"P{ipos}{field}", {"PV": "", "PA": [0]}.get(field, 0))
        self.put(f"R{ipos}PV", "")

    def add_positioner(
        self,
        drive,
        readback=None,
        start=None,
        stop=None,
        step=None,
        center=None,
        width=None,
        mode="linear",
        absolute=True,
        array=None,
    ):
        """Adds a positioner; its number. What is ``None`` stays as it is.

        Args:
            drive: the PV that is moved.
            readback: the PV that tells where it is; that with ``.RBV``, if the other one ends in ``.VAL``.
            start, stop, step, center, width: where it goes.
            mode: ``linear``, ``table`` or ``fly``.
            absolute: whether places are absolute, or relative to where it is.
            array: places, for the modes table and fly.

        Raises:
            ScanException: there are 4 already.
        """
        number = self._free([f"P{n + 1}PV" for n in range(NUM_POSITIONERS)], "Positioners")
        if readback is None and drive.endswith(".VAL"):
            readback = f"{drive[:-4]}.RBV"
        # The places of a linear scan are none of a table.
        array = array if _mode(mode) else None
        self.set_positioner(number, drive, readback, start, stop, step, center, width, mode, absolute, array)
        return number

    def set_positioner(
        self,
        ipos,
        drive=None,
        readback=None,
        start=None,
        stop=None,
        step=None,
        center=None,
        width=None,
        mode=None,
        absolute=None,
        array=None,
    ):
        """Changes a positioner, by its number: what is given, as to `add_positioner`.

        Raises:
            ScanException: no number is given.
        """
        if ipos is None:
            raise ScanException("must give positioner index")
        if drive is not None:
            self.put(f"P{ipos}PV", drive, wait=True)
        if readback is not None:
            self.put(f"R{ipos}PV", readback)
        if absolute is not None:
            self.put(f"P{ipos}AR", 0 if absolute else 1)
        if mode is not None:
            self.put(f"P{ipos}SM", _mode(mode))
        given = {"start": start, "stop": stop, "step": step, "center": center, "width": width, "array": array}
        for word, value in given.items():
            if value is not None:
                self.put(f"P{ipos}{_PLACES[word]}", value)

    def after_scan(self, mode):
        """Sets where positioners go afterwards (PASM)."""
        self.put("PASM", mode, wait=True)

    def positioner_delay(self, pdelay):
        """Sets the seconds between arrival and triggers."""
        self.put("PDLY", pdelay, wait=True)

    def detector_delay(self, pdelay):
        """Sets the seconds between triggers and reading."""
        self.put("DDLY", pdelay, wait=True)


def _mode(word: str) -> int:
    return next((number for begin, number in _MODES.items() if word.lower().startswith(begin)), 0)
