"""The simulated IOC in the hands of Python: records, puts that are decided, functions, models, faults."""

import asyncio
import gc
import logging
import threading
import weakref

import numpy
import pytest

import canter
from canter import sim
from conftest import PATIENCE

DB = """
record(ao, "$(P)set") { field(EGU, "mm") field(FLNK, "$(P)twice") field(DRVH, 100) field(DRVL, -100) }
record(calc, "$(P)twice") { field(INPA, "$(P)set") field(CALC, "2*A") }
record(mbbo, "$(P)mode") { field(ZRST, "Off") field(ONST, "On") }
record(sub, "$(P)sub") { field(SNAM, "triple") field(BRSV, "MAJOR") }
record(aSub, "$(P)vector") { field(SNAM, "reverse") field(FTA, "DOUBLE") field(NOA, 5) field(FTVA, "DOUBLE")
    field(NOVA, 5) field(INPA, [1, 2, 3]) }
"""


def triple(call):
    if call["A"] < 0:
        raise ValueError("below 0")
    return 3 * call["A"]


async def reverse(call):
    await asyncio.sleep(0)
    return {"VALA": call["A"][::-1]}


@pytest.fixture
def records():
    functions = {"triple": triple, "reverse": reverse}
    with sim.IOC(db=DB, macros={"P": "T:"}, functions=functions) as ioc:
        yield ioc


@pytest.fixture
def user(records):
    with records.client(timeout=PATIENCE) as client:
        yield client


def test_records_of_a_text(records, user):
    user.put("T:set", 4.0, wait=True)
    assert user.get("T:twice") == 8.0
    assert records["T:set"] == 4.0 and records["T:set"]["EGU"] == "mm" and "T:set" in records
    records["T:set"]["EGU"] = "um"
    assert user.get("T:set.EGU") == "um"
    records["T:set"].post(5.0)
    assert records["T:twice"].get() == 10.0 and float(records["T:twice"]) == 10.0
    assert records["T:twice"] + 1 == 11.0 and 1 < records["T:twice"] <= 10
    assert [*records["T:vector.A"]] == [1, 2, 3] and "nowhere" not in records and len(records) == 5
    with pytest.raises(KeyError, match="nowhere"):
        records["nowhere"]
    assert repr(records["T:set"]) == "<canter.sim.Record 'T:set': 5.0>"


def test_files_with_macros_and_a_site_of_its_own(tmp_path):
    (tmp_path / "a.template").write_text('record(holder, "$(N)") { field(VAL, "$(V=7)") }\n')
    (tmp_path / "a.substitutions").write_text('file a.template { pattern { N, V } { "X", "1" } { "Y", "2" } }\n')
    (tmp_path / "site.dbd").write_text(
        'recordtype(holder) { include "dbCommon.dbd" field(VAL, DBF_LONG) { prompt("value") } }\n'
    )
    dbd = tmp_path / "common.dbd"
    dbd.write_text('recordtype(holder) { field(NAME, DBF_STRING) { prompt("n") special(SPC_NOMOD) size(61) }\n'
                   'field(VAL, DBF_LONG) { prompt("value") } }\n')  # fmt: skip
    with sim.IOC(db=["a.substitutions", ("a.template", {"N": "Z"})], dbd=dbd, path=tmp_path) as ioc:
        assert {name: ioc[name].value for name in ioc.names} == {"X": 1, "Y": 2, "Z": 7}


def test_wrong_files_tell_all_mistakes_with_their_places(tmp_path):
    file = tmp_path / "bad.db"
    file.write_text('record(ao, "x") {\n  field(EGUU, "mm")\n}\nrecord(oa, "y") {}\n')
    with pytest.raises(sim.DatabaseError) as raised:
        sim.IOC(db=file)
    first, second = raised.value.mistakes
    assert (first.line, first.column, first.kind, first.remedy) == (2, 9, "unknown-field", "did you mean `EGUF`?")
    assert second.line == 4 and first.file == str(file)
    assert 'field(EGUU, "mm")' in str(raised.value) and "^^^^" in str(raised.value)
    with pytest.raises(sim.DatabaseError, match="nowhere.db"):
        sim.IOC(db="nowhere.db")
    with pytest.raises(ValueError, match="interface"):
        sim.IOC({}, interface="nowhere")


def test_functions_of_records(records, user, caplog):
    user.put("T:sub.A", 4, wait=True)
    assert user.get("T:sub") == 12.0
    user.put("T:vector.PROC", 1, wait=True)
    assert user.get("T:vector.VALA").tolist() == [3, 2, 1]
    seen = []
    canter.callback_errors.append(lambda error, function: seen.append((str(error), function)))
    try:
        user.put("T:sub.A", -1, wait=True)
    finally:
        canter.callback_errors.clear()
    assert user.get("T:sub").severity == canter.Severity.MAJOR and seen == [("below 0", triple)]


@pytest.mark.parametrize("name", ["x", "T:set"])
@pytest.mark.parametrize("is_async", [False, True])
def test_puts_are_decided_by_a_function(name, is_async):
    def decide(put):
        told.append((put.name, put.field, put.value, put.notify))
        if put.value > 10:
            raise sim.Refuse
        if put.value == 7:
            return sim.SKIP
        return 0.0 if put.value < 0 else None

    async def later(put):
        await asyncio.sleep(0)
        return decide(put)

    told = []
    with sim.IOC({"x": 1.5}, db=DB, macros="P=T:", functions={"triple": triple, "reverse": reverse}) as ioc:
        ioc.on_put(name, later if is_async else decide)
        with ioc.client(timeout=PATIENCE) as client:
            client.put(name, 5.0, wait=True)
            assert client.get(name) == 5.0
            with pytest.raises(canter.PutRefused):
                client.put(name, 50.0, wait=True)
            client.put(name, 7.0, wait=True)
            assert client.get(name) == 5.0
            # What follows on the circuit waits for the answer.
            client.put(name, -3.0, check=False)
            assert client.get(name) == 0.0
            assert [one[2] for one in told] == [5.0, 50.0, 7.0, -3.0]
            assert told[0] == (name, "VAL", 5.0, True)
            # The program's own values are not asked about, unless it wants to be.
            ioc[name].post(99.0)
            assert client.get(name) == 99.0
            with pytest.raises(sim.Refuse):
                ioc[name].put(50.0)
            ioc[name].put(-2.0)
            assert client.get(name) == 0.0
            ioc.on_put(name, None)
            client.put(name, 50.0, wait=True)
            assert len(told) == 6


def test_a_field_has_a_function_of_its_own(records, user):
    records.on_put("T:set.DESC", lambda put: put.value.upper())
    user.put("T:set.DESC", "first", wait=True)
    assert user.get("T:set.DESC") == "FIRST"


def test_texts_are_decided_as_the_state_that_they_name(records, user, box):
    records["T:mode"].on_put(lambda put: box(put.value))
    user.put("T:mode", "On", wait=True)
    assert box.next() == 1 and user.get("T:mode") == "On"
    with pytest.raises(canter.PutRefused):
        user.put("T:mode", "Of", wait=True)


def test_deciding_may_use_the_ioc_and_the_network(records, user):
    def decide(put):
        records["T:mode"].post(1)
        with records.client(timeout=PATIENCE) as other:
            other.put("T:sub.A", put.value, wait=True)
            return float(other.get("T:sub"))

    records.on_put("T:set", decide)
    user.put("T:set", 2.0, wait=True)
    assert (user.get("T:set"), user.get("T:twice"), user.get("T:mode")) == (6.0, 12.0, 1)


def test_what_deciding_raises_is_told_and_refuses(records, user, caplog):
    records.on_put("T:set", lambda put: 1 / 0)
    seen = []
    canter.callback_errors.append(lambda error, function: seen.append(type(error)))
    try:
        with caplog.at_level(logging.ERROR, logger="canter"), pytest.raises(canter.PutRefused):
            user.put("T:set", 2.0, wait=True)
        records.on_put("T:set", lambda put: "no number")
        with pytest.raises(canter.PutRefused):
            user.put("T:set", 2.0, wait=True)
    finally:
        canter.callback_errors.clear()
    assert ZeroDivisionError in seen and "division by zero" in caplog.text


def test_on_update_is_called_when_it_is_written(records, user, box):
    @records["T:set"].on_update
    def updated(value):
        box((value, records["T:twice"].value))

    user.put("T:set", 3.0)
    assert box.next() == (3.0, 6.0)
    records.observe("T:twice", box)
    records["T:set"].post(4.0)
    assert box.next() == 8.0


def test_the_device_of_a_record_sets_value_and_alarm(user, records):
    records["T:set"]["DISP"] = 1
    with pytest.raises(ValueError, match="DISP"):
        records["T:set"].post(1.0)
    records["T:set"].device(2.0, alarm=(2, 3))
    value = user.get("T:set")
    assert (value, value.severity, value.status) == (2.0, 2, 3) and user.get("T:twice") == 4.0
    records["T:set"].alarm(0)
    assert user.get("T:set").severity == 0


def test_several_iocs_start_and_stop_at_will(box):
    iocs = [sim.IOC({"x": float(n)}, db=f'record(ai, "n{n}") {{ field(INP, {n}) field(PINI, "YES") }}')
            for n in range(20)]  # fmt: skip
    addresses = {ioc.address for ioc in iocs}
    assert len(addresses) == 20
    for n, ioc in enumerate(iocs):
        with ioc.client(timeout=PATIENCE) as client:
            assert client.get("x") == n and client.get(f"n{n}") == n
        ioc.stop()
        assert not ioc.running
        ioc.start()
        with ioc.client(timeout=PATIENCE) as client:
            assert client.get("x") == n
    for ioc in iocs:
        ioc.close()
        ioc.close()
    threads = {thread.name for thread in threading.enumerate()}
    assert not threads & {"canter-ioc-desk", "canter-ioc-loop", "canter-model"}


def test_an_ioc_that_is_dropped_is_gone():
    ioc = sim.IOC({"x": 1.0}, on_put=print)
    gone = weakref.ref(ioc)
    del ioc
    gc.collect()
    assert gone() is None


def test_faults_come_and_go_while_clients_are_connected(ioc, client, box):
    with client.monitor("motor", on_connection=box) as updates:
        assert box.next() is True and updates.get(PATIENCE) == 1.5
        ioc.set_alarm("motor", 3, 9)
        assert updates.get(PATIENCE).severity == 3
        ioc.set_alarm("motor", 0)
        ioc["motor"].rights(write=False)
        with pytest.raises((canter.AccessDenied, canter.PutRefused)):
            client.put("motor", 2.0)
        ioc["motor"].rights()
        ioc.replace("motor", 7)
        assert box.next() is False and box.next() is True
    assert client.get("motor") == 7 and isinstance(client.get("motor"), int)
    ioc["motor"].completion(None)
    done = threading.Thread(target=client.put, args=("motor", 8), kwargs={"wait": True, "timeout": PATIENCE})
    done.start()
    while not ioc.finish_put("motor"):
        client.get("motor")
    done.join(PATIENCE)
    assert not done.is_alive() and client.get("motor") == 8
    assert ioc.remove("motor") and not ioc.remove("motor")
    assert ioc.counts["circuits"] == 1 and ioc.counts["questions"] == 0


def test_frames_are_kept_when_asked_for():
    with sim.IOC({"x": 1.0}, frames=True) as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("x", 2.5)
        text = "\n".join(ioc.frames)
    assert "SEARCH" in text and "CREATE_CHAN" in text and "WRITE" in text and "x" in text
    with sim.IOC({"x": 1.0}) as ioc:
        assert ioc.frames == []


def test_a_proxy_loses_searches_and_denies_puts(ioc):
    script = "[[rule]]\nid = 'deaf'\non = 'search'\naction = 'drop'\ntimes = 2\n"
    with sim.Proxy(ioc, script) as proxy, proxy.client(timeout=PATIENCE) as client:
        assert client.get("motor") == 1.5
        assert "deaf" in proxy.execute("list")
        with pytest.raises(ValueError, match="deef"):
            proxy.execute("off deef")
    with pytest.raises(RuntimeError):
        proxy.execute("list")
    with pytest.raises(ValueError, match="line 2"):
        sim.Proxy(ioc, "[[rule]]\nid = 7\n")


# ---- Models. ----


def test_a_model_gets_and_gives_vectors(box):
    count = 1000
    pvs = {f"set{n}": float(n) for n in range(count)} | {f"read{n}": 0.0 for n in range(count)}
    pvs |= {"all": [0.0] * count, "pulse": 0}
    with sim.IOC(pvs) as ioc:
        model = ioc.model(
            lambda t, given: t + 2 * given,
            set=[f"set{n}" for n in range(count)],
            read=[f"read{n}" for n in range(count)],
            arrays=[("all", 0, count)],
            pulse="pulse",
            period=None,
        )
        model.step(0.5)
        assert ioc["read7"] == 14.5 and ioc["all"].value[999] == 1998.5 and ioc["pulse"] == 1
        assert ioc.read("read0").timestamp == ioc.read("read999").timestamp == ioc.read("all").timestamp
        with pytest.raises(ValueError, match="nowhere"):
            ioc.model(lambda t, given: given, read=["nowhere"], period=None)


@pytest.mark.parametrize(
    "bad, error",
    [
        (lambda: 1 / 0, ZeroDivisionError),
        (lambda: numpy.array([1.0]), ValueError),
        (lambda: numpy.array([1.0, numpy.nan]), ValueError),
        (lambda: numpy.zeros((2, 2)), ValueError),
        (lambda: ["a", "b"], ValueError),
    ],
)
def test_a_model_that_fails_is_told_and_what_ran_goes_on(bad, error):
    wrong = True
    with sim.IOC({"a": 0.0, "b": 0.0}) as ioc:
        model = ioc.model(
            lambda t, given: bad() if wrong else numpy.array([t, t]), read=["a", "b"], period=None
        )
        for _ in range(2):
            with pytest.raises(error):
                model.step(0.0)
        assert ioc.read("b").severity == canter.Severity.INVALID and isinstance(model.error, error)
        wrong = False
        model.step(2.0)
        assert ioc.read("b").severity == 0 and ioc["b"] == 2.0 and model.error is None
        assert (model.steps, model.failures) == (1, 2)


def test_a_model_runs_by_itself(box):
    wrong = False

    def compute(t, given):
        if wrong:
            raise ValueError("the beam is lost")
        return [given[0] + 1]

    with sim.IOC({"a": 0.0, "set": 1.0}) as ioc, ioc.client(timeout=PATIENCE) as client:
        ioc.model(compute, set=["set"], read=["a"], period=0.001, on_error=box)
        assert client.wait_until("a", 2.0, timeout=PATIENCE) == 2.0
        client.put("set", 5.0)
        assert client.wait_until("a", 6.0, timeout=PATIENCE) == 6.0
        wrong = True
        assert str(box.next()) == "the beam is lost"
        wrong = False
        client.put("set", 7.0)
        assert client.wait_until("a", 8.0, timeout=PATIENCE) == 8.0
        assert box.queue.empty()


def test_time_stands_still_and_goes_back(tmp_path):
    db = 'record(calc, "n") { field(SCAN, ".1 second") field(CALC, "VAL+1") }'
    with sim.IOC({"x": 1.0}, db=db) as ioc, ioc.client(timeout=PATIENCE) as client:
        ioc.freeze()
        assert ioc.frozen
        with pytest.raises(ValueError, match="not frozen"), sim.IOC() as other:
            other.step()
        n = client.get("n")
        before = ioc.snapshot()
        seen = []
        client.monitor("x", seen.append)
        client.put("x", 2.0, wait=True)
        ioc.step()
        assert client.get("n") == n + 1
        assert ioc.step(60) == 60 and 600 <= client.get("n") - n <= 601
        before.write(tmp_path / "before.snap")
        for state in (before, sim.Snapshot(before.bytes), tmp_path / "before.snap"):
            client.put("x", 3.0, wait=True)
            ioc.rewind(state)
            assert (client.get("n"), client.get("x")) == (n, 1.0)
        assert ioc.frozen
        ioc.thaw()
        (tmp_path / "cut").write_bytes(before.bytes[:100])
        with pytest.raises(ValueError, match="cut: byte 100: the snapshot ends here"):
            ioc.rewind(tmp_path / "cut")
        with sim.IOC({"y": 1.0}) as other, pytest.raises(ValueError, match="of another database"):
            other.rewind(before)
