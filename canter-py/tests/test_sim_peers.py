"""Clients with libca judge our IOCs: a class as of caproto, a builder as of pythonSoftIOC, records of a file."""

import json
import os
import subprocess

import pytest

from canter import sim
from canter.sim import PVGroup, builder, pvproperty
from peers import PYTHON, needs_peers

PYEPICS = """
import json, sys
import epics
from epics import PV

said = {}
position = PV("M:POS", connection_timeout=30, auto_monitor=True)
assert position.wait_for_connection(30)
said["first"] = [position.get(timeout=30), position.units, position.precision, position.upper_ctrl_limit]
said["put"] = epics.caput("M:POS", 50.0, wait=True, timeout=30)
said["after"] = epics.caget("M:POS", use_monitor=False, timeout=30)
said["refused"] = epics.caput("M:POS", -1.0, wait=True, timeout=30)
said["kept"] = epics.caget("M:POS", use_monitor=False, timeout=30)
said["mode"] = epics.caget("M:MODE", as_string=True, timeout=30)
epics.caput("M:MODE", "On", wait=True, timeout=30)
said["now"] = epics.caget("M:MODE", as_string=True, timeout=30)
said["severity"] = PV("M:IN", connection_timeout=30).get_with_metadata(form="time", timeout=30)["severity"]
said["wave"] = epics.caget("M:WAVE", timeout=30).tolist()
print(json.dumps(said))
"""

AIOCA = """
import asyncio, json
from aioca import FORMAT_CTRL, FORMAT_TIME, CANothing, caget, caput, camonitor

async def story():
    said = {}
    first = await caget("M:POS", format=FORMAT_CTRL, timeout=30)
    said["first"] = [first, first.units, first.precision, first.upper_ctrl_limit]
    said["put"] = int((await caput("M:POS", 50.0, wait=True, timeout=30)).ok)
    said["after"] = await caget("M:POS", timeout=30)
    said["refused"] = int((await caput("M:POS", -1.0, wait=True, timeout=30, throw=False)).ok)
    said["kept"] = await caget("M:POS", timeout=30)
    said["mode"] = await caget("M:MODE", datatype=str, timeout=30)
    await caput("M:MODE", "On", wait=True, timeout=30)
    said["now"] = await caget("M:MODE", datatype=str, timeout=30)
    said["severity"] = (await caget("M:IN", format=FORMAT_TIME, timeout=30)).severity
    said["wave"] = (await caget("M:WAVE", timeout=30)).tolist()
    print(json.dumps(said))

asyncio.run(story())
"""


class Group(PVGroup):
    position = pvproperty(value=1.5, name="POS", units="mm", precision=2, upper_ctrl_limit=100.0, lower_ctrl_limit=-9.0)
    mode = pvproperty(value="Off", name="MODE", enum_strings=["Off", "On"])
    seen = pvproperty(value=0.0, name="IN", read_only=True)
    wave = pvproperty(value=[1.0, 2.0], name="WAVE", max_length=5)

    @position.putter
    async def position(self, instance, value):
        if value < 0:
            raise sim.Refuse
        await self.seen.write(value, severity=1, status=4)


def of_caproto():
    return Group(prefix="M:").serve()


def of_softioc():
    made = builder.Builder("M")
    seen = made.aIn("IN", initial_value=0.0)
    made.aOut("POS", initial_value=1.5, EGU="mm", PREC=2, DRVL=-9, DRVH=100, blocking=True,
              validate=lambda record, value: value >= 0, on_update=lambda value: seen.set(value, 1, 4))  # fmt: skip
    made.mbbOut("MODE", "Off", "On", initial_value=0)
    made.WaveformOut("WAVE", [1.0, 2.0], length=5)
    return made.iocInit(udp_port=0, tcp_port=0, interface="127.0.0.1")


def of_records():
    ioc = sim.IOC(db="""
        record(ao, "M:POS") { field(VAL, 1.5) field(EGU, "mm") field(PREC, 2) field(DRVL, -9) field(DRVH, 100)
                              field(PINI, "YES") }
        record(mbbo, "M:MODE") { field(ZRST, "Off") field(ONST, "On") field(PINI, "YES") }
        record(ai, "M:IN") {}
        record(waveform, "M:WAVE") { field(FTVL, "DOUBLE") field(NELM, 5) field(INP, [1, 2]) }
    """)

    @ioc["M:POS"].on_put
    def decide(put):
        if put.value < 0:
            raise sim.Refuse
        ioc["M:IN"].device(put.value, alarm=(1, 4))

    return ioc


@needs_peers
@pytest.mark.parametrize("serve", [of_caproto, of_softioc, of_records])
@pytest.mark.parametrize("script", [PYEPICS, AIOCA], ids=["pyepics", "aioca"])
def test_it_is_an_ioc_for_clients_with_libca(serve, script):
    with serve() as ioc:
        done = subprocess.run(
            [PYTHON, "-c", script], env={**os.environ, **ioc.env}, capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.strip().splitlines()[-1])
    refused = said.pop("refused")
    # PyEpics takes a put that failed for one that is complete.
    assert refused == (1 if script is PYEPICS else 0)
    assert said == {
        "first": [1.5, "mm", 2, 100.0],
        "put": 1,
        "after": 50.0,
        "kept": 50.0,
        "mode": "Off",
        "now": "On",
        "severity": 1,
        "wave": [1.0, 2.0],
    }
