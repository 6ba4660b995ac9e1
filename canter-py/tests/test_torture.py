"""What programs do to the package when nobody looks: forks, threads, exceptions, exits, signals, cycles.

``CANTER_TORTURE=1`` makes the counts those of the long form.
"""

import gc
import os
import signal
import sys
import threading
import weakref

import pytest

import canter
from canter import sim
from conftest import PATIENCE, run_script

LONG = bool(os.environ.get("CANTER_TORTURE"))
#: Updates; a tenth of their callbacks raise.
UPDATES = 1_000_000 if LONG else 20_000


def test_very_many_callbacks_a_tenth_of_which_raise(ioc, client):
    """All that comes is delivered, what is raised is told, nothing is kept."""
    seen, told, last = 0, 0, threading.Event()

    def callback(value):
        nonlocal seen
        seen += 1
        if value >= UPDATES:
            last.set()
        elif value % 10 == 0:
            raise ValueError(value)

    def hook(error, function):
        nonlocal told
        told += 1

    canter.callback_errors.append(hook)
    try:
        subscription = client.monitor("count", callback, depth=100_000)
        ioc["count"] = 0
        for start in range(0, UPDATES, 500):
            # As many as the IOC and the client keep for one that is slower.
            ioc.post_all(start)
        assert last.wait(10 * PATIENCE)
        subscription.close()
        delivered = seen + subscription.skipped
    finally:
        canter.callback_errors.clear()
    # Updates of one PV that wait are squashed on their way; none is told twice.
    assert 0 < told <= seen / 5 and delivered <= UPDATES + 2
    assert client.get("count") == UPDATES


@pytest.fixture
def ioc(ioc):
    def post_all(start):
        for value in range(start + 1, min(start + 500, UPDATES) + 1):
            ioc._core.post("count", value)

    ioc.post_all = post_all
    return ioc


def test_many_threads_on_one_channel_and_on_the_ioc(ioc, client):
    channel = client.channel("count")
    errors, decided = [], []
    ioc.on_put("small", lambda put: decided.append(put.value))
    rounds = 200 if LONG else 20

    def work(number):
        try:
            for turn in range(rounds):
                channel.get()
                channel.put(number)
                client.put("small", number % 100, wait=True)
                ioc["motor"].post(float(turn))
                ioc["count"].get()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10 * PATIENCE)
    assert not errors and not any(thread.is_alive() for thread in threads)
    assert len(decided) == 64 * rounds and ioc.counts["questions"] == 0


BUSY = """
    import asyncio, os, signal, sys, threading, time
    import canter
    from canter import sim
    from canter.sim import PVGroup, pvproperty

    class Group(PVGroup):
        ticks = pvproperty(value=0)

        @ticks.scan(period=0.001)
        async def ticks(self, instance, async_lib):
            await instance.write(instance.value + 1)

    group = Group()
    ioc = sim.IOC({"x": 1.0, "y": 1.0, "r": 0.0, "slow": 1.0}, on_put=lambda put: None)
    other = group.serve()
    ioc.on_put("x", lambda put: put.value + 1)
    async def later(put):
        await asyncio.sleep(0.001)
    ioc.on_put("y", later)
    ioc.on_put("slow", lambda put: time.sleep(1000))
    ioc.model(lambda t, given: given, set=["x"], read=["r"], period=0.001)
    client = ioc.client(timeout=60)
    ticks = other.client(timeout=60).monitor("ticks", lambda value: client.put("y", value, check=False))
    def forever():
        while True:
            client.put("x", 1.0, wait=True)
            client.put("y", 1.0, wait=True)
    for _ in range(3):
        threading.Thread(target=forever, daemon=True).start()
    threading.Thread(target=lambda: client.put("slow", 2.0, wait=True, timeout=1000), daemon=True).start()
    client.wait_until("r", lambda value: value > 1.5, timeout=60)
    print("so far", flush=True)
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit(0)",
        "os._exit(0)",
        "ioc.close(); other.close()",
        "client.close()",
        "del ioc, other, client, group",
        "threading.Thread(target=sys.exit).start()",
        "import gc; gc.collect()",
        "ioc.stop()",
        "signal.raise_signal(signal.SIGTERM)",
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(0)); signal.raise_signal(signal.SIGINT)",
    ],
)
def test_the_end_comes_at_any_point(end):
    script = BUSY + f"    {end}\n"
    if "SIGTERM" in end:
        with pytest.raises(AssertionError, match=f"exit -{int(signal.SIGTERM)}"):
            run_script(script)
    else:
        assert run_script(script) == "so far\n"


def test_a_fork_while_a_put_is_decided():
    script = """
        import os
        import canter
        from canter import sim
        turns = []
        def decide(put):
            child = os.fork()
            if child == 0:
                try:
                    ioc["x"]
                except RuntimeError as error:
                    assert "parent" in str(error)
                else:
                    os._exit(2)
                with sim.IOC({"own": 3.0}) as own, own.client(timeout=60) as reader:
                    own.on_put("own", lambda put: put.value + 1)
                    reader.put("own", 4.0, wait=True)
                    os._exit(0 if reader.get("own") == 5.0 else 3)
            turns.append(os.waitpid(child, 0)[1])
            return put.value * 2
        with sim.IOC({"x": 1.0}) as ioc, ioc.client(timeout=60) as client:
            ioc.on_put("x", decide)
            for value in (1.0, 2.0, 3.0):
                client.put("x", value, wait=True)
                assert client.get("x") == 2 * value
        print(turns)
    """
    assert run_script(script) == "[0, 0, 0]\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_share_an_ioc(method, tmp_path):
    script = tmp_path / "shares.py"
    script.write_text(f"""
import multiprocessing
import canter
from canter import sim

def work(n):
    canter.put("x", float(n), wait=True)
    value = canter.get("x")
    return n, value            # pickled on the way back: plain values

if __name__ == "__main__":
    with sim.IOC({{"x": 0.0}}) as ioc, ioc.environment():
        ioc.on_put("x", lambda put: None)
        with multiprocessing.get_context("{method}").Pool(2) as pool:
            done = pool.map(work, range(6))
        assert [n for n, _ in done] == [*range(6)] and all(type(value) is float for _, value in done)
    print("all well")
""")
    import subprocess

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=2 * PATIENCE,
                          check=False)  # fmt: skip
    assert done.stdout == "all well\n", done.stderr


def test_what_is_pickled_and_what_is_not(ioc, client):
    import copy
    import pickle

    error = sim.DatabaseError("text", [("syntax", "wrong", "mend it", "a.db", 1, 2)])
    again = pickle.loads(pickle.dumps(error))
    assert again.mistakes == error.mistakes and str(again) == "text"
    assert pickle.loads(pickle.dumps(ioc.read("motor"))).value == 1.5
    assert type(pickle.loads(pickle.dumps(client.get("motor")))) is float
    assert copy.copy(client.get("wave")).tolist() == [1.0, 2.0, 3.0]
    for thing in (ioc._core, client._core):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(thing)


def test_cycles_through_functions_of_the_ioc_are_collected():
    class Device:
        def __init__(self):
            self.ioc = sim.IOC({"x": 1.0}, on_put=self.told)
            self.ioc.on_put("x", self.decide)

        def told(self, put):
            pass

        def decide(self, put):
            return None

    device = Device()
    with device.ioc.client(timeout=PATIENCE) as client:
        client.put("x", 2.0, wait=True)
    device.ioc.close()
    gone = weakref.ref(device)
    del device
    gc.collect()
    assert gone() is None


def test_an_interrupt_while_the_ioc_decides(ioc, client, interrupts):
    event = threading.Event()
    ioc.on_put("motor", lambda put: event.wait(PATIENCE) and None)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        client.put("motor", 2.0, wait=True, timeout=PATIENCE)
    event.set()
    assert client.wait_until("motor", 2.0, timeout=PATIENCE) == 2.0


def test_nothing_is_left_behind():
    def sockets():
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return sum(os.readlink(link).startswith("socket:") for link in links if os.path.lexists(link))

    def turn():
        with sim.IOC({"x": 1.0}, on_put=lambda put: None) as ioc, ioc.client(timeout=PATIENCE) as client:
            ioc.on_put("x", lambda put: None)
            with client.monitor("x", lambda value: None):
                client.put("x", 2.0, wait=True)

    turn()
    before = sockets()
    for _ in range(100 if LONG else 10):
        turn()
    gc.collect()
    assert sockets() <= before
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("canter-ioc-")]
    assert left == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters of their own come with CPython 3.12")
def test_subinterpreters_are_refused():
    script = """
        import _interpreters
        one = _interpreters.create()
        failed = _interpreters.exec(one, "import canter")
        print(failed.type.__name__ if failed else "imported")
    """
    assert run_script(script).strip() == "ImportError"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="before CPython 3.12 they are another module")
def test_subinterpreters_are_refused_before():
    script = """
        import _xxsubinterpreters as interpreters
        one = interpreters.create()
        try:
            interpreters.run_string(one, "import canter")
        except interpreters.RunFailedError as error:
            print(error)
    """
    said = run_script(script)
    assert "ImportError" in said and "interpreter" in said
