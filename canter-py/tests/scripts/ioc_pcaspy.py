"""A vacuum gauge as a driver in the manner of pcaspy: it is asked, it scans, its puts take a while."""

import sys
import threading

from canter.sim.pcaspy import Alarm, Driver, Severity, SimpleServer

pvdb = {
    "PRESSURE": {"prec": 3, "unit": "mbar", "scan": 0.05, "value": 1e-6},
    "COUNT": {"type": "int", "value": 0},
    "GAS": {"type": "enum", "enums": ["N2", "He", "Ar"], "states": [0, 0, 1]},
    "DEGAS": {"type": "int", "asyn": True},
    "NOTE": {"type": "string", "value": "new"},
    "SPECTRUM": {"count": 4, "value": [0.0, 0.0, 0.0, 0.0]},
    "REPORT": {"type": "char", "count": 200, "value": "nothing yet"},
    "LIMIT": {"value": 5.0, "hihi": 10.0, "high": 8.0, "low": -8.0, "lolo": -10.0},
}


class Gauge(Driver):
    def __init__(self):
        super().__init__()
        self.scans = 0

    def read(self, reason):
        if reason == "PRESSURE":
            self.scans += 1
            return 1e-6 * (1 + self.scans)
        return self.getParam(reason)

    def write(self, reason, value):
        if reason == "NOTE" and value == "no":
            return False
        if reason == "DEGAS":
            threading.Timer(0.05, self.degassed, (value,)).start()
        if reason == "GAS":
            self.setParam("REPORT", f"gas {value} for " + "a long while " * 8)
            self.setParam("SPECTRUM", [float(value)] * 4)
        if reason == "LIMIT" and value == 7:
            self.setParamStatus(reason, Alarm.READ_ALARM, Severity.INVALID_ALARM)
        self.setParam(reason, value)
        self.updatePVs()
        return True

    def degassed(self, value):
        self.setParam("COUNT", self.getParam("COUNT") + value)
        self.setParam("DEGAS", 0)
        self.updatePVs()
        self.callbackPV("DEGAS")


server = SimpleServer()
server.createPV("VAC:", pvdb)
driver = Gauge()
print("ready", flush=True)
sys.stdin.read()
server.close()
