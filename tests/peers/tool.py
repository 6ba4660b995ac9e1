"""Command line tools on the client libraries, for `canter conformance --client`.

    python tool.py pyepics|aioca|caproto get PV TIMEOUT
    python tool.py pyepics|aioca|caproto put PV VALUE TIMEOUT
    python tool.py pyepics|aioca|caproto monitor PV UPDATES

Prints values, one in each line; exit code 1 if there is none. The environment says where the server
is.
"""

import sys
import threading

LIBRARY, COMMAND, PV, *REST = sys.argv[1:]


def show(value):
    if hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
        value = " ".join(str(element) for element in list(value)[:10])
    print(value, flush=True)


class Countdown:
    def __init__(self, updates):
        self.left = updates
        self.over = threading.Event()

    def show(self, value):
        show(value)
        self.left -= 1
        if self.left <= 0:
            self.over.set()


def pyepics():
    import epics

    if COMMAND == "get":
        # Not epics.caget: that reads by a subscription.
        timeout = float(REST[0])
        channel = epics.ca.create_channel(PV, auto_cb=False)
        connected = epics.ca.connect_channel(channel, timeout=timeout)
        value = epics.ca.get(channel, timeout=timeout) if connected else None
        if value is None:
            return 1
        show(value)
    elif COMMAND == "put":
        done = epics.caput(PV, float(REST[0]), wait=True, timeout=float(REST[1]))
        return 0 if done == 1 else 1
    else:
        seen = Countdown(int(REST[0]))
        pv = epics.PV(PV, auto_monitor=True)
        pv.add_callback(lambda value=None, **_: seen.show(value))
        while not seen.over.is_set():
            epics.ca.poll(evt=0.01, iot=1.0)
        pv.disconnect()
    return 0


def aioca():
    import asyncio

    import aioca

    async def run():
        if COMMAND == "get":
            show(await aioca.caget(PV, timeout=float(REST[0])))
        elif COMMAND == "put":
            await aioca.caput(PV, float(REST[0]), wait=True, timeout=float(REST[1]))
        else:
            seen = Countdown(int(REST[0]))
            subscription = aioca.camonitor(PV, seen.show, all_updates=True)
            while not seen.over.is_set():
                await asyncio.sleep(0.01)
            subscription.close()

    try:
        asyncio.run(run())
    except (aioca.CANothing, asyncio.TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def caproto():
    from caproto import CaprotoError

    if COMMAND == "monitor":
        from caproto.threading.client import Context

        seen = Countdown(int(REST[0]))
        (pv,) = Context().get_pvs(PV)
        subscription = pv.subscribe()

        # caproto keeps no callback alive.
        def callback(_, update):
            seen.show(update.data[0])

        subscription.add_callback(callback)
        seen.over.wait()
        subscription.clear()
        return 0
    from caproto.sync.client import read, write

    try:
        if COMMAND == "get":
            show(read(PV, timeout=float(REST[0]), repeater=False).data)
        else:
            write(PV, float(REST[0]), notify=True, timeout=float(REST[1]), repeater=False)
    except (CaprotoError, TimeoutError, OSError) as error:
        print(repr(error), file=sys.stderr)
        return 1
    return 0


sys.exit({"pyepics": pyepics, "aioca": aioca, "caproto": caproto}[LIBRARY]())
