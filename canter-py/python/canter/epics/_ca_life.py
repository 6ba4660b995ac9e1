"""Of ``epics.ca`` what belongs to no channel: exceptions, statuses, and what libca needs and we do not."""

from __future__ import annotations

import functools
import sys
import time
from threading import Thread

import canter

from . import dbr
from ._channels import settle

_CONTEXT = 1


class ChannelAccessException(Exception):
    """Something of Channel Access failed."""

    def __init__(self, *args):
        super().__init__(*args)


class ChannelAccessGetFailure(Exception):
    """A get failed."""

    def __init__(self, message, chid, status):
        super().__init__(message)
        self.chid = chid
        self.status = status


class CASeverityException(Exception):
    """A status says that something failed."""

    def __init__(self, fcn, msg):
        super().__init__()
        self.fcn = fcn
        self.msg = msg

    def __str__(self):
        return f" {self.fcn} returned '{self.msg}'"


class CAThread(Thread):
    """A thread; none has to be attached to anything."""

    def run(self):
        super().run()


class Empty:
    """An object to put attributes on."""


class _GetPending:
    def __repr__(self):
        return "GET_PENDING"


GET_PENDING = _GetPending()


def write(msg, newline=True, flush=True):
    """Writes to standard output."""
    sys.stdout.write(f"{msg}\n" if newline else msg)
    if flush:
        sys.stdout.flush()


def withSEVCHK(fcn):  # noqa: N802
    """Decorates what returns a status, which is checked."""

    @functools.wraps(fcn)
    def call(*args, **kwargs):
        return PySEVCHK(fcn.__name__, fcn(*args, **kwargs))

    return call


def PySEVCHK(func_name, status, expected=dbr.ECA_NORMAL):  # noqa: N802
    """The status, if it is the expected one."""
    if status == expected:
        return status
    raise CASeverityException(func_name, message(status))


def find_lib(inp_lib_name="ca"):
    """There is no library."""


def find_libca():
    """There is no library."""


def find_libCom():  # noqa: N802
    """There is no library."""


def clib_search_path(lib):
    """There is no library."""


def create_context(ctx=None):
    """Every thread has the one context."""
    return dbr.ECA_NORMAL


context_create = create_context


def destroy_context():
    """The context stays."""
    return dbr.ECA_NORMAL


context_destroy = destroy_context


def attach_context(context):
    """Nothing has to be attached."""
    return dbr.ECA_NORMAL


def use_initial_context():
    """Every thread uses it."""
    return dbr.ECA_NORMAL


def detach_context():
    """Nothing is attached."""


def current_context():
    """The one context."""
    return _CONTEXT


def flush_io():
    """What is put is on its way."""
    return dbr.ECA_NORMAL


def pend_io(timeout=1.0):
    """Nothing is pending."""
    return dbr.ECA_NORMAL


def pend_event(timeout=1.0e-5):
    """Waits; callbacks run meanwhile."""
    time.sleep(max(0.0, timeout))
    settle()
    return dbr.ECA_TIMEOUT


def poll(evt=1.0e-5, iot=1.0):
    """Lets other threads run."""
    time.sleep(max(0.0, evt))
    settle()
    return dbr.ECA_NORMAL


def test_io():
    """Nothing is pending."""
    return dbr.ECA_IODONE


def client_status(context, level):
    """Prints the configuration of the client."""
    write(canter.default_client().config())


def replace_printf_handler(writer=None):
    """Nothing prints behind the back of the program: errors are values."""
    return dbr.ECA_NORMAL


def disable_ca_messages():
    """There are none."""


def enable_ca_messages(writer="stderr"):
    """There are none."""


def version():
    """Version of the protocol."""
    return "4.13"


_MESSAGES = {
    1: "Normal successful completion",
    80: "User specified timeout on IO operation expired",
    160: "Channel write request failed",
    192: "Virtual circuit disconnect",
    339: "IO operations have completed",
    368: "Read access denied",
    376: "Write access denied",
    410: "Invalid channel identifier",
    424: "Thread is already attached to a client context",
}


def message(status):
    """What a status says."""
    return _MESSAGES.get(status, f"status {status}")
