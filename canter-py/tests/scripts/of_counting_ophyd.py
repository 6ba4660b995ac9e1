"""A beamline of ophyd: a grid of two motors with a scaler that counts at each point, and monitors beside."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky.run_engine import RunEngine
from ophyd import Component as Cpt
from ophyd import Device, EpicsMotor, EpicsSignal, EpicsSignalRO, set_cl
from ophyd.scaler import EpicsScaler

set_cl("pyepics")


class Beam(Device):
    shutter = Cpt(EpicsSignal, "shutter", kind="config")
    ring = Cpt(EpicsSignalRO, "ring", auto_monitor=True)


mono = EpicsMotor("mono", name="mono")
slit = EpicsMotor("slit", name="slit")
scaler = EpicsScaler("sc", name="scaler", read_attrs=["channels", "time"])
beam = Beam("", name="beam")
for device in (mono, slit, scaler, beam):
    device.wait_for_connection(all_signals=False, timeout=60)
print(mono.egu, mono.limits, slit.egu, scaler.preset_time.get())

documents = []
engine = RunEngine()
engine.subscribe(lambda name, document: documents.append((name, document)))


def shift():
    yield from bps.mv(beam.shutter, 1)
    plan = bp.grid_scan([scaler, beam], mono, -1, 1, 3, slit, 0, 2, 2, True)
    yield from bpp.monitor_during_wrapper(plan, [mono.user_readback])
    yield from bps.mv(beam.shutter, 0, mono, 0, slit, 0)


engine(shift())
names = [name for name, _ in documents]
print(names[0], names[-1], documents[-1][1]["exit_status"])
described = {one["uid"]: one["name"] for name, one in documents if name == "descriptor"}
print(sorted(described.values()))
events = [one for name, one in documents if name == "event" and described[one["descriptor"]] == "primary"]
print([(round(one["data"]["mono"], 2) + 0.0, round(one["data"]["slit"], 2) + 0.0) for one in events])
print(all(abs(one["data"]["beam_ring"] - (100 - one["data"]["mono"] ** 2)) < 0.1 for one in events))
counts = [one["data"]["scaler_channels_chan1"] for one in events]
print(all(count > 0 for count in counts), all(one["data"]["scaler_time"] >= 0.04 for one in events))
moved = [one["data"]["mono"] for name, one in documents if name == "event" and described[one["descriptor"]] != "primary"]
print(len(moved) >= 3, min(moved) < -0.9, max(moved) > 0.9)
print(beam.shutter.get(), round(mono.position, 2) + 0.0, round(slit.position, 2) + 0.0)
