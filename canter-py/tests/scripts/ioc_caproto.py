"""A table with two axes in the manner of caproto: groups within groups, of which each reacts to its own PVs."""

import os
import sys

from canter.sim.caproto import SkipWrite
from canter.sim.caproto.server import PVGroup, SubGroup, pvproperty


class Axis(PVGroup):
    setpoint = pvproperty(value=0.0, name="SP", precision=2, units="mm", lower_ctrl_limit=-10.0, upper_ctrl_limit=10.0)
    readback = pvproperty(value=0.0, name="RB", read_only=True)
    moves = pvproperty(value=0, name="MOVES", read_only=True)

    @setpoint.putter
    async def setpoint(self, instance, value):
        if abs(value) > 10:
            raise ValueError(f"{value} is out of range")
        await self.readback.write(value + self.parent.offset.value)
        await self.moves.write(self.moves.value + 1)


class Table(PVGroup):
    offset = pvproperty(value=0.5, name="OFFSET")
    mode = pvproperty(value="Free", name="MODE", enum_strings=["Free", "Locked"])
    seen = pvproperty(value=[0, 0, 0, 0], name="SEEN", max_length=8)
    x = SubGroup(Axis, prefix="X:")
    y = SubGroup(Axis, prefix="Y:")

    @SubGroup(prefix="AUX:")
    class aux(PVGroup):
        @SubGroup(prefix="DEEP:")
        class deep(PVGroup):
            level = pvproperty(value=2, name="LEVEL")

        command = pvproperty(value="idle", name="CMD")

        @command.putter
        async def command(self, instance, value):
            if value == "skip":
                raise SkipWrite
            return value.upper()

    @mode.startup
    async def mode(self, instance, async_lib):
        await self.seen.write([1, 2, 3])


port = int(os.environ["EPICS_CA_SERVER_PORT"])
with Table(prefix="TAB:").serve(udp_port=port, tcp_port=port):
    print("ready", flush=True)
    sys.stdin.read()
