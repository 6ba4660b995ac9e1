"""Checks a server with aioca (asyncio over the libca of epicscorelibs).

    python client_aioca.py --port N --prefix P
"""

import asyncio
import sys
import time

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import aioca  # noqa: E402  (libca reads the environment when it is loaded)

FORMATS = {"plain": aioca.FORMAT_RAW, "time": aioca.FORMAT_TIME, "ctrl": aioca.FORMAT_CTRL}


class Aioca(common.Client):
    """One operation at a time, on a loop of its own; the checks are not asynchronous."""

    follows_shape = False

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.subscriptions = []

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def connect(self, pv, timeout=20.0):
        return self.run(aioca.connect(pv, timeout=timeout, throw=False)).ok

    def read(self, pv, type_=None, class_="plain", count=None):
        if class_ not in FORMATS:
            raise common.NotOffered("aioca has no DBR_STS and DBR_GR formats")
        if class_ == "ctrl" and type_ == "string":
            raise common.NotOffered("aioca reads DBR_TIME_STRING instead of DBR_CTRL_STRING")
        code = common.BASE_CODES[type_] if type_ else None
        if count and count > self.run(aioca.cainfo(pv, timeout=20)).count:
            raise common.NotOffered("aioca asks for no more elements than there are")
        value = self.run(
            aioca.caget(pv, datatype=code, format=FORMATS[class_], count=count or 0, timeout=20)
        )
        given = lambda name: getattr(value, name, None)  # noqa: E731
        got = {key: given(key) for key in ("severity", "status", "timestamp", "units", "precision")}
        got["value"] = self.plain(value)
        got["display"] = (given("lower_disp_limit"), given("upper_disp_limit"))
        got["control"] = (given("lower_ctrl_limit"), given("upper_ctrl_limit"))
        sides = ("lower_alarm", "lower_warning", "upper_warning", "upper_alarm")
        got["alarm"] = tuple(given(side + "_limit") for side in sides)
        got["states"] = given("enums")
        return got

    @staticmethod
    def plain(value):
        """aioca's values are augmented strings, numbers and arrays."""
        if hasattr(value, "tolist"):
            return value.tolist()
        for kind in (str, int, float):
            if isinstance(value, kind):
                return kind(value)
        return value

    def write(self, pv, value, type_=None, wait=False):
        code = common.BASE_CODES[type_] if type_ else None
        try:
            self.run(aioca.caput(pv, value, datatype=code, wait=wait, timeout=20))
        except Exception as error:
            if "access" in str(error).lower():
                raise common.Refused(str(error)) from error
            raise

    def write_both(self, pv, first, second):
        ends = []

        async def put(value):
            await aioca.caput(pv, value, wait=True, timeout=20)
            ends.append(value)

        async def both():
            await asyncio.gather(put(first), put(second))

        self.run(both())
        return ends

    def monitor(self, pv, mask=common.VALUE, class_="plain", busy=0.0):
        seen = []

        def callback(value):
            seen.append(self.plain(value))
            time.sleep(busy if len(seen) <= common.BUSY else 0)

        async def subscribe():
            self.subscriptions.append(
                (
                    seen,
                    aioca.camonitor(
                        pv, callback, events=mask, format=FORMATS[class_], all_updates=True
                    ),
                )
            )

        self.run(subscribe())
        return seen

    def cancel(self, seen):
        (subscription,) = (held for list_, held in self.subscriptions if list_ is seen)

        async def close():
            subscription.close()

        self.run(close())

    def rights(self, pv):
        """aioca has no callback for them, but libca follows them."""

        def rights():
            info = self.run(aioca.cainfo(pv, timeout=20))
            return (bool(info.read), bool(info.write))

        return rights

    def acknowledge(self, pv, severity):
        self.run(aioca.caput(pv, severity, datatype=aioca.DBR_PUT_ACKS, wait=True, timeout=20))

    def set_transient(self, pv, transient):
        self.run(aioca.caput(pv, int(transient), datatype=aioca.DBR_PUT_ACKT, wait=True, timeout=20))

    def alarm_state(self, pv):
        value = self.run(aioca.caget(pv, datatype=aioca.DBR_STSACK_STRING, timeout=20))
        return (bool(value.ackt), int(value.acks))

    def read_bytes(self, pv):
        text = self.read(pv)["value"]
        if "\ufffd" in text:
            raise common.NotOffered("aioca replaces bytes that are not UTF-8 by U+FFFD")
        return text.encode()

    def pause(self, seconds):
        self.run(asyncio.sleep(seconds))

    def close(self):
        async def close():
            for _, subscription in self.subscriptions:
                subscription.close()
            await asyncio.sleep(0)

        self.run(close())


client = Aioca()
code = common.Checks(client, options).run()
client.close()
sys.exit(code)
