"""W9: Python clients beside each other, on one simulated IOC.

    python benches/w9.py                 all clients that are installed, in turns; ratios to ours
    python benches/w9.py --clients canter pyepics

It needs an environment with the wheel, numpy, and the peers: pyepics, aioca, repics. Each client runs in a process
of its own; rounds take turns, so that a busy machine hits all of them. What is printed are medians of the rounds,
and ratios to ours, which say more than times on a machine that others use.
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
import time

LIST = 10_000
ARRAY = 1_000_000


def timed(work, count):
    """Seconds for each of so many calls: the median of ten lots."""
    lots = []
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(count // 10):
            work()
        lots.append((time.perf_counter() - started) / (count // 10))
    return statistics.median(lots)


def once(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


NAMES = [f"n{n}" for n in range(LIST)]


def canter(results):
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
        started = time.perf_counter()
        for _ in range(1000):
            await client.get("x")
        results["asyncio get"] = (time.perf_counter() - started) / 1000

    asyncio.run(story())
    from canter import epics

    pv = epics.PV("x")
    pv.wait_for_connection()
    while pv.get() is None:
        pass
    results["cached PV.get"] = timed(pv.get, 20_000)


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


def aioca(results):
    from aioca import caget, caput

    async def story():
        async def mean(work, count):
            started = time.perf_counter()
            for _ in range(count):
                await work()
            return (time.perf_counter() - started) / count

        started = time.perf_counter()
        await caget(NAMES, timeout=60)
        results["list cold"] = time.perf_counter() - started
        results["list"] = await mean(lambda: caget(NAMES, timeout=60), 3)
        await caget("x")
        results["get"] = results["asyncio get"] = await mean(lambda: caget("x"), 2000)
        results["put"] = await mean(lambda: caput("x", 1.5), 2000)
        results["put with completion"] = await mean(lambda: caput("x", 1.5, wait=True), 1000)
        results["array"] = await mean(lambda: caget("array", timeout=30), 10)

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


CLIENTS = {"canter": canter, "pyepics": pyepics, "aioca": aioca, "repics": repics}


def one(name):
    results: dict[str, float] = {}
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
    parser.add_argument("--one", choices=CLIENTS)
    given = parser.parse_args()
    if given.one:
        return one(given.one)
    import numpy as np
    from canter import sim

    names = [name for name in given.clients if importlib.util.find_spec("epics" if name == "pyepics" else name)]
    pvs = {"x": 1.0, "array": np.arange(ARRAY, dtype=float), **{name: float(n) for n, name in enumerate(NAMES)}}
    found: dict[str, dict[str, list[float]]] = {}
    with sim.IOC(pvs) as ioc:
        environment = {
            **os.environ, **ioc.env,
            "EPICS_CA_REPEATER_PORT": ioc.env["EPICS_CA_SERVER_PORT"], "EPICS_CA_MAX_ARRAY_BYTES": "10000000",
        }  # fmt: skip
        for _ in range(given.rounds):
            for name in names:
                command = [sys.executable, __file__, "--one", name]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=600, check=False)
                for what, seconds in json.loads(done.stdout or "{}").items():
                    found.setdefault(what, {}).setdefault(name, []).append(seconds)
    print(f"{'':20s}" + "".join(f"{name:>26s}" for name in names))
    for what, times in found.items():
        ours = statistics.median(times.get("canter", [float("nan")]))
        cells = []
        for name in names:
            median = statistics.median(times[name]) if name in times else None
            cells.append("-" if median is None else f"{median * 1e6:.1f} us ({median / ours:.2f} x ours)")
        print(f"{what:20s}" + "".join(f"{cell:>26s}" for cell in cells))
    return None


if __name__ == "__main__":
    main()
