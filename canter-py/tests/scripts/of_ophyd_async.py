"""A device of ophyd-async, and a scan of bluesky over it."""

import asyncio

import bluesky.plans as bp
from bluesky.run_engine import RunEngine
from ophyd_async.core import (
    SignalR,
    SignalRW,
    StandardReadable,
    StandardReadableFormat,
    StrictEnum,
    init_devices,
    observe_value,
)
from ophyd_async.epics.core import epics_signal_r, epics_signal_rw


class Valve(StrictEnum):
    CLOSED = "Closed"
    OPEN = "Open"


class Stage(StandardReadable):
    def __init__(self, prefix: str, name: str = ""):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.motor: SignalRW[float] = epics_signal_rw(float, f"ca://{prefix}motor")
            self.count: SignalR[int] = epics_signal_r(int, f"ca://{prefix}count")
        self.valve: SignalRW[Valve] = epics_signal_rw(Valve, f"ca://{prefix}valve")
        self.note: SignalRW[str] = epics_signal_rw(str, f"ca://{prefix}note")
        super().__init__(name)


engine = RunEngine()
documents = []
engine.subscribe(lambda name, document: documents.append((name, document)))

with init_devices():
    stage = Stage("", "stage")


async def by_hand():
    await stage.motor.set(2.5)
    await stage.valve.set(Valve.CLOSED)
    print(await stage.motor.get_value(), await stage.valve.get_value(), await stage.note.get_value())
    described = await stage.describe()
    print(
        described["stage-motor"]["units"],
        described["stage-motor"]["precision"],
        described["stage-count"]["dtype"],
    )
    async for value in observe_value(stage.motor):
        print(value)
        if value == 3.5:
            break
        await stage.motor.set(3.5)


asyncio.run_coroutine_threadsafe(by_hand(), engine.loop).result(60)
engine(bp.list_scan([stage], stage.motor, [1.0, 2.0, 3.0]))
print([name for name, _ in documents])
print([sorted(document["data"].items()) for name, document in documents if name == "event"])
