"""What aioca returns and raises: run with the real one and with ours, and compared."""

import asyncio

import aioca
from aioca import (
    DBR_CHAR_BYTES,
    DBR_CHAR_STR,
    DBR_CLASS_NAME,
    DBR_ENUM_STR,
    FORMAT_CTRL,
    FORMAT_RAW,
    FORMAT_TIME,
    caget,
    cainfo,
    camonitor,
    caput,
    connect,
)

NAMES = ["motor", "valve", "wave", "count", "note", "names", "text", "small", "single", "room"]


def show(value):
    known = {name: getattr(value, name) for name in aioca.ca_extra_fields if hasattr(value, name)}
    print(type(value).__name__, type(value).__mro__[1].__name__, repr(value), repr(+value), known)


async def outcome(work):
    try:
        return await work
    except Exception as error:
        return f"{type(error).__name__} {error!r} {error} {getattr(error, 'errorcode', '')}"


async def main():
    for name in NAMES:
        for form in (FORMAT_RAW, FORMAT_TIME, FORMAT_CTRL):
            show(await caget(name, format=form))
    for datatype in (DBR_ENUM_STR, DBR_CHAR_STR, DBR_CHAR_BYTES, str, float, int, "float32", DBR_CLASS_NAME):
        for name in ("valve", "text", "motor"):
            show(await caget(name, datatype=datatype))
    show(await caget("wave", count=2))
    show(await caget("wave", count=1))
    show(await caget("room", count=-1, format=FORMAT_TIME))
    values = await caget(["motor", "nowhere"], timeout=0.3, throw=False)
    print(values, [bool(value) for value in values], values[1].ok, values[1].errorcode, str(values[1]))
    print(await outcome(caget("nowhere", timeout=0.1)))
    done = await caput("motor", 3)
    print(repr(done), str(done), done.ok, bool(done), done.name)
    print(await caput(["motor", "count"], [3, 4], wait=True), await caput(["motor", "count"], 5, wait=True))
    print(await caput(["room", "room"], [1, 2, 3], repeat_value=True), await caget("room"))
    print(
        await caput("text", "a new text", datatype=DBR_CHAR_STR), await caget("text", datatype=DBR_CHAR_STR)
    )
    print(await outcome(caput("valve", "Ajar", wait=True)))
    print(await outcome(caput("never", 1, wait=True, timeout=0.2)))
    print(await caput("never", 1, wait=True, timeout=0.2, throw=False))
    print(await connect("motor"), await connect(["motor", "nowhere"], timeout=0.2, throw=False))
    info = await cainfo("wave")
    print(info, sorted(vars(info)), info.state_strings, info.datatype_strings)
    queue = asyncio.Queue()

    async def later(value):
        await queue.put(value)

    for callback in (queue.put_nowait, later):
        monitor = camonitor("motor", callback, format=FORMAT_TIME, notify_disconnect=True)
        show(await queue.get())
        await caput("motor", 7, wait=True)
        show(await queue.get())
        monitor.close()
        await caput("motor", 5, wait=True)
    monitors = camonitor(["motor", "count"], lambda value, index: queue.put_nowait((index, value)))
    print(sorted([await queue.get(), await queue.get()]))
    for monitor in monitors:
        monitor.close()
    print(
        [
            (it.name, it.connected, it.subscriber_count)
            for it in aioca.get_channel_infos()
            if it.name == "count"
        ]
    )


asyncio.run(main())
