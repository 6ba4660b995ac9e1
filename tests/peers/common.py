"""What the peer scripts share: isolation, the names and values of the test PVs, and the checks."""

import argparse
import os
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
    for name, default in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    options = parser.parse_args()
    if options.watchdog:
        in_background(lambda: (time.sleep(options.watchdog), os._exit(3)))
    if options.stdin:
        in_background(lambda: (sys.stdin.read(), os._exit(3)))
    return options


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

    def connect(self, pv, timeout=5.0):
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

    def monitor(self, pv):
        """Subscribes to values; the list that is returned grows with the updates."""
        raise NotImplementedError

    def pause(self, seconds):
        """Lets updates come in."""
        time.sleep(seconds)


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, expected {wanted!r}")


def eventually(client, condition, timeout=3.0):
    """Waits until the condition is true and says whether it became so."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        client.pause(0.01)
    return True


class Checks:
    """The checks, the same for every peer."""

    def __init__(self, client, prefix):
        self.client = client
        self.prefix = prefix

    def pv(self, suffix):
        return f"{self.prefix}:{suffix}"

    def tables(self):
        """(name, function) of all checks, in the order in which they run."""
        yield "connect", self.connect
        for class_ in CLASSES:
            for type_ in TYPES:
                yield f"read.{class_}.{type_}", lambda t=type_, c=class_: self.read(t, c)
        for count, suffix in ARRAYS.items():
            yield f"array.{count}", lambda s=suffix, n=int(count): self.array(s, n)
        yield "array.string", self.string_array
        yield "array.char", self.char_array
        yield "array.write", self.write_array
        yield "count.less", self.count_less
        for type_ in TYPES:
            yield f"write.{type_}", lambda t=type_: self.write(t)
        yield "write.as_string", self.write_as_string
        yield "put.completion", self.completion
        yield "put.slow", self.slow
        yield "monitor.changes", self.monitor
        yield "monitor.counter", self.counter
        yield "unknown.timeout", self.unknown
        yield "readonly.refused", self.readonly
        yield "name.60", self.long_name

    def run(self):
        """Runs every check and prints its line, finally DONE. Returns the exit code."""
        failed = 0
        for name, check in self.tables():
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
        if type_ == "double" and class_ == "ctrl":
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
            eventually(self.client, arrived, 0.0 if wait else 3.0)
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
        if not 0.5 < took < 4.0:
            raise AssertionError(f"completed after {took:.2f} s, expected about 1 s")

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
            raise AssertionError(f"{len(seen)} updates in 3 s, expected 10 per second")
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
