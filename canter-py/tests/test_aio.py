"""The native face for asyncio."""

import asyncio

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
