"""Simulated IOCs in this process, on loopback: for tests, and for trying things out.

>>> from canter import sim
>>> with sim.IOC({"motor": sim.Pv(1.5, units="mm"), "valve": sim.Pv("Open", states=["Closed", "Open"])}) as ioc:
...     client = ioc.client()
...     client.get("motor").units
'mm'

`IOC` serves plain PVs and records of ``.db`` files; `PVGroup` describes an IOC as a class, as that of caproto;
`canter.sim.builder` and `canter.sim.pcaspy` are in the manner of pythonSoftIOC and pcaspy.
"""

from __future__ import annotations

from .._canter import Snapshot
from ._desk import SKIP, Call, Put
from ._errors import DatabaseError, Mistake, Refuse
from ._ioc import IOC, Pv
from ._model import Model
from ._proxy import Proxy
from ._record import Record, State
from ._world import World, world
from .group import PVGroup, SubGroup, pvproperty, run

__all__ = [
    "IOC",
    "Call",
    "DatabaseError",
    "Mistake",
    "Model",
    "PVGroup",
    "Proxy",
    "Put",
    "Pv",
    "Record",
    "Refuse",
    "SKIP",
    "Snapshot",
    "State",
    "SubGroup",
    "World",
    "pvproperty",
    "run",
    "world",
]
