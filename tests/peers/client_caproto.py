"""Checks a server with caproto's threading client (pure Python, no libca).

    python client_caproto.py --port N --prefix P
"""

import sys
import time

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import caproto  # noqa: E402
from caproto.threading.client import Context  # noqa: E402

CLASSES = {"plain": "native", "sts": "status", "time": "time", "gr": "graphic", "ctrl": "control"}


class Caproto(common.Client):
    def __init__(self):
        self.context = Context(timeout=20)
        self.channels = {}
        self.subscriptions = []
        self.callbacks = []  # caproto itself keeps weak references only

    def channel(self, pv, timeout=20.0):
        if pv not in self.channels:
            (self.channels[pv],) = self.context.get_pvs(pv)
        self.channels[pv].wait_for_connection(timeout=timeout)
        return self.channels[pv]

    def connect(self, pv, timeout=20.0):
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

    def write_both(self, pv, first, second):
        ends = []
        channel = self.channel(pv)
        for value in (first, second):
            callback = lambda _, value=value: ends.append(value)  # noqa: E731
            channel.write([value], wait=False, callback=callback, notify=True)
        common.eventually(self, lambda: len(ends) == 2)
        return ends

    def monitor(self, pv, mask=common.VALUE, class_="plain", busy=0.0):
        seen = []
        channel = self.channel(pv)
        count = channel.channel.native_data_count

        def callback(_, answer):
            seen.append(self.plain(answer, count))
            time.sleep(busy if len(seen) <= common.BUSY else 0)

        self.callbacks.append(callback)
        # caproto takes equal subscriptions of one channel for the same one, which gets the updates
        # once; another name for the same thing makes it another one.
        subscription = channel.subscribe(
            data_type=CLASSES[class_], data_count=0, mask=mask, to=float(len(self.callbacks))
        )
        self.subscriptions.append((seen, subscription))
        subscription.add_callback(callback)
        return seen

    def cancel(self, seen):
        (subscription,) = (held for list_, held in self.subscriptions if list_ is seen)
        subscription.clear()

    def stop_updates(self, stopped):
        (circuit,) = {channel.circuit_manager for channel in self.channels.values() if channel.connected}
        circuit.events_off() if stopped else circuit.events_on()

    def rights(self, pv):
        told = []

        def callback(_, rights):
            told.append(rights)

        self.callbacks.append(callback)
        (self.channels[pv],) = self.context.get_pvs(pv, access_rights_callback=callback)
        self.channel(pv)
        return lambda: (bool(told[-1] & 1), bool(told[-1] & 2)) if told else None

    def acknowledge(self, pv, severity):
        self.put_code(pv, caproto.ChannelType.PUT_ACKS, severity)

    def set_transient(self, pv, transient):
        self.put_code(pv, caproto.ChannelType.PUT_ACKT, int(transient))

    def put_code(self, pv, code, value):
        self.channel(pv).write([value], data_type=code, data_count=1, wait=True)

    def alarm_state(self, pv):
        state = self.channel(pv).read(data_type=caproto.ChannelType.STSACK_STRING).metadata
        return (bool(state.ackt), int(state.acks))

    def read_bytes(self, pv):
        return bytes(self.channel(pv).read(data_type="native").data[0])


client = Caproto()
code = common.Checks(client, options).run()
client.context.disconnect()
sys.exit(code)
