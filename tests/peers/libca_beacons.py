"""What libca hears of the beacons of a server.

    python libca_beacons.py --port N --prefix P [--spawned]

Connects to the PV `double`, or with `--spawned 1` to nothing, so that it only starts a repeater.
Prints a line with each change: `repeater PID` (a program that libca started), `period SECONDS` (when
the first is known), `anomalies N`. Runs until it is ended.
"""

import ctypes
import os
import time

import common

options = common.arguments(__doc__, spawned=0)
common.isolate(options.port)

from epics import ca, dbr  # noqa: E402  (reads the environment when it is imported)


def children():
    """Programs started by any thread of this process (Linux)."""
    threads = f"/proc/{os.getpid()}/task"
    for thread in os.listdir(threads):
        with open(f"{threads}/{thread}/children") as file:
            yield from map(int, file.read().split())


def main():
    ca.initialize_libca()
    ca.libca.ca_beacon_period.restype = ctypes.c_double
    ca.libca.ca_beacon_period.argtypes = [dbr.chid_t]
    chid = ca.create_channel(f"{options.prefix}:double", auto_cb=False)
    if options.spawned:
        for child in children():
            print("repeater", child, flush=True)
    elif not ca.connect_channel(chid, timeout=20):
        raise SystemExit("not connected")
    known, anomalies = False, 0
    while True:
        # Negative until two beacons were heard.
        period = ca.libca.ca_beacon_period(chid) if not known else 0
        if period > 0:
            known = True
            print("period", period, flush=True)
        count = ca.libca.ca_beacon_anomaly_count()
        if count != anomalies:
            anomalies = count
            print("anomalies", count, flush=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
