"""W9: Python clients beside each other, on one simulated IOC.

    python benches/w9.py                 all clients that are installed, in turns; ratios to ours
    python benches/w9.py --clients canter pyepics
    python benches/w9.py --book docs/src/performance.md    puts the tables between the marks of a page

It needs an environment with the wheel and numpy; the peers (pyepics, aioca, repics) are left out, and named, where
they are not installed. Each client runs in a process of its own; rounds take turns, so that a busy machine hits all of
them. What is printed are medians of the rounds with their range, of the time that passed and of the processor's time of
the client, which a busy machine changes less, and ratios to ours.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time

LIST = 10_000
ARRAY = 1_000_000


def clock():
    """What has passed, and what the processor has done for this process."""
    return time.perf_counter(), time.process_time()


def since(started, count=1):
    """Seconds for each of so many calls, both ways."""
    return tuple((now - then) / count for now, then in zip(clock(), started))


def timed(work, count):
    """Seconds for each of so many calls: the median of ten lots."""
    lots = []
    for _ in range(10):
        started = clock()
        for _ in range(count // 10):
            work()
        lots.append(since(started, count // 10))
    return tuple(statistics.median(one) for one in zip(*lots))


def once(work):
    started = clock()
    work()
    return since(started)


NAMES = [f"n{n}" for n in range(LIST)]
#: PVs whose monitors are measured, and puts to them, as many a second as all clients follow.
MONITORED = NAMES[:10]
PUTS, PUTS_PER_SECOND = 20_000, 10_000
#: Puts to so many PVs, as fast as they can be made.
FLOODED, FLOOD = 1000, 400


def feed(flood):
    """Changes the PVs that are monitored, from a process of its own."""
    import canter as it

    if flood:
        channels = [it.channel(name) for name in NAMES[:FLOODED]]
        for turn in range(FLOOD):
            it.put_many(channels, [float(turn)] * FLOODED, check=False, timeout=60)
        # Behind them all.
        return it.get_many(channels, timeout=60).check()
    channels = [it.channel(name) for name in MONITORED]
    it.get_many(channels, timeout=60).check()
    started = time.perf_counter()
    for turn in range(PUTS // len(MONITORED)):
        it.put_many(channels, [float(turn)] * len(MONITORED), check=False)
        late = started + turn * len(MONITORED) / PUTS_PER_SECOND - time.perf_counter()
        if late > 0:
            time.sleep(late)
    return it.get_many(channels, timeout=60).check()


def fed(counted, *, flood=False):
    """What the process did for each update while another one changed the PVs; and how many of them came."""
    started, before = clock(), counted()
    command = [sys.executable, __file__, "--feed"] + ["--flood"] * flood
    subprocess.run(command, check=True, timeout=600)
    patience = time.monotonic() + 5
    seen = -1
    while counted() != seen and time.monotonic() < patience:
        seen = counted()
        time.sleep(0.3)
    count = counted() - before
    puts = FLOODED * FLOOD if flood else PUTS
    print(f"{sys.argv[-1]}: {count} of {puts} updates", file=sys.stderr)
    return since(started, count) if count else (float("nan"),) * 2


def canter(results):
    # The others import it with themselves.
    import numpy  # noqa: F401

    import canter as it

    results["list cold"] = once(lambda: it.get_many(NAMES, timeout=60).check().values)
    results["list"] = min(once(lambda: list(it.get_many(NAMES))) for _ in range(5))
    results["list, a column"] = min(once(lambda: it.get_many(NAMES).values) for _ in range(5))
    x = it.channel("x").connect()
    results["get"] = timed(x.get, 2000)
    results["put"] = timed(lambda: x.put(1.5, check=False), 5000)
    results["put with completion"] = timed(lambda: x.put(1.5, wait=True), 2000)
    array = it.channel("array").connect()
    results["array"] = min(once(array.get) for _ in range(20))
    from canter.aio import AsyncClient

    async def story():
        client = AsyncClient(it.default_client())
        await client.get("x")
        started = clock()
        for _ in range(1000):
            await client.get("x")
        results["asyncio get"] = since(started, 1000)
        started = clock()
        await client.get_many(NAMES, timeout=60)
        results["asyncio list"] = since(started)

    asyncio.run(story())
    from canter import epics

    pv = epics.PV("x")
    pv.wait_for_connection()
    while pv.get() is None:
        pass
    results["cached PV.get"] = timed(pv.get, 20_000)

    class Plain:
        value = 1.0

    plain = Plain()
    results["an attribute"] = timed(lambda: plain.value, 20_000)
    got = []
    # As the peers have them: all wait that a callback is slower than.
    monitors = [it.monitor(name, got.append, depth=PUTS) for name in MONITORED]
    results["callback"] = fed(lambda: len(got))
    for monitor in monitors:
        monitor.close()
    counts = []
    with it.monitor_many(NAMES[:FLOODED], lambda updates: counts.append(len(updates.values)), depth=FLOOD):
        results["update in a batch"] = fed(lambda: sum(counts), flood=True)
    results["bytes of a PV()"] = (grown(lambda name: epics.PV(name, auto_monitor=False)),) * 2


def grown(make):
    """Bytes that objects of Python take for each PV; those of the layers beneath are not among them. In the unit of the
    times, millionths.
    """
    import gc
    import tracemalloc

    gc.collect()
    tracemalloc.start()
    kept = [make(name) for name in NAMES[:2000]]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(kept) / 1e6


def pyepics(results):
    import epics

    results["list cold"] = once(lambda: epics.caget_many(NAMES, timeout=60, connection_timeout=60))
    results["list"] = min(once(lambda: epics.caget_many(NAMES, timeout=60)) for _ in range(3))
    pv = epics.PV("x", auto_monitor=False)
    pv.wait_for_connection()
    results["get"] = timed(pv.get, 2000)
    results["put"] = timed(lambda: pv.put(1.5), 2000)
    results["put with completion"] = timed(lambda: pv.put(1.5, wait=True), 1000)
    array = epics.PV("array", auto_monitor=False)
    array.wait_for_connection()
    results["array"] = min(once(lambda: array.get(timeout=30)) for _ in range(10))
    cached = epics.PV("x", auto_monitor=True)
    cached.wait_for_connection()
    time.sleep(0.5)
    results["cached PV.get"] = timed(cached.get, 20_000)
    got = []
    monitored = [epics.PV(name, callback=lambda value, **_: got.append(value)) for name in MONITORED]
    for one in monitored:
        one.wait_for_connection()
    time.sleep(0.5)
    results["callback"] = fed(lambda: len(got))
    results["bytes of a PV()"] = (grown(lambda name: epics.PV(name, auto_monitor=False)),) * 2


def aioca(results):
    from aioca import FORMAT_TIME, caget, camonitor, caput

    async def story():
        async def mean(work, count):
            started = clock()
            for _ in range(count):
                await work()
            return since(started, count)

        started = clock()
        await caget(NAMES, timeout=60)
        results["list cold"] = since(started)
        results["list"] = results["asyncio list"] = await mean(lambda: caget(NAMES, timeout=60), 3)
        await caget("x")
        results["get"] = results["asyncio get"] = await mean(lambda: caget("x"), 2000)
        results["put"] = await mean(lambda: caput("x", 1.5), 2000)
        results["put with completion"] = await mean(lambda: caput("x", 1.5, wait=True), 1000)
        results["array"] = await mean(lambda: caget("array", timeout=30), 10)
        got = []
        for name in MONITORED:
            camonitor(name, got.append, format=FORMAT_TIME, all_updates=True)
        await asyncio.sleep(0.5)
        results["callback"] = await asyncio.to_thread(fed, lambda: len(got))

    asyncio.run(story())


def repics(results):
    import repics as it

    context = it.context()
    channels = [context.channel(name) for name in NAMES]
    results["list cold"] = once(
        lambda: (context.wait_connected_many(channels, timeout=60), context.get_many(channels, timeout=60))
    )
    results["list"] = min(once(lambda: context.get_many(channels, timeout=60)) for _ in range(5))
    x = context.channel("x")
    x.wait_connected(10)
    results["get"] = timed(x.get, 2000)
    results["put"] = timed(lambda: x.put(1.5), 2000)
    try:
        results["put with completion"] = timed(lambda: x.put(1.5, wait=True), 1000)
    except TypeError:
        pass
    array = context.channel("array")
    array.wait_connected(10)
    results["array"] = min(once(lambda: array.get(timeout=30)) for _ in range(20))
    got = []

    def drain(subscription):
        while True:
            got.extend(subscription.recv_batch())

    for name in MONITORED:
        subscription = context.channel(name).subscribe()
        threading.Thread(target=drain, args=(subscription,), daemon=True).start()
    time.sleep(0.5)
    results["callback"] = fed(lambda: len(got))


CLIENTS = {"canter": canter, "pyepics": pyepics, "aioca": aioca, "repics": repics}


def one(name):
    results: dict[str, tuple] = {}
    try:
        CLIENTS[name](results)
    except Exception as error:  # noqa: BLE001 - the figures until then are figures
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    # The ends of some peers are not what is measured.
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--book", help="a page with the marks <!-- w9 --> and <!-- /w9 -->")
    parser.add_argument("--feed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=CLIENTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.feed:
        return feed(given.flood)
    if given.one:
        return one(given.one)
    import numpy as np
    from canter import sim

    modules = {"pyepics": "epics"}
    names = [name for name in given.clients if importlib.util.find_spec(modules.get(name, name))]
    for name in given.clients:
        if name not in names:
            print(f"{name}: not installed, skipped")
    pvs = {
        "x": 1.0,
        "array": np.arange(ARRAY, dtype=float),
        **{name: float(n) for n, name in enumerate(NAMES)},
    }
    found: dict[str, dict[str, list]] = {}
    with sim.IOC(pvs) as ioc:
        environment = {
            **os.environ, **ioc.env,
            "EPICS_CA_REPEATER_PORT": ioc.env["EPICS_CA_SERVER_PORT"], "EPICS_CA_MAX_ARRAY_BYTES": "10000000",
        }  # fmt: skip
        for _ in range(given.rounds):
            for name in names:
                command = [sys.executable, __file__, "--one", name]
                done = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, timeout=600, check=False
                )
                for what, seconds in json.loads(done.stdout or "{}").items():
                    found.setdefault(what, {}).setdefault(name, []).append(seconds)
    core = models(given.rounds)
    print(f"\nan IOC of 10^5 PVs that NumPy drives at 10 Hz: {core} of a core")
    tables = []
    for place, title in enumerate(("time", "processor time")):
        rows = [(title, *names)]
        for what, times in found.items():
            unit = "bytes" if what.startswith("bytes") else "us"
            cells = [cell([one[place] for one in times.get(name, [])], times, place, unit) for name in names]
            rows.append((what, *cells))
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        print()
        for what, *cells in rows:
            print(what.ljust(widths[0]), *(text.rjust(width) for text, width in zip(cells, widths[1:])), sep="  ")
        rows.insert(1, ("---",) * len(rows[0]))
        tables.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    if given.book:
        write(given.book, tables, core)
    return None


def models(rounds):
    """What share of a core an IOC takes whose 10^5 PVs a function changes as one vector, ten times a second."""
    import numpy as np
    from canter import sim

    shares = []
    for _ in range(rounds):
        phases = np.linspace(0, 6, 100_000)
        with sim.IOC({f"sim:{n}": 0.0 for n in range(100_000)}) as ioc:
            names = [f"sim:{n}" for n in range(100_000)]

            ioc.model(lambda seconds, _: np.sin(phases + seconds), read=names, period=0.1)
            time.sleep(1)
            started = clock()
            time.sleep(3)
            passed, worked = since(started)
            shares.append(worked / passed)
    return f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})"


def write(path, tables, core):
    """Puts the tables between the marks of a page of the book."""
    with open(path, encoding="utf-8") as page:
        text = page.read()
    before, rest = text.split("<!-- w9 -->")
    _, after = rest.split("<!-- /w9 -->")
    made = "\n\n".join((*tables, f"The simulated IOC of 10^5 PVs that NumPy drives at 10 Hz: {core} of a core."))
    with open(path, "w", encoding="utf-8") as page:
        page.write(f"{before}<!-- w9 -->\n{made}\n<!-- /w9 -->{after}")


def cell(times, all_times, place, unit):
    """A median with its range, and how many times ours it is."""
    if not times:
        return "-"
    ours = [one[place] for one in all_times.get("canter", [])]
    ratio = f" {statistics.median(times) / statistics.median(ours):.2f} x" if ours else ""
    low, median, high = (one * 1e6 for one in (min(times), statistics.median(times), max(times)))
    return f"{median:.1f} {unit} ({low:.1f} to {high:.1f}){ratio}"


if __name__ == "__main__":
    main()
