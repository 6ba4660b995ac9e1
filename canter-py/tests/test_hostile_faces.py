"""Hostile arguments for the faces beside the native one and PyEpics: PyCafe, aioca, catools, asyncio, and IOCs in the manner
of pythonSoftIOC, pcaspy and caproto. What `test_hostile` asks for is asked for here: an exception of canter's tree, the
face's own convention, or a `TypeError`; nothing in a thread beside, nothing that hangs.
"""

import asyncio
import inspect
import threading

import canter
import pytest
from canter import aio, aioca, catools, pycafe, sim
from canter.sim import builder as softioc_builder
from canter.sim import pcaspy
from canter.sim.caproto import server as caproto

from test_hostile import ENDLESS, HOSTILE, WORDS, arguments, attack, attempts, judge

#: Seconds for what is not there: whether what is there comes in time matters nowhere here.
T = 0.01

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def hasty(default):
    canter.configure(repeater_port=0, timeout=T)
    return default


def endless(kwargs):
    return any("timeout" in name and isinstance(one, (int, float)) and one in ENDLESS for name, one in kwargs.items())


def waits(kwargs):
    """Whether it is for ever, for these faces."""
    return endless(kwargs) or ("timeout" in kwargs and kwargs["timeout"] is None)


def methods(thing, leave=()):
    """Functions of the face, each once though it may have several names."""
    found = {}
    for name in dir(thing):
        function = getattr(thing, name)
        if not name.startswith("_") and name not in leave and inspect.isroutine(function):
            found.setdefault(getattr(function, "__func__", function), function)
    return list(found.values())


CAFE = {
    "handlePV": "motor", "handles": ["motor", "count"], "handle": 1, "pv": "motor", "alias": "other", "value": 1.0,
    "values": [1.0, 2], "number": 1, "text": "Open", "status": 1, "name": "magnets", "pvs": ["motor", "count"],
    "group": "all", "devices": ["Q1"], "collection": "quads", "attribute": "I", "path": "/nowhere/x.xml", "ch": "motor",
    "chSet": "motor", "chRead": "motor", "chTrigger": "count", "chs": ["motor", "count"], "chsSet": ["motor", "count"],
    "chsRead": ["motor", "count"], "valueTrigger": 1,
    "groupName": "all", "cb": lambda: (lambda _handle: None), "timeout": T, "seconds": T,
}  # fmt: skip


def cafe_arguments(function):
    try:
        return arguments(function, CAFE)
    except LookupError as error:
        raise AssertionError(f"this test has no good value for an argument: {error}") from None


def cafes(raises):
    cafe = pycafe.CyCafe()
    cafe.withExceptions(raises)
    cafe.setOpenDefaultPendTime(T)
    cafe.policies.timeout.seconds = T
    cafe.grouping("all", ["motor", "count"])
    cafe.collectionDefine("quads", ["Q1"], ["I"])
    return cafe


@pytest.mark.parametrize("raises", [False, True])
def test_pycafe(raises, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAFE_SAR_PATH", str(tmp_path))
    cafe = cafes(raises)
    failures = []
    for function in methods(cafe, ("terminate", "init", "close", "withExceptions", "setOpenDefaultPendTime")):
        for where, kwargs in attempts(function, cafe_arguments):
            if not endless(kwargs):
                attack(failures, where, lambda f=function, k=kwargs: f(**k))
    for word, value in HOSTILE.items():
        attack(failures, f"close({word})", lambda v=value: v is None or cafe.close(v))
        attack(failures, f"pend time {word}", lambda v=value: pycafe.CyCafe().setOpenDefaultPendTime(v))
        for policy in ("timeout", "cacheWait", "whenMonitor", "request", "printError"):
            of = getattr(cafe.policies, policy)
            for name in of.__slots__:
                attack(failures, f"{policy}.{name}={word}", lambda o=of, n=name, v=value: _with(cafe, o, n, v))
    cafe.terminate()
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def _with(cafe, policy, name, value):
    before = getattr(policy, name)
    try:
        setattr(policy, name, value)
        cafe.get("motor")
    finally:
        setattr(policy, name, before)


def test_codes_of_pycafe():
    cyca = pycafe.CyCa()
    for word, value in HOSTILE.items():
        failures = []
        for function in methods(cyca):
            for where, kwargs in attempts(function, cafe_arguments):
                attack(failures, where, lambda f=function, k=kwargs: f(**k))
        assert not failures, word


AIOCA = {
    "pv": "motor", "pvs": "motor", "value": 2.0, "values": 2.0, "timeout": T, "connect_timeout": T, "name": "motor",
    "callback": lambda: (lambda *_: None),
}  # fmt: skip


async def _done(made):
    if inspect.isawaitable(made):
        made = await made
    for one in made if isinstance(made, list) else [made]:
        if hasattr(one, "close") and not isinstance(one, type):
            one.close()


def all_of(function, known):
    for names in (("motor",), (["motor", "count"], ["motor", "nowhere"])):
        for name in names:
            yield from attempts(function, lambda one, n=name: {**arguments(one, known), _first(one): n})


def _first(function):
    return next(iter(inspect.signature(function).parameters))


def test_aioca():
    failures = []

    async def attempt(where, function, kwargs):
        try:
            await asyncio.wait_for(_done(function(**kwargs)), 30)
        except BaseException as error:  # noqa: BLE001
            try:
                judge(error, where)
            except AssertionError as failure:
                failures.append(str(failure))

    async def story():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: failures.append(f"in the loop: {context}"))
        for function in (aioca.caget, aioca.caput, aioca.camonitor, aioca.connect, aioca.cainfo):
            for where, kwargs in all_of(function, AIOCA):
                if not waits(kwargs):
                    await attempt(where, function, kwargs)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(story())
    aioca.purge_channel_caches()
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def test_catools():
    failures = []
    for function in (catools.caget, catools.caput, catools.camonitor, catools.connect, catools.cainfo):
        for where, kwargs in all_of(function, AIOCA):
            if not waits(kwargs):
                attack(failures, where, lambda f=function, k=kwargs: asyncio.run(_done(f(**k))))
    # What is opened in the thread of callbacks has been there when this returns.
    canter.default_client()._dispatcher.settle()
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


NATIVE = {
    "pv": "motor", "pvs": ["motor", "count"], "name": "motor", "value": 1.0, "values": [1.0, 2], "timeout": T,
    "condition": 1.0, "readback": "motor", "rows": [("motor", 1.0, "motor")], "to": 1.0, "axes": canter.Axis("motor", [1.0]),
    "observe": ["motor"], "members": ["motor"], "path": "/nowhere/x.toml",
}  # fmt: skip


def test_asyncio():
    failures = []

    async def first(made):
        if inspect.isasyncgen(made):
            try:
                await asyncio.wait_for(made.__anext__(), 0.2)
            finally:
                await made.aclose()
        else:
            await _done(made)

    async def attempt(where, function, kwargs):
        try:
            await first(function(**kwargs))
        except (StopAsyncIteration, asyncio.TimeoutError):
            pass
        except BaseException as error:  # noqa: BLE001
            try:
                judge(error, where)
            except AssertionError as failure:
                failures.append(str(failure))

    async def story():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: failures.append(f"in the loop: {context}"))
        async with aio.AsyncClient(timeout=T, repeater_port=0) as client:
            for function in methods(client, ("close",)):
                for where, kwargs in attempts(function, lambda one: arguments(one, NATIVE)):
                    waits_for_ever = function.__name__ == "wait_until" and kwargs.get("timeout") is None
                    if not endless(kwargs) and not waits_for_ever:
                        await attempt(where, function, kwargs)

    asyncio.run(story())
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


FIELDS = ("initial_value", "status", "severity", "on_update", "on_update_name", "validate", "always_update", "blocking", "EGU",
          "PREC", "SCAN", "DESC", "FLNK")  # fmt: skip


def test_builder():
    """One attack for each builder, as an IOC is made of all its records."""
    failures = []
    kinds = [
        "aIn", "aOut", "boolIn", "boolOut", "longIn", "longOut", "int64In", "int64Out", "mbbIn", "mbbOut", "stringIn",
        "stringOut", "longStringIn", "longStringOut", "WaveformIn", "WaveformOut", "Action", "create_fanout",
        "create_dfanout",
    ]  # fmt: skip
    for kind in kinds:
        known = inspect.signature(getattr(softioc_builder.Builder(), kind)).parameters
        named = [name for name, one in known.items() if one.kind is not one.VAR_KEYWORD and one.kind is not one.VAR_POSITIONAL]
        given = {"WaveformIn": {"length": 4, "datatype": float}, "WaveformOut": {"length": 4, "datatype": int}}.get(kind, {})
        for name in (*named, *(() if "fanout" in kind else FIELDS if kind in ("aIn", "aOut", "mbbOut") else FIELDS[:3]), *given):
            for word, value in HOSTILE.items():
                made = softioc_builder.Builder("DEV")
                kwargs = {"name": "X", **given, name: value}
                attack(failures, f"{kind}({name}={word})", lambda m=made, k=kind, a=kwargs: getattr(m, k)(**a))
                # The records are whole, or say what is wrong with them.
                attack(failures, f"{kind}({name}={word}) in an IOC", lambda m=made: sim.IOC(db=[(m.text(), "")]))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def test_what_a_builder_has_made(tmp_path, monkeypatch):
    """Values and alarms that are set while it runs."""
    monkeypatch.chdir(tmp_path)
    failures = []
    made = softioc_builder.Builder("DEV")
    records = [
        made.aIn("AI"), made.aOut("AO"), made.boolIn("BI"), made.boolOut("BO"), made.longIn("LI"), made.longOut("LO"),
        made.int64In("I6"), made.int64Out("O6"), made.mbbIn("MI", "a", "b"), made.mbbOut("MO", "a", "b"), made.stringIn("SI"),
        made.stringOut("SO"), made.longStringIn("XI"), made.longStringOut("XO"), made.WaveformIn("WI", length=4, datatype=float),
        made.WaveformOut("WO", length=4, datatype=int),
    ]  # fmt: skip
    with made.iocInit(udp_port=0):
        for record in records:
            known = {"value": record.get(), "severity": 0, "alarm": 0, "field": "DESC", "name": "x", "alias": "y"}
            functions = [record.set, record.set_alarm, record.set_field, record.get_field, record.add_info, record.add_alias]
            for function in functions:
                for where, kwargs in attempts(function, lambda one, k=known: arguments(one, k)):
                    attack(failures, f"{record.name}: {where}", lambda f=function, k=kwargs: _state(f, k))
    functions = [one for one in methods(softioc_builder.Builder(), ("text",)) if one.__name__ not in dir_of_records()]
    known = {"name": "X", "names": None, "full_name": "X", "prefix": "P", "separator": "-", "new_val": True,
             "filename": "/nowhere/x.db", "database": "/nowhere/x.db"}  # fmt: skip
    for function in functions:
        for where, kwargs in attempts(function, lambda one: arguments(one, known)):
            attack(failures, where, lambda f=function, k=kwargs: f(**k))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def dir_of_records():
    return {name for name in dir(softioc_builder.Builder) if name[0].islower() or name.endswith(("In", "Out", "form", "Action"))}


def _state(function, kwargs):
    try:
        return function(**kwargs)
    except NotImplementedError:
        pass
    except RuntimeError as error:
        # That a record cannot be changed any more is told well.
        assert "ClearRecords" in str(error)


def test_pcaspy():
    failures = []
    keys = ("type", "count", "enums", "states", "prec", "unit", "lolim", "hilim", "low", "high", "lolo", "hihi", "adel", "mdel",
            "scan", "asyn", "asg", "port", "value")  # fmt: skip
    for key in keys:
        for kind in ("float", "int", "enum", "string", "char") if key in ("value", "count") else ("float",):
            for word, value in HOSTILE.items():
                info = {"type": kind, "enums": ["a", "b"], key: value} if key != "type" else {key: value}
                attack(failures, f"createPV({key}={word}), {kind}", lambda i=info: _serve({"X": i}))
    for word, value in HOSTILE.items():
        attack(failures, f"createPV(prefix={word})", lambda v=value: _serve({"X": {}}, v))
        attack(failures, f"createPV(pvdb={word})", lambda v=value: _serve(v))
        attack(failures, f"createPV(a PV={word})", lambda v=value: _serve({"X": v}))
        if word in WORDS:
            attack(failures, f"createPV(a reason={word})", lambda v=value: _serve({v: {}}))
    server = pcaspy.SimpleServer(udp_port=0)
    server.createPV("P:", {"X": {}, "N": {"type": "int"}, "E": {"type": "enum", "enums": ["a", "b"]}, "A": {"count": 3},
                           "T": {"type": "char", "count": 20}, "S": {"type": "string"}})  # fmt: skip
    driver = pcaspy.Driver()
    with server:
        for reason in ("X", "N", "E", "A", "T", "S"):
            known = {"reason": reason, "value": driver.getParam(reason), "enums": ["a", "b"], "info": {"unit": "mm"}, "alarm": 0,
                     "severity": 0}  # fmt: skip
            for function in methods(driver):
                for where, kwargs in attempts(function, lambda one, k=known: arguments(one, k)):
                    attack(failures, f"{reason}: {where}", lambda f=function, k=kwargs: (f(**k), driver.updatePVs()))
                    driver.setParam(reason, known["value"])
                    driver.setParamStatus(reason, 0, 0)
        for key in ("unit", "prec", "lolim", "hilim", "low", "high", "lolo", "hihi", "mdel", "adel", "enums", "states"):
            for word, value in HOSTILE.items():
                attack(failures, f"setParamInfo({key}={word})", lambda k=key, v=value: driver.setParamInfo("X", {k: v}))
        for word, value in HOSTILE.items():
            if value not in ENDLESS if isinstance(value, (int, float)) else True:
                attack(failures, f"process({word})", lambda v=value: server.process(v))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def _serve(pvdb, prefix="P:"):
    server = pcaspy.SimpleServer(udp_port=0)
    try:
        server.createPV(prefix, pvdb)
        pcaspy.Driver()
    finally:
        server.close()


def test_caproto():
    failures = []
    for name, parameter in inspect.signature(caproto.pvproperty).parameters.items():
        if name in ("get", "self") or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        for word, value in HOSTILE.items():
            attack(failures, f"pvproperty({name}={word})", lambda n=name, v=value: _group(caproto.pvproperty(**{"value": 1.0, n: v})))
    for word, value in HOSTILE.items():
        attack(failures, f"PVGroup({word})", lambda v=value: _Group(v))
        attack(failures, f"PVGroup(macros={word})", lambda v=value: _Group("G:", macros=v))
        attack(failures, f"SubGroup({word})", lambda v=value: _group(caproto.SubGroup(v)))
        attack(failures, f"SubGroup(prefix={word})", lambda v=value: _group(caproto.SubGroup(_Group, prefix=v)))
        for what in ("period", "failure_severity"):
            attack(failures, f"scan({what}={word})", lambda w=what, v=value: _scanned(**{"period": 1.0, w: v}))
        for what in ("getter", "putter", "startup", "shutdown"):
            attack(failures, f"{what}({word})", lambda w=what, v=value: getattr(caproto.pvproperty(value=1.0), w)(v))
    group = _Group("G:")
    with sim.IOC(group):
        known = {"value": 1.0}
        for function in (group.a.write, group.t.write, group.w.write):
            for where, kwargs in attempts(function, lambda one: arguments(one, known)):
                attack(failures, where, lambda f=function, k=kwargs: asyncio.run(_awaited(f(**k))))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


async def _awaited(made):
    return await made


class _Group(caproto.PVGroup):
    a = caproto.pvproperty(value=1.0)
    t = caproto.pvproperty(value="text")
    w = caproto.pvproperty(value=[1, 2, 3])


def _group(member):
    made = type("Made", (caproto.PVGroup,), {"x": member})
    sim.IOC(made("G:")).close()


def _scanned(**options):
    member = caproto.pvproperty(value=1.0)

    async def function(group, instance, async_lib):
        pass

    member.scan(**options)(function)
    _group(member)


def test_nothing_was_left_behind():
    """Of all the threads that were begun above, those of IOCs and scans have ended."""
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"canter-scan", "canter-model"}, names
