"""A server of the portable CA server library (C++, through pcaspy), for our client.

    python serve_pcaspy.py --port N --prefix P [--changed 1]

Prints the line READY when it serves; ends when its standard input closes. Left out: whatever the
library cannot do, see the checks of the tests.
"""

import os
import sys
import threading

import common

options = common.arguments(__doc__, changed=0)
common.isolate(options.port)

from pcaspy import Alarm, Driver, Severity, SimpleServer  # noqa: E402  (reads the environment when it is imported)

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = {"double": "float", "float": "float", "long": "int", "short": "short", "char": "char"}
KINDS |= {"enum": "enum", "string": "string"}


def scalar(name):
    info = {"type": KINDS[name], "value": common.INITIAL[name]}
    if name == "enum":
        quiet = Severity.NO_ALARM
        states = [quiet, quiet, Severity.MINOR_ALARM, Severity.MAJOR_ALARM]
        info |= {"enums": common.STATES, "states": states}
    if name in common.DISPLAY:
        low, high = common.DISPLAY[name]
        info |= {"unit": common.UNITS, "lolim": low, "hilim": high}
    if name in ("double", "float"):
        info |= {"prec": common.PRECISION}
    if name == "double":
        info |= dict(zip(("lolo", "low", "high", "hihi"), common.ALARM))
    return info


def fields():
    """Of `double`, as PVs."""
    kinds = {int: "short", float: "float", str: "string"}
    pvs = {name: {"type": kinds[type(value)], "value": value} for name, value in common.FIELDS.items()}
    pvs["ADEL"] = {"value": 0.0}
    pvs["EGU"] = {"type": "string", "value": common.UNITS}
    return {f"double.{name}": info for name, info in pvs.items()}


def database():
    if options.changed:
        return {"double": {"type": "int", "count": 3, "value": common.CHANGED}}
    pvs = {name: scalar(name) for name in common.TYPES}
    for count, name in common.ARRAYS.items():
        count = int(count)
        value = [float(index) for index in range(count)]
        # An array of one is a scalar to the library, one of none does not exist.
        if count:
            pvs[name] = {"count": count, "value": value if count > 1 else value[0]}
    pvs |= fields()
    pvs["wf0"] = {"count": 10, "value": []}
    pvs["wf9k"] = {"count": 9000, "value": [float(n) for n in range(9000)]}
    for name, kind in (("wfshort", "short"), ("wflong", "int"), ("wffloat", "float")):
        pvs[name] = {"type": kind, "count": 5, "value": [0, 1, 2, 3, 4]}
    pvs["wfenum"] = {"type": "enum", "count": 5, "value": [0, 1, 2, 3, 4], "enums": common.STATES}
    pvs["wfuchar"] = {"type": "char", "count": 5, "value": [0, 1, 2, 254, 255]}
    pvs["longstring"] = {"type": "char", "count": 200, "value": common.LONG_STRING}
    pvs["alarm"] = {"value": 20.0, "high": 9.0, "hihi": 10.0, "low": -9.0, "lolo": -10.0}
    pvs["undefined"] = {"value": 0.0}
    pvs["disabled"] = {"value": 1.0}
    pvs["noaccess"] = {"value": 2.5, "asg": "none"}
    pvs["gate"] = {"type": "enum", "enums": ["0", "1"], "value": 0}
    pvs["gated"] = {"value": 2.5, "asg": "gated"}
    pvs["wfchar"] = {"type": "char", "count": 100, "value": [0] * 100}
    pvs["wfstr"] = {"type": "string", "count": 4, "value": common.STATES}
    pvs["slow"] = {"value": 0.0, "asyn": True}
    pvs["ro"] = {"value": 2.5, "asg": "readonly"}
    pvs["counter"] = {"value": 0.0}
    return pvs


class Records(Driver):
    def __init__(self, names):
        super().__init__()
        # PVs start with an UDF alarm that only a changed value would end.
        for name in names - {"undefined"}:
            self.setParamStatus(name, Alarm.NO_ALARM, Severity.NO_ALARM)

    def write(self, reason, value):
        if reason in ("char", "wfchar") and isinstance(value, str):
            # The library makes text of bytes, which the driver cannot take for a number.
            data = list(value.encode("latin-1"))
            value = data[0] if reason == "char" else data
        if reason == "disabled":
            return False
        if reason == "double.EGU":
            self.setParamInfo("double", {"unit": value})
        if reason == "double.ADEL":
            self.setParamInfo("double", {"adel": value})
        self.setParam(reason, value)
        self.updatePVs()
        if reason == "slow":
            threading.Timer(1.0, self.callbackPV, ["slow"]).start()
        return True

    def count(self):
        if options.changed:
            return
        self.setParam("counter", self.getParam("counter") + 1.0)
        self.updatePVs()


def main():
    server = SimpleServer()
    pvs = database()
    server.initAccessSecurityFile(os.path.join(HERE, "ioc.acf"), P=options.prefix)
    server.createPV(f"{options.prefix}:", pvs)
    long = common.long_name(options.prefix)
    text = lambda value: {"type": "string", "value": value}  # noqa: E731
    server.createPV("", {long: text("sixty"), f"{long}.RTYP": text("stringout")})
    driver = Records(pvs.keys())
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
