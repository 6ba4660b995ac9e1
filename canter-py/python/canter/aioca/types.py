"""Types of the arguments of aioca."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, Sized, Tuple, Type, Union

#: Seconds; ``None`` for ever, 0 for no waiting, a tuple of one number for the time at which it is up.
Timeout = Union[None, Tuple[float], float]
#: Events, as an or of ``DBE_VALUE`` and the like; ``None`` for those that suit the format.
Dbe = Union[None, int]
#: Number of a type.
Dbr = Literal[0, 1, 2, 3, 4, 5, 6, 35, 36, 37, 38, 996, 997, 998, 999]
#: A number of a type, a type of Python or NumPy, or ``None`` for the type of the PV.
Datatype = Union[None, Dbr, Type]
#: What comes along with the value.
Format = Literal[0, 1, 2]
#: Number of elements: 0 for those that there are, -1 for all that there can be.
Count = Union[Literal[0, -1], int]


class AugmentedValue(Protocol, Sized):
    """What ``caget`` gives and ``camonitor`` tells: a value with attributes."""

    name: str
    ok: bool
    errorcode: int
    datatype: int
    element_count: int
    severity: int
    status: int
    raw_stamp: Tuple[int, int]
    timestamp: float
    datetime: datetime
    units: str
    upper_disp_limit: float
    lower_disp_limit: float
    upper_alarm_limit: float
    lower_alarm_limit: float
    upper_warning_limit: float
    lower_warning_limit: float
    upper_ctrl_limit: float
    lower_ctrl_limit: float
    precision: int
    enums: list
    ackt: int
    acks: int
