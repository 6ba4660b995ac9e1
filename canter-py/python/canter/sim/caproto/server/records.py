"""Types of records, for ``record=`` and annotations: ``AiFields``, ``MotorFields`` …"""

from __future__ import annotations

from typing import TypeVar

_TYPES = """
    aSub aai aao ai ao bi bo calc calcout compress dfanout event fanout histogram int64in int64out longin longout lsi
    lso mbbi mbbiDirect mbbo mbboDirect motor permissive printf sel seq state stringin stringout sub subArray waveform
""".split()


class RecordFieldGroup:
    """A type of records."""

    _record_type = ""


#: The classes by their types.
records: dict[str, type[RecordFieldGroup]] = {}

Kind = TypeVar("Kind", bound=type[RecordFieldGroup])


def register_record(cls: Kind) -> Kind:
    """Decorates a class with ``_record_type``, which ``record=`` takes by that name."""
    records[cls._record_type] = cls
    return cls


for _type in _TYPES:
    _name = f"{_type.capitalize()}Fields"
    _known = {"_record_type": _type, "__module__": __name__}
    globals()[_name] = register_record(type(_name, (RecordFieldGroup,), _known))

__all__ = ["RecordFieldGroup", "records", "register_record", *(one.__name__ for one in records.values())]
