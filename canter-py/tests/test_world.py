"""Worlds without sockets, on a clock that moves when it is told."""

import threading

import pytest

import canter
from canter import sim
from canter.sim import PVGroup, builder, pvproperty


@pytest.fixture
def w():
    with sim.world(seed=1) as w:
        yield w


def test_the_words_of_the_client(w):
    ioc = w.ioc({"x": sim.Pv(1.5, units="mm"), "wave": [1.0, 2.0], "valve": sim.Pv("Open", states=["Closed", "Open"])})
    client = w.client()
    x = client.get("x")
    assert (x, x.units) == (1.5, "mm") and client.get("wave").tolist() == [1.0, 2.0] and client.get("valve") == "Open"
    client.put("x", 2.5, wait=True)
    client.channel("x").put(3.5, check=False)
    assert ioc["x"] == 2.5 and client.get("x") == 3.5 and ioc["x"] == 3.5
    results = client.get_many(["x", "valve", "nowhere"], timeout=2)
    assert results[0] == 3.5 and list(results.errors) == ["nowhere"]
    assert client.put_many(["x", "valve"], [4.0, "Closed"]) == [None, None]
    with pytest.raises(canter.PutRefused):
        client.put("valve", "Ajar")
    assert client.wait_until("x", 4.0, timeout=1) == 4.0
    with pytest.raises(canter.CanterError, match="waited for"):
        client.wait_until("x", 5.0, timeout=1)
    assert client.info("x")["native"] == "DOUBLE" and client.stats()["channels"] >= 3


def test_time_stands_still_but_when_it_is_told(w):
    w.ioc({"x": 1.0})
    client = w.client()
    began = w.now
    with pytest.raises(canter.ConnectTimeout) as raised:
        client.get("nowhere", timeout=300)
    assert 300 <= w.now - began < 301 and raised.value.elapsed == pytest.approx(300, abs=1)
    before = w.now
    w.run(86_400)
    assert w.now == pytest.approx(before + 86_400)


def test_monitors_deliver_at_their_times(w):
    ioc = w.ioc({"x": 0.0})
    client = w.client()
    seen = []
    client.monitor("x", lambda value: seen.append((round(w.now), float(value))))
    w.run(1)
    w.every(10.0, lambda: ioc["x"].post(ioc["x"] + 1))
    w.run(35)
    assert seen == [(0, 0.0), (11, 1.0), (21, 2.0), (31, 3.0)]
    with client.monitor("x") as updates:
        assert updates.get() == 3.0
        assert updates.get(timeout=20) == 4.0
        with pytest.raises(TimeoutError):
            updates.get(timeout=1)


def test_puts_are_decided_and_callbacks_may_wait(w):
    ioc = w.ioc({"x": 1.0, "y": 1.0}, db='record(sub, "s") { field(SNAM, "f") }', functions={"f": lambda c: c["A"] * 2})
    client = w.client()

    @ioc["x"].on_put
    def decide(put):
        client.put("y", put.value * 10, wait=True)
        if put.value > 100:
            raise sim.Refuse

    client.put("x", 5.0, wait=True)
    assert (client.get("x"), client.get("y")) == (5.0, 50.0)
    with pytest.raises(canter.PutRefused):
        client.put("x", 500.0, wait=True)
    client.put("s.A", 4.0, wait=True)
    assert client.get("s") == 8.0

    async def waits(put):
        import asyncio

        await asyncio.sleep(1)

    async def not_(put):
        return put.value + 1

    seen = []
    canter.callback_errors.append(lambda error, function: seen.append(str(error)))
    try:
        ioc.on_put("y", waits)
        with pytest.raises(canter.PutRefused):
            client.put("y", 1.0, wait=True)
    finally:
        canter.callback_errors.clear()
    assert "World.after" in seen[0]
    ioc.on_put("y", not_)
    client.put("y", 1.0, wait=True)
    assert client.get("y") == 2.0


def test_the_network_is_cut_and_mended(w):
    ioc = w.ioc({"x": 1.0})
    client = w.client()
    connected = []
    with client.monitor("x", lambda value: None, on_connection=connected.append):
        w.run(1)
        w.cut(ioc, client)
        w.run(60)
        w.mend(ioc, client)
        w.run(600)
        assert connected == [True, False, True]
        ioc.restart()
        w.run(600)
        assert connected == [True, False, True, False, True]


def story(seed, shuffled=False):
    with sim.world(seed=seed, shuffled=shuffled) as w:
        iocs = [w.ioc({f"x{n}": 0.0}) for n in range(3)]
        clients = [w.client(), w.client()]
        seen = []
        for client in clients:
            for n in range(3):
                client.monitor(f"x{n}", lambda value, n=n: seen.append((w.now, n, float(value))))
        for turn in range(5):
            clients[turn % 2].put(f"x{turn % 3}", float(turn))
            w.run(0.1)
        iocs[0].restart()
        w.run(60)
        return seen, w.trace


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_same_seed_is_the_same_story(shuffled):
    assert story(3, shuffled) == story(3, shuffled)
    if shuffled:
        assert story(3, shuffled)[1] != story(4, shuffled)[1]


class Ramp(PVGroup):
    target = pvproperty(value=10.0)
    now = pvproperty(value=0.0, read_only=True)
    started = pvproperty(value=0)

    @now.scan(period=1.0)
    async def now(self, instance, async_lib):
        step = max(-1.0, min(1.0, self.target.value - instance.value))
        await instance.write(instance.value + step)

    @started.startup
    async def started(self, instance, async_lib):
        await instance.write(1)


def test_groups_builders_and_models_follow_its_clock(w):
    w.ioc(Ramp(prefix="R:"))
    model = w.ioc({"t": 0.0}).model(lambda t, given: [t], read=["t"], period=0.5)
    client = w.client()
    assert client.get("R:started") == 1
    w.run(5.5)
    assert client.get("R:now") == 5.0 and model.steps == 11 and client.get("t") == pytest.approx(5.5, abs=0.1)
    client.put("R:target", 2.0)
    w.run(20)
    assert client.get("R:now") == 2.0


def test_what_cannot_be_in_a_world(w):
    ioc = w.ioc({"x": 1.0})
    with pytest.raises(RuntimeError, match="lives in a world"), ioc.environment():
        pass
    with pytest.raises(TypeError, match="udp_port"):
        w.ioc({}, udp_port=5064)
    with pytest.raises(ValueError, match="period"):
        w.every(0, print)
    before = threading.active_count()
    client = w.client()
    client.monitor("x", print)
    client.get("x")
    assert threading.active_count() == before
