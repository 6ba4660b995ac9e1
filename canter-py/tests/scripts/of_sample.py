"""A script of a beamline without motors: Device, Alarm, autosave. Its argument is a directory to write to."""

import sys
import threading
from pathlib import Path

import epics
from epics.autosave import restore_pvs, save_pvs

here = Path(sys.argv[1])


def wait_for(condition):
    for _ in range(2000):
        if condition():
            return True
        epics.ca.poll(0.01, 0.01)
    return False


# -- Device

sample = epics.Device("temp", delim=":", attrs=("set",))
wait_for(lambda: sample.PV("set").connected)
# Neither the answer to a get nor that to a put says of updates whether they are still under way: the reference's server
# sends both by tasks of their own.
print(sample.get("set"), sample.put("set", 21.5, wait=True), wait_for(lambda: sample.get("set") == 21.5))
sample.set = 22.0
print(wait_for(lambda: epics.caget("temp") == 22.0), wait_for(lambda: sample.get("set") == 22.0), sample.save_state())
state = sample.save_state()
sample.write_state(str(here / "state.txt"), state)
sample.put("set", 5.0, wait=True)
sample.read_state(str(here / "state.txt"), restore=True)
print(wait_for(lambda: epics.caget("temp:set") == 22.0))

# -- Alarm: the callback is told once the value is on the wrong side

tripped = threading.Event()
told = []


def on_alarm(pvname=None, value=None, comparison=None, trip_point=None, **kws):
    told.append((pvname, value, comparison, trip_point))
    tripped.set()


alarm = epics.Alarm("temp", comparison=">", trip_point=26.0, callback=on_alarm, alert_delay=1000)
wait_for(lambda: epics.get_pv("temp").connected)
epics.caput("temp:set", 27.0, wait=True)
print(tripped.wait(60), told, epics.get_pv("temp").severity)
epics.caput("temp:set", 29.0, wait=True)
print(wait_for(lambda: epics.caget("temp") == 29.0), len(told))

# -- autosave

(here / "sample.req").write_text("temp:set\nshutter\nprofile\n")
epics.caput("profile", [1.0, 2.0, 3.0, 4.0], wait=True)
epics.caput("shutter", "open", wait=True)
save_pvs(str(here / "sample.req"), str(here / "sample.sav"))
kept = [line for line in (here / "sample.sav").read_text().splitlines() if not line.startswith("#")]
print([" ".join(line.split()) for line in kept if "@array@" not in line])
print("mended: array", [line for line in kept if "@array@" in line])
epics.caput("temp:set", 0.0, wait=True)
epics.caput("shutter", 0, wait=True)
epics.caput("profile", [0.0] * 4, wait=True)
restore_pvs(str(here / "sample.sav"))
wait_for(lambda: epics.caget("shutter", as_string=True) == "open")
print(epics.caget("temp:set"), epics.caget("shutter", as_string=True), epics.caget("profile").tolist())
# a file of PyEpics, with its own form of arrays
(here / "old.sav").write_text("# by hand\nprofile @array@ [4.0, 3.0, 2.0, 1.0]\nshutter 0\n<END>\n")
print(restore_pvs(str(here / "old.sav")), wait_for(lambda: epics.caget("profile").tolist()[0] == 4.0))
wait_for(lambda: epics.caget("shutter") == 0)
print(epics.caget("profile").tolist(), epics.caget("shutter", as_string=True))
