"""What libca tells its user while a server comes, goes, stands still and comes back.

    python libca_story.py --port N --prefix P --sink PORT

Searches at the server and at a port where nobody answers, for the PVs `double` and `long`, which it subscribes to, and
for one that does not exist. Prints `TIME WHAT` for each thing that happens: `connected PV`, `disconnected PV`,
`value PV VALUE`, `got VALUE`, `put STATUS`. Reads commands: `get` and `put VALUE`, both of `double`. Ends with its
input.
"""

import os
import sys
import threading
import time

import common

options = common.arguments(__doc__, sink=0)
common.isolate(options.port)
os.environ["EPICS_CA_ADDR_LIST"] = f"127.0.0.1:{options.port} 127.0.0.1:{options.sink}"
os.environ["EPICS_CA_CONN_TMO"] = "2"

from epics import ca  # noqa: E402  (reads the environment when it is imported)

LOCK = threading.Lock()


def tell(*words):
    with LOCK:
        print(f"{time.time():.6f}", *words, flush=True)


def short(name):
    return name.removeprefix(options.prefix + ":")


def connection(pvname=None, conn=None, **_):
    tell("connected" if conn else "disconnected", short(pvname))


def update(pvname=None, value=None, **_):
    tell("value", short(pvname), f"{value:g}")


def main():
    ca.initialize_libca()
    names = [f"{options.prefix}:{name}" for name in ("double", "long", "nothing")]
    chids = [ca.create_channel(name, callback=connection) for name in names]
    kept = []
    for chid in chids[:2]:
        if not ca.connect_channel(chid, timeout=20):
            raise SystemExit("not connected")
        kept.append(ca.create_subscription(chid, callback=update))
    ca.flush_io()
    for line in sys.stdin:
        command, *value = line.split()
        if command == "get":
            tell("got", f"{ca.get(chids[0], timeout=20):g}")
        elif command == "put":
            tell("put", ca.put(chids[0], float(value[0]), wait=True, timeout=20))


if __name__ == "__main__":
    main()
