"""What PyEpics shows and returns, on and on: run with the real one and with ours, and compared."""

import time

import epics
from epics import PV, ca, dbr


def ready(pv):
    pv.wait_for_connection(10)
    while pv.get() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    return pv


def known(found):
    return sorted((name, str(value)) for name, value in found.items())


NAMES = [
    "motor",
    "valve",
    "wave",
    "count",
    "note",
    "names",
    "text",
    "small",
    "single",
    "room",
    "tiny",
    "huge",
]
for form in ("time", "native", "ctrl"):
    for name in NAMES:
        pv = ready(PV(name, form=form))
        print(
            repr(pv), str(pv) == repr(pv), repr(pv.get()), repr(pv.get(as_string=True)), repr(pv.char_value)
        )
        print(pv.type, pv.typefull, pv.ftype, pv.count, pv.nelm, pv.access, pv.read_access, pv.write_access)
        print(pv.units, pv.precision, pv.enum_strs, pv.severity, pv.char_severity, pv.status, pv.char_status)
        print(
            [
                getattr(pv, f"{which}_{what}_limit")
                for which in ("upper", "lower")
                for what in ("disp", "alarm", "warning", "ctrl")
            ]
        )
        print(known(pv.get_ctrlvars()), known(pv.get_timevars()))
        print(pv.auto_monitor, pv.auto_monitor_mask, pv.monitor_delta, pv.callbacks, pv.connected)
        if name != "text":
            print(pv.info)

seen = []
pv = ready(PV("motor", callback=lambda **kw: seen.append(kw)))
print(pv.put(2.5, wait=True))
time.sleep(0.3)
print([(kw["value"], sorted(kw)) for kw in seen])
print("mended: description", [(kw["char_value"], kw["units"]) for kw in seen])
print(sorted(pv.get_with_metadata()), pv.get_with_metadata(as_namespace=True).value)
print(pv.add_callback(seen.append), pv.add_callback(seen.append, index=9), sorted(pv.callbacks))
pv.remove_callback(9)
pv.clear_callbacks()
print(pv.callbacks, pv.get(count=1), pv.get(as_numpy=False))

print(epics.caget("motor"), epics.caget("valve"), epics.caget("valve", as_string=True))
print(epics.caput("valve", "Closed", wait=True), epics.caget("valve", use_monitor=False), epics.caput("valve", 1, wait=True))
print(epics.caget("wave", count=2, use_monitor=False), list(epics.caget("wave", as_numpy=False, use_monitor=False)), epics.caget("text", as_string=True))
print(epics.caget_many(["motor", "valve", "wave"]))
print(epics.caput_many(["motor", "count"], [1, 2]), epics.caput_many(["motor", "count"], [3, 4], wait="each"))
print(
    epics.caput_many(["motor", "count"], [5, 6], wait="all"), epics.caput("never", 1, wait=True, timeout=0.2)
)
print(epics.cainfo("valve", print_out=False))
try:
    epics.caput("fixed", 1, wait=True)
except Exception as error:
    print(type(error).__name__, error)

pv = PV("nowhere")
print(
    repr(pv),
    pv.connected,
    pv.wait_for_connection(timeout=0.1),
    pv.value,
    pv.get(timeout=0.1),
    pv.auto_monitor,
)

chid = ca.create_channel("motor", connect=True)
print(ca.name(chid), ca.field_type(chid), ca.element_count(chid), ca.state(chid), ca.access(chid))
print("mended: precision", ca.get(chid, as_string=True))
print(ca.get(chid), ca.promote_type(chid, use_time=True), ca.isConnected(chid))
print(ca.put(chid, 4.5, wait=True), ca.get(chid), ca.get_precision(chid), ca.get_severity(chid))
print(known(ca.get_with_metadata(chid, ftype=dbr.CTRL_DOUBLE)))
wave = ca.create_channel("wave", connect=True)
print(ca.get(wave), ca.get(wave, count=2))
print("mended: list", ca.get(wave, as_numpy=False))
valve = ca.create_channel("valve", connect=True)
print("mended: label", ca.get(valve, as_string=True))
print(ca.get_enum_strings(valve), ca.get_enum_strings(chid))
print([dbr.Name(n) for n in (0, 6, 14, 20, 29, 34, 99)], dbr.Name("TIME_LONG", reverse=True))
print([dbr.native_type(n) for n in (0, 6, 14, 20, 28, 34)], ca.message(80), ca.version())
print(epics.pv.fmt_time(1.5), epics.NO_ALARM, epics.INVALID_ALARM)

device = epics.Device("", attrs=("motor", "count"))
time.sleep(0.3)
print(device.motor, device.get("count"), device.valve, repr(device))
device.motor = 8.5
time.sleep(0.3)
print(device.motor, sorted(device.save_state()), device.PV("count"))
