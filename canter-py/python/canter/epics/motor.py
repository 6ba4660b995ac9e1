"""``epics.motor``: the motor record."""

from __future__ import annotations

import time

from . import ca
from .device import Device

__all__ = ["Motor", "MotorException", "MotorLimitException"]


class MotorException(Exception):
    """Something is wrong with a motor."""

    def __init__(self, msg, *args):
        super().__init__(msg, *args)
        self.msg = msg


class MotorLimitException(MotorException):
    """A motor is at a limit, or was to move beyond one."""


#: Names of fields (``motorRecord.dbd`` of the motor module).
_ALIASES = {
    "acceleration": "ACCL", "back_accel": "BACC", "backlash": "BDST", "back_speed": "BVEL", "card": "CARD",
    "dial_high_limit": "DHLM", "direction": "DIR", "dial_low_limit": "DLLM", "settle_time": "DLY",
    "done_moving": "DMOV", "dial_readback": "DRBV", "description": "DESC", "dial_drive": "DVAL",
    "units": "EGU", "encoder_step": "ERES", "freeze_offset": "FOFF", "move_fraction": "FRAC",
    "hi_severity": "HHSV", "hi_alarm": "HIGH", "hihi_alarm": "HIHI", "high_limit": "HLM",
    "high_limit_set": "HLS", "hw_limit": "HLSV", "home_forward": "HOMF", "home_reverse": "HOMR",
    "high_op_range": "HOPR", "high_severity": "HSV", "integral_gain": "ICOF", "jog_accel": "JAR",
    "jog_forward": "JOGF", "jog_reverse": "JOGR", "jog_speed": "JVEL", "last_dial_val": "LDVL",
    "low_limit": "LLM", "low_limit_set": "LLS", "lo_severity": "LLSV", "lolo_alarm": "LOLO",
    "low_op_range": "LOPR", "low_alarm": "LOW", "last_rel_val": "LRLV", "last_dial_drive": "LRVL",
    "last_SPMG": "LSPG", "low_severity": "LSV", "last_drive": "LVAL", "soft_limit": "LVIO",
    "in_progress": "MIP", "missed": "MISS", "moving": "MOVN", "resolution": "MRES", "motor_status": "MSTA",
    "offset": "OFF", "output_mode": "OMSL", "output": "OUT", "prop_gain": "PCOF", "precision": "PREC",
    "readback": "RBV", "retry_max": "RTRY", "retry_count": "RCNT", "retry_deadband": "RDBD",
    "dial_difference": "RDIF", "raw_encoder_pos": "REP", "raw_high_limit": "RHLS", "raw_low_limit": "RLLS",
    "relative_value": "RLV", "raw_motor_pos": "RMP", "raw_readback": "RRBV", "readback_res": "RRES",
    "raw_drive": "RVAL", "dial_speed": "RVEL", "s_speed": "S", "s_back_speed": "SBAK",
    "s_base_speed": "SBAS", "s_max_speed": "SMAX", "set": "SET", "stop_go": "SPMG",
    "s_revolutions": "SREV", "stop_command": "STOP", "t_direction": "TDIR", "tweak_forward": "TWF",
    "tweak_reverse": "TWR", "tweak_val": "TWV", "use_encoder": "UEIP", "u_revolutions": "UREV",
    "use_rdbl": "URIP", "drive": "VAL", "base_speed": "VBAS", "slew_speed": "VELO", "version": "VERS",
    "max_speed": "VMAX", "use_home": "ATHM", "deriv_gain": "DCOF", "use_torque": "CNEN",
    "device_type": "DTYP", "record_type": "RTYP", "status": "STAT",
}  # fmt: skip


class Motor(Device):
    """A motor: its fields by their names and by words (``drive``, ``readback``, ``slew_speed`` …)."""

    _alias = _ALIASES
    _extras = {"disabled": "_able.VAL"}
    _init_list = (
        "VAL", "DESC", "RTYP", "RBV", "PREC", "TWV", "FOFF", "VELO", "STAT", "SET", "LLM", "HLM", "SPMG",
        "LVIO", "HLS", "LLS", "disabled",
    )  # fmt: skip
    _nonpvs = (*Device._nonpvs, "_alias", "_extras", "_init_list", "_name")

    def __init__(self, name=None, timeout=3.0):
        if name is None:
            raise MotorException("must supply motor name")
        name = name.removesuffix(".VAL").removesuffix(".")
        self.__dict__["_name"] = name
        aliases = {**self._alias, **self._extras}
        super().__init__(name, delim=".", attrs=("VAL", "RTYP"), timeout=timeout)
        self._aliases = aliases
        if not self.PV("VAL").connected:
            raise MotorException(f"{name} is not connected: {self.PV('VAL').last_error}")
        rtyp = self.get("RTYP") if self.PV("RTYP").connected else None
        if rtyp != "motor":
            raise MotorException(f"{name} is not an Epics Motor: its record type is {rtyp}")
        for attr in self._init_list:
            self.PV(attr, connect=False)

    def PV(self, attr, connect=True, **kw):  # noqa: N802
        extra = self._extras.get(attr)
        if extra is not None or attr in self._extras.values():
            key = extra or attr
            if key not in self._pvs:
                self.add_pv(f"{self._name}{key}", attr=key)
            return self._pvs[key]
        return super().PV(attr, connect=connect, **kw)

    def __repr__(self):
        return f"<epics.Motor: {self._prefix}: '{self.get('DESC')}'>"

    __str__ = __repr__

    def get(self, attr, as_string=False, count=None, timeout=None):
        """The value of a field."""
        return self.PV(attr).get(as_string=as_string, count=count, timeout=timeout)

    def put(self, attr, value, wait=False, use_complete=False, timeout=10):
        """Puts to a field."""
        return super().put(attr, value, wait=wait, use_complete=use_complete, timeout=timeout)

    def get_pv(self, attr):
        """The PV of a field."""
        return self.PV(attr)

    def check_limits(self):
        """Nothing, or an exception.

        Raises:
            MotorLimitException: the motor is at a limit, or was to move beyond one.
        """
        for field, text in (("LVIO", "Soft"), ("HLS", "Hard"), ("LLS", "Hard")):
            if self.get(field):
                raise MotorLimitException(f"{text} limit violation")

    def within_limits(self, val, dial=False):
        """Whether a position is within the soft limits; without limits any is."""
        low, high = (self.get("DLLM"), self.get("DHLM")) if dial else (self.get("LLM"), self.get("HLM"))
        if low is None or high is None or low == high == 0.0:
            return True
        return low <= val <= high

    def move(
        self,
        val=None,
        relative=False,
        wait=False,
        timeout=300.0,
        dial=False,
        step=False,
        raw=False,
        ignore_limits=False,
        confirm_move=False,
    ):
        """Moves to a position, or by a distance.

        Returns:
            ``None``: there is no position to move to.
            -13: the position is no number; -12: it is beyond a soft limit; -11: the drive is not connected.
            -8: it moves, and has not arrived in time; -7: so, but it appears done; -5: the put failed.
            -4: it has ended at a soft limit; -3: at a hard one.
            0: it has arrived, or moves and was not looked at; 1: it moves.
            3: not waited for, it is at a hard limit; 4: at a soft one.
        """
        step = step or raw
        if val is None:
            return None
        try:
            val = float(val)
        except (TypeError, ValueError):
            return -13
        drive, readback = ("RVAL", "RRBV") if step else ("DVAL", "DRBV") if dial else ("VAL", "RBV")
        it = self.PV(drive)
        if not it.connected:
            return -11
        if relative:
            val += it.get()
        if not ignore_limits and not step and not self.within_limits(val, dial=dial):
            return -12
        result = it.put(val, wait=wait, timeout=timeout)
        if not wait and not confirm_move:
            return 0 if result == 1 else -5
        moving = self.get("MOVN") if not wait else None
        if result not in (1, -1):
            return -5
        sign = -1 if wait else 1
        if self.get("LVIO"):
            return 4 * sign
        if self.get("HLS") or self.get("LLS"):
            return 3 * sign
        if not wait:
            return 1 if moving or self.get("DMOV") == 0 else 0
        if result == -1:
            near = abs(val - (self.get(readback) or 0.0)) <= abs(self.get("RDBD") or 0.0)
            return -7 if near else -8
        return 0

    def get_position(self, dial=False, readback=False, step=False, raw=False):
        """The position that was asked for, or that of the readback."""
        names = ("RVAL", "RRBV") if step or raw else ("DVAL", "DRBV") if dial else ("VAL", "RBV")
        return self.get(names[bool(readback)])

    def tweak(self, direction="foreward", wait=False, timeout=300.0):
        """Moves by the tweak value, forward or in ``reverse``."""
        field = "TWR" if direction.startswith("rev") or direction.startswith("back") else "TWF"
        result = self.put(field, 1, wait=wait, timeout=timeout)
        try:
            self.check_limits()
        except MotorLimitException:
            return -1
        return 0 if result == 1 else -1 if result == -2 else result

    def set_position(self, position, dial=False, step=False, raw=False):
        """Has the motor take its place for a position, without moving."""
        self.put("SET", 1, wait=True)
        try:
            field = "RVAL" if step or raw else "DVAL" if dial else "VAL"
            self.put(field, position, wait=True)
        finally:
            self.put("SET", 0, wait=True)

    def stop(self):
        """Stops the motion."""
        self.put("STOP", 1)

    def StopNow(self):  # noqa: N802
        """Stops the motion, and forgets where it was to go."""
        self.put("SPMG", 0, wait=True)
        time.sleep(0.01)
        self.put("SPMG", 3)

    def set_callback(self, attr="VAL", callback=None, kws=None):
        """Adds a callback for changes of a field."""
        self.get(attr)
        keywords = {"motor": self, **(kws or {})}
        return self.PV(attr).add_callback(callback=callback, **keywords)

    def clear_callback(self, attr="drive"):
        """Removes the callbacks of a field."""
        self.PV(attr).clear_callbacks()

    def refresh(self):
        """Nothing has to be polled."""
        ca.poll()

    def make_step_list(self, minstep=0.0, maxstep=None, decades=10):
        """Steps that suit the motor: 1, 2 and 5 in each decade."""
        if maxstep is None:
            limits = self.get("HLM"), self.get("LLM")
            maxstep = 0.6 * abs(limits[0] - limits[1]) if None not in limits else 1.0
        minstep = max(minstep, 10.0 ** -(self.get("PREC") or 0))
        steps = [digit * 10.0**power for power in range(-decades, decades) for digit in (1, 2, 5)]
        return [step for step in steps if minstep * (1 - 1e-9) <= step <= maxstep]

    def get_info(self):
        """The most important fields, as texts."""
        fields = ("DESC", "VAL", "RBV", "PREC", "VELO", "STAT", "SET", "TWV", "LLM", "HLM", "SPMG")
        return {field: self.get(field, as_string=True) for field in fields}

    def show_info(self):
        """Prints the most important fields."""
        line = "-" * 38
        rows = [f"{field:16s} = {value}" for field, value in self.get_info().items()]
        ca.write("\n".join([repr(self), line, *rows, line]))

    def show_all(self):
        """Prints all fields that are there."""
        lines = [
            f"# Motor {self._prefix}",
            "#  field               value                 PV name",
            "#------------------------------------------------------------",
        ]
        for word, field in sorted(self._alias.items()):
            it = self.PV(field, connect=False)
            value = it.get(as_string=True) if it.wait_for_connection(timeout=0.5) else None
            shown = "Not Connected??" if value is None else value
            lines.append(f" {word:18s}  {shown:18s}  {it.pvname}")
        ca.write("\n".join(lines))
