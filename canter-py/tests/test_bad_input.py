"""Bad input through each face: an exception of the tree that names the PV and the remedy, or the face's own convention
with the cause kept at hand. Never an error that names nothing.
"""

import asyncio

import canter
import canter.pycafe as pycafe
import numpy
import pytest
from canter import epics
from canter.aio import AsyncClient
from canter.aioca import CANothing, caget, caput

SURROGATE = "\ud800"

#: Values that no PV takes, by what is wrong with them.
WRONG = {
    "an object": object(),
    "a dict": {"a": 1},
    "a complex": 1 + 2j,
    "None": None,
    "half of a pair": SURROGATE,
    "a text with a NUL": "a\0b",
    "an array of complex": numpy.zeros(1, complex),
    "an array of objects": numpy.array([object()]),
    "an array of times": numpy.array(["2020-01-01"], dtype="datetime64[s]"),
    "a nested list": [[1]],
    "a mixed list": [1, "a"],
}
PVS = ("motor", "valve", "count", "note", "wave")


@pytest.mark.parametrize("pv", PVS)
@pytest.mark.parametrize("wrong", WRONG)
def test_values_that_are_none(client, pv, wrong):
    value = WRONG[wrong]
    for put in (client.put, client.channel(pv).put):
        with pytest.raises((canter.ValueProblem, canter.BadRequest), match=pv) as caught:
            put(pv, value) if put == client.put else put(value)
        assert caught.value.pv == pv and caught.value.remedy


REQUESTS = {
    "a negative time-out": {"timeout": -1},
    "no time-out at all": {"timeout": float("nan")},
    "a negative count": {"count": -1},
    "too large a count": {"count": 10**9},
    "a huge count": {"count": 10**12},
}


@pytest.mark.parametrize("wrong", REQUESTS)
def test_requests_that_cannot_be(client, ioc, wrong):
    with pytest.raises(canter.BadRequest, match='"motor"') as caught:
        client.get("motor", **REQUESTS[wrong])
    assert caught.value.pv == "motor" and caught.value.remedy and isinstance(caught.value, ValueError)

    async def story():
        async with AsyncClient(environ=ioc.env) as quick:
            with pytest.raises(canter.BadRequest, match='"motor"'):
                await quick.get("motor", **REQUESTS[wrong])
            with pytest.raises(canter.ValueProblem, match='"motor"'):
                await quick.put("motor", SURROGATE)

    asyncio.run(story())


def test_names_that_are_none(client):
    for wrong in (None, 5, b"motor", ["motor"], object()):
        with pytest.raises(TypeError, match="the name of a PV is a str"):
            client.get(wrong)
    for wrong in ("", "a" * 5000, "a\0b", SURROGATE):
        with pytest.raises(canter.BadName, match="check how the name is spelled"):
            client.get(wrong)


def test_a_closed_client_names_the_pv(ioc):
    client = ioc.client()
    channel = client.channel("motor")
    client.close()
    for use in (channel.get, lambda: channel.put(1.0), channel.monitor, channel.connect):
        with pytest.raises(canter.Closed, match='"motor"') as caught:
            use()
        assert caught.value.pv == "motor" and "make another client" in str(caught.value)
    assert "the client was closed" in channel._repr_html_()


@pytest.mark.usefixtures("default")
@pytest.mark.parametrize("wrong", WRONG)
def test_values_that_are_none_in_other_faces(wrong):
    value = WRONG[wrong]
    pv = epics.PV("motor")
    assert pv.wait_for_connection(60)
    with pytest.raises(epics.ca.ChannelAccessException, match='"motor"'):
        pv.put(value)
    cafe = pycafe.CyCafe()
    assert cafe.set("motor", value) != pycafe.CyCa().ICAFE_NORMAL and '"motor"' in str(cafe.lastError)
    cafe.withExceptions(True)
    with pytest.raises(pycafe.CafeException, match='"motor"'):
        cafe.set("motor", value)
    cafe.terminate()

    async def story():
        failed = await caput("motor", value, throw=False)
        assert not failed.ok and failed.name == "motor"
        with pytest.raises(CANothing) as caught:
            await caput("motor", value)
        assert '"motor"' in str(caught.value.__cause__)

    asyncio.run(story())
    pv.disconnect()


@pytest.mark.usefixtures("default")
def test_requests_that_cannot_be_in_other_faces():
    for wrong in (None, 5, b"motor"):
        with pytest.raises(TypeError, match="the name of a PV is a str"):
            epics.PV(wrong)
    pv = epics.PV("wave")
    assert pv.wait_for_connection(60)
    for given in ({"count": -1}, {"timeout": -1}, {"timeout": float("nan")}):
        assert pv.get(use_monitor=False, **given) is None
        assert isinstance(pv.last_error, canter.BadRequest) and pv.last_error.pv == "wave"
    pv.disconnect()
    cafe = pycafe.CyCafe()
    assert cafe.open(None) is None and "None is no name of a PV" in str(cafe.lastError)
    assert cafe.match(1.0, "motor", 0.1, -1.0) != pycafe.CyCa().ICAFE_NORMAL and '"motor"' in str(cafe.lastError)
    cafe.terminate()

    async def story():
        # A time-out that is up may still find its answer at hand, so it proves nothing here.
        failed = await caget("wave", throw=False, count=-5)
        assert not failed.ok and failed.name == "wave"

    asyncio.run(story())
