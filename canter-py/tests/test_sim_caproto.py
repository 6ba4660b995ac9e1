"""Groups in the manner of caproto: its names and keywords, getters, functions as PVs, and its own examples."""

import asyncio
import inspect
import json
import os
import subprocess
import threading

import canter
import pytest
from canter import sim
from canter.sim import SKIP, PVGroup, SubGroup, pvproperty
from canter.sim.caproto import SkipWrite, server
from canter.sim.caproto.server import get_pv_pair_wrapper, pvfunction, records
from conftest import PATIENCE
from peers import PYTHON, needs_peers

#: Where ours take other keywords, and why.
DEVIATIONS = {
    "pvproperty.enum_strings": "named, as it is so often given",
    "PVGroup.prefix": "may be left out",
    "run.module_name": "always asyncio",
    "run.pvdb": "also a group; it is given by its place",
    "run.group": "also a group; it is given by its place",
    "run.settings": "of the IOC",
    "pvproperty.description": "cls_kwargs, by a name that says what they are",
    "pvproperty.cls_kwargs": "description, by a name that says what they are",
    "SubGroup.init": "init_kwargs",
    "SubGroup.init_kwargs": "init",
    "write.severity": "named; a metadata word there",
    "write.status": "named; a metadata word there",
}

#: Names of ``caproto.server`` that are not here, and why.
MISSING = {
    "conversion": "writes the source of an IOC, by Jinja templates",
    "menus": "choices of fields are those of the records",
    "NestedPvproperty": "a part of how groups work there",
    "PVSpec": "a pvproperty is its own specification",
    "PvpropertyReadOnlyData": "read_only=True says it",
    "channeldata_from_pvspec": "a part of how groups work there",
    "data_class_from_pvspec": "a part of how groups work there",
    "expand_macros": "a part of how groups work there",
}

LOOK = """
import inspect, json, caproto, caproto.server as s
from caproto.server.records import records
def seen(f):
    return [[p.name, None if p.default is p.empty else repr(p.default)] for p in inspect.signature(f).parameters.values()]
found = {"pvproperty": s.pvproperty.__init__, "SubGroup": s.SubGroup.__init__, "pvfunction": s.pvfunction.__init__,
         "PVGroup": s.PVGroup.__init__, "scan": s.pvproperty.scan, "getter": s.pvproperty.getter,
         "putter": s.pvproperty.putter, "startup": s.pvproperty.startup, "shutdown": s.pvproperty.shutdown,
         "call": s.pvproperty.__call__, "pair": s.get_pv_pair_wrapper, "paired": s.get_pv_pair_wrapper(),
         "template": s.template_arg_parser, "parser": s.ioc_arg_parser, "run": s.run, "scan_wrapper": s.scan_wrapper,
         "write": s.PvpropertyData.write, "subgroup_call": s.SubGroup.__call__, "pvfunction_call": s.pvfunction.__call__}
fields = {}
for kind in "ai ao bi bo mbbi mbbo longin longout stringin stringout waveform calc motor".split():
    fields.update({a: p.pvspec.name for a, p in records[kind]._pvs_.items()})
print(json.dumps({"signatures": {n: seen(f) for n, f in found.items()}, "names": s.__all__, "fields": fields,
                  "where": s.__file__, "types": {n: c.__name__ for n, c in records.items()}}))
"""


@pytest.fixture(scope="module")
def there():
    if PYTHON is None:
        pytest.skip("needs caproto")
    done = subprocess.run([PYTHON, "-c", LOOK], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@needs_peers
def test_every_name_keyword_and_default_is_there(there):
    missing = [name for name in there["names"] if not hasattr(server, name)]
    assert sorted(missing) == sorted(MISSING)
    ours = {"pvproperty": pvproperty.__init__, "SubGroup": SubGroup.__init__, "pvfunction": pvfunction.__init__,
            "PVGroup": PVGroup.__init__, "scan": pvproperty.scan, "getter": pvproperty.getter,
            "putter": pvproperty.putter, "startup": pvproperty.startup, "shutdown": pvproperty.shutdown,
            "call": pvproperty.__call__, "pair": get_pv_pair_wrapper, "paired": get_pv_pair_wrapper(),
            "template": server.template_arg_parser, "parser": server.ioc_arg_parser, "run": server.run,
            "scan_wrapper": server.scan_wrapper, "write": server.PvpropertyData.write,
            "subgroup_call": SubGroup.__call__, "pvfunction_call": pvfunction.__call__}  # fmt: skip

    def seen(function):
        parameters = inspect.signature(function).parameters.values()
        return {it.name: None if it.default is it.empty else repr(it.default) for it in parameters}

    wrong = []
    for name, wanted in there["signatures"].items():
        here = seen(ours[name])
        for word, default in wanted:
            # The number of a severity there is one of an enum.
            default = "2" if default and "MAJOR_ALARM" in default else default
            if f"{name}.{word}" not in DEVIATIONS and here.get(word, "missing") != default:
                wrong.append(f"{name}: {word} is {default} there, {here.get(word, 'missing')} here")
    assert not wrong, "\n".join(wrong)
    from canter.sim._field_names import FIELD_NAMES

    assert {word: field for word, field in there["fields"].items() if FIELD_NAMES.get(word) != field} in (
        {},
        {"previous_value": "PVAL"},
    )
    known = {kind: one.__name__ for kind, one in records.records.items()}
    # asyn is a record of a driver that is not here.
    assert {kind: name for kind, name in there["types"].items() if known.get(kind) != name} == {
        "asyn": there["types"]["asyn"]
    }


class Counter(PVGroup):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.turns = 0
        self.gate = asyncio.Event()
        self.entered = threading.Event()

    count = pvproperty(value=0, dtype=int)
    plain = pvproperty(value=1.5)
    kept = pvproperty(value=7)
    slow = pvproperty(value=0)
    wrong = pvproperty(value=1.0)
    mode = pvproperty(value="Off", enum_strings=["Off", "On"])
    level = pvproperty(value=0.0, record="ai", units="mm", upper_alarm_limit=10.0)

    @count.getter
    async def count(self, instance):
        self.turns += 1
        return self.turns

    @plain.getter
    def plain(self, instance):
        return instance.value + 1

    @kept.getter
    async def kept(self, instance):
        pass

    @slow.getter
    async def slow(self, instance):
        self.entered.set()
        await self.gate.wait()
        return 1

    @wrong.getter
    async def wrong(self, instance):
        if self.turns == 0:
            raise OSError("the device is off")
        return "no number" if self.turns == 1 else 2.0

    @mode.getter
    async def mode(self, instance):
        return "On"

    @level.getter
    async def level(self, instance):
        return 11.0


def test_getters_make_the_value_when_it_is_read(box):
    group = Counter(prefix="c:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        # A client reads what describes a PV once, too.
        client.get("c:count"), client.get("c:plain")
        # Monitors see what is made, and make nothing.
        turns = group.turns
        monitor = client.monitor("c:count")
        assert monitor.get(PATIENCE) == turns
        assert [client.get("c:count") - turns for _ in range(3)] == [1, 2, 3]
        assert [monitor.get(PATIENCE) - turns for _ in range(3)] == [1, 2, 3]
        monitor.close()
        plain = ioc["c:plain"].value
        assert client.get("c:plain") == plain + 1 and client.get("c:plain") == plain + 2 == ioc["c:plain"]
        assert client.get("c:kept") == 7 and client.get("c:mode") == "On"
        level = client.get("c:level")
        assert (level, level.severity, level.units) == (11.0, 2, "mm")
        # Puts, and what the program itself reads, call no getter.
        client.put("c:count", 50, wait=True)
        assert group.count.value == 50 and group.turns == turns + 3
        batch = client.get_many(["c:count", "c:kept", "c:plain"])
        assert [float(value) for value in batch.values] == [turns + 4, 7, plain + 3]


def test_who_reads_slowly_holds_nobody_else_up():
    group = Counter(prefix="c:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client, ioc.client(timeout=PATIENCE) as other:
        results = []
        thread = threading.Thread(target=lambda: results.append(client.get("c:slow")))
        thread.start()
        assert group.entered.wait(PATIENCE)
        assert other.get("c:kept") == 7 and not results
        ioc._desk.loop.loop.call_soon_threadsafe(group.gate.set)
        thread.join(PATIENCE)
        assert results == [1]


def test_a_getter_that_fails_is_an_alarm():
    group = Counter(prefix="c:")
    failures = []

    def hook(error, function):
        failures.append(str(error))

    canter.callback_errors.append(hook)
    try:
        with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
            for turns in (0, 1):
                group.turns = turns
                value = client.get("c:wrong")
                assert (value, value.severity, value.status) == (1.0, 3, 1)
            group.turns = 2
            value = client.get("c:wrong")
            assert (value, value.severity) == (2.0, 0)
    finally:
        canter.callback_errors.remove(hook)
    assert failures[0] == "the device is off" and "c:wrong" in failures[-1]


def test_getters_of_an_ioc_by_name(ioc, client):
    numbers = iter(range(10, 20))

    @ioc["count"].on_get
    def read():
        return next(numbers)

    client.get("count")
    last = client.get("count")
    assert client.get("count") == last + 1
    ioc.on_get("count", None)
    assert client.get("count") == last + 1
    with pytest.raises(KeyError, match="nothing"):
        ioc.on_get("nothing", read)


def test_getters_in_a_world():
    with sim.world(seed=1) as world:
        group = Counter(prefix="c:")
        world.ioc(group)
        client = world.client()
        client.get("c:count")
        turns = group.turns
        assert [client.get("c:count") - turns for _ in range(2)] == [1, 2]


class Calls(PVGroup):
    @pvfunction(default=[0])
    async def total(self, low: int = 3, high: float = 1.5) -> float:
        """The sum."""
        if low < 0:
            raise ValueError("below zero")
        return low + high

    @pvproperty
    async def number(self, instance):
        """A number."""
        return 42

    pair = get_pv_pair_wrapper()(dtype=float, units="mm")
    held = get_pv_pair_wrapper(":SP", ":RB")(value=1, name="other")

    @held.setpoint.putter
    async def held(self, instance, value):
        await self.readback.write(10 * value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_functions_and_pairs():
    group = Calls(prefix="f:")
    names = {"f:total:low", "f:total:high", "f:total:Retval", "f:total:Status", "f:total:Process", "f:number",
             "f:pair", "f:pair_RBV", "f:other:SP", "f:other:RB"}  # fmt: skip
    assert set(group.pvdb) == names and group.attr_to_pvname["held.setpoint"] == "f:other:SP"
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("f:total:low", 4, wait=True)
        client.put("f:total:Process", 1, wait=True)
        assert client.get("f:total:Retval") == 5.5 and client.get("f:total:Status") == "Success"
        client.put("f:total:low", -1, wait=True)
        with pytest.raises(Exception, match="f:total:Process"):
            client.put("f:total:Process", 1, wait=True)
        assert client.get("f:total:Status") == "ValueError: below zero"
        assert client.get("f:number") == 42 and client.get("f:pair_RBV").units == "mm"
        client.put("f:pair", 2.5, wait=True)
        client.put("f:other:SP", 2, wait=True)
        assert client.get("f:pair_RBV") == 2.5 and client.get("f:other:RB") == 20
        with pytest.raises(Exception, match="f:pair_RBV"):
            client.put("f:pair_RBV", 1.0, wait=True)
    with pytest.raises(TypeError, match="no annotation of low, return"):

        class Bad(PVGroup):
            @pvfunction
            async def total(self, low):
                pass


class Writes(PVGroup):
    value = pvproperty(value=1)
    other = pvproperty(value=1)
    mode = pvproperty(value=False)
    real = pvproperty(value=1.0, record="ao")

    @value.putter
    async def value(self, instance, value):
        if value != 85:
            await instance.write(85, verify_value=False)
        raise SkipWrite()

    @other.putter
    async def other(self, instance, value):
        if value > 99:
            return SkipWrite
        # It does not call itself.
        await instance.write(value + 1)
        return SKIP

    @real.fields.RVAL.putter
    async def raw(fields, instance, value):
        await fields.parent.group.other.write(value)

    @mode.putter
    def mode(self, instance, value):
        self.real.write_metadata(units=value, precision=4)
        self.real.fields.description.write(f"mode {value}")


def test_putters_write_and_skip():
    group = Writes(prefix="w:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("w:value", 3, wait=True)
        assert client.get("w:value") == 85
        client.put("w:other", 3, wait=True)
        assert client.get("w:other") == 4
        client.put("w:other", 100, wait=True)
        assert client.get("w:other") == 4
        # A write of the program goes through the putter, too.
        client.put("w:real.RVAL", 20, wait=True)
        assert client.get("w:other") == 21
        client.put("w:mode", "On", wait=True)
        assert client.get("w:real").units == "On" and client.get("w:real.DESC") == "mode On"
        assert group.mode.value == "On" == group.mode.value and group.mode.value == 1 and group.mode.value
        assert group.mode.raw_value == 1 and group.mode.enum_strings == ("Off", "On")
        assert group.real.field_inst.scan_rate.value == "Passive"
        with pytest.raises(AttributeError, match='did you mean "description"'):
            group.real.fields.descripton
        with pytest.raises(TypeError, match="no metadata 'unit'"):
            group.real.write_metadata(unit="mm")
    with pytest.raises(AttributeError, match="give it record="):
        Writes.value.fields  # noqa: B018
    with pytest.raises(ValueError, match="read only has no putter"):
        pvproperty(value=1, read_only=True, put=print)
    with pytest.raises(ValueError, match="use_scan_field needs record="):
        pvproperty(value=1).scan(1.0, use_scan_field=True)


class Scans(PVGroup):
    ticks = pvproperty(value=0, record="ai")
    broken = pvproperty(value=0)

    @ticks.scan(period=0.02, use_scan_field=True)
    async def ticks(self, instance, async_lib):
        await instance.write(instance.value + 1)

    @broken.scan(period=0.02)
    async def broken(self, instance, async_lib):
        if self.ticks.value < 5:
            raise OSError("not yet")
        await instance.write(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_scans_follow_their_field_and_show_failures():
    with Scans(prefix="s:").serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.wait_until("s:broken", lambda value: value.severity == 2 or value == 1, timeout=PATIENCE)
        client.wait_until("s:ticks", lambda value: value >= 5, timeout=PATIENCE)
        value = client.wait_until("s:broken", lambda value: value == 1, timeout=PATIENCE)
        assert value == 1
        client.put("s:ticks.SCAN", ".1 second", wait=True)
        client.put("s:ticks.SCAN", "Passive", wait=True)


def example(there, name):
    """The namespace of one of caproto's examples, whose imports are those of ours."""
    file = os.path.join(os.path.dirname(there["where"]), os.pardir, "ioc_examples", f"{name}.py")
    with open(file, encoding="utf-8") as source:
        text = source.read().replace("from caproto", "from canter.sim.caproto")
    space = {"__name__": f"example_of_{name}"}
    exec(compile(text, file, "exec"), space)  # noqa: S102 - a file of the installed package
    return space


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@needs_peers
def test_examples_of_caproto_run_with_another_import(there, tmp_path):
    group = example(there, "custom_write")["CustomWrite"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x:directory", str(tmp_path), wait=True)
        client.put("x:A", 7, wait=True)
        assert (tmp_path / "A").read_text() == "7\n" and client.get("x:A") == 7
    group = example(there, "decay")["Decay"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x:K", 0.01, wait=True)
        client.put("x:SP", 50.0, wait=True)
        client.wait_until("x:I", lambda value: abs(value - 50.0) < 1.0, timeout=PATIENCE)
        client.wait_until("x:done", "On", timeout=PATIENCE)
    group = example(there, "enums")["EnumIOC"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        assert [client.channel(f"x:{name}").get(as_type=str) for name in ("bo", "bi", "mbbi", "enum_class")] == [
            "One Value", "a", "one", "on",
        ]  # fmt: skip
        assert client.get("x:bo.ZNAM") == "Zero Value" and client.get("x:mbbi.TWST") == "two"
    group = example(there, "records")["RecordMockingIOC"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x:A.RVAL", 5, wait=True)
        client.wait_until("x:B", 5.0, timeout=PATIENCE)
        client.put("x:B.RVAL", 5, wait=True)
        client.wait_until("x:B", 15.0, timeout=PATIENCE)
        assert client.get("x:D.RTYP") == "ao" and client.get("x:E") == "this is a test"
        assert client.get("x:C").units == "mm" and "A" in group.attr_pvdb
        with pytest.raises(Exception, match="x:B"):
            client.put("x:B", 1.0, wait=True)
    group = example(there, "rpc_function")["MyPVGroup"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        assert 1 <= client.get("x:fixed_random") <= 100
        client.put("x:get_random:Process", 1, wait=True)
        assert 100 <= client.get("x:get_random:Retval") <= 1000
    group = example(there, "setpoint_rbv_pair")["Group"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        for name, value in (("pair", 3), ("pair2", 2.5), ("pair3", "Yes")):
            client.put(f"x:{name}", value, wait=True)
            client.wait_until(f"x:{name}_RBV", value, timeout=PATIENCE)
    group = example(there, "skip_write")["SkipWriteIOC"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x:value", 3, wait=True)
        assert client.get("x:value") == 85
    group = example(there, "subgroups")["MyPVGroup"](prefix="x:")
    assert list(group.pvdb) == ["x:group1:random", "x:group2:random", "x:group3:random"]
    group = example(there, "scalars_and_arrays")["ArrayIOC"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        assert len(ioc) == len(group.pvdb) > 5
        for name in group.pvdb:
            client.get(name)
    group = example(there, "worker_thread")["WorkerThreadIOC"](prefix="x:")
    with group.serve() as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x:request", 0, wait=True)
        client.wait_until("x:response", 1, timeout=PATIENCE)


JUDGE = """
import json, epics
said = [epics.caget("c:count", use_monitor=False, timeout=30) for _ in range(3)]
said.append(epics.caget("c:mode", as_string=True, use_monitor=False, timeout=30))
said.append(epics.PV("c:wrong", connection_timeout=30, auto_monitor=False).get_with_metadata(form="time", timeout=30)["severity"])
import asyncio
from aioca import caget
async def story():
    return [await caget("c:count", timeout=30), await caget("c:level", timeout=30)]
said += asyncio.run(story())
print(json.dumps(said))
"""


@needs_peers
def test_clients_with_libca_read_what_getters_make():
    group = Counter(prefix="c:")
    with group.serve() as ioc:
        done = subprocess.run(
            [PYTHON, "-c", JUDGE], env={**os.environ, **ioc.env}, capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.strip().splitlines()[-1])
    # What libca reads beside what is asked for (metadata with the first get) makes a value, too.
    counts = [*said[:3], said[5]]
    assert counts == sorted(set(counts)) and said[3] == "On" and said[6] == 11.0
    assert said[4] == (3 if group.turns == 0 else said[4])
