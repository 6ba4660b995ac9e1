"""The part of capture.py that records what libca sends, through a proxy between it and the IOC."""

import os
import selectors
import socket
import struct
import subprocess
import sys
import time

import common
from wire import HERE, command_of, message, split, text

ABOUT = """What libca of EPICS Base 7.0.10 sends, and what the IOC answers, through a proxy.

The names have the number of the datagram or message in its session. User and host name are
rewritten to "user" and "host", the port in search replies is that of the proxy."""


def datagram(data):
    """The messages of a datagram; one that is no sequence of messages is returned whole."""
    messages, rest = split(data)
    return messages + [rest] if rest or not messages else messages


def neutral(data):
    """Replaces the names of this user and this host."""
    for command, name in (("client_name", "user"), ("host_name", "host")):
        if command_of(data) == command:
            return message(command, payload=text(name))
    return data


class Proxy:
    """One UDP port, one TCP port of the same number, and the repeater's port above them."""

    def __init__(self, log, session, server, port):
        self.log = log
        self.session = session
        self.server = ("127.0.0.1", server)
        self.port = port
        self.number = 0
        self.select = selectors.DefaultSelector()
        self.pending = {}  # stream direction -> bytes of an incomplete message
        self.client = None  # where search replies go
        self.udp = self.udp_socket(port)
        self.upstream = self.udp_socket(0)
        self.repeater = self.udp_socket(port + 1)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.registered = False
        self.echoed = False
        for sock, handler in (
            (self.udp, self.on_search), (self.upstream, self.on_reply),
            (self.repeater, self.on_registration), (self.listener, self.on_accept),
        ):  # fmt: skip
            self.select.register(sock, selectors.EVENT_READ, handler)

    @staticmethod
    def udp_socket(port):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", port))
        return sock

    def record(self, source, transport, messages):
        self.number += 1
        for data in messages:
            name = f"{self.session}.{self.number:02}." + (command_of(data) if data else "empty")
            direction = "request" if source == "libca" else "response"
            self.log.line(name, source, transport, direction, neutral(data) if data else data)
            self.echoed |= bool(data) and source == "libca" and command_of(data) == "echo"

    def on_search(self, sock):
        data, self.client = sock.recvfrom(65536)
        self.record("libca", "udp", datagram(data))
        self.upstream.sendto(data, self.server)

    def on_reply(self, sock):
        parts = []
        for part in datagram(sock.recv(65536)):
            if command_of(part) == "search":
                part = part[:4] + struct.pack(">H", self.port) + part[6:]
            parts.append(part)
        self.record("ioc", "udp", parts)
        self.udp.sendto(b"".join(parts), self.client)

    def on_registration(self, sock):
        data, source = sock.recvfrom(65536)
        if not self.registered:
            self.record("libca", "udp", datagram(data))
            confirm = message("repeater_confirm", p2=0x7F000001)
            sock.sendto(confirm, source)
        self.registered = True

    def on_accept(self, sock):
        near, _ = sock.accept()
        far = socket.create_connection(self.server)
        for source, target, name in ((near, far, "libca"), (far, near, "ioc")):
            handler = lambda s, t=target, n=name: self.on_stream(s, t, n)  # noqa: E731
            self.select.register(source, selectors.EVENT_READ, handler)

    def on_stream(self, source, target, name):
        try:
            data = source.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data or target.fileno() < 0:
            for sock in (source, target):
                if sock.fileno() >= 0:
                    self.select.unregister(sock)
                    sock.close()
            return
        messages, self.pending[source] = split(self.pending.get(source, b"") + data)
        passed = []
        for part in messages:
            self.record(name, "tcp", [part])
            if name == "ioc" and command_of(part) == "search":
                part = part[:4] + struct.pack(">H", self.port) + part[6:]
            passed.append(part)
        target.sendall(b"".join(passed))

    def serve(self, child, seconds, until=lambda: False):
        """Forwards until the child has ended, the condition holds or the time is over."""
        end = time.monotonic() + seconds
        while child.poll() is None and time.monotonic() < end and not until():
            for key, _ in self.select.select(0.1):
                key.data(key.fileobj)

    def close(self):
        for key in list(self.select.get_map().values()):
            key.fileobj.close()
        self.select.close()


def session(log, name, server, port, prefix):
    proxy = Proxy(log, name, server, port)
    script = os.path.join(HERE, "capture_libca.py")
    args = [sys.executable, script, "--port", str(port), "--prefix", prefix, "--session", name]
    child = subprocess.Popen(args, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        # The registration comes 10 s after the start, the ECHO after a quiet EPICS_CA_CONN_TMO.
        full = name == "session"
        proxy.serve(child, 20, lambda: full and proxy.registered and proxy.echoed)
        child.stdin.close()
        proxy.serve(child, 5)
    finally:
        child.kill()
        child.wait(5)
        proxy.close()


def run(log, server, port, prefix):
    log.section("A client that uses every kind of request. The empty datagram registers it with the\n"
                "repeater.")  # fmt: skip
    session(log, "session", server, port, prefix)
    log.section("A client with EPICS_CA_NAME_SERVERS: search over TCP.")
    session(log, "names", server, port, prefix)


def drive():
    """The body of the child process: the client."""
    options = common.arguments(__doc__, session="session")
    common.isolate(options.port)
    os.environ["EPICS_CA_CONN_TMO"] = "2"
    if options.session == "names":
        os.environ["EPICS_CA_ADDR_LIST"] = ""
        os.environ["EPICS_CA_NAME_SERVERS"] = f"127.0.0.1:{options.port}"
    import epicscorelibs.path

    os.environ["PYEPICS_LIBCA"] = epicscorelibs.path.get_lib("ca")
    from epics import ca

    ca.initialize_libca()
    if ca.find_libca() != os.environ["PYEPICS_LIBCA"]:
        raise SystemExit("pyepics uses another libca")
    pv = lambda suffix: f"{options.prefix}:{suffix}"  # noqa: E731

    def channel(suffix):
        chid = ca.create_channel(pv(suffix), auto_cb=False)
        if not ca.connect_channel(chid, timeout=5):
            raise SystemExit(f"{suffix} is not connected")
        return chid

    double = channel("double")
    ca.get(double)
    if options.session == "session":
        ca.get(double, ftype=34, count=1)
        ca.put(double, 4.5)
        ca.put(double, 3.25, wait=True)
        ca.put(double, "3.25", ftype=0, wait=True)
        events = ca.create_subscription(double, ftype=20, mask=5, callback=lambda **_: None)
        ca.poll(evt=0.2)
        ca.put(double, 4.5, wait=True)
        ca.put(double, 3.25, wait=True)
        ca.clear_subscription(events[2])
        wave = channel("wf5")
        ca.get(wave, count=3)
        ca.put(wave, [0.0, 1.0, 2.0, 3.0, 4.0], wait=True)
        ca.get(channel("enum"), ftype=31)
        ca.put(channel("string"), "hello", wait=True)
        big = channel("wf70k")
        events = ca.create_subscription(big, mask=1, count=70000, callback=lambda **_: None)
        ca.poll(evt=0.5)
        ca.clear_subscription(events[2])
        ca.clear_channel(wave)
        ca.poll(evt=0.2)
        sys.stdin.read()
    ca.finalize_libca()


if __name__ == "__main__":
    drive()
