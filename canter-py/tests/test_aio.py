"""The native face for asyncio."""

import asyncio
import contextvars
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


def test_who_awaits_goes_on_in_its_own_context(run):
    user = contextvars.ContextVar("user", default="nobody")

    async def story(client):
        async def one(name):
            user.set(name)
            for _ in range(20):
                await client.get("motor")
                assert user.get() == name and asyncio.current_task().get_name() == name

        tasks = [asyncio.create_task(one(name), name=name) for name in ("ann", "bob", "cleo")]
        await asyncio.gather(*tasks)
        assert user.get() == "nobody"

    run(story)


def test_a_task_that_gets_all_the_time_leaves_turns_to_others(run):
    async def story(client):
        turns = 0
        stop = False

        async def other():
            nonlocal turns
            while not stop:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await client.get("motor")
        before = turns
        for _ in range(200):
            await client.get("motor")
        stop = True
        await task
        # At least one for as many gets as go on within one turn of the loop.
        assert turns - before >= 20

    run(story)


def test_one_that_fails_does_not_hold_up_those_that_end_with_it(run):
    async def story(client):
        async def fails():
            await client.get("motor")
            raise ZeroDivisionError

        results = await asyncio.gather(
            *(fails() if n % 2 else client.get("count") for n in range(50)), return_exceptions=True
        )
        assert [type(one) for one in results[1::2]] == [ZeroDivisionError] * 25 and results[::2] == [5] * 25

    run(story)


def test_what_ends_the_program_ends_it_and_leaves_the_rest_awaited(ioc):
    """A `SystemExit` in a task that goes on with an answer: others that have theirs are cancelled, and none hangs."""
    ended = []

    async def main():
        client = AsyncClient(environ=ioc.env, repeater_port=0, timeout=PATIENCE)
        await client.get("motor")

        async def leaves():
            await client.get("motor")
            raise SystemExit(7)

        async def stays(n):
            try:
                await client.get("count")
                await client.get("nowhere", timeout=PATIENCE)
            except asyncio.CancelledError:
                ended.append(n)
                raise

        await asyncio.gather(leaves(), *(stays(n) for n in range(5)))

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert sorted(ended) == list(range(5))


def test_a_get_within_wait_for_and_one_that_two_await(run):
    async def story(client):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.get("nowhere", timeout=PATIENCE), 0.01)
        assert await asyncio.wait_for(client.get("motor"), PATIENCE) == 1.5
        shared = asyncio.ensure_future(client.get("motor"))
        assert await asyncio.gather(shared, shared, asyncio.shield(shared)) == [1.5] * 3
        task = asyncio.create_task(client.get("nowhere", timeout=PATIENCE))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    assert run(story)


def test_an_operation_is_awaited_as_a_future_is(ioc):
    """What tasks, and other code that knows futures, ask of what they wait for."""
    from canter._loops import _Answer

    async def main():
        loop = asyncio.get_running_loop()
        answer = _Answer(loop)
        assert asyncio.isfuture(answer) and answer.get_loop() is loop and not answer.done()
        with pytest.raises(asyncio.InvalidStateError):
            answer.result()
        told = []
        answer.add_done_callback(told.append)
        answer.add_done_callback(print)
        assert answer.remove_done_callback(print) == 1
        wrapped = asyncio.ensure_future(answer)
        assert wrapped is answer
        answer(3, None)
        answer(4, None)
        assert told == [answer] and answer.result() == 3 and answer.exception() is None
        assert await answer == 3 and not answer.cancel()
        failed = _Answer(loop)
        failed(None, KeyError("no"))
        assert isinstance(failed.exception(), KeyError)
        with pytest.raises(KeyError):
            await failed
        given_up = _Answer(loop)
        assert given_up.cancel() and given_up.cancelled()
        given_up.add_done_callback(told.append)
        await asyncio.sleep(0)
        assert told[-1] is given_up

    asyncio.run(main())
