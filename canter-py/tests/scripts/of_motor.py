"""A script of a beamline with motors: moves, limits, tweaks, callbacks, a scan by hand."""

import threading

import epics
from epics import Motor

x = Motor("m1")
y = Motor("m2")
print(x, x.units, x.precision, x.get_position(), x.high_limit, x.low_limit)
print(x.move(1.5, wait=True), round(x.get_position(), 3), round(x.get_position(readback=True), 3), x.DMOV)
print(x.move(0.5, relative=True, wait=True), round(x.RBV, 3))
epics.caput("m1.TWV", 0.25, wait=True)
print(x.tweak(direction="forward", wait=True), round(x.get_position(), 3))
print(x.within_limits(50), x.within_limits(500), y.move(11.0, wait=True))
try:
    print(y.move(11.0, wait=True, ignore_limits=False), y.get_position())
except epics.motor.MotorLimitException as error:
    print(type(error).__name__)
print(x.check_limits(), x.move(2.0, wait=True, dial=True), round(x.get_position(dial=True), 3))

moved = threading.Event()
seen = []


def on_move(value=None, **kws):
    seen.append(round(value, 3))
    if abs(value - 3.0) < 0.003:
        moved.set()


x.set_callback(attr="RBV", callback=on_move, kws={})
x.move(3.0, wait=True)
print(moved.wait(60), seen[-1])
x.clear_callback(attr="RBV")

x.set_position(0.0)
print(round(x.get_position(), 3), round(x.get_position(dial=True), 3))
rows = []
for point in (-1.0, 0.0, 1.0, 2.0):
    x.move(point, wait=True)
    epics.ca.poll(0.05, 0.05)
    rows.append((round(x.get_position(readback=True), 2), round(epics.caget("det"), 2)))
print(rows)
x.stop()
print([(field, value) for field, value in x.get_info().items() if field not in ("STAT", "VELO")], x.DESC)
print(x.make_step_list()[:6], float(x.make_step_list()[-1]))
