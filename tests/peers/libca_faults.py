"""What libca tells its user while an IOC misbehaves.

    python libca_faults.py --port N --prefix P

Connects to the PV `v` and subscribes to it. Prints what it is told as it comes, `! WHAT`: `connected`, `disconnected`,
`update VALUE SEVERITY`, `rights none|read|write|read-write`, `exception STATUS`, `monitor STATUS`. Reads commands and
answers each by a line `= …`:

    get     VALUE SEVERITY SECONDS.NANOSECONDS (since 1990), `status N`, or `nothing` after two seconds
    put N   `status N` of the completion, or `nothing` after two seconds
    open    searches the PV `other`: `connected`, or `nothing` after two seconds
    type    the type of the channel, as a number

Statuses are the numbers of libca. It calls libca by ctypes, as PyEpics drops what does not succeed. Ends with its input.
"""

import ctypes
import sys
import threading

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import os  # noqa: E402

os.environ["EPICS_CA_CONN_TMO"] = "2"

from epics import ca  # noqa: E402  (reads the environment when it is imported)

ca.initialize_libca()
CA = ca.libca
PATIENCE = 2.0
LOCK = threading.Lock()
TIME_DOUBLE = 20
DOUBLE = 6
EVENTS = 1 | 4  # values and alarms


class Event(ctypes.Structure):
    _fields_ = [
        ("usr", ctypes.c_void_p),
        ("chid", ctypes.c_void_p),
        ("type", ctypes.c_long),
        ("count", ctypes.c_long),
        ("dbr", ctypes.c_void_p),
        ("status", ctypes.c_int),
    ]


class Connection(ctypes.Structure):
    _fields_ = [("chid", ctypes.c_void_p), ("op", ctypes.c_long)]


class Rights(ctypes.Structure):
    _fields_ = [("chid", ctypes.c_void_p), ("rights", ctypes.c_uint)]


class Exception_(ctypes.Structure):
    _fields_ = [
        ("usr", ctypes.c_void_p),
        ("chid", ctypes.c_void_p),
        ("type", ctypes.c_long),
        ("count", ctypes.c_long),
        ("addr", ctypes.c_void_p),
        ("stat", ctypes.c_long),
        ("op", ctypes.c_long),
        ("ctx", ctypes.c_char_p),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_uint),
    ]


class TimeDouble(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_short),
        ("severity", ctypes.c_short),
        ("secs", ctypes.c_uint),
        ("nsec", ctypes.c_uint),
        ("pad", ctypes.c_int),
        ("value", ctypes.c_double),
    ]


EVENT = ctypes.CFUNCTYPE(None, Event)
CONNECTION = ctypes.CFUNCTYPE(None, Connection)
RIGHTS = ctypes.CFUNCTYPE(None, Rights)
EXCEPTION = ctypes.CFUNCTYPE(None, Exception_)
CA.ca_create_channel.argtypes = [
    ctypes.c_char_p,
    CONNECTION,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_void_p),
]
CA.ca_replace_access_rights_event.argtypes = [ctypes.c_void_p, RIGHTS]
CA.ca_add_exception_event.argtypes = [EXCEPTION, ctypes.c_void_p]
CA.ca_field_type.argtypes = [ctypes.c_void_p]
CA.ca_field_type.restype = ctypes.c_short
CA.ca_array_get_callback.argtypes = [
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_void_p,
    EVENT,
    ctypes.c_void_p,
]
CA.ca_array_put_callback.argtypes = [
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_void_p,
    EVENT,
    ctypes.c_void_p,
]
CA.ca_create_subscription.argtypes = [
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_long,
    EVENT,
    ctypes.c_void_p,
    ctypes.c_void_p,
]


def tell(*words):
    with LOCK:
        print(*words, flush=True)


class Answer:
    """What a callback says, for a limited time."""

    kept = []

    def __init__(self, read):
        self.read, self.said, self.done = read, "nothing", threading.Event()
        self.callback = EVENT(self.called)
        # libca may call it long after nobody waits.
        Answer.kept.append(self)

    def called(self, event):
        self.said = self.read(event)
        self.done.set()

    def wait(self, status):
        if status != 1:
            return f"status {status}"
        CA.ca_flush_io()
        self.done.wait(PATIENCE)
        return self.said


def value(event):
    if event.status != 1:
        return None
    return ctypes.cast(event.dbr, ctypes.POINTER(TimeDouble)).contents


def got(event):
    at = value(event)
    if at is None:
        return f"status {event.status}"
    return f"{at.value:g} {at.severity} {at.secs}.{at.nsec:09}"


@EVENT
def update(event):
    at = value(event)
    if at is None:
        tell("! monitor", event.status)
    else:
        tell("! update", f"{at.value:g}", at.severity)


@RIGHTS
def rights(change):
    tell("! rights", ("none", "read", "write", "read-write")[change.rights & 3])


@EXCEPTION
def exception(args):
    tell("! exception", args.stat)


def channel(name, callback):
    chid = ctypes.c_void_p()
    full = f"{options.prefix}:{name}".encode()
    CA.ca_create_channel(full, callback, None, 0, ctypes.byref(chid))
    CA.ca_flush_io()
    return chid


@CONNECTION
def connection(change):
    tell("!", "connected" if change.op == 6 else "disconnected")


def other():
    answer = Answer(lambda _: None)

    @CONNECTION
    def connected(change):
        answer.said = "connected"
        answer.done.set()

    answer.connected = connected
    channel("other", connected)
    return answer.wait(1)


def main():
    CA.ca_add_exception_event(exception, None)
    chid = channel("v", connection)
    CA.ca_replace_access_rights_event(chid, rights)
    CA.ca_create_subscription(TIME_DOUBLE, 1, chid, EVENTS, update, None, None)
    CA.ca_flush_io()
    for line in sys.stdin:
        command, *words = line.split()
        if command == "get":
            answer = Answer(got)
            tell("=", answer.wait(CA.ca_array_get_callback(TIME_DOUBLE, 1, chid, answer.callback, None)))
        elif command == "put":
            answer = Answer(lambda event: f"status {event.status}")
            put = ctypes.c_double(float(words[0]))
            status = CA.ca_array_put_callback(
                DOUBLE, 1, chid, ctypes.addressof(put), answer.callback, None
            )
            tell("=", answer.wait(status))
        elif command == "open":
            tell("=", other())
        elif command == "type":
            tell("=", CA.ca_field_type(chid))


if __name__ == "__main__":
    main()
