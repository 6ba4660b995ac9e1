"""The native face: values, puts, monitors, errors."""

import math
import pickle

import numpy as np
import pytest

import canter
from canter import sim
from conftest import PATIENCE, patiently


def test_a_double_is_a_float_that_knows_more(client):
    value = client.get("motor")
    assert isinstance(value, float) and value == 1.5
    assert (value.name, value.units, value.precision) == ("motor", "mm", 3)
    assert value.severity is canter.Severity.NO_ALARM and value.alarm == ""
    assert value.timestamp > 1_700_000_000 * 10**9
    assert value.datetime.tzinfo is not None
    assert value.limits["upper_disp_limit"] == 10 and value.limits["lower_alarm_limit"] == -9
    assert type(value + 1) is float


def test_integers_and_texts_are_int_and_str(client):
    count, note = client.get("count"), client.get("note")
    assert isinstance(count, int) and count == 5 and count.timestamp
    assert isinstance(note, str) and note == "hello" and note.native == "STRING"
    assert client.get("small") == 7 and client.get("single") == 0.5


def test_an_enum_is_its_number_and_its_text(client):
    valve = client.get("valve")
    assert valve == 1 and valve == "Open" and valve != "Closed"
    assert str(valve) == f"{valve}" == "Open" and int(valve) == 1
    assert valve.enums == ("Closed", "Open")
    assert {1: "found"}[valve] == "found"


def test_an_array_is_a_read_only_view(client):
    wave = client.get("wave")
    assert isinstance(wave, np.ndarray) and wave.tolist() == [1.0, 2.0, 3.0]
    assert wave.timestamp and wave[1:].timestamp == wave.timestamp
    assert not wave.flags.writeable and not wave.flags.owndata
    copy = wave.copy()
    copy[0] = 9
    assert type(copy) is np.ndarray and type(wave * 2) is np.ndarray and wave[0] == 1
    assert isinstance(wave.sum(), float)


def test_an_array_of_one_element_stays_an_array(client):
    assert client.get("room").tolist() == [1.0]
    assert client.get("wave", count=2).tolist() == [1.0, 2.0]


def test_texts_of_any_length(client):
    assert list(client.get("names")) == ["one", "two"]
    assert client.get("text", as_type=str) == sim_text()
    client.put("text", "another text that is longer than forty bytes of a string")
    assert client.get("text", as_type=str).startswith("another text")


def sim_text():
    from conftest import PVS

    return PVS["text"]["value"]


def test_a_text_for_a_channel_that_is_not_connected_yet(ioc):
    with ioc.client(timeout=PATIENCE) as client:
        client.put("text", "one")
        assert client.get("text", as_type=str) == "one"
    with ioc.client(timeout=PATIENCE) as client:
        assert client.put_many(["text", "note"], ["two", "three"]) == [None, None]
        assert client.get("text", as_type=str) == "two" and client.get("note") == "three"


def test_the_server_converts(client):
    assert client.get("motor", as_type=str) == "1.500"
    assert client.get("valve", as_type=str) == "Open"
    assert client.get("motor", as_type=int) == 1
    with pytest.raises(TypeError):
        client.get("motor", as_type=dict)


@pytest.mark.parametrize(
    "pv, value, read",
    [
        ("motor", 2.5, 2.5),
        ("motor", 3, 3.0),
        ("motor", "4.5", 4.5),
        ("motor", np.float32(0.5), 0.5),
        ("motor", np.int64(6), 6.0),
        ("motor", np.array(7.5), 7.5),
        ("motor", 2**40, float(2**40)),
        ("motor", True, 1.0),
        ("valve", "Closed", 0),
        ("valve", 0, 0),
        ("note", "world", "world"),
        ("note", b"bytes", "bytes"),
        ("count", -3, -3),
    ],
)
def test_puts_of_scalars(client, pv, value, read):
    client.put(pv, value)
    assert client.get(pv) == read


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        range(1, 4),
        np.array([1, 2, 3]),
        np.array([1, 2, 3], dtype=">i2"),
        np.array([[1, 2, 3]], dtype=np.uint8),
        np.arange(1, 7)[::2] // 2 + 1,
        np.array([1, 2, 3], dtype=object),
        memoryview(np.array([1.0, 2.0, 3.0])),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_puts_of_arrays(client, value):
    client.put("room", value)
    assert client.get("room").tolist() == [1.0, 2.0, 3.0]


def test_values_can_be_put_and_pickled(client):
    for pv in ("motor", "valve", "note", "wave", "names"):
        value = client.get(pv)
        client.put(pv, value)
        again = pickle.loads(pickle.dumps(value))
        assert type(again).__module__ in ("builtins", "numpy")
        assert np.array_equal(again, value) if pv == "wave" else again == value


@pytest.mark.parametrize(
    "pv, value, what",
    [
        ("motor", None, "None"),
        ("motor", object(), "object"),
        ("wave", [1, None], "element 1"),
        ("wave", [1, "x"], "element 1"),
        ("note", "x" * 40, "39"),
        ("note", "a\0b", "NUL"),
        ("motor", {"a": 1}, "dict"),
        ("wave", np.array([1j]), "complex"),
        ("motor", 10**400, "larger"),
    ],
)
def test_what_is_no_value_names_pv_and_remedy(client, pv, value, what):
    with pytest.raises(canter.ValueProblem) as caught:
        client.put(pv, value)
    error = caught.value
    assert isinstance(error, canter.CanterError) and isinstance(error, ValueError)
    assert error.pv == pv and pv in str(error) and error.remedy and what in str(error)


def test_what_the_server_refuses_is_an_exception(client):
    with pytest.raises(canter.PutRefused) as caught:
        client.put("valve", "Ajar")
    assert caught.value.peer and caught.value.status == 160 and caught.value.phase == "connected"
    with pytest.raises(canter.AccessDenied) as caught:
        client.put("fixed", 2.0)
    assert isinstance(caught.value, PermissionError) and "access" in str(caught.value)
    with pytest.raises(canter.BadRequest):
        client.put("wave", [1.0] * 100)


def test_a_pv_that_is_not_there_says_so(client):
    with pytest.raises(canter.ConnectTimeout) as caught:
        client.get("nowhere", timeout=0.05)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.pv, error.phase, error.peer) == ("nowhere", "search", None)
    assert "EPICS_CA_ADDR_LIST" in str(error) and error.remedy and error.elapsed >= 0.05
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.pv == "nowhere"
    assert client.info("nowhere", timeout=0.01)["error"].phase == "search"


def test_it_explains_why_a_pv_does_not_connect(client, default):
    works = client.explain("motor")
    assert works.works and works.cause == "works" and "verdict" in str(works)
    there = canter.explain("Motor", timeout=0.5)
    assert not there.works and there.remedy and "motor" in str(there) and there.pv == "Motor"


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b"])
def test_a_name_that_is_none_says_so(client, name):
    with pytest.raises(canter.BadName) as caught:
        client.get(name)
    assert caught.value.remedy


@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf])
def test_a_time_out_that_is_none_says_so(client, timeout):
    with pytest.raises(ValueError, match="time-out"):
        client.get("motor", timeout=timeout)


def test_a_time_out_of_zero_and_one_without_end(client):
    with pytest.raises(canter.CanterError):
        client.get("nowhere", timeout=0)
    assert client.get("motor", timeout=math.inf) == 1.5


def test_nowhere_to_search_comes_at_once():
    with canter.Client(addr_list="", auto_addr_list=False, repeater_port=0, environ={}) as client:
        with pytest.raises(canter.ConnectTimeout) as caught:
            client.get("motor", timeout=1000)
        assert "nowhere to search" in str(caught.value)


def test_many_at_once_each_its_own_result(client):
    def story(timeout):
        results = client.get_many(["motor", "nowhere", "valve", "wave"], timeout=timeout, describe=True)
        assert len(results) == 4 and not results.ok
        assert results[0] == results["motor"] == 1.5 and results[0].units == "mm"
        assert isinstance(results[1], canter.ConnectTimeout) and list(results.errors) == ["nowhere"]
        assert results[2] == "Open" and results[-1].tolist() == [1.0, 2.0, 3.0]
        assert results.values[0] == 1.5 and math.isnan(results.values[1])
        assert results.severities.tolist() == [0, 3, 0, 0] and results.timestamps[1] == 0
        with pytest.raises(IndexError):
            results[4]

    patiently(story)


def test_many_at_once_or_the_first_exception(client):
    def story(timeout):
        with pytest.raises(canter.ConnectTimeout) as caught:
            client.get_many(["nowhere", "motor"], timeout=timeout, throw=True)
        assert caught.value.results["motor"] == 1.5

    patiently(story)


def test_puts_to_many_at_once(client):
    results = client.put_many(["motor", "fixed", "valve", "note"], [9.5, 1.0, "Ajar", None])
    assert results[0] is None and isinstance(results[1], canter.AccessDenied)
    assert isinstance(results[2], canter.PutRefused) and isinstance(results[3], canter.ValueProblem)
    assert client.get("motor") == 9.5
    with pytest.raises(ValueError):
        client.put_many(["motor"], [1, 2])


def test_connecting_many_at_once(client):
    def story(timeout):
        results = client.connect(["motor", "nowhere", "wave", ""], timeout=timeout)
        kinds = [type(result).__name__ for result in results]
        assert kinds == ["NoneType", "ConnectTimeout", "NoneType", "BadName"]

    patiently(story)


def test_a_put_that_waits_returns_when_it_is_complete(client):
    client.put("slow", 1.0, wait=True)
    with pytest.raises(canter.PutTimeout) as caught:
        client.put("never", 1.0, wait=True, timeout=0.05)
    assert caught.value.pv == "never" and client.get("never") == 1.0


def test_a_monitor_with_a_callback(client, ioc, box):
    connections = type(box)()
    subscription = client.monitor("motor", box, on_connection=connections)
    first = box.next()
    assert first == 1.5 and first.units == "mm" and connections.next() is True
    ioc["motor"] = 2.5
    box.until(2.5)
    ioc.restart()
    assert connections.next() is False and connections.next() is True
    ioc["motor"] = 3.5
    box.until(3.5)
    subscription.close()
    subscription.close()
    while client.stats()["subscriptions"]:
        client.get("motor")


def test_a_monitor_is_an_iterator(client, ioc):
    with client.monitor("count") as updates:
        seen = []
        for value in updates:
            seen.append(int(value))
            if len(seen) == 3:
                break
            ioc["count"] = value + 1
    assert seen == [5, 6, 7]
    with pytest.raises(canter.Closed):
        updates.get(1)
    with client.monitor("count") as updates:
        updates.get(PATIENCE)
        with pytest.raises(TimeoutError):
            updates.get(0.01)


def test_the_description_stays_fresh(client, ioc, box):
    client.monitor("motor", box)
    assert box.next().units == "mm"
    ioc["motor.EGU"] = "um"
    while client.get("motor").units != "um":
        pass
    ioc["motor"] = 2.0
    assert box.until(2.0).units == "um"


def test_waiting_for_a_value(client, ioc):
    ioc["count"] = 6
    assert client.wait_until("count", 6, timeout=PATIENCE) == 6
    assert client.wait_until("count", lambda value: value > 5, timeout=PATIENCE) == 6
    assert client.put_and_match("motor", 4.0, "motor", tolerance=0.1, timeout=PATIENCE) == 4.0
    with pytest.raises(canter.Unmatched) as caught:
        client.wait_until("count", 7, timeout=0.05)
    assert caught.value.pv == "count" and "6" in str(caught.value)


def test_a_closed_client_says_so(ioc):
    client = ioc.client()
    channel = client.channel("motor")
    assert channel.get() == 1.5
    client.close()
    for use in (channel.get, lambda: client.get("valve"), lambda: client.monitor("motor", print)):
        with pytest.raises(canter.Closed) as caught:
            use()
        assert caught.value.remedy
    client.close()


def test_settings_that_make_no_sense_say_so():
    with pytest.raises(ValueError, match="priority"):
        canter.Client(priority=100)
    with pytest.raises(ValueError, match="name server"):
        canter.Client(name_servers=["somewhere"])
    with pytest.raises(TypeError):
        canter.Client(adr_list="127.0.0.1")


def test_a_read_only_client(ioc):
    with ioc.client(read_only=True) as client:
        assert client.get("motor") == 1.5
        with pytest.raises(canter.ReadOnly) as caught:
            client.put("motor", 2.0)
        assert "read_only" in caught.value.remedy


def test_the_functions_of_the_module(default):
    assert canter.get("motor") == 1.5
    canter.put("motor", 2.0)
    assert canter.get_many(["motor"])[0] == 2.0
    assert canter.put_many(["motor"], [3.0]) == [None]
    assert canter.info("motor")["native"] == "DOUBLE"
    assert canter.connect("motor").connected and canter.channel("motor").name == "motor"
    assert canter.wait_until("motor", 3.0, timeout=PATIENCE) == 3.0
    with canter.monitor("motor") as updates:
        assert updates.get(PATIENCE) == 3.0


def test_puts_reach_the_program_of_an_ioc(box):
    with sim.IOC({"x": 1.0}, on_put=box) as ioc, ioc.client() as client:
        client.put("x", 2.0)
        put = box.next()
        assert (put.name, put.field, put.value) == ("x", "VAL", 2.0) and "127.0.0.1" in put.who


def test_an_ioc_changes_while_it_runs(ioc, client):
    ioc.add("new", sim.Pv(1, units="A"))
    assert client.get("new").units == "A" and "new" in ioc.names
    assert ioc.remove("new") and not ioc.remove("new")
    ioc.set_alarm("motor", canter.Severity.MAJOR, 3)
    assert client.get("motor").severity is canter.Severity.MAJOR
    assert ioc.read("motor").severity == 2
    ioc.set_rights("motor", write=False)
    with client.monitor("motor") as updates:
        updates.get(PATIENCE)
        while client.channel("motor").info()["can_write"]:
            pass
    with pytest.raises(KeyError):
        ioc["nothing"] = 1
    with pytest.raises(ValueError):
        ioc["motor"] = "no number"


@pytest.mark.parametrize(
    "given, what",
    [
        (sim.Pv(1.0, unit="mm"), "unit"),
        (sim.Pv(1.0, type="int"), "double"),
        (sim.Pv("Ajar", states=["Open"]), "states"),
        (sim.Pv("x", type="double"), "DOUBLE"),
    ],
)
def test_a_wrong_description_of_a_pv_says_so(given, what):
    with pytest.raises((TypeError, ValueError), match=what) as caught:
        sim.IOC({"x": given})
    assert "x" in str(caught.value)
