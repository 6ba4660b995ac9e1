"""A script of an operator of a linac, as it is written for PyCafe: open, look, scan a knob, watch, put back."""

import threading

import PyCafe

cafe = PyCafe.CyCafe()
cafe.init()
cyca = PyCafe.CyCa()
cafe.setOpenDefaultPendTime(10.0)

# -- channels are opened together

knob, readback, bpm = "QUAD:I-SET", "QUAD:I-READ", "BPM:X"
cafe.openPrepare()
handles = cafe.open([knob, readback, bpm, "RF:STATE"])
cafe.openNowAndWait(10.0)
print([cafe.isConnected(h) for h in handles], [cafe.getPVFromHandle(h) for h in handles])
h_knob, h_read, h_bpm, h_state = handles

print(cafe.get(h_knob), cafe.get(h_knob, "str"), cafe.get(h_knob, dt="int"), cafe.get(h_state))
print(cafe.get(h_state, dt="int"), cafe.getEnumStrings(h_state), cafe.getUnits(h_knob))
print(cafe.getPrecision(h_knob), cafe.getDescription(h_knob))
ctrl = cafe.getCtrl(h_knob)
print(ctrl.units, ctrl.precision, ctrl.upperCtrlLimit, ctrl.lowerCtrlLimit, ctrl.enumStrings)

pvd = cafe.getPV(h_bpm)
print(pvd.value[0], pvd.status == cyca.ICAFE_NORMAL, pvd.alarmSeverity, pvd.ts[0] > 1_000_000_000)

print(cafe.set("BPM:WAVEFORM", [1.0, 2.0, 4.0, 8.0, 16.0]) == cyca.ICAFE_NORMAL)
print(cafe.getArray("BPM:WAVEFORM").sum(), memoryview(cafe.getArray("BPM:WAVEFORM", art="memoryview"))[3])

# -- a group is read at once

cafe.openGroupPrepare()
group = cafe.grouping("gQuad", [knob, readback, bpm, "RF:STATE", "BPM:WAVEFORM"])
cafe.openGroupNowAndWait(10.0)
values, summary, status = cafe.getGroup(group)
print([round(v, 3) if isinstance(v, float) else v for v in values], summary, status)
print(cafe.groupList(), len(cafe.getHandlesFromWithinGroup(group)))
print(cafe.getPVGroup("gQuad").getPV(2).value)

# -- a monitor, whose callback reads: nothing of it is forbidden here

arrived = threading.Event()
seen = []
read = []


def on_change(handle):
    cached = cafe.getPVCache(handle)
    seen.append(round(cached.value[0], 3))
    if seen[-1] >= 4.0:
        read.append(round(cafe.get(handle), 3))
        arrived.set()


cafe.openMonitorPrepare()
monitor = cafe.monitorStart(h_read, cb=on_change, dbr=cyca.CY_DBR_PLAIN, mask=cyca.CY_DBE_VALUE)
cafe.openMonitorNowAndWait(10.0)

# -- the knob goes through its values, and the read-back has to follow

for value in (2.0, 3.0, 4.0):
    status = cafe.setAndMatch(h_knob, value, h_read, 0.01, 10.0, 0)
    print(value, status == cyca.ICAFE_NORMAL, round(cafe.getCache(h_read), 3))
print(arrived.wait(60), seen[0], seen[-1], cafe.monitorStop(h_read, monitor))
print(read, cafe.isConnected(h_read))

# -- what goes wrong is a status, or an exception

print(cafe.setAndMatch(h_knob, 5.0, h_bpm, 0.01, 0.2, 0) == cyca.ECAFE_TIMEOUT_SET_AND_MATCH)
print(cafe.match(0.25, bpm, 0.01, 10.0, 0) == cyca.ICAFE_NORMAL, cafe.match("ON", h_state, 0, 10.0, 0))
print(cafe.get(99_999), cafe.lastError.error_code == cyca.ECAFE_INVALID_HANDLE)
cafe.withExceptions(True)
try:
    cafe.set(h_state, "NO SUCH STATE")
except PyCafe.CafeException as error:
    print(error.name, error.handle == h_state, error.error_code == cyca.ECA_PUTFAIL)
cafe.withExceptions(False)

# -- and all is put back

print(cafe.setScalarList([h_knob, "RF:STATE"], [1.5, "OFF"]))
print(
    cafe.setGroup(group, [1.5, values[1], 0.25, "ON", [0.0] * 5])[0]
    in (cyca.ICAFE_NORMAL, cyca.ECAFE_NOWTACCESS)
)
print(cafe.getGroupCache("gQuad")[1], cafe.get("RF:NOTE"))
cafe.groupClose("All")
cafe.close(handles)
cafe.terminate()
