"""How PyEpics shows values, times and PVs."""

from __future__ import annotations

import math
import time
from typing import Any

from . import dbr

#: Longest array of ``CHAR`` that is shown as a text without being asked for.
LONGEST_TEXT = 256


def fmt_time(tstamp=None):
    """A time stamp in local time, with five digits of its fraction."""
    if tstamp is None:
        tstamp = time.time()
    whole, fraction = divmod(tstamp, 1)
    return "%s.%5.5i" % (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole)), round(1.0e5 * fraction))


def number(value: float, precision: int | None) -> str:
    """A real number with the digits of its PV; large and small ones with an exponent."""
    if not precision and precision != 0:
        return str(value)
    try:
        kind = "g" if abs(int(math.log10(abs(value + 1.0e-9)))) > 4 else "f"
    except (ValueError, OverflowError):
        kind = "f"
    return f"{value:.{max(0, precision)}{kind}}"


def text_of_chars(value: Any) -> str:
    """The text in an array of ``CHAR``, up to its NUL."""
    chars = bytes(value.tolist() if hasattr(value, "tolist") else value)
    return chars.partition(b"\0")[0].decode("utf-8", "replace").rstrip()


def charval(
    value: Any, ftype: int, precision: int | None, enum_strs: tuple | None, *, long_text: bool
) -> Any:
    """What ``as_string`` gives."""
    if value is None:
        return None
    native = dbr.native_type(ftype)
    if native == dbr.STRING:
        return value if isinstance(value, str) else list(map(str, value))
    is_array = hasattr(value, "__len__")
    count = len(value) if is_array else 1
    if native == dbr.CHAR and is_array and (count < LONGEST_TEXT or long_text):
        return text_of_chars(value)
    if count > 1:
        return f"<array size={count}, type={dbr.Name(ftype).lower()}>"
    if is_array:
        if count == 0:
            return ""
        value = value[0]
    if native in (dbr.FLOAT, dbr.DOUBLE):
        return number(float(value), precision)
    if native == dbr.ENUM and enum_strs:
        return enum_strs[value] if 0 <= value < len(enum_strs) else str(int(value))
    return str(int(value))


def pv_repr(pv: Any) -> str:
    if not pv.connected:
        return f"<PV '{pv.pvname}': not connected>"
    count, nelm = pv._args["count"], pv._args["nelm"]
    shown = f"{count}/{nelm}" if count and count > 1 else f"{count or 1}"
    return f"<PV '{pv.pvname}', count={shown}, type={dbr.Name(pv.ftype).lower()}, access={pv.access}>"


_SHOWN = ("host", "access", "status", "char_status", "severity", "char_severity")
_LIMITS = (
    "upper_ctrl_limit", "lower_ctrl_limit", "upper_disp_limit", "lower_disp_limit",
    "upper_alarm_limit", "lower_alarm_limit", "upper_warning_limit", "lower_warning_limit",
)  # fmt: skip


def pv_info(pv: Any) -> str:
    """The paragraph of ``cainfo``."""
    pv.get_ctrlvars()
    pv.get(as_string=True)
    known = pv._args
    native = dbr.native_type(pv.ftype)
    kind = dbr.Name(pv.ftype).lower()
    lines = [f"== {pv.pvname}  ({kind if pv.form != 'native' else 'native_' + kind}) =="]

    def line(name: str, value: Any, width: int = 15) -> None:
        lines.append(f"   {name.ljust(width)} = {value}")

    line("value", _shown_value(known["value"]))
    line("char_value", f"'{known['char_value']}'")
    line("count", known["count"])
    line("nelm", pv.nelm)
    line("type", pv.type)
    if native not in (dbr.STRING, dbr.ENUM):
        line("units", known["units"])
    if native in (dbr.FLOAT, dbr.DOUBLE):
        line("precision", known["precision"])
    for name in _SHOWN:
        line(name, getattr(pv, name))
    stamp = pv.timestamp or 0.0
    line("timestamp", f"{stamp:.3f} ({fmt_time(stamp)})")
    line("posixseconds", known["posixseconds"])
    line("nanoseconds", known["nanoseconds"])
    if native == dbr.ENUM:
        lines.append("   enum strings: ")
        lines += [f"       {n} = {state}" for n, state in enumerate(known["enum_strs"] or ())]
    elif native != dbr.STRING:
        for name in _LIMITS:
            line(name, known[name], 20)
    if pv.chid and pv.auto_monitor:
        lines.append(f"   PV is internally monitored, with {len(pv.callbacks)} user-defined callbacks")
        for number, (function, _) in sorted(pv.callbacks.items()):
            lines.append(f"      callback {number}: {getattr(function, '__name__', function)}")
    else:
        lines.append("   PV is NOT internally monitored")
    lines.append("=============================")
    return "\n".join(lines)


def _shown_value(value: Any) -> str:
    if not hasattr(value, "__len__") or isinstance(value, str):
        return f"{value:g}" if isinstance(value, float) else str(value)
    elements = [f"{one:g}" if isinstance(one, float) else str(one) for one in list(value[:6])]
    if len(elements) == 1:
        return elements[0]
    shown = elements if len(value) <= 5 else [*elements[:5], "...."]
    return f" array  [{','.join(shown)}]"
