"""What the tests have in common: an IOC on loopback, a client that finds it and nothing else, patience."""

from __future__ import annotations

import importlib
import os
import pkgutil
import queue
import signal
import subprocess
import sys
import textwrap
import threading

import numpy  # noqa: F401
import pytest

import canter
from canter import sim

# Here, in one thread: CPython 3.11 may fail to parse in several at once, and what is imported late is parsed then.
# What is left out stands for other packages, or cannot be imported everywhere.
for _module in pkgutil.walk_packages(canter.__path__, "canter."):
    if not _module.name.endswith(("_shim", "__main__")):
        importlib.import_module(_module.name)

#: Seconds after which what should happen is taken not to happen. Nothing hangs on how soon it does.
PATIENCE = 60.0

PVS = {
    "motor": sim.Pv(1.5, units="mm", precision=3, display=(-10, 10), alarm=(-9, 9), description="a stage"),
    "valve": sim.Pv("Open", states=["Closed", "Open"]),
    "wave": [1.0, 2.0, 3.0],
    "room": sim.Pv([1.0], capacity=100),
    "count": 5,
    "small": sim.Pv(7, type="short"),
    "single": sim.Pv(0.5, type="float"),
    "note": "hello",
    "names": ["one", "two"],
    "text": sim.Pv("a text that is longer than the forty bytes of a string of EPICS", type="text"),
    "fixed": sim.Pv(1.0, read_only=True),
    "slow": sim.Pv(0.0, completes_after=0.2),
    "never": sim.Pv(0.0, completes_after=None),
}


@pytest.fixture
def ioc():
    with sim.IOC(PVS) as ioc:
        yield ioc


@pytest.fixture
def client(ioc):
    with ioc.client(timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def default(ioc):
    """The IOC, found by the functions of the module and by the other faces."""
    with ioc.environment():
        canter.configure(repeater_port=0, timeout=PATIENCE)
        yield ioc
        canter.configure(repeater_port=0, addr_list="127.0.0.1:1", auto_addr_list=False)


class Box:
    """Collects what callbacks are called with, and waits for it."""

    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, *args, **kwargs):
        self.queue.put(args[0] if len(args) == 1 and not kwargs else kwargs or args)

    def next(self):
        return self.queue.get(timeout=PATIENCE)

    def until(self, matches):
        if not callable(matches):
            wanted = matches
            matches = lambda value: value == wanted  # noqa: E731
        while True:
            value = self.next()
            if matches(value):
                return value


@pytest.fixture
def box():
    return Box()


def patiently(story):
    """Runs a story with a time-out, and again with a longer one before it fails: what is there may need
    longer on a busy machine, what is not there is not there for long.
    """
    for timeout in (0.3, 3.0):
        try:
            return story(timeout)
        except (AssertionError, canter.CanterError):
            pass
    return story(30.0)


def run_script(text: str, ioc=None, *args: str, timeout: float = PATIENCE, **env: str):
    """Runs a script in an interpreter of its own, which finds the IOC; returns what it printed."""
    environment = {**os.environ, **(ioc.env if ioc is not None else {}), **env}
    done = subprocess.run(
        [sys.executable, *args, "-c", textwrap.dedent(text)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def in_thread(function, *args):
    """Runs something in a thread and gives its result, or raises its exception."""
    results: queue.Queue = queue.Queue()

    def run():
        try:
            results.put((function(*args), None))
        except BaseException as error:  # noqa: BLE001
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    result, error = results.get(timeout=PATIENCE)
    if error is not None:
        raise error
    return result


pytest_plugins = ["pytester"]


@pytest.fixture
def interrupts():
    """Where the tests are a background job of a shell, nobody interrupts them, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
