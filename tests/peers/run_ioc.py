"""A real IOC (EPICS Base, from the wheel) with the database of the interop tests.

    python run_ioc.py --port N --prefix P [--db FILE] [--acf FILE] [--by-address 1] [--changed 1] [--beacon-period S]

Listens on 127.0.0.1:N only and sends its beacons to 127.0.0.1:N+1. Prints the line READY when it
serves. Ends when its standard input closes or on SIGTERM, so that it never outlives its parent.

Lines of standard input are commands, each answered by the line OK: `reload` reads the rules of access
security anew, `state NAME 0|1` clears or sets a flag, which is made if there is none.
"""

import argparse
import ctypes
import os
import signal
import sys

import common

HERE = os.path.dirname(os.path.abspath(__file__))
DBR_DOUBLE = 10  # the database's own numbering, not Channel Access's


def fill_array(db, name, values):
    """Puts values into an array record: too many for a constant link in the database."""
    address = ctypes.create_string_buffer(1024)  # larger than any dbAddr
    buffer = (ctypes.c_double * len(values))(*values)
    if db.dbNameToAddr(name.encode(), address):
        raise SystemExit(f"no record {name}")
    if db.dbPutField(address, DBR_DOUBLE, buffer, ctypes.c_long(len(values))):
        raise SystemExit(f"cannot fill {name}")


def main():
    options = common.arguments(__doc__, db="ioc.db", acf="ioc.acf", by_address=0, changed=0, beacon_period=15.0)
    common.isolate(options.port)
    os.environ["EPICS_CAS_BEACON_PERIOD"] = str(options.beacon_period)
    # Only READY may reach standard output, not what the IOC has to say.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from epicscorelibs import ioc

    prefix = options.prefix
    database = "other.db" if options.changed else options.db
    macros = f"P={prefix},LONG={common.long_name(prefix)}"
    db = ioc.dbCore
    ctypes.c_int.in_dll(db, "asCheckClientIP").value = options.by_address
    db.asSetFilename(os.path.join(HERE, options.acf).encode())
    db.asSetSubstitutions(f"P={prefix}".encode())
    # Without the wheel's PVAccess server: it is not under test and wants interfaces of its own.
    ioc.start_ioc(dbs=[(os.path.join(HERE, database), macros)])
    arrays = (("wf9k", 9_000), ("wf70k", 70_000), ("wf1m", 1_000_000))
    for suffix, count in arrays if database == "ioc.db" else ():
        fill_array(db, f"{prefix}:{suffix}", range(count))

    # The server moves to another port if its own is taken.
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    served = int(getenv(b"RSRV_SERVER_PORT") or 0)
    if served != options.port:
        raise SystemExit(f"port {options.port} is taken, the IOC is on {served}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("READY", file=out, flush=True)
    db.dbStateFind.restype = db.dbStateCreate.restype = ctypes.c_void_p
    for line in sys.stdin:
        command = line.split()
        if command == ["reload"]:
            db.asInit()
        elif command[:1] == ["state"]:
            name = command[1].encode()
            state = ctypes.c_void_p(db.dbStateFind(name) or db.dbStateCreate(name))
            (db.dbStateSet if command[2] == "1" else db.dbStateClear)(state)
        print("OK", file=out, flush=True)


if __name__ == "__main__":
    main()
