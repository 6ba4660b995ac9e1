"""The faces of aioca and cothread, against the simulated IOC."""

import asyncio
import inspect
import json
import subprocess
from pathlib import Path

import introspect
import numpy as np
import pytest

import canter
from canter import aioca, catools
from canter.aioca import FORMAT_CTRL, FORMAT_TIME, CANothing, caget, camonitor, caput, connect
from conftest import PATIENCE
from peers import PYTHON, compare, introspect as theirs, needs_peers


@pytest.fixture(autouse=True)
def found(default):
    return default


def run(story):
    return asyncio.run(asyncio.wait_for(story, PATIENCE))


def test_augmented_values():
    async def story():
        value = await caget("motor", format=FORMAT_TIME)
        assert value == 1.5 and type(+value) is float and value.ok and value.name == "motor"
        assert value.raw_stamp[0] > 1.7e9 and value.severity == 0 and value.datetime
        assert (await caget("motor", format=FORMAT_CTRL)).units == "mm"
        assert (await caget("valve", format=FORMAT_CTRL)).enums == ["Closed", "Open"]
        wave = await caget("wave")
        assert isinstance(wave, np.ndarray) and wave.element_count == 3 and type(+wave) is np.ndarray
        assert await caget("valve", datatype=str) == "Open"

    run(story())


def test_failures_are_false_or_raised_with_their_cause():
    async def story():
        for timeout in (0.1, 3, 30):
            values = await caget(["motor", "nowhere"], timeout=timeout, throw=False)
            if values[0].ok:
                break
        assert values[0] == 1.5 and not values[1] and values[1].errorcode == 80
        assert isinstance(values[1].__cause__, canter.ConnectTimeout)
        with pytest.raises(CANothing) as caught:
            await caget("nowhere", timeout=0)
        assert str(caught.value) == "nowhere: User specified timeout on IO operation expired"
        with pytest.raises(CANothing) as caught:
            await caput("fixed", 1, wait=True, timeout=PATIENCE)
        assert caught.value.errorcode == 376
        with pytest.raises(ValueError, match="datatype"):
            await caget("motor", datatype=dict)
        with pytest.raises(ValueError, match="repeat_value"):
            await caput(["motor", "count"], [1, 2, 3])

    run(story())


def test_puts():
    async def story():
        assert await caput("motor", 2.5, wait=True)
        assert all(await caput(["motor", "count"], [3.5, 4], wait=True))
        assert await caget(["motor", "count"], timeout=(2e10,)) == [3.5, 4]
        assert await caput("slow", 1, wait=True, timeout=None)
        assert await connect("motor") and (await aioca.cainfo("wave")).count == 3

    run(story())


def test_monitors_that_end_and_tell_disconnects(found):
    async def story():
        seen = asyncio.Queue()
        monitor = camonitor("motor", seen.put_nowait, notify_disconnect=True)
        assert await seen.get() == 1.5
        found.stop()
        lost = await seen.get()
        assert not lost.ok and lost.errorcode == 192
        found.start()
        assert await seen.get() == 1.5
        monitor.close()
        await caput("motor", 2, wait=True)
        assert seen.empty() and monitor.state == monitor.CLOSED
        aioca.purge_channel_caches()
        assert aioca.get_channel_infos() == []

    run(story())


def test_a_slow_callback_gets_the_newest(found):
    async def story():
        seen, go = [], asyncio.Event()

        async def slow(value):
            seen.append(value)
            await go.wait()

        monitor = camonitor("count", slow)
        while not seen:
            await asyncio.sleep(0)
        for n in range(100):
            await caput("count", n, wait=True)
        go.set()
        while seen[-1] != 99:
            await asyncio.sleep(0)
        assert len(seen) < 100 and monitor.dropped_callbacks + len(seen) >= 50
        monitor.close()

    run(story())


def test_a_callback_that_raises_is_told_and_called_again(found, box):
    async def story():
        def callback(value):
            raise ValueError(f"bad {value}")

        canter.callback_errors.append(lambda error, function: box(error))
        try:
            camonitor("motor", callback)
            assert "bad 1.5" in str(await asyncio.to_thread(box.next))
            await caput("motor", 2.5, wait=True)
            assert "bad 2.5" in str(await asyncio.to_thread(box.next))
        finally:
            canter.callback_errors.clear()

    run(story())


def test_what_ophyd_async_takes_from_aioca():
    # `ophyd_async.epics.core._aioca` imports these.
    from canter.aioca import FORMAT_CTRL, FORMAT_RAW, FORMAT_TIME, Subscription, caget, camonitor, caput  # noqa: F401
    from canter.aioca import dbr  # noqa: F401
    from canter.aioca.types import AugmentedValue, Dbr, Format  # noqa: F401


def test_the_face_of_cothread(found, box):
    assert catools.caget("motor") == 1.5
    assert catools.caget(["motor", "valve"], format=FORMAT_TIME)[1].severity == 0
    assert catools.caput("motor", 2.5, wait=True) and catools.caput(["motor", "count"], [3.5, 6], wait=True)
    assert not catools.caget("nowhere", timeout=0.05, throw=False)
    with pytest.raises(catools.ca_nothing):
        catools.caget("nowhere", timeout=0.05)
    assert catools.connect("motor") and catools.cainfo("wave").count == 3
    monitor = catools.camonitor("motor", box)
    assert box.next() == 3.5
    catools.caput("motor", 4.5, callback=box)
    assert {float(box.next()) if not isinstance(it, CANothing) else 0 for it in [None]} <= {0.0, 4.5}
    monitor.close()


#: What is not as in aioca, and why.
DEVIATIONS = {
    **{
        f"aioca.Subscription.{name}": "an attribute of objects, here as well"
        for name in (
            "all_updates",
            "callback",
            "channel",
            "dropped_callbacks",
            "name",
            "notify_disconnect",
            "pending_values",
            "state",
        )
    },
    "aioca.Subscription.dbr_to_value": "how it takes structures of libca apart: there are none",
    "aioca.caput": "repeat_value, which the one for lists has, is told",
}


@needs_peers
def test_every_name_keyword_and_default_is_there():
    there = theirs("aioca", "aioca.types")
    here = introspect.public(["canter.aioca", "canter.aioca.types"])
    wrong = compare(there, here, "aioca", "canter.aioca", DEVIATIONS)
    assert not wrong, "\n" + "\n".join(wrong)


#: What is not as in cothread's catools, and why.
CATOOLS_DEVIATIONS = {
    **{
        f"cothread.catools.{name}": "its keywords are hidden behind **kargs there: see below"
        for name in ("caget", "cainfo", "camonitor", "caput", "connect")
    },
    **{
        f"cothread.catools.{name}": "a part of a public function, which is not told of in its documentation"
        for name in (
            "ca_timeout",
            "caget_array",
            "caget_one",
            "caput_array",
            "caput_one",
            "connect_array",
            "connect_one",
            "maybe_throw",
        )
    },
    **{
        f"cothread.catools.{name}": "how its channels and threads are made: there are no contexts and stacks here"
        for name in ("CA_ACTION_STACK", "Channel", "ChannelCache", "K")
    },
}


@needs_peers
def test_every_name_keyword_and_default_of_catools_is_there():
    there = theirs("cothread.catools")
    here = introspect.public(["canter.catools"])
    wrong = compare(there, here, "cothread.catools", "canter.catools", CATOOLS_DEVIATIONS)
    assert not wrong, "\n" + "\n".join(wrong)
    script = Path(__file__).with_name("scripts") / "keywords_of_catools.py"
    done = subprocess.run([PYTHON, str(script)], capture_output=True, text=True, check=True)
    for name, wanted in json.loads(done.stdout).items():
        found = inspect.signature(getattr(catools, name)).parameters.values()
        ours = {one.name: repr(one.default) for one in found if one.default is not one.empty}
        # Theirs is added by what wraps it.
        ours.pop("throw", None)
        assert ours == wanted, name
