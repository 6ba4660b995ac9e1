"""A server of the portable CA server library (C++, through pcaspy), for our client.

    python serve_pcaspy.py --port N --prefix P

Prints the line READY when it serves; ends when its standard input closes. Left out: whatever the
library cannot do, see the checks of the tests.
"""

import os
import sys
import threading

import common

options = common.arguments(__doc__)
common.isolate(options.port)

from pcaspy import Alarm, Driver, Severity, SimpleServer  # noqa: E402  (reads the environment when it is imported)

KINDS = {"double": "float", "float": "float", "long": "int", "short": "short", "char": "char"}
KINDS |= {"enum": "enum", "string": "string"}


def scalar(name):
    info = {"type": KINDS[name], "value": common.INITIAL[name]}
    if name == "enum":
        info |= {"enums": common.STATES}
    if name in common.DISPLAY:
        low, high = common.DISPLAY[name]
        info |= {"unit": common.UNITS, "lolim": low, "hilim": high}
    if name in ("double", "float"):
        info |= {"prec": common.PRECISION}
    if name == "double":
        info |= dict(zip(("lolo", "low", "high", "hihi"), common.ALARM))
    return info


def database():
    pvs = {name: scalar(name) for name in common.TYPES}
    for count, name in common.ARRAYS.items():
        count = int(count)
        value = [float(index) for index in range(count)]
        # An array of one is a scalar to the library, one of none does not exist.
        if count:
            pvs[name] = {"count": count, "value": value if count > 1 else value[0]}
    pvs["wfchar"] = {"type": "char", "count": 100, "value": [0] * 100}
    pvs["wfstr"] = {"type": "string", "count": 4, "value": common.STATES}
    pvs["slow"] = {"value": 0.0, "asyn": True}
    pvs["ro"] = {"value": 2.5}
    pvs["counter"] = {"value": 0.0}
    return pvs


class Records(Driver):
    def __init__(self, names):
        super().__init__()
        # PVs start with an UDF alarm that only a changed value would end.
        for name in names:
            self.setParamStatus(name, Alarm.NO_ALARM, Severity.NO_ALARM)

    def write(self, reason, value):
        if reason in ("char", "wfchar") and isinstance(value, str):
            # The library makes text of bytes, which the driver cannot take for a number.
            data = list(value.encode("latin-1"))
            value = data[0] if reason == "char" else data
        self.setParam(reason, value)
        self.updatePVs()
        if reason == "slow":
            threading.Timer(1.0, self.callbackPV, ["slow"]).start()
        return True

    def count(self):
        self.setParam("counter", self.getParam("counter") + 1.0)
        self.updatePVs()


def main():
    server = SimpleServer()
    pvs = database()
    server.createPV(f"{options.prefix}:", pvs)
    server.createPV("", {common.long_name(options.prefix): {"type": "string", "value": "sixty"}})
    driver = Records(pvs)
    common.in_background(lambda: (sys.stdin.read(), os._exit(0)))
    print("READY", flush=True)
    next_count = common.time.monotonic() + 0.1
    while True:
        server.process(0.02)
        if common.time.monotonic() >= next_count:
            next_count += 0.1
            driver.count()


if __name__ == "__main__":
    main()
