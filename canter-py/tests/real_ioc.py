"""The IOC of EPICS Base, from its Python package, on loopback and on ports of its own."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import threading
from contextlib import contextmanager

from peers import PYTHON


#: Below the ports that the system gives to sockets which ask for any: nobody gets one by chance before its IOC is up.
#: Those of the tests in Rust end at 32 000 (`tests/src/ports.rs`); processes that run at once begin far apart.
_PORTS = range(32_000, 32_760)
_tried = itertools.count(os.getpid() * 457)


def free_port():
    """A port that is free for TCP and UDP."""
    for step in itertools.islice(_tried, len(_PORTS)):
        port = _PORTS[step % len(_PORTS)]
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            try:
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free on 127.0.0.1")


def _wait_for(port, ioc):
    """Waits until an IOC accepts circuits."""
    for _ in range(1200):
        assert ioc.poll() is None, ioc.stderr.read()
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            threading.Event().wait(0.05)
    raise AssertionError("the IOC has not come up within a minute")


@contextmanager
def real_ioc(database, directory):
    """A real IOC that serves a database; yields the environment with which clients find it and nothing else."""
    path = directory / "real.db"
    path.write_text(database)
    port = str(free_port())
    finds = {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": port,
        "EPICS_CA_REPEATER_PORT": port,
    }
    environment = {
        **os.environ,
        **finds,
        "EPICS_CAS_SERVER_PORT": port,
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_IOC_IGNORE_SERVERS": "qsrv",
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    }
    command = [PYTHON, "-m", "epicscorelibs.ioc", "-d", str(path)]
    pipe = subprocess.PIPE
    ioc = subprocess.Popen(command, env=environment, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe)
    try:
        _wait_for(int(port), ioc)
        yield finds
    finally:
        ioc.stdin.close()
        try:
            ioc.wait(20)
        except subprocess.TimeoutExpired:
            ioc.kill()
            ioc.wait()
        ioc.stderr.close()
