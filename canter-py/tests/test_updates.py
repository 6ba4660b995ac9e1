"""Batches of updates of many PVs."""

import gc
import threading
import weakref

import numpy as np
import pytest

import canter
from canter import sim
from conftest import PATIENCE, patiently
from test_arrays import columns


class Collected:
    """What a callback was given, until there is enough of it."""

    def __init__(self):
        self.last = {}
        self.count = 0
        self.changed = threading.Condition()

    def __call__(self, updates):
        with self.changed:
            for name, value in updates:
                self.last[name] = value
            self.count += len(updates)
            self.changed.notify_all()

    def until(self, matches):
        with self.changed:
            assert self.changed.wait_for(lambda: matches(self.last), PATIENCE), self.last


def test_updates_of_many_pvs_come_to_one_callback(ioc, client):
    collected = Collected()
    names = ["motor", "count", "note", "wave"]
    with client.monitor_many(names, collected) as many:
        collected.until(lambda last: set(last) == set(names))
        assert collected.last["wave"].tolist() == [1.0, 2.0, 3.0] and collected.last["note"] == "hello"
        ioc["count"] = 6
        collected.until(lambda last: last["count"] == 6)
        assert collected.last["count"].timestamp > 0 and many.names == names and len(many) == 4
    ioc["count"] = 7
    client.get("count")
    assert collected.last["count"] == 6


def test_their_columns(ioc, client):
    batches = []
    done = threading.Event()

    def take(updates):
        batches.append(updates)
        if sum(map(len, batches)) >= 2:
            done.set()

    with client.monitor_many(["note", "motor"], take):
        assert done.wait(PATIENCE)
    found = {}
    for updates in batches:
        assert len(updates) == len(updates.names) == len(updates.values) == len(updates.timestamps)
        assert updates.skipped == 0 and updates.severities.tolist() == [0] * len(updates)
        found.update(zip(updates.names, updates.values))
        assert [["note", "motor"][place] for place in updates.places] == updates.names
        assert columns(updates)["name"].to_pylist() == updates.names
    assert found["motor"] == 1.5 and np.isnan(found["note"])


def test_none_of_them_is_lost():
    """The last value of each PV arrives, however fast they change."""
    with sim.IOC({f"p{n}": 0.0 for n in range(50)}) as ioc, ioc.client(timeout=PATIENCE) as client:
        collected = Collected()
        names = [f"p{n}" for n in range(50)]
        with client.monitor_many(names, collected), ioc.client(timeout=PATIENCE) as writer:
            for turn in range(100):
                writer.put_many(names, [float(turn * n) for n in range(50)], check=False)
            collected.until(lambda last: all(last.get(f"p{n}") == 99.0 * n for n in range(50)))


def test_connections_are_told_by_name():
    told = []
    changed = threading.Event()

    def on_connection(name, connected):
        told.append((name, connected))
        changed.set()

    with sim.IOC({"a": 1.0, "b": 2.0}) as ioc, ioc.client(timeout=PATIENCE) as client:
        with client.monitor_many(["a", "b"], lambda updates: None, on_connection=on_connection):
            while len(told) < 2:
                assert changed.wait(PATIENCE)
                changed.clear()
            assert sorted(told) == [("a", True), ("b", True)]


def test_connections_that_were_there_before_are_told_once(client, box):
    client.get_many(["motor", "count"])
    told = []
    came = threading.Event()
    with client.monitor_many(["motor", "count"], lambda updates: came.set(), on_connection=lambda *it: told.append(it)):
        while len(told) < 2:
            assert came.wait(PATIENCE)
            came.clear()
    assert sorted(told) == [("count", True), ("motor", True)]
    with client.monitor("motor", box, on_connection=lambda connected: told.append(connected)):
        assert box.next() == 1.5
    assert told[2:] == [True]


def test_a_callback_that_raises_is_told_of_and_the_next_is_called(ioc, client, box):
    calls = []
    collected = Collected()

    def first(updates):
        calls.append(updates)
        collected(updates)
        raise RuntimeError("mine")

    canter.callback_errors.append(lambda error, function: box(error))
    try:
        with client.monitor_many(["count"], first):
            collected.until(lambda last: "count" in last)
            ioc["count"] = 8
            collected.until(lambda last: last["count"] == 8)
            errors = [box.next() for _ in calls]
    finally:
        canter.callback_errors.clear()
    assert len(errors) >= 2 and all(str(error) == "mine" for error in errors)


def test_updates_that_are_kept_do_not_keep_their_callback(client):
    class Owner:
        def __init__(self):
            self.kept = []
            self.came = threading.Event()
            self.many = client.monitor_many(["motor"], self.take)

        def take(self, updates):
            self.kept.append(updates)
            self.came.set()

    owner = Owner()
    assert owner.came.wait(PATIENCE)
    gone = weakref.ref(owner)
    owner.many.close()
    del owner

    def collected(timeout):
        # The thread of callbacks holds its last call until it waits again.
        client.get("motor", timeout=timeout)
        gc.collect()
        assert gone() is None

    patiently(collected)


def test_bad_subscriptions(client):
    with pytest.raises(ValueError, match="policy"):
        client.monitor_many(["motor"], print, policy="all")
    with pytest.raises(TypeError):
        client.monitor_many([1], print)
    with client.monitor_many([], print) as none:
        assert len(none) == 0
    client.close()
    with pytest.raises(canter.Closed):
        client.monitor_many(["motor"], print)
