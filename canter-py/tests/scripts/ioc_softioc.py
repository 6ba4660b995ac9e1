"""A heater as an IOC in the manner of pythonSoftIOC, with a record of each kind."""

import numpy as np
from canter.sim import builder, softioc

builder.SetDeviceName("HEAT:1")
temperature = builder.aIn("TEMP", initial_value=20.0, EGU="degC", PREC=1, HIGH=80, HSV="MINOR")
interlock = builder.boolIn("INTERLOCK", "OK", "TRIPPED")
shots = builder.longIn("SHOTS", initial_value=0)
total = builder.int64In("TOTAL", initial_value=2**40)
state = builder.mbbIn("STATE", "Idle", "Heating", ("Fault", "MAJOR"), initial_value=0)
message = builder.stringIn("MSG", initial_value="cold")
log = builder.longStringIn("LOG", length=200, initial_value="")
trace = builder.WaveformIn("TRACE", np.zeros(5))


def heat(value):
    temperature.set(value)
    trace.set(np.linspace(20.0, value, 5))
    state.set(1 if value > 20 else 0)
    message.set("hot" if value > 50 else "warm")
    shots.set(shots.get() + 1)
    total.set(total.get() + 1)
    log.set(log.get() + f"set to {value}; ")


setpoint = builder.aOut("SETPOINT", initial_value=20.0, DRVL=0, DRVH=100, on_update=heat, validate=lambda _, new: new != 13, blocking=True)
enable = builder.boolOut("ENABLE", "Off", "On", initial_value=1, on_update=lambda on: interlock.set(not on), blocking=True)
cycles = builder.longOut("CYCLES", initial_value=3)
serial = builder.int64Out("SERIAL", initial_value=7)
mode = builder.mbbOut("MODE", "Manual", "Auto", initial_value=0, on_update=lambda new: state.set(2 * new), blocking=True)
label = builder.stringOut("LABEL", initial_value="heater")
recipe = builder.longStringOut("RECIPE", length=300, initial_value="none")
profile = builder.WaveformOut("PROFILE", [1.0, 2.0, 3.0], on_update=lambda new: trace.set(new[:5]), blocking=True)
builder.Action("CLEAR", on_update=lambda _: log.set(""), blocking=True)

builder.LoadDatabase()
softioc.iocInit()
print("ready", flush=True)
softioc.interactive_ioc(globals())
