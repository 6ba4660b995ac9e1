"""Devices of ophyd, and a scan of bluesky over them: `import epics` inside of ophyd is ours."""

import bluesky.plans as bp
from bluesky.run_engine import RunEngine
from ophyd import Component, Device, EpicsSignal, EpicsSignalRO, set_cl

set_cl("pyepics")


class Stage(Device):
    motor = Component(EpicsSignal, "motor")
    count = Component(EpicsSignalRO, "count", kind="hinted")
    valve = Component(EpicsSignal, "valve", string=True)
    wave = Component(EpicsSignal, "wave")


stage = Stage("", name="stage")
stage.wait_for_connection(timeout=60)
stage.motor.put(2.5, wait=True)
stage.valve.set("Closed").wait(60)
print(stage.motor.get(), stage.count.get(), stage.valve.get(), stage.wave.get().tolist())
print(stage.motor.describe()["stage_motor"]["units"], stage.motor.limits, stage.valve.enum_strs)
seen = []
stage.motor.subscribe(lambda value, **kw: seen.append(value))
stage.motor.put(3.5, wait=True)
while 3.5 not in seen:
    pass

engine = RunEngine()
documents = []
engine.subscribe(lambda name, document: documents.append((name, document)))
engine(bp.list_scan([stage.count], stage.motor, [1.0, 2.0, 3.0]))
print([name for name, _ in documents])
print([sorted(document["data"].items()) for name, document in documents if name == "event"])
