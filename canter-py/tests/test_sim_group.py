"""IOCs as classes, in the manner of caproto."""

import asyncio
import enum

import pytest

import canter
from canter import sim
from canter.sim import PVGroup, SubGroup, pvproperty
from conftest import PATIENCE


class Mode(enum.Enum):
    OFF = 0
    RAMP = 1
    HOLD = 2


class Axis(PVGroup):
    position = pvproperty(value=0.0, name="{axis}:POS", units="mm", precision=3)
    moving = pvproperty(value=False, name="{axis}:MOVN", read_only=True)

    @position.putter
    async def position(self, instance, value):
        await self.moving.write(1)
        await asyncio.sleep(0)
        await self.moving.write(0)
        return min(value, 10.0)


class Machine(PVGroup):
    current: float = pvproperty(value=300.0, units="mA", upper_alarm_limit=400.0, lower_alarm_limit=-1.0)
    count: int
    note: str = pvproperty(value="hello", doc="what is on")
    mode = pvproperty(value=Mode.OFF)
    wave = pvproperty(value=[1.0, 2.0], max_length=10)
    long = pvproperty(value="a text", max_length=200)
    ticks = pvproperty(value=0, read_only=True)
    started = pvproperty(value="", dtype=str)
    real = pvproperty(value=1.5, record="ao", units="mm", upper_ctrl_limit=5.0, lower_ctrl_limit=-5.0)
    x = SubGroup(Axis, prefix="m:", macros={"axis": "x"})

    @SubGroup(prefix="inner:")
    class inner:
        depth = pvproperty(value=1)

    @mode.putter
    def mode(self, instance, value):
        self.chosen = value
        if value is Mode.HOLD:
            raise sim.Refuse

    @ticks.scan(period=0.001)
    async def ticks(self, instance, async_lib):
        await instance.write(instance.value + 1)

    @started.startup
    async def started(self, instance, async_lib):
        await async_lib.library.sleep(0)
        await instance.write("yes")

    @started.shutdown
    def started(self, instance, async_lib):
        self.ended = instance.value


@pytest.fixture
def machine():
    return Machine(prefix="M:")


def test_a_group_is_served(machine):
    assert sorted(machine.pvdb)[:3] == ["M:count", "M:current", "M:inner:depth"]
    with machine.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        current = client.get("M:current")
        assert (current, current.units, current.limits["upper_alarm_limit"]) == (300.0, "mA", 400.0)
        assert client.get("M:count") == 0 and client.get("M:note") == "hello" and client.get("M:inner:depth") == 1
        assert client.get("M:note.DESC") == "what is on"
        assert client.get("M:mode").enums == ("OFF", "RAMP", "HOLD")
        assert client.get("M:wave").tolist() == [1.0, 2.0] and client.info("M:wave")["count"] == 10
        assert client.get("M:long", as_type=str) == "a text"
        client.put("M:m:x:POS", 50.0, wait=True)
        assert client.get("M:m:x:POS") == 10.0 and machine.x.position.value == 10.0
        with pytest.raises(canter.AccessDenied):
            client.put("M:m:x:MOVN", 1)
        assert client.wait_until("M:ticks", lambda value: value > 3, timeout=PATIENCE) > 3
        assert client.wait_until("M:started", "yes", timeout=PATIENCE) == "yes"
        client.put("M:mode", "RAMP", wait=True)
        assert machine.chosen is Mode.RAMP
        with pytest.raises(canter.PutRefused):
            client.put("M:mode", "HOLD", wait=True)
        assert client.get("M:mode") == "RAMP"
        client.put("M:real", 9.0, wait=True)
        assert client.get("M:real") == 5.0 and client.get("M:real.RTYP") == "ao"
    assert machine.ended == "yes"
    with pytest.raises(RuntimeError, match="not served"):
        machine.ioc  # noqa: B018


def test_it_is_served_again_and_values_may_be_set_before(machine):
    machine.current.write(100.0)
    for _ in range(2):
        with sim.IOC(machine.pvdb) as ioc, ioc.client(timeout=PATIENCE) as client:
            assert client.get("M:current") in (100.0, 300.0)
            machine.current.write(200.0, severity=1, status=4)
            assert client.get("M:current").severity == 1
            machine.current.write_field("HIHI", 150.0)
            assert machine.current.field("HIHI") == 150.0
            with pytest.raises(RuntimeError, match="another IOC"):
                machine.serve()


def test_a_group_inherits(machine):
    class More(Machine):
        extra = pvproperty(value=1)
        note = None

    names = set(More(prefix="").pvdb)
    assert "extra" in names and "current" in names and "note" not in names


def test_mistakes_are_told_when_the_class_is_made():
    with pytest.raises(TypeError, match="is no function"):
        pvproperty(value=1).getter(2)
    with pytest.raises(TypeError, match="dtype"):
        pvproperty(dtype="complex")._native()
    with pytest.raises(ValueError, match="period"):
        pvproperty(value=1).scan(0)

    class Twice(PVGroup):
        a = pvproperty(value=1, name="same")
        b = pvproperty(value=1, name="same")

    with pytest.raises(ValueError, match="same"):
        Twice().serve()


def test_a_scan_that_raises_goes_on(box):
    class Fails(PVGroup):
        turns = pvproperty(value=0)

        @turns.scan(period=0.001)
        async def turns(self, instance, async_lib):
            await instance.write(instance.value + 1)
            raise ValueError("every time")

    canter.callback_errors.append(lambda error, function: box(str(error)))
    try:
        with Fails().serve() as ioc, ioc.client(timeout=PATIENCE) as client:
            assert client.wait_until("turns", lambda value: value > 2, timeout=PATIENCE) > 2
            assert box.next() == "every time"
    finally:
        canter.callback_errors.clear()
