"""Raw Channel Access messages for capture.py: building, splitting, talking to a server, logging."""

import os
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MINOR = 13
COMMANDS = (
    "version event_add event_cancel read write snapshot search build events_off events_on read_sync"
    " error clear_channel rsrv_is_up not_found read_notify read_build repeater_confirm create_chan"
    " write_notify client_name host_name access_rights echo repeater_register signal create_ch_fail"
    " server_disconn"
).split()
NUMBER = {name: number for number, name in enumerate(COMMANDS)}
DBR_NAMES = [
    prefix + base
    for prefix in ("", "STS_", "TIME_", "GR_", "CTRL_")
    for base in ("STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE")
] + ["PUT_ACKT", "PUT_ACKS", "STSACK_STRING", "CLASS_NAME"]


def message(command, type_=0, count=0, p1=0, p2=0, payload=b"", extended=False, pad=True):
    """One message; command is a name or a number. Pads the payload to 8 bytes."""
    number = NUMBER[command] if isinstance(command, str) else command
    if pad:
        payload += bytes(-len(payload) % 8)
    if extended or len(payload) >= 0xFFFF or count >= 0xFFFF:
        head = struct.pack(">HHHHIIII", number, 0xFFFF, type_, 0, p1, p2, len(payload), count)
    else:
        head = struct.pack(">HHHHII", number, len(payload), type_, count, p1, p2)
    return head + payload


def text(value):
    """A NUL-terminated string."""
    return value.encode() + b"\0"


def split(data):
    """([message], rest) of what a stream or a datagram brought so far."""
    messages = []
    while len(data) >= 16:
        size, header = struct.unpack_from(">H", data, 2)[0], 16
        if size == 0xFFFF and len(data) >= 24:
            size, header = struct.unpack_from(">I", data, 16)[0], 24
        elif size == 0xFFFF:
            break
        if len(data) < header + size:
            break
        messages.append(data[: header + size])
        data = data[header + size :]
    return messages, data


def command_of(data):
    """The name of a message's command."""
    number = struct.unpack_from(">H", data)[0]
    return COMMANDS[number] if number < len(COMMANDS) else f"command_{number}"


class Log:
    """One file of captures; see the comment it starts with."""

    LIMIT = 4096  # bytes of a message; the headers of longer ones become comments

    def __init__(self, folder, name, about):
        self.file = open(os.path.join(folder, name), "w", encoding="ascii")
        self.comment(f"{about}\n\nMade by tests/peers/capture.py. Each line that is no comment:")
        self.comment("name | source | transport | direction | hex digits in groups of 8")
        self.comment("source is the sender: ioc, libca, repeater, or client (made by the script).")
        self.comment("Padding is as it was captured; it need not be zero.")

    def comment(self, lines):
        for line in lines.split("\n"):
            self.file.write(f"# {line}".rstrip() + "\n")

    def section(self, lines):
        self.file.write("\n")
        self.comment(lines)

    def line(self, name, source, transport, direction, data):
        if len(data) > self.LIMIT:
            head = data[: 24 if data[2:4] == b"\xff\xff" else 16].hex(" ", -4)
            self.comment(
                f"{name} | {source} | {transport} | {direction} | {head} "
                f"(header only, {len(data)} bytes left out)"
            )
            return
        digits = data.hex(" ", -4) if len(data) % 4 == 0 else data.hex(" ", 4)
        self.file.write(f"{name} | {source} | {transport} | {direction} | {digits}".rstrip() + "\n")

    def close(self):
        self.file.close()


class Circuit:
    """A TCP circuit to the server, spoken by hand."""

    MARKER = message("echo", p1=0x0BADCAFE, p2=0x0BADCAFE)

    def __init__(self, port, log=None, hello=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.log = log
        self.rest = b""
        self.ready = []
        self.sids = {}
        self.cids = 0
        if hello:
            self.socket.sendall(message("version", count=MINOR))
            self.socket.sendall(message("client_name", payload=text("user")))
            self.socket.sendall(message("host_name", payload=text("host")))
            assert command_of(self.receive()) == "version"

    def receive(self, timeout=5.0):
        """The next message; None if the server closed the circuit."""
        self.socket.settimeout(timeout)
        while not self.ready:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.ready, self.rest = split(self.rest + data)
        return self.ready.pop(0)

    def send(self, name, request):
        """Sends and logs a request without waiting for its reply."""
        self.log.line(name, "client", "tcp", "request", request)
        self.socket.sendall(request)

    def replies(self, name, count):
        """Receives and logs that many messages."""
        got = [self.receive() for _ in range(count)]
        for reply in got:
            self.log.line(name, "ioc", "tcp", "response", reply)
        return got

    def ask(self, name, request, want=0):
        """Logs a request and all that comes back before a following ECHO does, and at least
        `want` messages: updates and put completions come from another thread of the IOC."""
        self.send(name, request)
        self.socket.sendall(self.MARKER)
        got, passed = [], False
        while not passed or len(got) < want:
            reply = self.receive()
            if reply is None:
                raise SystemExit(f"{name}: the circuit was closed")
            if reply == self.MARKER:
                passed = True
            else:
                got.append(reply)
                self.log.line(name, "ioc", "tcp", "response", reply)
        if not got:
            self.log.comment(f"{name}: no reply")
        return got

    def ask_fatal(self, name, request):
        """Logs a request after which the server closes the circuit, and what it says before."""
        self.send(name, request)
        while (reply := self.receive()) is not None:
            self.log.line(name, "ioc", "tcp", "response", reply)
        self.log.comment(f"{name}: then the IOC closes the circuit")
        self.socket.close()

    def create(self, pv, minor=MINOR):
        """Makes a channel without logging it; returns its SID."""
        self.cids += 1
        self.socket.sendall(message("create_chan", p1=self.cids, p2=minor, payload=text(pv)))
        while command_of(reply := self.receive()) != "create_chan":
            assert command_of(reply) == "access_rights", reply
        self.sids[pv] = struct.unpack_from(">I", reply, 12)[0]
        return self.sids[pv]


class Ioc:
    """The real IOC as a child process, for a `with` statement."""

    def __init__(self, port, prefix):
        script = os.path.join(HERE, "run_ioc.py")
        self.args = [sys.executable, script, "--port", str(port), "--prefix", prefix]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self.process.stdout.readline() != b"READY\n":
            raise SystemExit("the IOC does not start; run run_ioc.py by hand to see why")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
