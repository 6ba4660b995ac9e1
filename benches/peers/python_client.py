"""Python clients of the wheel under `cargo xtask bench`: LIBRARY COMMAND [--n N] [--rounds N]
[--count N] [PV ...], as a careful user would write them.

LIBRARY is pyepics or aioca, COMMAND get (one read outstanding), mget (a read of every PV B:0, B:1, ...
in flight) or wfget (reads of an array)."""

import argparse
import os
import resource
import signal
import time

MAX_SECONDS = 60
TIMEOUT = 30.0


def server_clock():
    """The processor time of the server, all its threads included."""
    pid = int(os.environ.get("BENCH_SERVER_PID", "0"))
    # The kernel's number for the processor clock of another process.
    return time.clock_gettime(((~pid) << 3) | 2) if pid else 0.0


class Meter:
    def __init__(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu, self.switches = usage.ru_utime + usage.ru_stime, usage.ru_nvcsw
        self.server = server_clock()
        self.start = time.perf_counter()

    def result(self, ops, latencies=()):
        seconds = time.perf_counter() - self.start
        end = Meter()
        line = (
            f"RESULT ops={ops} secs={seconds:.9f} cpu_ns={(end.cpu - self.cpu) * 1e9:.0f}"
            f" switches={end.switches - self.switches}"
            f" server_cpu_ns={(end.server - self.server) * 1e9:.0f}"
        )
        if latencies:
            latencies = sorted(latencies)
            for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
                at = min(len(latencies) - 1, int(len(latencies) * part))
                line += f" {name}_us={latencies[at] * 1e6:.3f}"
            line += f" max_us={latencies[-1] * 1e6:.3f}"
        print(line, flush=True)


def one_by_one(n, operation):
    for _ in range(n // 10 + 1):
        operation()
    latencies = []
    meter = Meter()
    for _ in range(n):
        start = time.perf_counter()
        operation()
        latencies.append(time.perf_counter() - start)
    meter.result(n, latencies)


def in_rounds(rounds, each, operation):
    operation()
    meter = Meter()
    for _ in range(rounds):
        operation()
    meter.result(rounds * each)


def with_pyepics(args, names):
    import epics

    if args.command == "mget":
        channels = [epics.ca.create_channel(name, auto_cb=False) for name in names]
        for channel in channels:
            assert epics.ca.connect_channel(channel, timeout=TIMEOUT)

        def all_together():
            for channel in channels:
                epics.ca.get(channel, wait=False)
            epics.ca.poll()
            for channel in channels:
                assert epics.ca.get_complete(channel, timeout=TIMEOUT) is not None

        return in_rounds(args.rounds, len(names), all_together)
    pv = epics.PV(names[0], auto_monitor=False)
    assert pv.wait_for_connection(TIMEOUT)

    def get():
        assert pv.get(use_monitor=False, timeout=TIMEOUT) is not None

    one_by_one(args.n, get)


def with_aioca(args, names):
    import asyncio

    import aioca

    async def run():
        await aioca.connect(names)
        if args.command == "mget":
            await aioca.caget(names, timeout=TIMEOUT)
            meter = Meter()
            for _ in range(args.rounds):
                await aioca.caget(names, timeout=TIMEOUT)
            return meter.result(args.rounds * len(names))
        for _ in range(args.n // 10 + 1):
            await aioca.caget(names[0], timeout=TIMEOUT)
        latencies = []
        meter = Meter()
        for _ in range(args.n):
            start = time.perf_counter()
            await aioca.caget(names[0], timeout=TIMEOUT)
            latencies.append(time.perf_counter() - start)
        meter.result(args.n, latencies)

    asyncio.run(run())


def main():
    # Whatever hangs ends by itself, also when nobody is left to kill it.
    signal.alarm(MAX_SECONDS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=["pyepics", "aioca"])
    parser.add_argument("command", choices=["get", "mget", "wfget"])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    names = args.names + [f"B:{k}" for k in range(args.count)]
    (with_pyepics if args.library == "pyepics" else with_aioca)(args, names)
    # The end of the circuits is part of no measurement.
    os._exit(0)


main()
