"""Names of caproto's server, on ours: change ``from caproto`` to ``from canter.sim.caproto``.

>>> from canter.sim.caproto import ChannelType, SkipWrite
>>> from canter.sim.caproto.server import PVGroup, ioc_arg_parser, pvproperty, run

What is otherwise than there: a ``record`` is a whole record, which processes as that of an IOC, where caproto has its
fields; a text is a string of Channel Access of up to 39 bytes, and an array of characters only with a ``max_length``
above 40; functions may be plain ones; everything runs in asyncio.
"""

from __future__ import annotations

import enum

from .._desk import SKIP
from .._errors import Refuse, SkipWrite
from . import server


class ChannelType(enum.IntEnum):
    """Types of Channel Access."""

    STRING = 0
    INT = 1
    FLOAT = 2
    ENUM = 3
    CHAR = 4
    LONG = 5
    DOUBLE = 6


class AlarmSeverity(enum.IntEnum):
    """Severities of alarms."""

    NO_ALARM = 0
    MINOR_ALARM = 1
    MAJOR_ALARM = 2
    INVALID_ALARM = 3


class AlarmStatus(enum.IntEnum):
    """Statuses of alarms."""

    NO_ALARM = 0
    READ = 1
    WRITE = 2
    HIHI = 3
    HIGH = 4
    LOLO = 5
    LOW = 6
    STATE = 7
    COS = 8
    COMM = 9
    TIMEOUT = 10
    HWLIMIT = 11
    CALC = 12
    SCAN = 13
    LINK = 14
    SOFT = 15
    BAD_SUB = 16
    UDF = 17
    DISABLE = 18
    SIMM = 19
    READ_ACCESS = 20
    WRITE_ACCESS = 21


class CaprotoError(Exception):
    """What caproto raises."""


class CaprotoValueError(CaprotoError, ValueError):
    """A value that cannot be."""


class CaprotoRuntimeError(CaprotoError, RuntimeError):
    """Something that cannot be done now."""


__all__ = [
    "AlarmSeverity", "AlarmStatus", "CaprotoError", "CaprotoRuntimeError", "CaprotoValueError", "ChannelType", "Refuse",
    "SKIP", "SkipWrite", "server",
]  # fmt: skip
