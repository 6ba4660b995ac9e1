"""Regenerates tests/captures: what a real IOC, a real repeater and libca put on the wire.

    python capture.py --port N

Uses the ports N to N+3 of 127.0.0.1. Time stamps, ids and ports differ from run to run.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading

import capture_errors
import capture_libca
import common
from wire import DBR_NAMES, HERE, MINOR, Circuit, Ioc, Log, command_of, message, text

PREFIX = "T"
SCALARS = ("string", "short", "float", "enum", "char", "long", "double")
# Arrays of each base type, in the order of the DBR codes.
VECTORS = ("wfstr", "wfshort", "wffloat", "wfenum", "wfuchar", "wflong", "wf5")
VALUE, ALARM = 1, 4


def event_add(type_, count, sid, subid, mask=VALUE | ALARM):
    payload = struct.pack(">fffHH", 0, 0, 0, mask, 0)
    return message("event_add", type_, count, sid, subid, payload)


def pv(suffix):
    return f"{PREFIX}:{suffix}"


def circuit_start(log, port):
    log.section("Circuit start. The IOC's VERSION comes unasked.")
    c = Circuit(port, log, hello=False)
    c.replies("version", 1)
    c.ask("version", message("version", count=MINOR))
    c.ask("client_name", message("client_name", payload=text("user")))
    c.ask("host_name", message("host_name", payload=text("host")))
    c.ask("echo", message("echo"))
    c.ask("echo.payload", message("echo", 12, 23, 0x162E, 0x8ADF38, b"abcdefgh"))
    c.ask("echo.extended", message("echo", 1, 2, 3, 4, b"abcdefgh", extended=True))
    c.ask("read_sync", message("read_sync", 1, 2, 3, 4))
    c.ask("events_off", message("events_off"))
    c.ask("events_on", message("events_on"))


def channels(log, port):
    log.section("Channels: ACCESS_RIGHTS comes before CREATE_CHAN. With access security both come from\n"
                "another thread, so that replies to later requests can overtake them.")  # fmt: skip
    c = Circuit(port, log)

    def create(name, cid, pv_name, minor=MINOR, want=2):
        request = message("create_chan", p1=cid, p2=minor, payload=text(pv_name))
        c.ask(f"create_chan.{name}", request, want=want)

    special = ("wf0", "wf5", "wf70k", "ro", "noaccess")
    for cid, suffix in enumerate(SCALARS + special, 1):
        create(suffix, cid, pv(suffix))
    create("60", 60, common.long_name(PREFIX))
    create("field", 61, pv("double.EGU"))
    create("long_string", 62, pv("double.EGU$"))
    create("unknown", 63, pv("nope"), want=1)
    c.ask("create_chan.empty", message("create_chan", p1=64, p2=MINOR))
    create("old_client", 65, pv("wf70k"), minor=8)

    log.section("CLEAR_CHANNEL, and rights that change while the channel is open.")
    c = Circuit(port, log)
    sid = c.create(pv("double"))
    c.ask("clear_channel", message("clear_channel", p1=sid, p2=1))
    c.create(pv("gated"))
    gate = c.create(pv("gate"))
    for value in (1, 0):
        put = message("write", 3, 1, gate, 3, struct.pack(">H", value))
        c.ask(f"access_rights.gate_{value}", put, want=1)


def reads_and_writes(log, port):
    c = Circuit(port, log)
    sid = {name: c.create(pv(name)) for name in SCALARS + ("wf5", "wf0", "slow", "wfstr", "alarm")}
    log.section("READ_NOTIFY; dbr.txt has every DBR type.")
    c.ask("read_notify.TIME_DOUBLE.1", message("read_notify", 20, 1, sid["double"], 7))
    c.ask("read_notify.TIME_DOUBLE.0", message("read_notify", 20, 0, sid["double"], 8))
    c.ask("read_notify.more_than_available", message("read_notify", 5, 3, sid["long"], 9))
    c.ask("read_notify.empty_array", message("read_notify", 6, 0, sid["wf0"], 10))
    log.section("READ (obsolete): P1 of the reply is the CID.")
    c.ask("read.STRING.1", message("read", 0, 1, sid["long"], 11))
    c.ask("read.DOUBLE.1", message("read", 6, 1, sid["double"], 12))
    c.ask("read.TIME_DOUBLE.0", message("read", 20, 0, sid["double"], 13))
    log.section("WRITE: silent if it succeeds; P2 is the CID, as libca has it.")
    cid = SCALARS.index("double") + 1
    c.ask("write.DOUBLE.1", message("write", 6, 1, sid["double"], cid, struct.pack(">d", 1.25)))
    c.ask("write.STRING.1", message("write", 0, 1, sid["double"], cid, text("3.25")))
    log.section("WRITE_NOTIFY; the slow one completes after a second.")
    values = (
        b"hello".ljust(40, b"\0"), struct.pack(">h", 7), struct.pack(">f", 1.5),
        struct.pack(">H", 1), b"A", struct.pack(">i", 42), struct.pack(">d", 3.25),
    )  # fmt: skip
    for code, value in enumerate(values):
        name = f"write_notify.{DBR_NAMES[code]}.1"
        request = message("write_notify", code, 1, sid[SCALARS[code]], 20 + code, value)
        c.ask(name, request, want=1)
    five = struct.pack(">5d", 0, 1, 2, 3, 4)
    c.ask("write_notify.DOUBLE.5", message("write_notify", 6, 5, sid["wf5"], 30, five), want=1)
    short = message("write_notify", 0, 1, sid["string"], 31, text("hello"))
    c.ask("write_notify.short_string", short, want=1)
    slow = message("write_notify", 6, 1, sid["slow"], 32, struct.pack(">d", 1))
    c.ask("write_notify.slow", slow, want=1)
    log.section("Alarm acknowledgement: PUT_ACKS, then STSACK_STRING before and after.")
    c.ask("read_notify.STSACK_STRING.unacknowledged", message("read_notify", 37, 1, sid["alarm"], 40))
    acks = message("write_notify", 36, 1, sid["alarm"], 41, struct.pack(">H", 2))
    c.ask("write_notify.PUT_ACKS.1", acks, want=1)
    c.ask("read_notify.STSACK_STRING.acknowledged", message("read_notify", 37, 1, sid["alarm"], 42))
    ackt = message("write_notify", 35, 1, sid["alarm"], 43, struct.pack(">H", 1))
    c.ask("write_notify.PUT_ACKT.1", ackt, want=1)


def subscriptions(log, port):
    c = Circuit(port, log)
    log.section("Subscription: first update at once, one per change, confirmation of the cancel.")
    double = c.create(pv("double"))
    c.ask("event_add.TIME_DOUBLE.0", event_add(20, 0, double, 0x55), want=1)
    put = message("write", 6, 1, double, 1, struct.pack(">d", 4.25))
    c.ask("event_add.update", put, want=1)
    put = message("write", 6, 1, double, 1, struct.pack(">d", 3.25))
    c.ask("event_add.update", put, want=1)
    c.ask("event_cancel", message("event_cancel", 20, 0, double, 0x55), want=1)
    c.ask("event_add.CTRL_ENUM.1", event_add(31, 1, c.create(pv("enum")), 0x56), want=1)
    empty = c.create(pv("wf0"))
    c.ask("event_add.DOUBLE.empty_array", event_add(6, 0, empty, 0x57), want=1)
    log.section("A subscription of 70000 elements: extended headers, also in the confirmation; the\n"
                "cancel has the count cut to 16 bits, as libca sends it.")  # fmt: skip
    big = c.create(pv("wf70k"))
    c.ask("event_add.DOUBLE.70000", event_add(6, 70000, big, 0x58), want=1)
    c.ask("event_cancel.70000", message("event_cancel", 6, 70000 & 0xFFFF, big, 0x58), want=1)
    c.ask("read_notify.DOUBLE.70000", message("read_notify", 6, 70000, big, 0x59), want=1)


def tcp_search(log, port):
    log.section("SEARCH over TCP. NOT_FOUND only for flag 10 (ask for a reply), never for 5.")
    c = Circuit(port, log)
    for name, flag, suffix in (
        ("found", 5, "long"), ("found.flag_10", 10, "long"),
        ("unknown", 5, "nope"), ("unknown.flag_10", 10, "nope"),
    ):  # fmt: skip
        request = message("search", flag, MINOR, 0x1234, 0x1234, text(pv(suffix)))
        c.ask(f"search.{name}", request)


def dbr(log, port):
    c = Circuit(port, log)
    suffixes = SCALARS + VECTORS + ("alarm", "wf0", "undefined", "int64", "enum16", "noaccess")
    sid = {name: c.create(pv(name)) for name in suffixes}

    def read(code, count, suffix, also=""):
        name = f"read_notify.{DBR_NAMES[code]}.{count}{also}"
        c.ask(name, message("read_notify", code, count, sid[suffix], code), want=1)

    log.section(
        "Every DBR type of a scalar of that native type: counts 0 (autosize) and 1, then an array\n"
        "with its whole count. PVs: " + ", ".join(SCALARS) + ";\n" + ", ".join(VECTORS)
        + ".\nA last name part, where there is one, is the PV."
    )  # fmt: skip
    for code in range(35):
        read(code, 0, SCALARS[code % 7])
        read(code, 1, SCALARS[code % 7])
        read(code, 4 if code % 7 == 0 else 5, VECTORS[code % 7])
    log.section("The special types, of a record in an unacknowledged alarm (HIHI, MAJOR). The first\n"
                "two cannot be read: status ECA_GETFAIL.")  # fmt: skip
    for code in range(35, 39):
        for count in (0, 1, 2):
            read(code, count, "alarm", ".alarm")
    log.section("An empty array, autosized and with count 1.")
    for class_ in range(5):
        read(6 + 7 * class_, 0, "wf0", ".wf0")
        read(6 + 7 * class_, 1, "wf0", ".wf0")
    log.section("Alarms, conversions, 16 states, a record that was never processed.")
    for code in (6, 13, 20, 34):
        read(code, 1, "alarm", ".alarm")
    for code in (7, 20, 34):
        read(code, 1, "undefined", ".undefined")
    for suffix in ("double", "float", "long", "short", "char", "enum", "enum16", "int64"):
        read(0, 1, suffix, f".{suffix}")
    for code in range(1, 7):
        read(code, 1, "double", ".double")
        read(code, 1, "enum", ".enum")
        read(code, 1, "string", ".string")
    read(31, 1, "enum16", ".enum16")
    read(27, 1, "long", ".long")
    read(34, 1, "long", ".long")
    read(34, 1, "int64", ".int64")
    log.section("No read access: status ECA_NORDACCESS and a payload of zeros.")
    for code in (6, 20, 34):
        read(code, 0, "noaccess", ".noaccess")
        read(code, 1, "noaccess", ".noaccess")


def udp_search(log, port):
    log.section("Name search, one datagram per number in the name. A reply starts with a VERSION\n"
                "that carries the sequence number; unknown names get no reply.")  # fmt: skip
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.5)
    version = message("version", 1, MINOR, 0x7777)

    def search(name, id_, flag=5, minor=MINOR):
        return message("search", flag, minor, id_, id_, text(name))

    cases = (
        ("found", [version, search(pv("long"), 1)]),
        ("found_and_unknown", [version, search(pv("nope"), 2), search(pv("enum"), 3)]),
        ("two", [version, search(pv("long"), 4), search(common.long_name(PREFIX), 5)]),
        ("no_version", [search(pv("long"), 6)]),
        ("flag_10", [version, search(pv("nope"), 7, flag=10)]),
        ("old_client", [message("version", 1, 4, 0x7777), search(pv("long"), 8, minor=4)]),
    )
    for number, (name, request) in enumerate(cases):
        sock.sendto(b"".join(request), ("127.0.0.1", port))
        for part in request:
            log.line(f"search.{number}.{name}", "client", "udp", "request", part)
        try:
            data = sock.recv(65536)
        except TimeoutError:
            log.comment(f"search.{number}.{name}: no reply")
            continue
        for part in capture_libca.datagram(data):
            log.line(f"search.{number}.{name}", "ioc", "udp", "response", part)


def beacons(log, sock):
    log.section("The first beacons of an IOC: the type field is the minor version, the count field\n"
                "the TCP port, P1 the sequence number; the first two carry the same.")  # fmt: skip
    sock.settimeout(5)
    for _ in range(5):
        log.line("rsrv_is_up", "ioc", "udp", "response", sock.recv(65536))


def run_repeater(port):
    """The body of a child process: the repeater of libca. It never returns, so the process ends
    when its standard input closes."""
    common.isolate(port - 1)
    import epicscorelibs.path

    libca = ctypes.CDLL(epicscorelibs.path.get_lib("ca"))
    threading.Thread(target=libca.caRepeaterThread, args=(None,), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


def repeater(log, port):
    log.section("The repeater of EPICS Base: registration by command 24 and by an empty datagram,\n"
                "the noop to earlier clients, a beacon whose address it fills in.")  # fmt: skip
    script = os.path.join(HERE, "capture.py")
    args = [sys.executable, script, "--port", str(port), "--repeater"]
    child = subprocess.Popen(args, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        first, second, ioc = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
        target = ("127.0.0.1", port)
        localhost = 0x7F000001

        def exchange(name, sender, request, receiver, tries=1):
            receiver.settimeout(0.5 if tries > 1 else 3)
            for attempt in range(tries):
                sender.sendto(request, target)
                try:
                    data = receiver.recv(65536)
                    break
                except OSError:
                    if attempt == tries - 1:
                        raise
            log.line(name, "client", "udp", "request", request)
            log.line(name, "repeater", "udp", "response", data)

        first.bind(("127.0.0.1", 0))
        register = message("repeater_register", p2=localhost)
        exchange("repeater_register", first, register, first, tries=20)
        exchange("repeater_register.empty", second, b"", second)
        first.settimeout(3)
        while command_of(noop := first.recv(65536)) != "version":
            pass  # confirmations of registrations that were sent while it started
        log.line("repeater_register.noop", "repeater", "udp", "response", noop)
        beacon = message("rsrv_is_up", MINOR, 5064, 3)
        exchange("rsrv_is_up.forwarded", ioc, beacon, second)
    finally:
        child.stdin.close()
        child.wait(5)


def main():
    args = sys.argv[1:]
    if "--repeater" in args:
        args.remove("--repeater")
        return run_repeater(int(args[1]))
    options = common.arguments(__doc__)
    port = options.port
    folder = os.path.join(HERE, "..", "captures")
    os.makedirs(folder, exist_ok=True)
    udp = Log(folder, "udp.txt", "Channel Access over UDP: search, beacons, repeater.")
    beacon_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    beacon_socket.bind(("127.0.0.1", port + 1))
    with Ioc(port, PREFIX):
        beacons(udp, beacon_socket)
        beacon_socket.close()
        udp_search(udp, port)
        log = Log(folder, "dbr.txt", "READ_NOTIFY replies of every DBR type.")
        dbr(log, port)
        log.close()
        log = Log(folder, "commands.txt", "Every command over TCP and its replies.")
        for topic in (circuit_start, channels, reads_and_writes, subscriptions, tcp_search):
            topic(log, port)
        log.close()
        log = Log(folder, "errors.txt", "Requests that fail, and what the IOC does then.")
        capture_errors.run(log, port, PREFIX)
        log.close()
        log = Log(folder, "libca.txt", capture_libca.ABOUT)
        capture_libca.run(log, port, port + 2, PREFIX)
        log.close()
    repeater(udp, port + 1)
    udp.close()


if __name__ == "__main__":
    main()
