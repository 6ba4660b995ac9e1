"""Checks a server with pyepics (its own libca).

    python client_pyepics.py --port N --prefix P
"""

import sys

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import epics  # noqa: E402  (reads the environment when it is imported)
from epics import ca  # noqa: E402


class Pyepics(common.Client):
    def __init__(self):
        self.channels = {}
        self.subscriptions = []  # must outlive the callbacks
        ca.initialize_libca()

    def channel(self, pv, timeout=5.0):
        if pv not in self.channels:
            self.channels[pv] = ca.create_channel(pv, auto_cb=False)
        if not ca.connect_channel(self.channels[pv], timeout=timeout):
            raise TimeoutError(f"{pv} is not connected")
        return self.channels[pv]

    def connect(self, pv, timeout=5.0):
        try:
            self.channel(pv, timeout)
        except TimeoutError:
            return False
        return True

    def read(self, pv, type_=None, class_="plain", count=None):
        chid = self.channel(pv)
        if class_ in ("sts", "gr"):
            raise common.NotOffered("pyepics has no DBR_STS and DBR_GR types")
        if class_ == "ctrl" and type_ == "string":
            raise common.NotOffered("pyepics lays DBR_CTRL_STRING out as DBR_TIME_STRING")
        code = common.dbr_code(type_, class_) if type_ else None
        data = ca.get_with_metadata(chid, ftype=code, count=count, timeout=10)
        if data is None:
            raise TimeoutError(f"no answer for {pv}")
        got = {key: data.get(key) for key in ("severity", "status", "timestamp", "units")}
        value = data["value"]
        got["value"] = value.tolist() if hasattr(value, "tolist") else value
        got["precision"] = data.get("precision")
        got["display"] = (data.get("lower_disp_limit"), data.get("upper_disp_limit"))
        got["control"] = (data.get("lower_ctrl_limit"), data.get("upper_ctrl_limit"))
        sides = ("lower_alarm", "lower_warning", "upper_warning", "upper_alarm")
        got["alarm"] = tuple(data.get(side + "_limit") for side in sides)
        got["states"] = list(data.get("enum_strs", ()))
        return got

    def write(self, pv, value, type_=None, wait=False):
        chid = self.channel(pv)
        code = common.BASE_CODES[type_] if type_ else None
        try:
            status = ca.put(chid, value, wait=wait, ftype=code, timeout=10)
        except ca.CASeverityException as error:
            raise common.Refused(str(error)) from error
        if status != 1:
            raise TimeoutError(f"put to {pv}: status {status}")

    def monitor(self, pv):
        seen = []
        mask = epics.dbr.DBE_VALUE
        callback = lambda value=None, **_: seen.append(value)  # noqa: E731
        self.subscriptions.append(
            ca.create_subscription(self.channel(pv), mask=mask, callback=callback)
        )
        return seen

    def pause(self, seconds):
        ca.poll(evt=seconds)


sys.exit(common.Checks(Pyepics(), options.prefix).run())
