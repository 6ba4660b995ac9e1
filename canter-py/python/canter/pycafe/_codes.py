"""Status codes: their names and numbers are those of CAFE's ``statusCodes.h`` and of ``caerr.h``."""

from __future__ import annotations

from types import SimpleNamespace

#: Codes below are those of Channel Access itself.
CAFE_BASE = 600

_ECA = {
    "ECA_NORMAL": (1, "done"),
    "ECA_ALLOCMEM": (48, "no memory"),
    "ECA_TOLARGE": (72, "the array is larger than what may be transferred"),
    "ECA_TIMEOUT": (80, "no answer in time"),
    "ECA_BADTYPE": (114, "no such type"),
    "ECA_INTERNAL": (142, "internal error"),
    "ECA_GETFAIL": (152, "the server could not read it"),
    "ECA_PUTFAIL": (160, "the server could not write it"),
    "ECA_BADCOUNT": (176, "no such element count"),
    "ECA_BADSTR": (186, "no such text"),
    "ECA_DISCONN": (192, "the circuit was lost"),
    "ECA_EVDISALLOW": (210, "not allowed in a callback"),
    "ECA_BADMONID": (242, "no such subscription"),
    "ECA_BADMASK": (330, "no such event mask"),
    "ECA_NORDACCESS": (368, "no read access"),
    "ECA_NOWTACCESS": (376, "no write access"),
    "ECA_NOCONVERT": (400, "the server cannot convert it"),
    "ECA_BADCHID": (410, "no such channel"),
    "ECA_UNRESPTMO": (480, "the server does not answer"),
}

# Names with a number begin a row of consecutive ones.
_ROWS = [
    (600, [
        ("ICAFE_CS_NEVER_CONN", "never connected: no server has the name, or none can be reached"),
        ("ICAFE_CS_PREV_CONN", "was connected before"),
        ("ICAFE_CS_CONN", "connected"),
        ("ICAFE_CS_CLOSED", "closed by the user"),
        ("ICAFE_CS_DISCONN", "disconnected"),
        ("ICAFE_CS_UNKNOWN", "in no known state"),
    ]),
    (700, [
        ("ICAFE_TYPENOTCONN", "its type is not known before it connects"),
        ("ICAFE_RULE_FALSE", "left out by its rule"),
        ("ICAFE_BADCOUNT", "fewer elements than asked for"),
        ("ICAFE_CALLBACK_NOT_YET_INVOKED", "the answer has not come yet"),
        ("ICAFE_WAITING_FOR_PREV_CALLBACK", "the answer before has not come yet"),
        ("ICAFE_CACHE_EMPTY", "nothing was read or monitored yet"),
        ("ICAFE_CHANNEL_BLOCKING_POLICY_CONFLICT", "the policy needs a callback"),
        ("ICAFE_MONITOR_DELAYED_AS_CONN_DOWN", "the monitor begins with the connection"),
        ("ICAFE_HAS_MONITOR_GET_DONE_FROM_CACHE", "it has a monitor, so the value is the cached one"),
        ("ICAFE_SET_AND_GET_MISMATCH", "what was read is not what was written"),
    ]),
    (800, [
        ("ICAFE_CA_OP_GET", "a get"),
        ("ICAFE_CA_OP_PUT", "a put"),
        ("ICAFE_CA_OP_CREATE_CHANNEL", "the making of a channel"),
        ("ICAFE_CA_OP_ADD_EVENT", "the begin of a monitor"),
        ("ICAFE_CA_OP_CLEAR_EVENT", "the end of a monitor"),
        ("ICAFE_CA_OP_OTHER", "something else"),
        ("ICAFE_CA_OP_CONN_UP", "a connect"),
        ("ICAFE_CA_OP_CONN_DOWN", "a disconnect"),
    ]),
    (1000, [
        ("ECAFE_NODATA", "there is no data"),
        ("ECAFE_INVALID_TYPE", "no such type"),
        ("ECAFE_BADCOUNT", "more elements than the PV has"),
        ("ECAFE_BADSTR", "an empty name"),
        ("ECAFE_BADTYPE", "no such type"),
        ("ECAFE_NO_CONVERT", "the value has no form of this type"),
        ("ECAFE_NULLCONTEXT", "the client was closed"),
        ("ECAFE_NULLCHID", "there is no channel"),
        ("ECAFE_NULLEVID", "there is no such monitor"),
        ("ECAFE_UNKNOWN_COLLECTION", "no such collection"),
        ("ECAFE_EMPTY_COLLECTION", "the collection has no members"),
        ("ECAFE_COLLECTION_PREV_DEF", "the collection is defined already"),
        ("ECAFE_COLLECTION_INVALID_MEMBER", "no such device in the collection"),
        ("ECAFE_RULE_FALSE", "left out by its rule"),
        ("ECAFE_UNKNOWN_GROUP", "no such group"),
        ("ECAFE_EMPTY_GROUP", "the group has no members"),
        ("ECAFE_GROUP_PREV_DEF", "the group is defined already"),
        ("ECAFE_INVALID_HANDLE", "no such handle"),
        ("ECAFE_INVALID_GROUP_HANDLE", "no such group handle"),
        ("ECAFE_NORDACCESS", "no read access"),
        ("ECAFE_NOWTACCESS", "no write access"),
        ("ECAFE_TIMEOUT", "no answer in time"),
        ("ECAFE_CANNOT_OPEN_FILE", "the file cannot be read or written"),
        ("ECAFE_INVALID_SWITCH_CASE", "internal error"),
        ("ECAFE_PVALIAS_PREV_DEF", "the alias is defined already"),
        ("ECAFE_PVALIAS_INVALID", "the alias is the name of another PV"),
        ("ECAFE_PVNAME_PREV_DEF_AS_PVALIAS", "the name is the alias of another PV"),
        ("ECAFE_DEVICE_ATTRIB_NOT_FOUND", "the name has no device and attribute"),
        ("ECAFE_HASH_UNIQUEID_EXISTS", "internal error"),
        ("ECAFE_WRONG_CA_CONTEXT", "it belongs to another process"),
        ("ECAFE_INVALID_CAFENUM_POLICY_TYPE", "no such policy"),
        ("ECAFE_MAX_MONITORS_PER_CHAN_EXCEEDED", "too many monitors of one handle"),
        ("ECAFE_INVALID_ENUM_INDEX", "the PV has no such state"),
        ("ECAFE_PVGROUP_GROUPHANDLE_MISMATCH", "the values are of another group"),
        ("ECAFE_TIMEOUT_SET_AND_MATCH", "the read-back did not arrive in time"),
        ("ECAFE_HANDLE_MISMATCH_SET_AND_MATCH", "there are not as many handles as values"),
        ("ECAFE_INCONSISTENT_CONTAINER_CORRECTED", "internal error"),
    ]),
    (1100, [
        ("ECAFE_LOAD_COLLECTION", "the collections could not be loaded"),
        ("ECAFE_LOAD_GROUP", "the groups could not be loaded"),
    ]),
]  # fmt: skip

NUMBERS: dict[str, int] = {name: number for name, (number, _) in _ECA.items()}
NUMBERS["ICAFE_NORMAL"] = NUMBERS["ICAFE_SUCCESS"] = 1
_TEXTS: dict[int, str] = {number: text for number, text in _ECA.values()}
_NAMES: dict[int, str] = {number: name for name, (number, _) in _ECA.items()}
for _first, _row in _ROWS:
    for _number, (_name, _text) in enumerate(_row, _first):
        NUMBERS[_name] = _number
        _TEXTS[_number] = _text
        _NAMES[_number] = _name
_NAMES[1] = "ICAFE_NORMAL"

#: The codes as attributes: ``codes.ECAFE_TIMEOUT``.
codes = SimpleNamespace(**NUMBERS)
NORMAL = 1

#: What a monitor and a get may ask for, by CAFE's numbers.
DBR = {"CY_DBR_PLAIN": 1, "CY_DBR_STS": 2, "CY_DBR_TIME": 3, "CY_DBR_CTRL": 4}
DBE = {"CY_DBE_VALUE": 1, "CY_DBE_LOG": 2, "CY_DBE_ALARM": 4, "CY_DBE_PROPERTY": 8}
#: States of a beam synchronous acquisition, which a script switches itself.
DAQ = {"ICAFE_DAQ_RUN": 0, "ICAFE_DAQ_PAUSED": 1, "ICAFE_DAQ_STOPPED": 2}

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
CONDITIONS = (
    "NO_ALARM", "READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT", "HWLIMIT",
    "CALC", "SCAN", "LINK", "SOFT", "BAD_SUB", "UDF", "DISABLE", "SIMM", "READ_ACCESS", "WRITE_ACCESS",
)  # fmt: skip


def name_of(code: int) -> str:
    """The name of a status code."""
    return _NAMES.get(code, f"code {code}")


def text_of(code: int) -> str:
    """What a status code means."""
    return _TEXTS.get(code, f"status {code}")


def alarm_text(words: tuple[str, ...], number: int) -> str:
    """An alarm in words; -1 is none known."""
    return words[number] if 0 <= number < len(words) else "NO_DATA"


class CyCa:
    """The constants: types, event masks, states of an acquisition, status codes."""

    def __init__(self) -> None:
        for table in (DBR, DBE, DAQ, NUMBERS):
            for name, number in table.items():
                setattr(self, name, number)
        for number, name in enumerate(CONDITIONS):
            setattr(self, f"STAT_{name}", number)
        for number, name in enumerate(SEVERITIES):
            setattr(self, f"SEV_{name}", number)

    def __repr__(self) -> str:
        return f"<CyCa: {len(vars(self))} constants>"
