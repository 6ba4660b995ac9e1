"""The native face for asyncio."""

import asyncio
import gc
import os
import threading

import pytest

import canter
from canter.aio import AsyncClient
from conftest import PATIENCE


@pytest.fixture
def run(ioc):
    def run(story):
        async def main():
            async with AsyncClient(environ=ioc.env, repeater_port=0, timeout=PATIENCE) as client:
                return await asyncio.wait_for(story(client), PATIENCE)

        return asyncio.run(main())

    return run


def test_get_put_info(run):
    async def story(client):
        value = await client.get("motor")
        assert value == 1.5 and value.units == "mm"
        await client.put("slow", 2.0, wait=True)
        assert await client.get("slow") == 2.0
        assert (await client.info("motor"))["native"] == "DOUBLE"
        assert (await client.info("nowhere", timeout=0.05))["error"].phase == "search"

    run(story)


def test_errors_are_those_of_the_blocking_face(run):
    async def story(client):
        with pytest.raises(canter.ConnectTimeout):
            await client.get("nowhere", timeout=0.05)
        with pytest.raises(canter.PutRefused):
            await client.put("valve", "Ajar")
        with pytest.raises(canter.ValueProblem):
            await client.put("motor", None)

    run(story)


def test_many_at_once(run):
    async def story(client):
        for timeout in (0.3, 3, 30):
            values = await client.get_many(["motor", "nowhere"], timeout=timeout)
            if values[0] == 1.5:
                break
        assert values[0] == 1.5 and isinstance(values[1], canter.ConnectTimeout)
        assert await client.put_many(["motor", "count"], [2.0, 3]) == [None, None]
        hundred = await asyncio.gather(*(client.get("motor") for _ in range(100)))
        assert hundred == [2.0] * 100

    run(story)


def test_a_get_can_be_cancelled(run):
    async def story(client):
        task = asyncio.create_task(client.get("nowhere", timeout=3600))
        await client.get("motor")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)


def test_a_monitor_is_an_async_iterator(run, ioc):
    async def story(client):
        seen = []
        async for value in client.monitor("count"):
            seen.append(int(value))
            if len(seen) == 3:
                break
            ioc["count"] = value + 1
        assert seen == [5, 6, 7]

    run(story)


def test_two_loops_share_a_client(ioc):
    with ioc.client(timeout=PATIENCE) as blocking:

        async def story():
            return await AsyncClient(blocking).get("motor")

        assert [asyncio.run(story()) for _ in range(2)] == [1.5, 1.5]


def test_a_loop_beside_threads_that_call(ioc):
    """Who moves the bytes changes all the time; nobody waits for ever."""
    with ioc.client(timeout=PATIENCE) as client:
        stop = threading.Event()

        def calls():
            while not stop.is_set():
                assert client.get("motor") == 1.5

        threads = [threading.Thread(target=calls) for _ in range(2)]
        for thread in threads:
            thread.start()

        async def story():
            loop_client = AsyncClient(client)
            for _ in range(50):
                assert await loop_client.get("motor") == 1.5
            assert await asyncio.gather(*(loop_client.get("count") for _ in range(200))) == [5] * 200
            # Longer than the loop looks at the sockets itself.
            await loop_client.put("slow", 1.0, wait=True)
            return True

        try:
            assert asyncio.run(story())
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_loop_that_is_busy_does_not_hold_up_its_client(ioc):
    async def story(client):
        await client.get("motor")
        task = asyncio.ensure_future(client.get("motor"))
        await asyncio.sleep(0)
        # The loop does nothing for its client meanwhile: the client's own thread does.
        assert client.client.get("count") == 5
        with client.client.monitor("motor") as updates:
            assert updates.get(PATIENCE) == 1.5
        return await task

    async def main():
        async with AsyncClient(environ=ioc.env, repeater_port=0, timeout=PATIENCE) as client:
            return await story(client)

    assert asyncio.run(main()) == 1.5


def test_loops_and_clients_that_end_leave_no_descriptors(ioc):
    def open_now():
        return len(os.listdir("/proc/self/fd"))

    async def story(client):
        loop_client = AsyncClient(client)
        assert await loop_client.get("motor") == 1.5
        with pytest.raises(canter.ConnectTimeout):
            await loop_client.get("nowhere", timeout=0.01)
        pending = asyncio.ensure_future(loop_client.get("nowhere", timeout=PATIENCE))
        await asyncio.sleep(0)
        return pending.cancel()

    def once():
        with ioc.client(timeout=PATIENCE) as client:
            # Several loops in turn with one client, and several clients in turn.
            return [asyncio.run(story(client)) for _ in range(3)]

    once()
    gc.collect()
    before = open_now()
    for _ in range(5):
        assert once() == [True] * 3
    gc.collect()
    assert open_now() <= before + 3


def test_a_client_that_is_closed_while_its_loop_waits(ioc):
    async def main():
        client = AsyncClient(environ=ioc.env, repeater_port=0, timeout=PATIENCE)
        assert await client.get("motor") == 1.5
        waiting = asyncio.ensure_future(client.put("never", 1.0, wait=True))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(canter.CanterError):
            await waiting
        other = AsyncClient(environ=ioc.env, repeater_port=0, timeout=PATIENCE)
        return await other.get("motor")

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == 1.5


def test_a_completion_comes_after_the_updates_that_were_sent_before(run):
    async def story(client):
        seen = []
        news = asyncio.Event()

        async def watch():
            async for value in client.monitor("motor"):
                seen.append(float(value))
                news.set()

        task = asyncio.ensure_future(watch())
        await news.wait()
        for n in range(100):
            await client.put("motor", 10.0 + n, wait=True)
            # What has reached the loop is taken by who waits for it in this round.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen[-1] == 10.0 + n
        task.cancel()
        return True

    assert run(story)
