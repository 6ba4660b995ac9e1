"""What the peer scripts share: isolation, the names and values of the test PVs, and the checks."""

import argparse
import fnmatch
import os
import queue
import sys
import threading
import time
import traceback

# --- isolation ----------------------------------------------------------------------------------


def arguments(description, **extra):
    """The options every script takes. Extra options are given as name=default."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True, help="server port, TCP and UDP")
    parser.add_argument("--prefix", default="CANTER", help="prefix of the PV names")
    parser.add_argument("--watchdog", type=float, default=0, help="seconds until a certain end")
    parser.add_argument("--stdin", action="store_true", help="end when standard input closes")
    parser.add_argument("--lacks", default="", help="checks a server cannot pass: NAME=reason|...")
    for name, default in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    options = parser.parse_args()
    if options.watchdog:
        in_background(lambda: (time.sleep(options.watchdog), os._exit(3)))
    if options.stdin:
        in_background(lambda: (follow_input(), os._exit(3)))
    return options


ANSWERS = queue.Queue()


def follow_input():
    for line in sys.stdin:
        ANSWERS.put(line.strip())


def want(what):
    """Asks who runs the server for something, by the line `WANT what`; returns what the answer
    `DONE ...` says. The answer `CANNOT reason` is a NotOffered."""
    if "--stdin" not in sys.argv:
        raise NotOffered("nobody is there who controls the server")
    print(f"WANT {what}", flush=True)
    verdict, _, detail = ANSWERS.get(timeout=30).partition(" ")
    if verdict == "CANNOT":
        raise NotOffered(detail)
    expect("answer", verdict, "DONE")
    return detail


def in_background(work):
    threading.Thread(target=work, daemon=True).start()


def isolate(port):
    """Keeps EPICS on 127.0.0.1 and on port and port+1. Call it before EPICS is imported."""
    for name in [name for name in os.environ if name.startswith("EPICS_")]:
        del os.environ[name]
    os.environ.update(
        EPICS_CA_ADDR_LIST="127.0.0.1",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_SERVER_PORT=str(port),
        EPICS_CA_REPEATER_PORT=str(port + 1),
        EPICS_CA_MAX_ARRAY_BYTES="20000000",
        EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
        EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1",
        EPICS_CAS_BEACON_PORT=str(port + 1),
        EPICS_CAS_SERVER_PORT=str(port),
    )


# --- the PVs ------------------------------------------------------------------------------------

TYPES = ("double", "float", "long", "short", "char", "enum", "string")
STATES = ["zero", "one", "two", "three"]
# Every script leaves these values behind, so several can run against one server in turn.
INITIAL = {
    "double": 3.25,
    "float": 1.5,
    "long": 42,
    "short": 7,
    "char": 65,
    "enum": 1,
    "string": "hello",
}
WRITTEN = {
    "double": -2.5,
    "float": 0.75,
    "long": 4242,
    "short": -8,
    "char": 90,
    "enum": 2,
    "string": "written",
}
UNITS = "mm"
PRECISION = 3
DISPLAY = {name: (-100, 100) for name in ("double", "float", "long", "short")} | {"char": (0, 100)}
# Of `double` only; lolo, low, high, hihi.
CONTROL = (-50, 50)
ALARM = (-90, -80, 80, 90)
ARRAYS = {"0": "wf0", "1": "wf1", "5": "wf5", "70000": "wf70k", "1000000": "wf1m"}
# What a server that comes back changed has for `double`: an array of LONG.
CHANGED = [7, 8, 9]
# Masks of subscriptions: the bits of the protocol.
VALUE, LOG, ALARMS, PROPERTY = 1, 2, 4, 8
MAJOR = 2
# Updates of 2 kB for which a callback is busy: libca says that it cannot follow when more bytes wait
# after each of ten blocks of 16 kB.
BUSY = 120
DESCRIPTION = "all metadata"
LONG_STRING = "a string of more than forty characters, which DBR_STRING cannot hold"
# Fields of `double` that servers without records have as PVs; a put changes ADEL and EGU.
FIELDS = {"PREC": 3, "HOPR": 100.0, "DESC": DESCRIPTION, "RTYP": "ao", "VAL": 3.25}


def long_name(prefix):
    """The PV whose name has 60 characters, the longest a record can have."""
    return prefix + ":" + "n" * (60 - len(prefix) - 1)


# --- the checks ---------------------------------------------------------------------------------

CLASSES = ("plain", "sts", "time", "gr", "ctrl")
BASE_CODES = {"string": 0, "short": 1, "float": 2, "enum": 3, "char": 4, "long": 5, "double": 6}


def dbr_code(type_, class_):
    """The DBR code of a native type in a class of metadata."""
    return BASE_CODES[type_] + 7 * CLASSES.index(class_)


class NotOffered(Exception):
    """The peer's API cannot do what the check wants."""


class Refused(Exception):
    """The peer reported that the server does not allow the operation."""


class Client:
    """What a peer client must offer to be checked. All names are full PV names.

    Failures are exceptions of any kind; see also NotOffered and Refused.
    """

    # Whether a busy callback keeps the client from reading, so that it must send EVENTS_OFF.
    stops_updates = False
    # Whether its subscriptions become arrays when the PV does.
    follows_shape = True

    def connect(self, pv, timeout=20.0):
        """True if the channel connects in time."""
        raise NotImplementedError

    def read(self, pv, type_=None, class_="plain", count=None):
        """A dictionary: `value` (scalar, or list for arrays), and of the metadata what the peer
        gives: `severity`, `status`, `timestamp` (POSIX seconds), `units`, `precision`,
        `display` (low, high), `control` (low, high), `alarm` (lolo, low, high, hihi), `states`.
        Type None is the native type, count None the whole array."""
        raise NotImplementedError

    def write(self, pv, value, type_=None, wait=False):
        """Puts, with completion if `wait`."""
        raise NotImplementedError

    def write_both(self, pv, first, second):
        """Starts two puts with completion at once; returns the values in the order of their
        completion."""
        raise NotImplementedError

    def monitor(self, pv, mask=VALUE, class_="plain", busy=0.0):
        """Subscribes; the list that is returned grows with the values of the updates. The
        callback takes `busy` seconds each of the first BUSY times, as one that has much to do."""
        raise NotImplementedError

    def cancel(self, seen):
        """Ends the subscription whose list this is."""
        raise NotImplementedError

    def stop_updates(self, stopped):
        """Asks the server to hold updates back, or to send them again, where that is up to the
        user."""
        raise NotOffered("nothing that its user could do")

    def rights(self, pv):
        """A function that returns the access rights as last told: (read, write)."""
        raise NotImplementedError

    def alarm_state(self, pv):
        """DBR_STSACK_STRING: (transient, severity to acknowledge)."""
        raise NotImplementedError

    def acknowledge(self, pv, severity):
        """DBR_PUT_ACKS, with completion if possible."""
        raise NotImplementedError

    def set_transient(self, pv, transient):
        """DBR_PUT_ACKT."""
        raise NotImplementedError

    def read_bytes(self, pv):
        """The bytes of a string as they came, as far as the peer gives them."""
        raise NotImplementedError

    def pause(self, seconds):
        """Lets updates come in."""
        time.sleep(seconds)


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, expected {wanted!r}")


def eventually(client, condition, timeout=20.0):
    """Waits until the condition is true and says whether it became so."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        client.pause(0.01)
    return True


class Checks:
    """The checks, the same for every peer."""

    def __init__(self, client, options):
        self.client = client
        self.prefix = options.prefix
        self.lacks = dict(item.split("=", 1) for item in options.lacks.split("|") if item)

    def pv(self, suffix):
        return f"{self.prefix}:{suffix}"

    def tables(self):
        """(name, function) of all checks, in the order in which they run."""
        yield "connect", self.connect
        for class_ in CLASSES:
            for type_ in TYPES:
                yield f"read.{class_}.{type_}", lambda t=type_, c=class_: self.read(t, c)
        yield "read.control_limits", self.control_limits
        for count, suffix in ARRAYS.items():
            yield f"array.{count}", lambda s=suffix, n=int(count): self.array(s, n)
        yield "array.string", self.string_array
        yield "array.char", self.char_array
        yield "array.write", self.write_array
        yield "count.less", self.count_less
        yield "count.zero", self.count_zero
        yield "count.more", self.count_more
        for type_ in TYPES:
            yield f"write.{type_}", lambda t=type_: self.write(t)
        yield "write.as_string", self.write_as_string
        yield "put.completion", self.completion
        yield "put.slow", self.slow
        yield "put.two_at_once", self.two_at_once
        yield "monitor.changes", self.monitor
        yield "monitor.counter", self.counter
        yield "mask.value", self.mask_value
        yield "mask.log", self.mask_log
        yield "mask.alarm", self.mask_alarm
        yield "mask.property", self.mask_property
        yield "monitor.cancel", self.cancel
        yield "flow.by_user", self.flow_by_user
        yield "flow.busy_callback", self.flow
        yield "unknown.timeout", self.unknown
        yield "readonly.refused", self.readonly
        yield "rights.change", self.rights_change
        yield "name.60", self.long_name
        yield "name.60.field", self.long_name_with_field
        yield "string.utf8", lambda: self.text("grün µm °C".encode())
        yield "string.not_utf8", lambda: self.text(b"\xff\xfe latin1 \xe9")
        yield "nan.scalar", lambda: self.odd_number("double", float("nan"))
        yield "infinity.scalar", lambda: self.odd_number("float", float("-inf"))
        yield "nan.array", self.nan_array
        yield "alarm.acknowledge", self.acknowledge
        yield "alarm.transient", self.transient
        # Last: the server comes back with another database.
        yield "restart", self.restart
        self.changed = None
        yield "restart.other_type", self.restart_changed
        yield "restart.other_type.update", self.changed_update

    def run(self):
        """Runs every check and prints its line, finally DONE. Returns the exit code.

        Option --lacks: checks (`*` at the end for all that begin so) and why the server cannot
        pass them."""
        failed = 0
        for name, check in self.tables():
            why = [why for pattern, why in self.lacks.items() if fnmatch.fnmatchcase(name, pattern)]
            if why:
                print(f"n/a {name} {why[0]}", flush=True)
                continue
            try:
                check()
                line = f"ok {name}"
            except NotOffered as reason:
                line = f"n/a {name} {reason}"
            except Exception as error:
                failed += 1
                detail = " ".join(str(error).split()) or traceback.format_exc(limit=-1)
                line = f"FAIL {name} {type(error).__name__}: {detail}".replace("\n", " ")
            print(line, flush=True)
        print("DONE", flush=True)
        return min(failed, 1)

    def connect(self):
        for type_ in TYPES:
            expect(type_, self.client.connect(self.pv(type_)), True)

    def read(self, type_, class_):
        got = self.client.read(self.pv(type_), type_, class_)
        expect("value", got["value"], INITIAL[type_])
        if class_ == "plain":
            return
        expect("severity", got["severity"], 0)
        expect("status", got["status"], 0)
        if class_ == "time":
            age = time.time() - got["timestamp"]
            if not -5 < age < 86400:
                raise AssertionError(f"time stamp is {age} s old")
        if class_ not in ("gr", "ctrl") or type_ == "string":
            return
        if type_ == "enum":
            expect("states", got["states"], STATES)
            return
        expect("units", got["units"], UNITS)
        expect("display limits", got["display"], DISPLAY[type_])
        if type_ in ("double", "float"):
            expect("precision", got["precision"], PRECISION)
        if type_ == "double":
            expect("alarm limits", got["alarm"], ALARM)

    def control_limits(self):
        got = self.client.read(self.pv("double"), "double", "ctrl")
        expect("control limits", got["control"], CONTROL)

    def array(self, suffix, count):
        got = self.client.read(self.pv(suffix))["value"]
        values = got if isinstance(got, list) else [got]
        expect("elements", len(values), count)
        if values != list(range(count)):
            raise AssertionError("wrong element values")

    def string_array(self):
        expect("value", self.client.read(self.pv("wfstr"))["value"], STATES)

    def char_array(self):
        text = [ord(letter) for letter in "canter"]
        self.client.write(self.pv("wfchar"), text, wait=True)
        expect("value", self.client.read(self.pv("wfchar"))["value"][: len(text)], text)

    def write_array(self):
        pv = self.pv("wf5")
        try:
            self.client.write(pv, [5.0, 6.0, 7.0, 8.0, 9.0], wait=True)
            expect("value", self.client.read(pv)["value"], [5.0, 6.0, 7.0, 8.0, 9.0])
        finally:
            self.client.write(pv, [0.0, 1.0, 2.0, 3.0, 4.0], wait=True)

    def count_less(self):
        got = self.client.read(self.pv("wf5"), count=3)["value"]
        expect("value", got, [0.0, 1.0, 2.0])

    def put_and_restore(self, suffix, value, shown, type_=None, wait=False):
        """Puts, sees the value, puts the initial value back."""
        pv = self.pv(suffix)
        seen = None

        def arrived():
            nonlocal seen
            seen = self.client.read(pv)["value"]
            return seen == shown

        try:
            self.client.write(pv, value, type_, wait)
            # Without completion, the read may overtake the record's processing.
            eventually(self.client, arrived, 0.0 if wait else 20.0)
            expect("value", seen, shown)
        finally:
            self.client.write(pv, INITIAL[suffix], wait=True)

    def write(self, type_):
        self.put_and_restore(type_, WRITTEN[type_], WRITTEN[type_])

    def write_as_string(self):
        self.put_and_restore("double", "2.5", 2.5, "string", wait=True)
        self.put_and_restore("long", "-17", -17, "string", wait=True)
        self.put_and_restore("enum", "three", 3, "string", wait=True)

    def completion(self):
        self.put_and_restore("double", WRITTEN["double"], WRITTEN["double"], wait=True)

    def slow(self):
        start = time.monotonic()
        self.client.write(self.pv("slow"), 1.0, wait=True)
        took = time.monotonic() - start
        if took <= 0.5:
            raise AssertionError(f"completed after {took:.2f} s, expected 1 s at least")

    def monitor(self):
        pv = self.pv("long")
        seen = self.client.monitor(pv)
        initial = INITIAL["long"]
        if not eventually(self.client, lambda: seen):
            raise AssertionError("no initial update")
        try:
            for value in (initial + 1, initial + 2):
                self.client.write(pv, value, wait=True)
                if not eventually(self.client, lambda: seen[-1] == value):
                    break
            expect("updates", seen[:3], [initial, initial + 1, initial + 2])
        finally:
            self.client.write(pv, initial, wait=True)

    def counter(self):
        seen = self.client.monitor(self.pv("counter"))
        if not eventually(self.client, lambda: len(seen) >= 6):
            raise AssertionError(f"{len(seen)} updates, expected 10 per second")
        steps = [after - before for before, after in zip(seen, seen[1:])]
        expect("steps", steps, [1.0] * len(steps))

    def unknown(self):
        expect("connected", self.client.connect(self.pv("no:such:pv"), timeout=1.0), False)

    def readonly(self):
        pv = self.pv("ro")
        before = self.client.read(pv)["value"]
        try:
            self.client.write(pv, before + 1, wait=True)
        except Refused:
            pass
        else:
            raise AssertionError("the write was not refused")
        expect("value", self.client.read(pv)["value"], before)

    def long_name(self):
        pv = long_name(self.prefix)
        expect("length", len(pv), 60)
        expect("connected", self.client.connect(pv), True)
        expect("value", self.client.read(pv)["value"], "sixty")

    def long_name_with_field(self):
        pv = long_name(self.prefix) + ".RTYP"
        expect("connected", self.client.connect(pv), True)
        expect("value", self.client.read(pv)["value"], "stringout")

    def count_zero(self):
        """Count 0: as many elements as there are at present."""
        pv = self.pv("wf5")
        seen = self.client.monitor(pv)
        try:
            self.client.write(pv, [7.0, 8.0], wait=True)
            expect("value", self.client.read(pv, count=0)["value"], [7.0, 8.0])
            self.becomes("update", seen, [7.0, 8.0])
        finally:
            self.client.write(pv, [0.0, 1.0, 2.0, 3.0, 4.0], wait=True)
            self.client.cancel(seen)

    def count_more(self):
        """An IOC fills up with zeros, where the client does not refuse to ask for it."""
        got = self.client.read(self.pv("wf5"), count=10)["value"]
        expect("value", got, [0.0, 1.0, 2.0, 3.0, 4.0] + [0.0] * 5)

    def becomes(self, what, seen, value, timeout=20.0):
        """Waits until this is the last update."""
        if not eventually(self.client, lambda: seen and seen[-1] == value, timeout):
            raise AssertionError(f"{what}: {seen[-3:]!r}, expected {value!r} at last")

    def two_at_once(self):
        start = time.monotonic()
        ends = self.client.write_both(self.pv("slow"), 1.0, 2.0)
        took = time.monotonic() - start
        expect("order of completion", ends, [1.0, 2.0])
        if took <= 0.8:
            raise AssertionError(f"completed after {took:.2f} s, expected 1 s at least")
        expect("value", self.client.read(self.pv("slow"))["value"], 2.0)

    def seen_of(self, pv, mask, values, last, initial):
        """The updates that these puts cause, with what else the subscription got until `last`."""
        seen = self.client.monitor(pv, mask=mask)
        self.becomes("first update", seen, initial)
        try:
            for value in values:
                self.client.write(pv, value, wait=True)
            self.becomes("update", seen, last)
            self.client.pause(0.1)
            return list(seen)
        finally:
            self.client.cancel(seen)
            self.client.write(pv, initial, wait=True)

    def mask_value(self):
        got = self.seen_of(self.pv("long"), VALUE, [43, 44], 44, INITIAL["long"])
        expect("updates", got, [42, 43, 44])

    def mask_log(self):
        """The dead-band of archives: steps below it are no event for LOG."""
        band = self.pv("double.ADEL")
        self.client.write(band, 10.0, wait=True)
        try:
            got = self.seen_of(self.pv("double"), LOG, [4.0, 5.0, 20.0], 20.0, 3.25)
        finally:
            self.client.write(band, 0.0, wait=True)
        if 5.0 in got:
            raise AssertionError(f"{got}: a step within the dead-band was reported")

    def mask_alarm(self):
        """Only changes of the severity are events for ALARM: two is MINOR, three MAJOR."""
        got = self.seen_of(self.pv("enum"), ALARMS, [0, 1, 0, 2, 3], 3, INITIAL["enum"])
        expect("updates", got, [1, 2, 3])

    def mask_property(self):
        """Changed units are an event for PROPERTY, a changed value is not."""
        pv, units = self.pv("double"), self.pv("double.EGU")
        seen = self.client.monitor(pv, mask=PROPERTY, class_="ctrl")
        self.becomes("first update", seen, 3.25)
        try:
            self.client.write(pv, 4.0, wait=True)
            self.client.pause(0.1)
            expect("updates", seen, [3.25])
            self.client.write(units, "km", wait=True)
            self.becomes("update", seen, 4.0)
            expect("updates", seen, [3.25, 4.0])
            expect("units", self.client.read(pv, "double", "ctrl")["units"], "km")
        finally:
            self.client.cancel(seen)
            self.client.write(units, UNITS, wait=True)
            self.client.write(pv, INITIAL["double"], wait=True)

    def cancel(self):
        """No callback after the end; the other subscription goes on."""
        pv = self.pv("short")
        kept, cancelled = self.client.monitor(pv), self.client.monitor(pv)
        self.becomes("first update", kept, 7)
        self.becomes("first update", cancelled, 7)
        self.client.cancel(cancelled)
        try:
            self.client.write(pv, 8, wait=True)
            self.becomes("update", kept, 8)
            self.client.pause(0.2)
            expect("updates after the end", cancelled, [7])
        finally:
            self.client.cancel(kept)
            self.client.write(pv, INITIAL["short"], wait=True)

    def flow_by_user(self):
        """Between EVENTS_OFF and EVENTS_ON nothing comes, after it the last value."""
        pv = self.pv("long")
        seen = self.client.monitor(pv)
        self.becomes("first update", seen, 42)
        self.client.stop_updates(True)
        try:
            # The server may hand out what it had in hand.
            for value in range(1000, 1010):
                self.client.write(pv, value, wait=True)
            self.client.pause(0.2)
            held = len(seen)
        finally:
            self.client.stop_updates(False)
        try:
            self.becomes("last update", seen, 1009)
            expect("no EVENTS_OFF at the server", want("stops") == "0", False)
            if held > 3:
                raise AssertionError(f"{held} updates while they were stopped")
        finally:
            self.client.cancel(seen)
            self.client.write(pv, INITIAL["long"], wait=True)

    def flow(self):
        """A callback slower than the PV: the last value arrives, whatever was left out."""
        pv, length, changes = self.pv("wf9k"), 9000, 800
        seen = self.client.monitor(pv, busy=0.01)
        if not eventually(self.client, lambda: seen):
            raise AssertionError("no first update")
        try:
            for number in range(1, changes + 1):
                self.client.write(pv, [float(number)] * 250)
            last = lambda: seen[-1][0] == changes  # noqa: E731
            if not eventually(self.client, last, 20.0):
                raise AssertionError(f"the last update is {seen[-1][0]}, not {changes}")
            firsts = [value[0] for value in seen[1:]]
            if firsts != sorted(firsts):
                raise AssertionError(f"updates out of order: {firsts}")
            stops = want("stops")  # `unknown` unless the server counts them
            if self.client.stops_updates and stops == "0":
                raise AssertionError(f"no EVENTS_OFF reached the server in {len(seen)} updates")
        finally:
            self.client.cancel(seen)
            self.client.write(pv, [float(n) for n in range(length)], wait=True)

    def rights_change(self):
        gate, gated = self.pv("gate"), self.pv("gated")
        rights = self.client.rights(gated)
        closed, opened = (True, False), (True, True)

        def become(wanted):
            eventually(self.client, lambda: rights() == wanted)
            expect("access rights", rights(), wanted)

        become(closed)
        try:
            self.client.write(gate, 1, wait=True)
            become(opened)
            self.client.write(gated, 3.5, wait=True)
            expect("value", self.client.read(gated)["value"], 3.5)
            self.client.write(gated, 2.5, wait=True)
        finally:
            self.client.write(gate, 0, wait=True)
        become(closed)
        try:
            self.client.write(gated, 3.5, wait=True)
        except Refused:
            return
        raise AssertionError("the write was not refused")

    def text(self, data):
        pv = self.pv("string")
        try:
            self.client.write(pv, data, "string", wait=True)
            expect("bytes", self.client.read_bytes(pv), data)
        finally:
            self.client.write(pv, INITIAL["string"], wait=True)

    def odd_number(self, suffix, number):
        pv = self.pv(suffix)
        try:
            self.client.write(pv, number, wait=True)
            expect("value", repr(self.client.read(pv)["value"]), repr(number))
        finally:
            self.client.write(pv, INITIAL[suffix], wait=True)

    def nan_array(self):
        pv = self.pv("wf5")
        values = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324]
        try:
            self.client.write(pv, values, wait=True)
            expect("value", repr(self.client.read(pv)["value"]), repr(values))
        finally:
            self.client.write(pv, [0.0, 1.0, 2.0, 3.0, 4.0], wait=True)

    def alarm_becomes(self, wanted):
        pv = self.pv("alarm")
        eventually(self.client, lambda: self.client.alarm_state(pv) == wanted)
        expect("state of acknowledgement", self.client.alarm_state(pv), wanted)

    def acknowledge(self):
        pv = self.pv("alarm")
        self.alarm_becomes((True, MAJOR))
        # Too low a severity acknowledges nothing.
        self.client.acknowledge(pv, 1)
        self.alarm_becomes((True, MAJOR))
        self.client.acknowledge(pv, MAJOR)
        self.alarm_becomes((True, 0))
        # The next alarm wants to be acknowledged again.
        self.client.write(pv, 0.0, wait=True)
        self.client.write(pv, 20.0, wait=True)
        self.alarm_becomes((True, MAJOR))

    def transient(self):
        for transient in (False, True):
            self.client.set_transient(self.pv("alarm"), transient)
            self.alarm_becomes((transient, MAJOR))

    def restart(self):
        """Subscriptions survive the server."""
        double, text = self.pv("double"), self.pv("string")
        seen, texts = self.client.monitor(double), self.client.monitor(text)
        self.becomes("first update", seen, 3.25)
        self.becomes("first update", texts, "hello")
        want("stop")
        del seen[:], texts[:]
        want("start")
        self.becomes("update after the return", seen, 3.25, timeout=60.0)
        self.becomes("update after the return", texts, "hello", timeout=60.0)
        self.client.write(double, 4.5, wait=True)
        self.becomes("update", seen, 4.5)
        self.client.write(double, 3.25, wait=True)
        self.becomes("update", seen, 3.25)
        expect("value", self.client.read(double)["value"], 3.25)

    def restart_changed(self):
        """A PV comes back as an array of another type; the subscription goes on."""
        pv = self.pv("double")
        seen = self.client.monitor(pv)
        self.becomes("first update", seen, 3.25)
        want("stop")
        del seen[:]
        want("start changed")
        if not eventually(self.client, lambda: seen, 30.0):
            raise AssertionError("no update after the return")
        expect("value", self.client.read(pv)["value"], CHANGED)
        self.changed = seen[0]

    def changed_update(self):
        """The updates are of all elements then."""
        if not self.client.follows_shape:
            raise NotOffered("a subscription to a scalar shows one element for ever")
        if self.changed is None:
            raise NotOffered("the server did not come back changed")
        expect("update", self.changed, CHANGED)
