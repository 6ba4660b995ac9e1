"""Numbers and names of ``db_access.h``, ``caeventmask.h``, ``caerr.h`` and ``alarm.h``, as PyEpics has them."""

from __future__ import annotations

import enum
import importlib.util

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
PY64_WINDOWS = False

MAX_STRING_SIZE = 40
MAX_UNITS_SIZE = 8
MAX_ENUM_STRING_SIZE = 26
MAX_ENUMS = 16

#: Seconds between 1970 and 1990, where EPICS begins to count.
EPICS2UNIX_EPOCH = 631152000.0

ECA_NORMAL = 1
ECA_TIMEOUT = 80
ECA_IODONE = 339
ECA_ISATTACHED = 424
ECA_BADCHID = 410

CS_NEVER_CONN = 0
CS_PREV_CONN = 1
CS_CONN = 2
CS_CLOSED = 3
CS_NEVER_SEARCH = 4
OP_CONN_UP = 6
OP_CONN_DOWN = 7

DBE_VALUE = 1
DBE_LOG = 2
DBE_ALARM = 4
DBE_PROPERTY = 8

STRING, INT, FLOAT, ENUM, CHAR, LONG, DOUBLE = range(7)
SHORT = INT
TIME_STRING, TIME_INT, TIME_FLOAT, TIME_ENUM, TIME_CHAR, TIME_LONG, TIME_DOUBLE = range(14, 21)
TIME_SHORT = TIME_INT
CTRL_STRING, CTRL_INT, CTRL_FLOAT, CTRL_ENUM, CTRL_CHAR, CTRL_LONG, CTRL_DOUBLE = range(28, 35)
CTRL_SHORT = CTRL_INT
PUT_ACKT, PUT_ACKS, STSACK_STRING, CLASS_NAME = range(35, 39)


class DefaultIntEnum(enum.IntEnum):
    """Numbers with names; those without become number 0."""

    @classmethod
    def _missing_(cls, value: object) -> DefaultIntEnum:
        return next(iter(cls))


class AlarmSeverity(DefaultIntEnum):
    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class AlarmStatus(DefaultIntEnum):
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
    HW_LIMIT = 11
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


_NATIVE = ("STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE")
_FAMILIES = {0: "", 7: "STS_", 14: "TIME_", 21: "GR_", 28: "CTRL_"}
_NAMES = {start + n: prefix + name for start, prefix in _FAMILIES.items() for n, name in enumerate(_NATIVE)}
_NAMES.update({35: "PUT_ACKT", 36: "PUT_ACKS", 37: "STSACK_STRING", 38: "CLASS_NAME"})
_NAMES[INT] = "INT"
_NUMBERS = {name: number for number, name in _NAMES.items()}
_NUMBERS.update({name.replace("SHORT", "INT"): number for number, name in _NAMES.items()}, SHORT=SHORT)


def Name(ftype, reverse=False):  # noqa: N802 - its name is what users call
    """Name of a type by its number, or number by its name; ``unknown`` for neither."""
    if reverse:
        return _NUMBERS.get(str(ftype).upper(), "unknown")
    return _NAMES.get(ftype, "unknown")


def native_type(ftype):
    """The type of the elements of any of their families."""
    if ftype == CTRL_STRING:
        return STRING
    return ftype % 7 if 0 <= ftype < 35 else ftype


def make_unixtime(stamp):
    """Seconds since 1970 of a time stamp with ``secs`` and ``nsec``."""
    return EPICS2UNIX_EPOCH + stamp.secs + 1.0e-6 * int(1.0e-3 * stamp.nsec)
