"""What a client has received before the reply to an operation that waits has reached the callbacks when it returns, as
with libca; and no callback, whatever it does, keeps such an operation for ever.
"""

import threading

import canter
import pytest
from canter import _dispatch, epics, pycafe

from conftest import PATIENCE, in_thread


@pytest.fixture
def held(default, monkeypatch):
    """The thread that runs callbacks is in one, until the event is set; a value of `count` waits behind."""
    monkeypatch.setattr(_dispatch, "PATIENCE", PATIENCE)
    gate, inside = threading.Event(), threading.Event()
    waited = []

    def hold(value):
        inside.set()
        gate.wait(PATIENCE)
        waited.append(value)

    pv = epics.PV("count", auto_monitor=True)
    assert pv.wait_for_connection(PATIENCE) and pv.get() == 5
    gate.waited = waited
    with canter.monitor("motor", hold):
        assert inside.wait(PATIENCE)
        default["count"] = 6
        # It has been received when this read, of the same circuit, is answered.
        assert canter.get("count") == 6
        yield gate, pv
        gate.set()


def told_in_order(gate, work):
    """Does something in a thread, which is let go by the callback."""
    began = threading.Event()

    def run():
        began.set()
        result = work()
        return len(gate.waited), result

    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    began.wait(PATIENCE)
    # The answers to these come behind those of the thread, or at the same time.
    for _ in range(3):
        canter.get("single")
    gate.set()
    thread.join(PATIENCE)
    ((callbacks, result),) = results
    assert callbacks == 1, "it returned before the callbacks had run"
    return result


def next_turn(box):
    """Returns when a callback of a later turn has run."""
    with canter.monitor("fixed", box):
        box.next()


OPERATIONS = {
    "PV.get": lambda pv: epics.PV("single", auto_monitor=False).get(use_monitor=False, timeout=PATIENCE),
    "put with completion": lambda pv: epics.caput("single", 2.0, wait=True, timeout=PATIENCE),
    "caget_many": lambda pv: epics.caget_many(["single", "small"], timeout=PATIENCE),
    "caput_many": lambda pv: epics.caput_many(["single"], [3.0], wait="all", put_timeout=PATIENCE),
    "ca.get": lambda pv: epics.ca.get(epics.ca.create_channel("single", connect=True), timeout=PATIENCE),
    "ca.poll": lambda pv: epics.poll(),
    "PyCafe's get": lambda pv: pycafe.CyCafe().get("single"),
    "PyCafe's set": lambda pv: pycafe.CyCafe().set("single", 4.0),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_came_before_is_delivered(held, operation):
    gate, pv = held
    assert pv.get() == 5, "nothing was waited for"
    seen = told_in_order(gate, lambda: (OPERATIONS[operation](pv), pv.get()))
    assert seen[1] == 6


def test_a_callback_that_does_not_end_is_waited_for_once(held, box, monkeypatch):
    gate, pv = held
    monkeypatch.setattr(_dispatch, "PATIENCE", 0.05)
    deliveries = canter.default_client()._dispatcher._deliveries
    other = epics.PV("single", auto_monitor=False)
    assert other.get(timeout=PATIENCE) == 0.5
    assert other.put(7.0, wait=True, timeout=PATIENCE) == 1
    # It was given up: even a patient one does not wait for it.
    assert not in_thread(deliveries.settle, 1e6)
    assert other.get(use_monitor=False, timeout=PATIENCE) == 7.0 and not gate.waited
    gate.set()
    next_turn(box)
    assert in_thread(deliveries.settle, PATIENCE) and gate.waited and pv.get() == 6


def test_callbacks_wait_for_nothing(default, box):
    """Neither for themselves nor for a lock that its caller holds."""
    lock, seen = threading.Lock(), []
    pv = epics.PV("motor", auto_monitor=True)
    other = epics.PV("count", auto_monitor=False)
    assert other.wait_for_connection(PATIENCE) and pv.wait_for_connection(PATIENCE)

    def callback(value=None, **_):
        if value == 3.0:
            # What libca cannot do: this is the thread by which it would come.
            seen.append((other.get(timeout=PATIENCE), other.put(8, wait=True, timeout=PATIENCE)))
            with lock:
                seen.append("free")

    pv.add_callback(callback)
    with lock:
        assert pv.put(3.0, wait=True, timeout=PATIENCE) == 1
        assert other.get(timeout=PATIENCE) is not None
        assert "free" not in seen
    next_turn(box)
    assert seen == [(5, 1), "free"]


def test_one_thread_runs_the_callbacks_of_a_client(ioc):
    """However many begin at the same time."""
    with ioc.client(timeout=PATIENCE) as client:
        client.get("motor")
        start = threading.Barrier(16)
        before = threading.active_count()

        def begin():
            start.wait(PATIENCE)
            client._dispatcher.ensure()

        threads = [threading.Thread(target=begin) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert threading.active_count() <= before + 1
        names = [thread.name for thread in threading.enumerate()]
        assert client._dispatcher._thread.is_alive() and "canter-callbacks" in names
