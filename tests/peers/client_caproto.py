"""Checks a server with caproto's threading client (pure Python, no libca).

    python client_caproto.py --port N --prefix P
"""

import sys

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import caproto  # noqa: E402
from caproto.threading.client import Context  # noqa: E402

CLASSES = {"plain": "native", "sts": "status", "time": "time", "gr": "graphic", "ctrl": "control"}


class Caproto(common.Client):
    def __init__(self):
        self.context = Context(timeout=10)
        self.channels = {}
        self.callbacks = []  # caproto itself keeps weak references only

    def channel(self, pv, timeout=5.0):
        if pv not in self.channels:
            (self.channels[pv],) = self.context.get_pvs(pv)
        self.channels[pv].wait_for_connection(timeout=timeout)
        return self.channels[pv]

    def connect(self, pv, timeout=5.0):
        if len(pv) > 59:
            raise common.NotOffered("caproto allows 59 characters in a record name")
        try:
            self.channel(pv, timeout)
        except caproto.CaprotoTimeoutError:
            return False
        return True

    def read(self, pv, type_=None, class_="plain", count=None):
        if class_ == "ctrl" and type_ == "string":
            raise common.NotOffered("caproto lays DBR_CTRL_STRING out as DBR_TIME_STRING")
        channel = self.channel(pv)
        kind = common.dbr_code(type_, class_) if type_ else CLASSES[class_]
        # Count 0 asks for as many elements as the array has at present.
        answer = channel.read(data_type=kind, data_count=count or 0)
        meta = answer.metadata
        given = lambda name: self.number(getattr(meta, name, None))  # noqa: E731
        text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
        got = {"value": self.plain(answer, channel.channel.native_data_count)}
        got["severity"] = given("severity")
        got["status"] = given("status")
        got["timestamp"] = given("timestamp")
        got["units"] = text(getattr(meta, "units", None))
        got["precision"] = given("precision")
        got["display"] = (given("lower_disp_limit"), given("upper_disp_limit"))
        got["control"] = (given("lower_ctrl_limit"), given("upper_ctrl_limit"))
        sides = ("lower_alarm", "lower_warning", "upper_warning", "upper_alarm")
        got["alarm"] = tuple(given(side + "_limit") for side in sides)
        got["states"] = [text(state) for state in given("enum_strings") or ()]
        return got

    @staticmethod
    def number(value):
        """The limits of a CHAR come as one byte each."""
        return ord(value) if isinstance(value, bytes) and len(value) == 1 else value

    @staticmethod
    def plain(answer, native_count):
        values = answer.data.tolist() if hasattr(answer.data, "tolist") else list(answer.data)
        values = [item.decode() if isinstance(item, bytes) else item for item in values]
        return values[0] if native_count == 1 and len(values) == 1 else values

    def write(self, pv, value, type_=None, wait=False):
        channel = self.channel(pv)
        kind = common.BASE_CODES[type_] if type_ else None
        data = value if isinstance(value, list) else [value]
        data = [item.encode() if isinstance(item, str) else item for item in data]
        try:
            answer = channel.write(data, data_type=kind, data_count=len(data), wait=wait)
        except caproto.CaprotoError as error:
            raise common.Refused(str(error)) from error
        if wait and not answer.status.success:
            raise common.Refused(str(answer.status))

    def monitor(self, pv):
        seen = []
        channel = self.channel(pv)
        count = channel.channel.native_data_count
        callback = lambda _, answer: seen.append(self.plain(answer, count))  # noqa: E731
        self.callbacks.append(callback)
        channel.subscribe(data_type="native").add_callback(callback)
        return seen


client = Caproto()
code = common.Checks(client, options.prefix).run()
client.context.disconnect()
sys.exit(code)
