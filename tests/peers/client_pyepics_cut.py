"""Checks that pyepics (its own libca) gets over a circuit that is lost once.

    python client_pyepics_cut.py --port N --prefix P

Something between client and server has to cut the circuit while updates come.
"""

import sys
import time

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import epics  # noqa: E402  (reads the environment when it is imported)
from epics import ca  # noqa: E402

# libca searches channels of a lost circuit again after 10 s at the earliest.
PATIENCE = 40.0

seen = []  # "up", "down" and "update" in the order of their coming


def connected(conn=None, **_):
    seen.append("up" if conn else "down")


def after(*wanted):
    """Waits until these came in this order, whatever is between them."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ca.poll(evt=0.05)
        rest = iter(list(seen))
        if all(what in rest for what in wanted):
            return True
    return False


ca.initialize_libca()
channel = ca.create_channel(f"{options.prefix}:counter", callback=connected, auto_cb=True)
ca.connect_channel(channel, timeout=PATIENCE)
subscription = ca.create_subscription(
    channel, mask=epics.dbr.DBE_VALUE, callback=lambda **_: seen.append("update")
)
for name, wanted in (
    ("updates", ["up", "update"]),
    ("lost", ["up", "update", "down"]),
    ("back", ["up", "update", "down", "up", "update", "update"]),
):
    print(f"ok {name}" if after(*wanted) else f"FAIL {name} only {seen[-10:]}", flush=True)
print("DONE", flush=True)
sys.stdin.read()
