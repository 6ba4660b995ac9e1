"""Does the same to whatever server listens on a port and prints all that comes back, for comparison.

    python same.py --port N --prefix P

Each line begins with the PV and the request; what follows are status, updates and read-back. Time
stamps and bytes without meaning (pads, tails of strings) are left out. What PROTOCOL.md lists as a
deliberate difference is not asked for. Ends with the line DONE.
"""

import math
import struct

import common
from wire import Circuit, command_of, message, text

STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE = range(7)
STS, TIME, GR, CTRL = 7, 14, 21, 28
PUT_ACKT, PUT_ACKS, STSACK_STRING, CLASS_NAME = range(35, 39)
FORMATS = {SHORT: ">h", FLOAT: ">f", ENUM: ">H", CHAR: ">B", LONG: ">i", DOUBLE: ">d"}
VALUE, LOG, ALARM, PROPERTY = 1, 2, 4, 8
MASKS = {VALUE: "value", LOG: "log", ALARM: "alarm", PROPERTY: "property", 5: "value+alarm"}


def cut(data):
    """A string without what follows its NUL."""
    return data.split(b"\0")[0].decode("latin-1")


def elements(base, count, data):
    if base == STRING:
        return [cut(data[40 * n : 40 * n + 40]) for n in range(count)]
    size = struct.calcsize(FORMATS[base])
    return [struct.unpack_from(FORMATS[base], data, size * n)[0] for n in range(count)]


def limits(base, data, at, number):
    size = struct.calcsize(FORMATS[base])
    return elements(base, number, data[at:]), at + size * number


def decode(type_, count, data):
    """The meaning of a DBR structure as text."""
    if type_ == CLASS_NAME:
        return cut(data)
    if type_ == STSACK_STRING:
        return "stat=%d sevr=%d ackt=%d acks=%d %s" % (*struct.unpack_from(">4H", data), cut(data[8:]))
    family, base = divmod(type_, 7)
    at, parts = 0, []
    if family:
        parts.append("stat=%d sevr=%d" % struct.unpack_from(">HH", data))
        at = 4
    if family == 2:
        at += 8 + {SHORT: 2, ENUM: 2, CHAR: 3, DOUBLE: 4}.get(base, 0)
    elif family == 1:
        at += {CHAR: 1, DOUBLE: 4}.get(base, 0)
    elif family == 4 and base == ENUM:
        states = struct.unpack_from(">H", data, 4)[0]
        parts.append(str([cut(data[6 + 26 * n : 32 + 26 * n]) for n in range(states)]))
        at = 422
    elif family == 4 and base != STRING:
        if base in (FLOAT, DOUBLE):
            parts.append("prec=%d" % struct.unpack_from(">h", data, 4))
            at = 8
        parts.append("egu=" + cut(data[at : at + 8]))
        found, at = limits(base, data, at + 8, 8)
        parts.append(str(found))
        at += base == CHAR
    parts.append(str(elements(base, count, data[at:])))
    return " ".join(parts)


class Session:
    """One circuit with its subscriptions."""

    def __init__(self, port, prefix):
        self.circuit = Circuit(port)
        self.prefix = prefix
        self.natives = {}
        self.names = {}
        self.ids = 100
        self.marks = 0
        self.subscribe("mark", LONG, VALUE, quiet=True)

    def id(self):
        self.ids += 1
        return self.ids

    def send(self, data):
        self.circuit.socket.sendall(data)

    def sid(self, pv):
        name = f"{self.prefix}:{pv}"
        known = self.circuit.sids
        return known[name] if name in known else self.circuit.create(name)

    def subscribe(self, pv, type_, mask, quiet=False):
        sid, subid = self.sid(pv), self.id()
        self.names[subid] = f"{pv} {MASKS[mask]}"
        payload = struct.pack(">3fHH", 0, 0, 0, mask, 0)
        self.send(message("event_add", type_, 0, sid, subid, payload))
        while (reply := self.circuit.receive()) is not None:
            if command_of(reply) == "event_add":
                break
        if not quiet:
            self.show("first " + self.names[subid], reply)

    def show(self, what, reply):
        type_, count, status = struct.unpack_from(">HHI", reply, 4)
        shown = decode(type_, count, reply[16:]) if status == 1 else f"status={status:#x}"
        print(f"    {what} x{count}: {shown}")

    def ask(self, request):
        """The reply to a request, and the updates that it caused: an update of another PV, which
        this causes last, comes behind them."""
        self.send(request)
        command, ioid = struct.unpack(">H", request[:2])[0], struct.unpack(">I", request[12:16])[0]
        self.marks += 1
        mark = struct.pack(">i", self.marks)
        answer, updates, marked = None, [], False
        while answer is None or not marked:
            reply = self.circuit.receive()
            if reply is None:
                raise SystemExit("the circuit was closed")
            name, last = command_of(reply), struct.unpack_from(">I", reply, 12)[0]
            if name == "event_add" and self.names[last].startswith("mark "):
                marked = reply[16:20] == mark
            elif name == "event_add":
                updates.append(reply)
            elif struct.unpack(">H", reply[:2])[0] == command and last == ioid:
                answer = reply
                self.send(message("write", LONG, 1, self.sid("mark"), 0, mark))
        for reply in updates:
            self.show(self.names[struct.unpack_from(">I", reply, 12)[0]], reply)
        return answer

    def put(self, pv, type_, *values):
        if type_ in (PUT_ACKT, PUT_ACKS):
            data = struct.pack(">H", values[0])
        elif type_ == STRING and len(values) == 1:
            data = values[0].encode() + b"\0"
        elif type_ == STRING:
            data = b"".join(value.encode().ljust(40, b"\0") for value in values)
        else:
            data = b"".join(struct.pack(FORMATS[type_], value) for value in values)
        print(f"put {pv} type {type_} {list(values)}")
        request = message("write_notify", type_, len(values), self.sid(pv), self.id(), data)
        print("    status %#x" % struct.unpack_from(">I", self.ask(request), 8))

    def get(self, pv, type_, count=0):
        request = message("read_notify", type_, count, self.sid(pv), self.id())
        print(f"get {pv} type {type_} count {count}")
        self.show("reply", self.ask(request))


def watch(session, pv, type_):
    for mask in (VALUE, LOG, ALARM):
        session.subscribe(pv, TIME + type_, mask)
    session.subscribe(pv, CTRL + type_, PROPERTY)


def fields(session, pv, names):
    for name, type_ in names.items():
        session.subscribe(f"{pv}.{name}", type_, 5)
        session.subscribe(f"{pv}.{name}", type_, PROPERTY)


ALARM_FIELDS = {"SEVR": ENUM, "STAT": ENUM, "ACKS": ENUM, "ACKT": ENUM, "UDF": CHAR}
TEXTS = ["7", " 12", "1.5", "-3.25", "1e2", "12abc", "abc", "", "0x10", "010", "nan", "-inf", "1e400",
         "+4", ".5", "1e", "99999999999", "-99999999999", "1 2"]


def reals(session):
    watch(session, "ao", DOUBLE)
    fields(session, "ao", ALARM_FIELDS | {"HIHI": DOUBLE, "HYST": DOUBLE, "EGU": STRING,
                                          "DESC": STRING, "PREC": SHORT, "HHSV": ENUM})
    # Dead-bands, limits with hysteresis, drive limits.
    for value in (0.5, 1, 1.5, 2, 2.5, 6, 6, 31, 29, 28.5, 28, 27, 41, 39, 37, 31, 20, 60, -60, -39,
                  -37, -29, 0, -0.0, 1e-300, 30, 40, 39.5, 0):
        session.put("ao", DOUBLE, value)
    for value in (math.nan, math.nan, 1.0, math.inf, -math.inf, 3.0):
        session.put("ao", DOUBLE, value)
    for value in TEXTS:
        session.put("ao", STRING, value)
        session.get("ao", STRING)
    session.put("ao", SHORT, -5)
    session.put("ao", LONG, 12)
    session.put("ao", FLOAT, 0.1)
    session.put("ao", CHAR, 200)
    session.put("ao", ENUM, 3)
    for value in (3.14159, 0.005, -0.005, 1e-7, 12.345):
        session.put("ao", DOUBLE, value)
        for type_ in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE, CTRL + DOUBLE, CTRL + LONG,
                      CTRL + SHORT, CTRL + FLOAT, CTRL + CHAR, CTRL + ENUM, CTRL + STRING):
            session.get("ao", type_)
    session.get("ao", CLASS_NAME)
    # Properties, and fields that process.
    for name, type_, value in (
        ("HIHI", DOUBLE, 10.0), ("HIHI", DOUBLE, 10.0), ("HIHI", DOUBLE, 45.0), ("EGU", STRING, "V"),
        ("EGU", STRING, "a long unit of more"), ("PREC", SHORT, 4), ("HYST", DOUBLE, 0.0),
        ("MDEL", DOUBLE, -1.0), ("ADEL", DOUBLE, 0.0), ("DESC", STRING, "another text"),
        ("HHSV", STRING, "MINOR"), ("HHSV", ENUM, 2), ("LSV", STRING, "INVALID"), ("LSV", SHORT, 1),
        ("HOPR", DOUBLE, 20.0), ("DRVH", DOUBLE, 5.0), ("DRVL", STRING, "-5"), ("LOW", DOUBLE, 20.0),
        ("PROC", CHAR, 1), ("LSV", STRING, "NO_ALARM"), ("UDF", CHAR, 1), ("PROC", CHAR, 1),
        ("NAME", STRING, "x"), ("SEVR", ENUM, 1), ("RTYP", STRING, "x"),
        ("PREC", STRING, "2"), ("HIHI", LONG, 50),
    ):
        session.put(f"ao.{name}", type_, value)
        session.get("ao", CTRL + DOUBLE)
    session.put("ao", DOUBLE, 1.0)
    session.put("ao", DOUBLE, 1.0)
    session.get("ao", STRING)


def acknowledging(session):
    watch(session, "ai", DOUBLE)
    fields(session, "ai", ALARM_FIELDS)
    for value in (6, 9, 6, 0):
        session.put("ai", DOUBLE, value)
        session.get("ai", STSACK_STRING)
    for type_, value in ((PUT_ACKS, 1), (PUT_ACKS, 2), (PUT_ACKT, 0), (PUT_ACKS, 0)):
        session.put("ai", type_, value)
        session.get("ai", STSACK_STRING)
    for value in (9, 6, 0):
        session.put("ai", DOUBLE, value)
        session.get("ai", STSACK_STRING)
    for type_, value in ((PUT_ACKT, 1), (PUT_ACKT, 1)):
        session.put("ai", type_, value)
        session.get("ai", STSACK_STRING)
    session.put("ai", DOUBLE, 9)
    session.put("ai", PUT_ACKT, 0)
    session.put("ai.ACKT", ENUM, 1)
    session.put("ai.HOPR", DOUBLE, 12)
    session.put("ai.PREC", SHORT, 1)
    session.get("ai", CTRL + DOUBLE)
    session.get("ai", STRING)


def integers(session):
    watch(session, "lo", LONG)
    fields(session, "lo", {"SEVR": ENUM, "HIHI": LONG})
    for value in (3, 5, 6, 11, 12, 820, 790, 785, 780, 779, 901, 881, 880, 879, 700, 6000, -6000, -870,
                  0, 2147483647, -2147483648, 0):
        session.put("lo", LONG, value)
    for value in TEXTS:
        session.put("lo", STRING, value)
    for value in (1.9, -1.9, 12.5, 4e4):
        session.put("lo", DOUBLE, value)
    for value in (5, -7, 300):
        session.put("lo", SHORT, value)
        for type_ in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE, CTRL + LONG, CTRL + DOUBLE,
                      CTRL + SHORT, CTRL + CHAR, CTRL + FLOAT):
            session.get("lo", type_)
    watch(session, "li", LONG)
    for value in (3, 4, 4):
        session.put("li", LONG, value)
    session.get("li", CTRL + LONG)
    session.get("li", CLASS_NAME)


def states(session):
    watch(session, "mbbo", ENUM)
    fields(session, "mbbo", {"SEVR": ENUM, "TWST": STRING, "TWSV": ENUM})
    for value in (1, 2, 3, 3, 0, 5, 15, 16, 0):
        session.put("mbbo", ENUM, value)
        session.get("mbbo", STRING)
    for value in ("two", "TWO", "three", "1", "9", "17", "nothing"):
        session.put("mbbo", STRING, value)
    for type_, value in ((DOUBLE, 2.7), (LONG, 1), (SHORT, 2), (CHAR, 3), (FLOAT, 0.0)):
        session.put("mbbo", type_, value)
        for other in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE, CTRL + ENUM, CTRL + STRING,
                      CTRL + LONG, CTRL + DOUBLE):
            session.get("mbbo", other)
    session.put("mbbo.TWST", STRING, "zwei")
    session.put("mbbo.FVST", STRING, "five")
    session.put("mbbo", STRING, "zwei")
    session.put("mbbo.TWSV", STRING, "MAJOR")
    session.get("mbbo", CTRL + ENUM)
    session.put("mbbo.FVST", STRING, "")
    session.get("mbbo", CTRL + ENUM)
    watch(session, "bo", ENUM)
    for value in (1, 1, 0, 2, 7, 0):
        session.put("bo", ENUM, value)
        session.get("bo", STRING)
    for value in ("on", "off", "1", "2", "x", ""):
        session.put("bo", STRING, value)
    session.put("bo.ONAM", STRING, "ein")
    session.get("bo", CTRL + ENUM)
    session.put("bo", LONG, 1)
    session.put("bo", DOUBLE, 0.9)


def texts(session):
    watch(session, "so", STRING)
    fields(session, "so", {"SEVR": ENUM})
    for value in ("hello", "world", "x" * 39, "x" * 45, "", "12.5"):
        session.put("so", STRING, value)
        for type_ in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE, CTRL + STRING):
            session.get("so", type_)
    for type_, value in ((DOUBLE, 1.5), (DOUBLE, 1e10), (LONG, -3), (CHAR, 65), (FLOAT, 2.25), (ENUM, 1),
                         (SHORT, 9)):
        session.put("so", type_, value)
    session.get("so.VAL$", CHAR)
    for count in (0, 1, 3, 5, 6, 40):
        session.get("so.VAL$", CHAR, count)
    session.put("so.VAL$", CHAR, *b"a longer text than before\0")
    session.get("so", STRING)
    for type_ in (STRING, CHAR, DOUBLE, STS + CHAR, TIME + CHAR, CTRL + CHAR):
        for count in (3, 26):
            session.get("so.VAL$", type_, count)
    session.get("so.VAL$", CTRL + CHAR, 60)
    session.get("so.VAL$", TIME + CHAR)
    session.put("so.VAL$", CHAR, *(b"y" * 60))
    session.get("so.VAL$", CHAR)
    session.subscribe("so.VAL$", CHAR, VALUE)
    session.put("so", STRING, "new")
    session.get("so.DESC$", CHAR)
    session.get("so.RTYP$", CHAR)
    session.get("so.NAME$", CTRL + CHAR, 61)
    for count in (0, 2, 4, 6):
        session.get("so.$[0:3]", CHAR, count)


def arrays(session):
    watch(session, "wd", DOUBLE)
    fields(session, "wd", {"SEVR": ENUM, "NORD": DOUBLE})
    session.put("wd", DOUBLE, 1, 2, 3)
    session.put("wd", DOUBLE, 1, 2)
    session.put("wd", DOUBLE)
    session.get("wd", DOUBLE)
    session.get("wd", TIME + DOUBLE)
    session.get("wd", DOUBLE, 2)
    session.put("wd", DOUBLE, 1, 2, 3, 4, 5, 6, 7)
    session.put("wd", STRING, "1", "2.5")
    session.put("wd", LONG, 1, 2, 3)
    session.put("wd", DOUBLE, 1.25, -2.75)
    for type_ in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE, CTRL + DOUBLE):
        session.get("wd", type_)
        session.get("wd", type_, 4)
    session.get("wd.[1:]", DOUBLE)
    session.get("wd.[-1]", DOUBLE)
    watch(session, "wc", CHAR)
    session.put("wc", CHAR, *b"hello")
    session.put("wc", STRING, "12")
    session.put("wc", CHAR, *b"hello\0world")
    for type_ in (STRING, SHORT, CHAR, LONG):
        session.get("wc", type_)
    watch(session, "ws", STRING)
    session.put("ws", STRING, "x", "y", "z", "t")
    session.put("ws", STRING, "x")
    session.put("ws", DOUBLE, 1.5, 2)
    for type_ in (STRING, DOUBLE, LONG, CTRL + STRING):
        session.get("ws", type_)
        session.get("ws", type_, 3)


def limits_not_given(session):
    """Limits that nobody has given, in every type and family."""
    for name in ("li", "mbbo", "bo", "so", "wd", "wc", "ws", "li.DESC", "li.HIHI"):
        for family in (GR, CTRL):
            for type_ in (STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE):
                # The text "x" as a state is an error or some number, by what was read before.
                if (name, type_) != ("ws", ENUM):
                    session.get(name, family + type_, 1)


def main():
    options = common.arguments(__doc__)
    parts = (reals, acknowledging, integers, states, texts, arrays, limits_not_given)
    for part in parts:
        print(f"== {part.__name__}")
        part(Session(options.port, options.prefix))
    print("DONE", flush=True)


if __name__ == "__main__":
    main()
