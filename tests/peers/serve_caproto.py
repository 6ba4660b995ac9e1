"""A caproto server (pure Python) with the PVs of the interop tests, for our client.

    python serve_caproto.py --port N --prefix P

Prints the line READY when it serves; ends when its standard input closes or on SIGTERM. Left out:
the name of 60 characters, which caproto does not allow.
"""

import asyncio
import os
import signal
import sys
import threading

import common

options = common.arguments(__doc__)
common.isolate(options.port)

import caproto  # noqa: E402  (reads the environment when it is imported)
from caproto import AccessRights, AlarmSeverity, AlarmStatus  # noqa: E402
from caproto.asyncio.server import run  # noqa: E402

OK = caproto.ChannelAlarm(status=AlarmStatus.NO_ALARM, severity=AlarmSeverity.NO_ALARM)
KINDS = {
    "double": caproto.ChannelDouble,
    "float": caproto.ChannelFloat,
    "long": caproto.ChannelInteger,
    "short": caproto.ChannelShort,
    "char": caproto.ChannelByte,
    "enum": caproto.ChannelEnum,
    "string": caproto.ChannelString,
}


class Readable(caproto.ChannelDouble):
    """Refuses writes."""

    def check_access(self, hostname, username):
        return AccessRights.READ


class Slow(caproto.ChannelDouble):
    """A put takes one second to complete."""

    async def verify_value(self, data):
        await asyncio.sleep(1.0)
        return data


def scalar(name):
    limits = {}
    if name in common.DISPLAY:
        low, high = common.DISPLAY[name]
        limits = dict(units=common.UNITS, lower_disp_limit=low, upper_disp_limit=high)
    if name in ("double", "float"):
        limits["precision"] = common.PRECISION
    if name == "double":
        lolo, low, high, hihi = common.ALARM
        limits |= dict(lower_alarm_limit=lolo, lower_warning_limit=low)
        limits |= dict(upper_warning_limit=high, upper_alarm_limit=hihi)
        limits |= dict(lower_ctrl_limit=common.CONTROL[0], upper_ctrl_limit=common.CONTROL[1])
    value = common.INITIAL[name]
    if name == "enum":
        limits["enum_strings"] = common.STATES
        value = common.STATES[value]
    if name == "char":
        limits["max_length"] = 1
        value = bytes([value])
    return KINDS[name](value=value, alarm=OK, **limits)


def database(prefix):
    pvs = {name: scalar(name) for name in common.TYPES}
    for count, name in common.ARRAYS.items():
        count = int(count)
        values = [float(index) for index in range(count)]
        pvs[name] = caproto.ChannelDouble(value=values, max_length=count or 10, alarm=OK)
    pvs["wfchar"] = caproto.ChannelByte(value=b"", max_length=100, alarm=OK)
    pvs["wfstr"] = caproto.ChannelString(value=common.STATES, max_length=4, alarm=OK)
    pvs["slow"] = Slow(value=0.0, alarm=OK)
    pvs["ro"] = Readable(value=2.5, alarm=OK)
    pvs["counter"] = caproto.ChannelDouble(value=0.0, alarm=OK)
    return {f"{prefix}:{name}": channel for name, channel in pvs.items()}


def end_with_parent():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main():
    pvs = database(options.prefix)
    counter = pvs[f"{options.prefix}:counter"]

    async def hook(async_lib):
        print("READY", flush=True)
        while True:
            await asyncio.sleep(0.1)
            await counter.write(counter.value + 1.0)

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=end_with_parent, daemon=True).start()
    run(pvs, interfaces=["127.0.0.1"], startup_hook=hook, log_pv_names=False)


if __name__ == "__main__":
    main()
