"""ophyd's EpicsMotor, and a scan of bluesky with it: `import epics` inside of ophyd is ours."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky.run_engine import RunEngine
from ophyd import EpicsMotor, EpicsSignalRO, set_cl

set_cl("pyepics")
x = EpicsMotor("m1", name="x")
det = EpicsSignalRO("det", name="det", auto_monitor=False)
x.wait_for_connection(timeout=60)
det.wait_for_connection(timeout=60)
x.move(1.5, wait=True, timeout=60)
print(round(x.position, 3), x.egu, x.limits, x.moving)
try:
    x.move(1000)
except Exception as error:
    print(type(error).__name__)

engine = RunEngine()
documents = []
engine.subscribe(lambda name, document: documents.append((name, document)))
engine(bp.scan([det], x, -1, 1, 3))
print([name for name, _ in documents])
events = [document["data"] for name, document in documents if name == "event"]
print([(round(event["x"], 2), round(event["x_user_setpoint"], 2)) for event in events])
print(all(abs(event["det"] - (10 - event["x"] ** 2)) < 0.1 for event in events))
engine(bps.mv(x, 0.0))
print(round(x.position, 2) + 0.0)
