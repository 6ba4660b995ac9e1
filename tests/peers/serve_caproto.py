"""A caproto server (pure Python) with the PVs of the interop tests, for our client.

    python serve_caproto.py --port N --prefix P [--changed 1]

Prints the line READY when it serves; ends when its standard input closes or on SIGTERM. Left out:
the name of 60 characters, which caproto does not allow.
"""

import asyncio
import os
import signal
import sys
import threading

import common

options = common.arguments(__doc__, changed=0)
common.isolate(options.port)

import caproto  # noqa: E402  (reads the environment when it is imported)
from caproto import AccessRights, AlarmSeverity, AlarmStatus  # noqa: E402
from caproto.asyncio.server import run  # noqa: E402

OK = caproto.ChannelAlarm(status=AlarmStatus.NO_ALARM, severity=AlarmSeverity.NO_ALARM)
KINDS = {
    "double": caproto.ChannelDouble,
    "enum": caproto.ChannelEnum,
    "float": caproto.ChannelFloat,
    "long": caproto.ChannelInteger,
    "short": caproto.ChannelShort,
    "char": caproto.ChannelByte,
    "string": caproto.ChannelString,
}


class Readable(caproto.ChannelDouble):
    """Refuses writes."""

    def check_access(self, hostname, username):
        return AccessRights.READ


class Hidden(caproto.ChannelDouble):
    """Allows nothing."""

    def check_access(self, hostname, username):
        return AccessRights.NO_ACCESS


class Disabled(caproto.ChannelDouble):
    """Fails each put."""

    async def verify_value(self, data):
        raise ValueError("disabled")


class Slow(caproto.ChannelDouble):
    """A put takes one second to complete."""

    async def verify_value(self, data):
        await asyncio.sleep(1.0)
        return data


class DeadBand(caproto.ChannelDouble):
    """The archive dead-band of another PV."""

    async def verify_value(self, data):
        self.of.log_atol = float(data[0] if hasattr(data, "__len__") else data)
        return data


class Units(caproto.ChannelString):
    """The units of another PV."""

    async def verify_value(self, data):
        text = data[0] if isinstance(data, (list, tuple)) else data
        await self.of.write_metadata(units=text)
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
    record = "mbbo" if name == "enum" else "ao"
    return KINDS[name](value=value, alarm=alarm(), reported_record_type=record, **limits)


def alarm(status=AlarmStatus.NO_ALARM, severity=AlarmSeverity.NO_ALARM, **more):
    return caproto.ChannelAlarm(status=status, severity=severity, **more)


def fields(double):
    """Of `double`, as PVs."""
    kinds = {int: caproto.ChannelShort, float: caproto.ChannelDouble, str: caproto.ChannelString}
    all_ = {name: kinds[type(value)](value=value) for name, value in common.FIELDS.items()}
    all_["ADEL"] = DeadBand(value=0.0)
    all_["EGU"] = Units(value=common.UNITS)
    all_["ADEL"].of = all_["EGU"].of = double
    return {f"double.{name}": channel for name, channel in all_.items()}


def database(prefix):
    if options.changed:
        return {f"{prefix}:double": caproto.ChannelInteger(value=common.CHANGED, max_length=3)}
    pvs = {name: scalar(name) for name in common.TYPES}
    pvs |= fields(pvs["double"])
    for count, name in common.ARRAYS.items():
        count = int(count)
        values = [float(index) for index in range(count)]
        pvs[name] = caproto.ChannelDouble(value=values, max_length=count or 10, alarm=OK)
    pvs["wf5"].reported_record_type = "waveform"
    pvs["wf9k"] = caproto.ChannelDouble(value=[float(n) for n in range(9000)], max_length=9000)
    five = [0, 1, 2, 3, 4]
    pvs["wfshort"] = caproto.ChannelShort(value=five, max_length=5)
    pvs["wflong"] = caproto.ChannelInteger(value=five, max_length=5)
    pvs["wffloat"] = caproto.ChannelFloat(value=[float(n) for n in five], max_length=5)
    pvs["wfuchar"] = caproto.ChannelByte(value=bytes([0, 1, 2, 254, 255]), max_length=5)
    pvs["longstring"] = caproto.ChannelChar(value=common.LONG_STRING, max_length=200)
    state = dict(must_acknowledge_transient=True, severity_to_acknowledge=AlarmSeverity.MAJOR_ALARM)
    limits = dict(upper_warning_limit=10.0, upper_alarm_limit=10.0)
    limits |= dict(lower_warning_limit=-10.0, lower_alarm_limit=-10.0)
    hihi = alarm(AlarmStatus.HIHI, AlarmSeverity.MAJOR_ALARM, **state)
    pvs["alarm"] = caproto.ChannelDouble(value=20.0, alarm=hihi, **limits)
    never = alarm(AlarmStatus.UDF, AlarmSeverity.INVALID_ALARM)
    pvs["undefined"] = caproto.ChannelDouble(value=0.0, alarm=never, timestamp=(0, 0))
    pvs["disabled"] = Disabled(value=1.0, alarm=OK)
    pvs["noaccess"] = Hidden(value=2.5, alarm=OK)
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
    counter = pvs.get(f"{options.prefix}:counter")

    async def hook(async_lib):
        print("READY", flush=True)
        while counter:
            await asyncio.sleep(0.1)
            await counter.write(counter.value + 1.0)

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=end_with_parent, daemon=True).start()
    run(pvs, interfaces=["127.0.0.1"], startup_hook=hook, log_pv_names=False)


if __name__ == "__main__":
    main()
