"""What a client does with an IOC, told as PyEpics tells it: ``judge_of_iocs.py NAME``."""

import sys

import epics
from epics import PV

PATIENCE = 60.0
pvs = {}


def pv(name):
    if name not in pvs:
        pvs[name] = PV(name, auto_monitor=False, connection_timeout=PATIENCE)
        assert pvs[name].wait_for_connection(PATIENCE), name
    return pvs[name]


def get(name, **options):
    value = pv(name).get(use_monitor=False, timeout=PATIENCE, **options)
    return value.tolist() if hasattr(value, "tolist") else value


def put(name, value):
    assert pv(name).put(value, wait=True, timeout=PATIENCE) in (1, -1)


def severity(name):
    return pv(name).get_with_metadata(form="time", timeout=PATIENCE, use_monitor=False)["severity"]


def of_softioc():
    h = "HEAT:1:"
    print([get(h + name) for name in "TEMP INTERLOCK SHOTS TOTAL STATE MSG CYCLES SERIAL MODE LABEL".split()])
    print(get(h + "LOG", as_string=True), "|", get(h + "RECIPE", as_string=True), get(h + "TRACE"), get(h + "PROFILE"))
    put(h + "SETPOINT", 90.0)
    print(get(h + "TEMP"), severity(h + "TEMP"), get(h + "STATE", as_string=True), get(h + "MSG"), get(h + "SHOTS"), get(h + "TRACE"))
    print(get(h + "TOTAL") == 2**40 + 1, get(h + "LOG", as_string=True))
    put(h + "SETPOINT", 13.0)
    print(get(h + "SETPOINT"), get(h + "SHOTS"))
    put(h + "SETPOINT", 500.0)
    print(get(h + "SETPOINT"), get(h + "TEMP"))
    put(h + "ENABLE", "Off")
    put(h + "MODE", "Auto")
    print(get(h + "INTERLOCK", as_string=True), get(h + "STATE", as_string=True), severity(h + "STATE"))
    put(h + "PROFILE", [4.0, 5.0])
    put(h + "RECIPE", "x" * 100)
    put(h + "CYCLES", 12)
    put(h + "SERIAL", 8)
    put(h + "LABEL", "other")
    put(h + "CLEAR", 1)
    print(get(h + "TRACE"), len(get(h + "RECIPE", as_string=True)), get(h + "CYCLES"), get(h + "SERIAL"), get(h + "LABEL"))
    print(repr(get(h + "LOG", as_string=True)), pv(h + "SETPOINT").upper_ctrl_limit, pv(h + "TEMP").units, pv(h + "TEMP").precision)


def of_pcaspy():
    v = "VAC:"
    first = get(v + "PRESSURE")
    print(0 < first < get(v + "PRESSURE"), pv(v + "PRESSURE").units, pv(v + "PRESSURE").precision)
    put(v + "GAS", "Ar")
    print(get(v + "GAS", as_string=True), severity(v + "GAS"), get(v + "SPECTRUM"), len(get(v + "REPORT", as_string=True)))
    put(v + "DEGAS", 3)
    print(get(v + "COUNT"), get(v + "DEGAS"))
    put(v + "NOTE", "no")
    print(get(v + "NOTE"))
    put(v + "NOTE", "yes")
    print(get(v + "NOTE"))
    for limit in (9.0, 11.0, 7.0):
        put(v + "LIMIT", limit)
        print(get(v + "LIMIT"), severity(v + "LIMIT"))


def of_caproto():
    t = "TAB:"
    print(get(t + "SEEN"), get(t + "AUX:DEEP:LEVEL"), get(t + "AUX:CMD"), get(t + "MODE", as_string=True))
    put(t + "X:SP", 2.0)
    put(t + "OFFSET", 1.0)
    put(t + "Y:SP", 3.0)
    put(t + "Y:SP", 11.0)
    print(get(t + "X:RB"), get(t + "Y:RB"), get(t + "Y:SP"), get(t + "X:MOVES"), get(t + "Y:MOVES"), pv(t + "X:RB").write_access)
    put(t + "AUX:CMD", "go")
    print(get(t + "AUX:CMD"))
    put(t + "AUX:CMD", "skip")
    put(t + "MODE", 1)
    print(get(t + "AUX:CMD"), get(t + "MODE", as_string=True), pv(t + "X:SP").units, pv(t + "X:SP").upper_ctrl_limit)


{"ioc_softioc.py": of_softioc, "ioc_pcaspy.py": of_pcaspy, "ioc_caproto.py": of_caproto}[sys.argv[1]]()
epics.ca.finalize_libca()
