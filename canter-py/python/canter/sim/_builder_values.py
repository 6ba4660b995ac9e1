"""Values and fields of the records of a builder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _arguments
from .._errors import bad
from ._states import STATE_PREFIXES

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
STATUSES = (
    "NO_ALARM READ WRITE HIHI HIGH LOLO LOW STATE COS COMM TIMEOUT HWLIMIT CALC SCAN LINK SOFT BAD_SUB UDF DISABLE "
    "SIMM READ_ACCESS WRITE_ACCESS"
).split()

#: Types of arrays: those of NumPy, and of FTVL.
_FTVL = {
    "int8": "CHAR",
    "uint8": "UCHAR",
    "int16": "SHORT",
    "uint16": "USHORT",
    "int32": "LONG",
    "uint32": "ULONG",
    "int64": "LONG",
    "uint64": "ULONG",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
_DTYPES = {"CHAR": "int8", "UCHAR": "uint8", "SHORT": "int16", "USHORT": "uint16", "LONG": "int32",
           "ULONG": "uint32", "FLOAT": "float32", "DOUBLE": "float64", "STRING": "S40"}  # fmt: skip


def as_float(value: Any) -> float:
    return 0.0 if value is None else float(value)


def as_int(value: Any) -> int:
    return 0 if value is None else int(value)


def as_text(value: Any) -> str:
    return "" if value is None else str(value)


def as_long_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        # An array of one character, as it is told.
        value = [value]
    return bytes(bytearray(int(one) & 255 for one in value)).split(b"\0")[0].decode("utf-8", "replace")


def same(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") or hasattr(other, "shape"):
        import numpy

        return bool(numpy.array_equal(one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return bool(one == other)


def is_empty(value: Any) -> bool:
    return hasattr(value, "__len__") and len(value) == 0


def wire(value: Any) -> Any:
    if getattr(getattr(value, "dtype", None), "char", "") == "S":
        return [one.decode("utf-8", "replace") for one in value.tolist()]
    return value


def drive(low: Any, high: Any, fields: dict[str, Any]) -> dict[str, Any]:
    fields.setdefault("LOPR", low)
    fields.setdefault("HOPR", high)
    return {"DRVL": low, "DRVH": high, **fields}


def states(name: str, options: tuple, fields: dict[str, Any]) -> dict[str, Any]:
    if len(options) > len(STATE_PREFIXES):
        raise bad(f"{name}: {len(options)} states, at most 16 are possible")
    for number, (prefix, option) in enumerate(zip(STATE_PREFIXES, options)):
        text, severity = option if isinstance(option, tuple) else (option, None)
        fields[f"{prefix}ST"] = text
        fields[f"{prefix}VL"] = number
        if severity:
            fields[f"{prefix}SV"] = SEVERITIES[severity] if isinstance(severity, int) else severity
    return fields


def _length(name: str, fields: dict[str, Any], default: int | None = None) -> int:
    if "length" in fields and "NELM" in fields:
        raise TypeError(f"{name}: give length or NELM, not both")
    length = fields.pop("length", fields.pop("NELM", default))
    if length is None:
        raise TypeError(f"{name}: an array without a first value needs its length")
    return _arguments.whole(length, "length", 1, 2**31 - 1, name)


def long_text(fields: dict[str, Any]) -> None:
    text = fields.setdefault("initial_value", "")
    if text is not None and not isinstance(text, str):
        raise bad(f"initial_value={text!a}: give a text")
    needed = len(text.encode("utf-8", "replace")) + 1 if text else 256
    fields["NELM"] = _length("a long text", fields, needed)
    fields["FTVL"] = "CHAR"


def waveform(name: str, value: tuple, fields: dict[str, Any]) -> Callable[[Any], Any]:
    import numpy

    if value and "initial_value" in fields:
        raise TypeError(f"{name}: two first values are given")
    if len(value) > 1:
        raise TypeError(f"{name}: give the first value as one array")
    first = value[0] if value else fields.pop("initial_value", None)
    if "datatype" in fields and "FTVL" in fields:
        raise TypeError(f"{name}: give datatype or FTVL, not both")
    datatype = fields.pop("datatype", None)
    if datatype is not None:
        try:
            dtype = numpy.dtype("int32" if datatype in (int, "int") else datatype)
        except ValueError:
            raise bad(f"{name}: datatype={datatype!a}: give a type of Python or a dtype of NumPy") from None
    elif "FTVL" in fields:
        ftvl = fields["FTVL"]
        if not isinstance(ftvl, str) or ftvl not in _DTYPES:
            raise bad(f"{name}: FTVL={ftvl!a}: give one of {', '.join(_DTYPES)}")
        dtype = numpy.dtype(_DTYPES[ftvl])
    elif first is None:
        raise TypeError(f"{name}: an array without a first value needs its datatype")
    else:
        dtype = numpy.asarray(numpy.frombuffer(first, numpy.uint8) if isinstance(first, bytes) else first).dtype
        dtype = numpy.dtype({"int64": "int32", "uint64": "uint32"}.get(dtype.name, dtype))
    if dtype.kind in "SU":
        dtype = numpy.dtype("S40")
    elif dtype.name not in _FTVL:
        raise TypeError(f"{name}: an array cannot have elements of type {dtype}")
    ftvl = "STRING" if dtype.kind == "S" else _FTVL[dtype.name]
    length = _length(name, fields, None if first is None else max(1, numpy.size(first)))
    fields["NELM"], fields["FTVL"] = length, ftvl

    def convert(given: Any) -> Any:
        if given is None:
            made = numpy.array([], dtype=dtype)
        elif dtype.kind == "S":
            made = to_epics_str_array(given)
        else:
            if isinstance(given, bytes):
                given = numpy.frombuffer(given, numpy.uint8)
            made = numpy.atleast_1d(numpy.array(given, dtype=dtype))
        if made.ndim != 1 or len(made) > length:
            raise bad(f"{name}: an array of up to {length} elements is wanted, not one of shape {made.shape}")
        made.flags.writeable = False
        return made

    if first is not None:
        fields["initial_value"] = first
    return convert


def qform_string(rec: Any) -> Any:
    """Has programs show an array of characters as a text."""
    rec.add_info("Q:form", "String")
    return rec


def to_epics_str_array(value: Any) -> Any:
    """An array of texts of up to 39 bytes."""
    import numpy

    made = numpy.empty(len(value), "S40")
    for at, one in enumerate(value):
        made[at] = one.encode("utf-8", "replace")[:39] if isinstance(one, str) else one
    return made
