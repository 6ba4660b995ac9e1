"""The repeater of EPICS Base on port N+1.

    python run_repeater.py --port N

Prints READY just before it starts, and ENDED if it ends: the reference does so when the port is
taken, else never.
"""

import ctypes

import common

options = common.arguments(__doc__)
common.isolate(options.port)

from epicscorelibs.path import get_lib  # noqa: E402

libca = ctypes.CDLL(get_lib("ca"))
print("READY", flush=True)
# A C++ function: its name with the parameters, as Linux and macOS write it.
libca["_Z11ca_repeaterv"]()
print("ENDED", flush=True)
