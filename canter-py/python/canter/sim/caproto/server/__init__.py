"""``caproto.server``: groups of PVs, and what serves them."""

from __future__ import annotations

from typing import Any

from ..._functions import get_pv_pair_wrapper, pvfunction
from ..._instance import AsyncLib as AsyncLibraryLayer
from ..._instance import Instance as PvpropertyData
from ..._property import pvproperty, scan_wrapper
from ..._run import ioc_arg_parser, run, template_arg_parser
from ...group import PVGroup, SubGroup
from . import records

class _Typed:
    """The type of a PV, for ``dtype`` and annotations: ``PvpropertyDouble``, or ``PvpropertyDouble[AiFields]`` for one
    that is a record.
    """

    _dtype: Any = None
    _read_only = False
    _record: Any = None

    def __class_getitem__(cls, record: Any) -> type:
        return type(cls.__name__, (cls,), {"_record": record, "__module__": cls.__module__})


def _typed(name: str, dtype: Any) -> tuple[type, type]:
    """Such a type, and that of PVs that clients cannot write."""
    doc = f"A PV of type {getattr(dtype, '__name__', dtype)}, for ``dtype`` and annotations."
    known = {"_dtype": dtype, "__doc__": doc, "__module__": __name__}
    made = type(name, (_Typed,), known)
    return made, type(f"{name}RO", (_Typed,), {**known, "_read_only": True})


PvpropertyBoolEnum, PvpropertyBoolEnumRO = _typed("PvpropertyBoolEnum", bool)
PvpropertyByte, PvpropertyByteRO = _typed("PvpropertyByte", "char")
PvpropertyChar, PvpropertyCharRO = _typed("PvpropertyChar", str)
PvpropertyDouble, PvpropertyDoubleRO = _typed("PvpropertyDouble", float)
PvpropertyEnum, PvpropertyEnumRO = _typed("PvpropertyEnum", "enum")
PvpropertyFloat, PvpropertyFloatRO = _typed("PvpropertyFloat", "float")
PvpropertyInteger, PvpropertyIntegerRO = _typed("PvpropertyInteger", int)
PvpropertyShort, PvpropertyShortRO = _typed("PvpropertyShort", "short")
PvpropertyString, PvpropertyStringRO = _typed("PvpropertyString", "string")

__all__ = [
    "AsyncLibraryLayer", "PVGroup", "PvpropertyBoolEnum", "PvpropertyBoolEnumRO", "PvpropertyByte", "PvpropertyByteRO",
    "PvpropertyChar", "PvpropertyCharRO", "PvpropertyData", "PvpropertyDouble", "PvpropertyDoubleRO", "PvpropertyEnum",
    "PvpropertyEnumRO", "PvpropertyFloat", "PvpropertyFloatRO", "PvpropertyInteger", "PvpropertyIntegerRO",
    "PvpropertyShort", "PvpropertyShortRO", "PvpropertyString", "PvpropertyStringRO", "SubGroup",
    "get_pv_pair_wrapper", "ioc_arg_parser", "pvfunction", "pvproperty", "records", "run", "scan_wrapper",
    "template_arg_parser",
]  # fmt: skip
