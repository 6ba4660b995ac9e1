"""The part of capture.py that provokes errors; each on a circuit of its own."""

import struct

from wire import MINOR, Circuit, message, text

NO_SID = 0x7FFFFFF0


def event(mask=5):
    return struct.pack(">fffHH", 0, 0, 0, mask, 0)


def run(log, port, prefix):
    def channel(suffix):
        circuit = Circuit(port, log)
        return circuit, circuit.create(f"{prefix}:{suffix}")

    def ask(suffix, name, command, *fields, want=1, **more):
        """A request that leaves the circuit open. The fields: type, count, P2, payload."""
        circuit, sid = channel(suffix)
        type_, count, p2, *payload = fields
        circuit.ask(name, message(command, type_, count, sid, p2, *payload, **more), want=want)

    def fatal(suffix, name, command, type_, count, p2, payload=b"", sid=None):
        circuit, own = channel(suffix)
        p1 = own if sid is None else sid
        circuit.ask_fatal(name, message(command, type_, count, p1, p2, payload))

    double = struct.pack(">d", 1.0)

    log.section("Before VERSION every command gets ECA_DEFUNCT.")
    circuit = Circuit(port, log, hello=False)
    circuit.receive()
    circuit.send("before_version.echo", message("echo"))
    circuit.replies("before_version.echo", 1)

    log.section("Commands that a server does not take: ERROR ECA_INTERNAL.")
    for command in (5, 7, 11, 13, 14, 16, 17, 22, 24, 25, 26, 27, 28, 100, 65535):
        Circuit(port, log).ask_fatal(f"bad_command.{command}", message(command))

    log.section("Malformed circuits and messages.")
    odd = message("echo", payload=b"abcd", pad=False)
    Circuit(port, log).ask_fatal("bad_length", odd)
    for name, request in (
        ("priority", message("version", 100, MINOR)),
        ("minor", message("version", 0, 3)),
    ):
        circuit = Circuit(port, log, hello=False)
        circuit.receive()
        circuit.ask_fatal(f"version.{name}", request)
    name = text(f"{prefix}:double")
    Circuit(port, log).ask_fatal("create_chan.minor", message("create_chan", p1=1, p2=3, payload=name))
    Circuit(port, log).ask_fatal("search.minor", message("search", 5, 3, 1, 1, name))
    ask("double", "host_name.late", "host_name", 0, 0, 0, text("host"))
    ask("double", "client_name.late", "client_name", 0, 0, 0, text("user"))
    Circuit(port, log).ask_fatal("host_name.empty", message("host_name"))
    Circuit(port, log).ask_fatal("host_name.no_nul", message("host_name", payload=b"abcdefgh"))
    Circuit(port, log).ask_fatal("client_name.too_long", message("client_name", payload=text("u" * 512)))

    log.section("Channels that do not exist: CREATE_CH_FAIL, the circuit stays.")
    for name, suffix in (
        ("record", "nope"), ("field", "double.NOPE"), ("filter", "double{bad"), ("range", "wf5[x]"),
    ):  # fmt: skip
        request = message("create_chan", p1=18, p2=MINOR, payload=text(f"{prefix}:{suffix}"))
        Circuit(port, log).ask(f"create_chan.unknown.{name}", request, want=1)

    log.section("SIDs that do not exist: ERROR ECA_INTERNAL, P1 is 0xffffffff.")
    for command, payload in (
        ("read", b""), ("read_notify", b""), ("write", double), ("write_notify", double),
        ("event_add", event()), ("event_cancel", b""), ("clear_channel", b""),
    ):  # fmt: skip
        fatal("double", f"{command}.bad_sid", command, 6, 1, 9, payload, sid=NO_SID)

    log.section("DBR types above 38.")
    for command, payload in (
        ("read", b""), ("read_notify", b""), ("write", double), ("write_notify", double),
        ("event_add", event()),
    ):  # fmt: skip
        fatal("double", f"{command}.bad_type", command, 39, 1, 9, payload)

    log.section("Subscriptions: bad masks, unknown subscription.")
    fatal("double", "event_add.mask_0", "event_add", 6, 1, 9, event(0))
    fatal("double", "event_add.mask_256", "event_add", 6, 1, 9, event(256))
    fatal("double", "event_cancel.unknown", "event_cancel", 6, 1, 9)

    log.section("No access.")
    ask("ro", "write.readonly", "write", 6, 1, 1, double)
    ask("ro", "write_notify.readonly", "write_notify", 6, 1, 9, double)
    ask("ro", "write.readonly.bad_type", "write", 39, 1, 1, double)
    ask("noaccess", "read.no_access", "read", 6, 1, 9)
    ask("noaccess", "read_notify.no_access", "read_notify", 20, 1, 9)
    ask("noaccess", "read_notify.no_access.autosize", "read_notify", 20, 0, 9)
    ask("noaccess", "event_add.no_access", "event_add", 20, 1, 9, event())
    ask("noaccess", "event_add.no_access.autosize", "event_add", 6, 0, 9, event())

    log.section("Conversions that fail, types that cannot be read or written.")
    ask("double", "write.bad_number", "write", 0, 1, 1, text("not a number"))
    ask("double", "write_notify.bad_number", "write_notify", 0, 1, 9, text("not a number"))
    ask("enum", "write.bad_state", "write", 0, 1, 1, text("no such state"))
    ask("enum", "write_notify.bad_state", "write_notify", 0, 1, 9, text("no such state"))
    ask("string", "read_notify.bad_number", "read_notify", 6, 1, 9)
    ask("string", "read.bad_number", "read", 6, 1, 9)
    ask("disabled", "write.disabled", "write", 6, 1, 1, double)
    ask("disabled", "write_notify.disabled", "write_notify", 6, 1, 9, double)
    ask("double", "write.CLASS_NAME", "write", 38, 1, 1, bytes(40))
    ask("double", "write.STSACK_STRING", "write", 37, 1, 1, bytes(48))
    ask("double", "write_notify.TIME_DOUBLE", "write_notify", 20, 1, 9, bytes(24))
    ask("double", "read.PUT_ACKT", "read", 35, 1, 9)
    ask("double", "read_notify.PUT_ACKT", "read_notify", 35, 1, 9)
    ask("double", "event_add.PUT_ACKS", "event_add", 36, 1, 9, event())

    log.section("Extended headers: the ERROR copies the 24-byte header if the request needed it,\n"
                "and the 16-byte form if not.")  # fmt: skip
    ask("double", "write.CLASS_NAME.70000", "write", 38, 70000, 1, bytes(8))
    ask("double", "write.CLASS_NAME.extended", "write", 38, 1, 1, bytes(40), extended=True)

    log.section("A client below 4.9 cannot get extended headers: ECA_16KARRAYCLIENT.")
    circuit = Circuit(port, log)
    sid = circuit.create(f"{prefix}:wf9k", minor=8)
    circuit.ask("read_notify.old_client", message("read_notify", 6, 9000, sid, 9), want=1)
