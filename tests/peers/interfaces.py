"""Parts of interfaces.sh: the IOC of EPICS Base, a monitor on libca, and the clock of `canter monitor`.

    python interfaces.py ioc | libca BEGIN | canter BEGIN
"""

import json
import sys
import tempfile
import time

RECORD = """
record(calc, "scene:count") { field(SCAN, "1 second") field(CALC, "VAL+1") }
"""


class Teller:
    """Tells what a client reports, the values only when they begin."""

    def __init__(self, who, begin):
        self.who, self.begin, self.values = who, float(begin), False

    def say(self, what):
        if what != "value" or not self.values:
            print(f"{time.time() - self.begin:.2f} {self.who} {what}", flush=True)
        self.values = what == "value"


def ioc():
    from epicscorelibs.ioc import start_ioc

    with tempfile.NamedTemporaryFile("w", suffix=".db") as file:
        file.write(RECORD)
        file.flush()
        start_ioc(dbs=[(file.name, "")])
    time.sleep(300)


def libca(begin):
    import epics

    teller = Teller("libca", begin)
    epics.PV(
        "scene:count",
        callback=lambda **_: teller.say("value"),
        connection_callback=lambda conn, **_: teller.say("connected" if conn else "disconnected"),
    )
    teller.say("started")
    time.sleep(300)


def canter(begin):
    teller = Teller("canter", begin)
    for line in sys.stdin:
        event = json.loads(line)
        what = "value" if event["event"] == "update" else event["event"]
        if event.get("pv"):
            teller.say(what)


{"ioc": ioc, "libca": libca, "canter": canter}[sys.argv[1]](*sys.argv[2:])
