"""The compatibility modules of PyEpics: CaChannel, ca_util, epicsPV."""

import time

import pytest
from canter import epics
from canter.epics import dbr
from canter.epics.compat import CaChannel as of_ca, ca_util, epicsPV
from canter.epics.compat.CaChannel import CaChannel, CaChannelException
from conftest import PATIENCE

pytestmark = pytest.mark.usefixtures("default")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(CaChannel, "ca_timeout", PATIENCE)
    yield
    ca_util.cadict.clear()
    ca_util.set_ca_util_defaults([None, 3, "NONE"])
    epics.ca.clear_cache()
    epics.pv.clear_pvcache()


def until(is_so):
    """What is put without waiting arrives by and by."""
    ends = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def text_of(ioc):
    return bytes(ioc["text"]).split(b"\0")[0].decode()


def test_a_channel(ioc):
    channel = CaChannel("motor")
    assert channel.state() == dbr.CS_NEVER_SEARCH
    with pytest.raises(CaChannelException, match='"motor" was not searched'):
        channel.getw()
    channel.searchw()
    assert (channel.state(), channel.name(), channel.field_type(), channel.element_count()) == (2, "motor", 6, 1)
    assert channel.read_access() and channel.write_access() and channel.host_name().startswith("localhost:")
    assert channel.getw() == 1.5 and channel.getw(dbr.STRING) == "1.500"
    channel.putw(2.5)
    channel.array_put(3.5)
    channel.pend_io()
    channel.array_get()
    assert channel.getValue() == 3.5
    wave = CaChannel()
    wave.searchw("wave")
    assert wave.getw() == [1, 2, 3] and wave.getw(count=2) == [1, 2]
    wave.array_put([7, 8, 9], count=2)
    wave.pend_io()
    until(lambda: list(ioc["wave"]) == [7, 8])
    valve = CaChannel("valve")
    valve.search()
    valve.pend_io()
    valve.putw("Closed")
    assert valve.getw() == 0 and valve.getw(dbr.STRING) == "Closed"
    text = CaChannel("text")
    text.searchw()
    text.putw("as characters")
    until(lambda: text_of(ioc) == "as characters")
    valve.clear_channel()
    assert valve.state() == dbr.CS_NEVER_SEARCH
    channel.version()


def test_callbacks_of_a_channel(ioc, box):
    channel = CaChannel()
    channel.search_and_connect("motor", box, "a", 1)
    told, user = box.next()
    assert told[1] == dbr.OP_CONN_UP and user == ("a", 1)
    channel.array_put_callback(4.5, None, None, box, "put")
    told, user = box.next()
    assert user == ("put",) and (told["status"], told["type"], told["count"]) == (1, dbr.DOUBLE, 1)
    channel.array_get_callback(dbr.CTRL_DOUBLE, None, box, "get")
    told, user = box.next()
    assert (told["pv_value"], told["pv_units"], told["pv_precision"], told["pv_updislim"]) == (4.5, "mm", 3, 10)
    assert told["pv_severity"] == 0 and "pv_seconds" not in told
    channel.add_masked_array_event(dbr.TIME_DOUBLE, None, None, box, "event")
    told, user = box.next()
    assert told["pv_value"] == 4.5 and told["pv_seconds"] > 1.5e9 and user == ("event",)
    ioc["motor"] = 9.5
    assert box.next()[0]["pv_severity"] == 2
    channel.clear_event()
    valve = CaChannel("valve")
    valve.searchw()
    valve.array_get_callback(31, None, box)
    told, _ = box.next()
    assert (told["pv_value"], told["pv_nostrings"], list(told["pv_statestrings"])) == (1, 2, ["Closed", "Open"])


def test_what_a_channel_cannot_do(ioc):
    fixed = CaChannel("fixed")
    fixed.searchw()
    assert not fixed.write_access()
    with pytest.raises(CaChannelException, match="fixed") as caught:
        fixed.putw(2.0)
    assert int(caught.value) == 376 and caught.value.__cause__ is not None
    fixed.array_put(2.0)
    with pytest.raises(CaChannelException, match="fixed"):
        fixed.pend_io()
    fixed.pend_io()
    nowhere = CaChannel("no:such:pv")
    nowhere.setTimeout(0.05)
    with pytest.raises(CaChannelException, match="no:such:pv") as caught:
        nowhere.searchw()
    assert int(caught.value) == dbr.ECA_TIMEOUT
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="time-out"):
            nowhere.setTimeout(wrong)
    with pytest.raises(CaChannelException, match="the name of a PV is missing"):
        CaChannel().searchw()


def test_channels_by_name(ioc, box, capsys):
    assert ca_util.caget("motor") == 1.5 and ca_util.caget("wave", req_count=2) == [1, 2]
    assert ca_util.caget("valve", req_type=dbr.STRING) == "Open"
    ca_util.caput("motor", 2.5, read_check_tolerance=0.01)
    ca_util.caputw("slow", 1.0, wait_timeout=PATIENCE, read_check_tolerance=0.01)
    ca_util.caput("valve", "Closed", read_check_tolerance=0)
    ca_util.caput("wave", [4.0, 5.0], read_check_tolerance=0.1)
    ca_util.caput("note", "other", read_check_tolerance=0)
    ca_util.caput("text", "long", read_check_tolerance=0)
    assert (ioc["motor"], ioc["slow"], ioc["valve"], list(ioc["wave"])) == (2.5, 1, 0, [4, 5])
    assert text_of(ioc) == "long" and ioc["note"] == "other"
    ca_util.caputw("never", 1.0, wait_timeout=0.05)
    assert "Execution not completed by wait_timeout (0.05 seconds)" in capsys.readouterr().out
    ca_util.camonitor("count", lambda known, user: box((known["pv_value"], user)))
    assert box.next() == (5, ("count",))
    ioc["count"] = 6
    assert box.next() == (6, ("count",))
    ca_util.caunmonitor("count")
    assert ca_util.castate("motor") == "connected" and ca_util.castate("fixed") == "connected, nowrite"
    assert ca_util.castate("no:such", timeout=0.01) == "not connected"
    assert ca_util.castate() == "Null name has no state"


def test_a_value_that_is_read_back_as_another_one(ioc):
    ioc["motor"].on_put(lambda put: 0.0)
    with pytest.raises(ca_util.ca_utilException, match="'motor' is 0.0 after 3.0 was put") as caught:
        ca_util.caput("motor", 3.0, read_check_tolerance=0.01)
    assert int(caught.value) == ca_util.EXCEPTION_READBACK_DISAGREES
    before = ca_util.set_ca_util_defaults(read_check_tolerance=0.01)
    assert before[:2] == [None, 3]
    with pytest.raises(ca_util.ca_utilException, match="Readback disagrees"):
        ca_util.caputw("motor", 3.0)
    ca_util.caput("motor", 3.0, read_check_tolerance="NONE")


def test_names_that_are_missing():
    for wrong in (lambda: ca_util.caget(""), lambda: ca_util.caput(None, 1), lambda: ca_util.camonitor("", print)):
        with pytest.raises(ca_util.ca_utilException, match="No name was provided"):
            wrong()
    with pytest.raises(ca_util.ca_utilException, match="PV is not connected"):
        ca_util.caunmonitor("nobody")
    with pytest.raises(of_ca.CaChannelException, match="no:such"):
        ca_util.caget("no:such", timeout=0.01, retries=1)


def test_a_pv_with_other_methods(ioc):
    pv = epicsPV("motor")
    assert pv.getw() == pv.getValue() == pv.array_get() == 1.5
    pv.putWait(2.5)
    assert ioc["motor"] == 2.5 and pv.getControl()["units"] == "mm"
    pv.setMonitor()
    pv.checkMonitor()
    assert not pv.checkMonitor()
    pv.putWait(3.5)
    assert pv.checkMonitor() and not pv.checkMonitor()
    pv.clearMonitor()
    pv.putWait(4.5)
    assert not pv.checkMonitor()
    with pytest.raises(ValueError, match="name of a PV is missing"):
        epicsPV()
