"""Threads, signals, forks and the end of the interpreter."""

import gc
import logging
import os
import signal
import threading
import time
import weakref

import pytest

import canter
from conftest import PATIENCE, in_thread, run_script


def test_other_threads_run_while_one_waits(client):
    waits = threading.Thread(
        target=lambda: pytest.raises(canter.CanterError, client.get, "nowhere", timeout=PATIENCE)
    )
    waits.daemon = True
    waits.start()
    assert client.get("motor") == 1.5


def test_many_threads_on_one_channel(client):
    channel = client.channel("motor")
    errors = []

    def work():
        try:
            for _ in range(20):
                assert channel.get() == 1.5
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_an_interrupt_ends_a_wait(client, interrupts):
    client.get("motor")
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        client.get("nowhere", timeout=PATIENCE)
    assert client.get("motor") == 1.5


def test_an_interrupt_ends_an_iteration(client, interrupts):
    with client.monitor("motor") as updates:
        updates.get(PATIENCE)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            updates.get(PATIENCE)


def test_get_put_and_connect_inside_a_callback(client, ioc, box):
    def callback(value):
        client.put("count", int(value) + 100)
        client.connect("wave")
        box((float(value), int(client.get("count")), len(client.get("wave"))))

    client.monitor("motor", callback)
    assert box.next() == (1.5, 101, 3)
    ioc["motor"] = 7.0
    assert box.until(lambda seen: seen[0] == 7.0) == (7.0, 107, 3)


def test_a_subscription_can_be_closed_inside_its_callback(client, ioc, box):
    def callback(value):
        subscription.close()
        box(value)

    ready = threading.Event()
    subscription = client.monitor("count", lambda value: ready.wait() and callback(value))
    ready.set()
    assert box.next() == 5
    ioc["count"] = 6
    client.get("count")
    assert box.queue.empty()


def test_exceptions_in_callbacks_reach_hook_and_log(client, ioc, box, caplog):
    def callback(value):
        raise ValueError(f"bad {value}")

    canter.callback_errors.append(lambda error, function: box(error))
    try:
        with caplog.at_level(logging.ERROR, logger="canter"):
            client.monitor("motor", callback)
            assert "bad 1.5" in str(box.next())
            ioc["motor"] = 2.5
            assert "bad 2.5" in str(box.until(lambda error: "2.5" in str(error)))
    finally:
        canter.callback_errors.clear()
    assert "exception in the callback" in caplog.text


def test_exceptions_in_callbacks_are_printed_without_a_hook(ioc):
    script = """
        import canter, sys, threading
        done = threading.Event()
        def callback(value):
            raise ValueError("seen by nobody")
        def hook(args):
            print(args.exc_type.__name__, args.exc_value, flush=True)
            done.set()
        threading.excepthook = hook
        canter.monitor("motor", callback)
        assert done.wait(60)
    """
    assert "ValueError seen by nobody" in run_script(script, ioc)


@pytest.mark.parametrize(
    "end", ["", "sys.exit(0)", "del sub, canter", "threading.Timer(0, lambda: None).start()"]
)
def test_the_end_of_the_interpreter_with_live_subscriptions(ioc, end):
    script = f"""
        import canter, sys, threading, time
        first = threading.Event()
        sub = canter.monitor("motor", lambda value: first.set())
        def forever():
            while True:
                canter.get("motor")
        def waits():
            canter.get("nowhere", timeout=1000)
        for target in (forever, forever, waits):
            threading.Thread(target=target, daemon=True).start()
        first.wait(60)
        print("so far")
        {end}
    """
    assert run_script(script, ioc) == "so far\n"


def test_use_while_the_interpreter_ends(ioc):
    script = """
        import atexit
        atexit.register(lambda: print(canter.get("motor")))
        import canter
        canter.monitor("motor", lambda value: None)
    """
    assert run_script(script, ioc) == "1.5\n"


def test_a_child_opens_anew_and_the_parent_notices_nothing(ioc):
    script = """
        import canter, os, queue, sys
        seen = queue.Queue()
        sub = canter.monitor("count", seen.put)
        channel = canter.channel("motor")
        assert channel.get() == 1.5 and seen.get(timeout=60) == 5
        for turn in range(3):
            child = os.fork()
            if child == 0:
                assert channel.get() == 1.5 + turn
                canter.put("motor", 2.5 + turn)
                inner = queue.Queue()
                canter.monitor("count", inner.put)
                assert inner.get(timeout=60) == 5 + turn
                if os.fork() == 0:
                    assert channel.get() == 2.5 + turn
                    os._exit(0)
                assert os.wait()[1] == 0
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert channel.get() == 2.5 + turn
            canter.put("count", 6 + turn)
            assert seen.get(timeout=60) == 6 + turn
        print("all well")
    """
    assert run_script(script, ioc) == "all well\n"


def test_multiprocessing_by_fork(ioc):
    script = """
        import canter, multiprocessing
        def work(n):
            canter.put("room", [n])
            return n + canter.get("motor")
        canter.get("motor")
        with multiprocessing.get_context("fork").Pool(3) as pool:
            print(pool.map(work, range(6)))
    """
    assert run_script(script, ioc) == "[1.5, 2.5, 3.5, 4.5, 5.5, 6.5]\n"


def test_a_fork_in_the_middle_of_callbacks(ioc):
    script = """
        import canter, os, threading
        turns = []
        def callback(value):
            child = os.fork()
            if child == 0:
                assert canter.get("motor") == 1.5
                os._exit(0)
            turns.append(os.waitpid(child, 0)[1])
            if len(turns) < 5:
                canter.put("count", int(value) + 1)
            else:
                done.set()
        done = threading.Event()
        canter.monitor("count", callback)
        assert done.wait(60)
        print(turns)
    """
    assert run_script(script, ioc) == "[0, 0, 0, 0, 0]\n"


def test_an_ioc_of_the_parent_says_so(ioc):
    child = os.fork()
    if child == 0:
        try:
            ioc["motor"]
        except RuntimeError as error:
            os._exit(0 if "parent" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert ioc["motor"] == 1.5


def test_dropped_subscriptions_and_clients_are_gone(ioc):
    client = ioc.client(timeout=PATIENCE)
    updates = client.monitor("motor")
    updates.get()
    del updates
    gc.collect()
    while client.stats()["subscriptions"]:
        client.get("motor")
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_a_cycle_through_a_callback_is_collected(ioc, client):
    class Display:
        def __init__(self):
            self.subscription = client.monitor("motor", self.show)

        def show(self, value):
            self.value = value

    display = Display()
    gone = weakref.ref(display)
    display.subscription.close()
    del display
    deadline = time.monotonic() + PATIENCE
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        client.get("motor")
    assert gone() is None


def test_from_a_thread_that_nobody_attached(client):
    assert in_thread(client.get, "motor") == 1.5
    with pytest.raises(canter.ConnectTimeout):
        in_thread(lambda: client.get("nowhere", timeout=0.01))


def test_it_is_imported_without_numpy_and_works_without(ioc):
    script = """
        import sys
        import canter
        assert "numpy" not in sys.modules
        sys.modules["numpy"] = None
        wave = canter.get("wave")
        assert wave.tolist() == [1.0, 2.0, 3.0] and wave[1] == 2.0 and len(wave) == 3 and wave.timestamp
        canter.put("wave", wave)
        canter.put("wave", [4, 5, 6])
        import array
        canter.put("room", array.array("d", [1, 2]))
        print(wave, canter.get("wave").tolist(), canter.get("room").tolist())
    """
    assert run_script(script, ioc) == "ArrayValue([1.0, 2.0, 3.0]) [4.0, 5.0, 6.0] [1.0, 2.0]\n"
