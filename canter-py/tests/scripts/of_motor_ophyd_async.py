"""ophyd-async's motor, and a scan of bluesky with it."""

import asyncio

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky.run_engine import RunEngine
from ophyd_async.core import init_devices
from ophyd_async.epics.core import epics_signal_r
from ophyd_async.epics.motor import Motor

engine = RunEngine()
documents = []
engine.subscribe(lambda name, document: documents.append((name, document)))

with init_devices():
    x = Motor("ca://m1", name="x")
    det = epics_signal_r(float, "ca://det", name="det")


async def by_hand():
    await x.set(1.5)
    print(round(await x.user_readback.get_value(), 2), await x.motor_egu.get_value())
    try:
        await x.set(1000)
    except Exception as error:
        print(type(error).__name__)


asyncio.run_coroutine_threadsafe(by_hand(), engine.loop).result(60)
engine(bp.scan([x], x, -1, 1, 3))
print([name for name, _ in documents])
events = [document["data"] for name, document in documents if name == "event"]
print([round(event["x"], 2) for event in events])
engine(bps.mv(x, 0.0))
print(round(asyncio.run_coroutine_threadsafe(x.user_readback.get_value(), engine.loop).result(60), 2) + 0.0)
