"""Checks a server with pyepics (its own libca).

    python client_pyepics.py --port N --prefix P
"""

import ctypes
import os
import sys
import time

import common

options = common.arguments(__doc__)
common.isolate(options.port)
# libca scales its patience with this, for which pyepics has its own default: only after ten times as
# many bytes does it send EVENTS_OFF. Larger arrays are no trouble.
os.environ["EPICS_CA_MAX_ARRAY_BYTES"] = "16384"
# pyepics takes strings for UTF-8 and fails with others; this keeps all bytes.
os.environ["PYEPICS_ENCODING"] = "latin-1"

import epics  # noqa: E402  (reads the environment when it is imported)
from epics import ca  # noqa: E402


class Pyepics(common.Client):
    stops_updates = True

    def __init__(self):
        self.channels = {}
        self.subscriptions = []  # must outlive the callbacks
        ca.initialize_libca()

    def channel(self, pv, timeout=20.0):
        if pv not in self.channels:
            self.channels[pv] = ca.create_channel(pv, auto_cb=False)
        if not ca.connect_channel(self.channels[pv], timeout=timeout):
            raise TimeoutError(f"{pv} is not connected")
        return self.channels[pv]

    def connect(self, pv, timeout=20.0):
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
        if count and count > ca.element_count(chid):
            raise common.NotOffered("pyepics asks for no more elements than there are")
        code = common.dbr_code(type_, class_) if type_ else None
        data = ca.get_with_metadata(chid, ftype=code, count=count, timeout=20)
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
            status = ca.put(chid, value, wait=wait, ftype=code, timeout=20)
        except ca.CASeverityException as error:
            raise common.Refused(str(error)) from error
        if status != 1:
            raise TimeoutError(f"put to {pv}: status {status}")

    def write_both(self, pv, first, second):
        ends = []
        chid = self.channel(pv)
        for value in (first, second):
            ca.put(chid, value, callback=lambda data=None, **_: ends.append(data), callback_data=value)
        common.eventually(self, lambda: len(ends) == 2)
        return ends

    def monitor(self, pv, mask=common.VALUE, class_="plain", busy=0.0):
        seen = []
        chid = self.channel(pv)

        # Called by libca's own thread, which reads nothing meanwhile.
        def callback(value=None, **_):
            seen.append(value.tolist() if hasattr(value, "tolist") else value)
            time.sleep(busy if len(seen) <= common.BUSY else 0)

        subscription = ca.create_subscription(
            chid, mask=mask, use_ctrl=class_ == "ctrl", callback=callback
        )
        self.subscriptions.append((seen, subscription))
        return seen

    def cancel(self, seen):
        (subscription,) = (held for list_, held in self.subscriptions if list_ is seen)
        ca.clear_subscription(subscription[2])
        ca.flush_io()

    def rights(self, pv):
        told = []
        chid = ca.create_channel(pv, auto_cb=False)
        ca.connect_channel(chid, timeout=20.0)
        entry = ca.get_cache(pv)
        entry.access_event_callback.append(lambda read, write: told.append((read, write)))
        # It calls with the present rights at once.
        ca.replace_access_rights_event(chid)
        self.channels[pv] = chid
        return lambda: told[-1] if told else None

    def put_code(self, pv, code, value):
        """pyepics passes on the types it does not know, but has no data for them."""
        data = ctypes.c_short(value)
        ca.PySEVCHK("put", ca.libca.ca_array_put(code, 1, self.channel(pv), ctypes.byref(data)))
        ca.flush_io()

    def acknowledge(self, pv, severity):
        self.put_code(pv, epics.dbr.PUT_ACKS, severity)

    def set_transient(self, pv, transient):
        self.put_code(pv, epics.dbr.PUT_ACKT, int(transient))

    def alarm_state(self, pv):
        """pyepics has no such type, the libca in it has."""
        got = []

        def answer(args):
            words = (ctypes.c_ushort * 4).from_address(args.raw_dbr)
            got.append((bool(words[2]), words[3]))

        callback = epics.dbr.make_callback(answer, epics.dbr.event_handler_args)
        ca.libca.ca_array_get_callback(epics.dbr.STSACK_STRING, 1, self.channel(pv), callback, None)
        ca.flush_io()
        common.eventually(self, lambda: got)
        return got[0] if got else None

    def read_bytes(self, pv):
        return self.read(pv)["value"].encode("latin-1")

    def pause(self, seconds):
        ca.poll(evt=seconds)


sys.exit(common.Checks(Pyepics(), options).run())
