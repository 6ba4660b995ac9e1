"""``epics.alarm``: calls a function when a PV passes a trip point."""

from __future__ import annotations

import operator
import time

from ._channels import run
from .pv import PV, get_pv

__all__ = ["Alarm", "get_pv"]


class Alarm:
    """Watches a PV.

    Args:
        pvname: name of the PV, or a `PV`.
        comparison: ``eq ==``, ``ne !=``, ``le <=``, ``lt <``, ``ge >=``, ``gt >``, or a function of the value and
            the trip point.
        trip_point: what the value is compared with.
        callback: is called with the keywords of callbacks of a `PV`, and ``comparison`` and ``trip_point``.
        alert_delay: seconds between two calls, at least.
    """

    ops = {
        "eq": operator.eq,
        "==": operator.eq,
        "ne": operator.ne,
        "!=": operator.ne,
        "le": operator.le,
        "<=": operator.le,
        "lt": operator.lt,
        "<": operator.lt,
        "ge": operator.ge,
        ">=": operator.ge,
        "gt": operator.gt,
        ">": operator.gt,
    }

    def __init__(self, pvname, comparison=None, trip_point=None, callback=None, alert_delay=10):
        self.pv = pvname if isinstance(pvname, PV) else get_pv(pvname)
        if not callable(comparison) and comparison is not None and comparison not in self.ops:
            known = ", ".join(self.ops)
            raise ValueError(
                f'comparison of the alarm on "{self.pv.pvname}" is {comparison!r}; there are {known}'
            )
        self.cmp_name = getattr(comparison, "__name__", str(comparison))
        self.comp = comparison if callable(comparison) else self.ops.get(comparison)
        self.trip_point = trip_point
        self.user_callback = callback
        self.alert_delay = alert_delay
        self.alarm_state = False
        self.last_alert = 0.0
        self.pv.wait_for_connection()
        self.pv.add_callback(self.check_alarm, run_now=True)

    def __repr__(self):
        return f"<Alarm '{self.pv.pvname}', comp={self.cmp_name}, trip_point={self.trip_point}>"

    def reset(self):
        """Has the next alarm call at once."""
        self.last_alert = 0.0
        self.alarm_state = False

    def check_alarm(self, pvname=None, value=None, char_value=None, **kw):
        """Looks whether a value is an alarm; the callback of the PV."""
        if self.comp is None or value is None or self.trip_point is None:
            return
        before = self.alarm_state
        self.alarm_state = bool(self.comp(value, self.trip_point))
        now = time.time()
        if not self.alarm_state or before or now - self.last_alert < self.alert_delay:
            return
        self.last_alert = now
        if callable(self.user_callback):
            run(
                lambda: self.user_callback(
                    pvname=pvname,
                    value=value,
                    char_value=char_value,
                    trip_point=self.trip_point,
                    comparison=self.cmp_name,
                    **kw,
                )
            )
