"""PyCafe's interface: what its users call, what comes of mistakes, files, callbacks, and a script as they write it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import canter
import canter.pycafe as PyCafe
from canter import sim
from conftest import PATIENCE
from peers import needs_peers
from real_ioc import real_ioc

SCRIPTS = Path(__file__).with_name("scripts")
cyca = PyCafe.CyCa()


@pytest.fixture
def cafe(default):
    cafe = PyCafe.CyCafe()
    cafe.init()
    cafe.setOpenDefaultPendTime(PATIENCE)
    yield cafe
    cafe.terminate()


#: What users call: names, keywords and defaults. There is no package of PyCafe to install, so that the table is
#: from its page (https://cafe.web.psi.ch/cython.html), CAFE's headers, and published scripts of users.
TABLE = {
    "init": [], "terminate": [], "withExceptions": ["flag=True"], "attachContext": ["handlePV=None"],
    "printHandle": ["handlePV"], "printDisconnectedHandles": [],
    "open": ["pv"], "openPrepare": [], "openNowAndWait": ["timeout=None"], "openGroupPrepare": [],
    "openGroupNowAndWait": ["timeout=1.0"], "openMonitorPrepare": [], "openMonitorNowAndWait": ["timeout=1.0"],
    "close": ["handlePV=None"], "isConnected": ["handlePV"], "getPVFromHandle": ["handle"],
    "getHandleFromPV": ["pv"],
    "get": ["handlePV", "dt='native'"], "getCache": ["handlePV", "dt='native'"],
    "getPV": ["handlePV", "dt='native'"], "getPVCache": ["handlePV", "dt='native'"],
    "getArray": ["handlePV", "art='numpy'", "dt='native'"],
    "getArrayCache": ["handlePV", "art='numpy'", "dt='native'"], "set": ["handlePV", "value"],
    "getScalarList": ["handles", "dt='native'"], "setScalarList": ["handles", "values"],
    "getList": ["handles", "dt='native'"], "setList": ["handles", "values"],
    "getCompoundList": ["handles", "dt='native'"], "setCompoundList": ["handles", "values"],
    "grouping": ["name", "pvs"], "groupOpen": ["name"], "groupClose": ["group='All'"], "groupList": [],
    "getPVGroup": ["group", "dt='native'"], "getGroup": ["group", "dt='native'"],
    "getGroupCache": ["group", "dt='native'"], "setGroup": ["group", "values"],
    "getHandlesFromWithinGroup": ["group"],
    "monitorStart": ["handlePV", "cb=None", "dbr=1", "mask=5"],
    "groupMonitorStart": ["group", "cb=None", "dbr=1", "mask=5"],
    "groupMonitorStartWithCBList": ["group", "cb", "dbr=1", "mask=5"],
    "monitorStop": ["handlePV", "monitorID=None"],
    "match": ["value", "ch", "tolerance=0.0", "timeout=1.0", "num=0"],
    "setAndMatch": ["chSet", "value", "chRead", "tolerance=0.0", "timeout=1.0", "num=0"],
    "getCtrl": ["handlePV", "dt='native'"], "getCtrlCache": ["handlePV", "dt='native'"],
    "getUnits": ["handlePV"], "getPrecision": ["handlePV"], "getEnumStrings": ["handlePV"],
    "getChannelInfo": ["handlePV"], "getDescription": ["handlePV"],
    "loadCollectionsFromXML": ["path"], "loadGroupsFromXML": ["path"], "restoreFromXML": ["path"],
    "snapshot2XML": ["group", "path=None"], "group2XML": ["name", "path"],
    "collectionDefine": ["name", "devices", "attributes=()", "description=''"], "collectionList": [],
    "collectionMemberList": ["name"], "devicePositionMap": ["name"],
    "groupDefineFromCollection": ["name", "collection", "attribute"], "groupMemberList": ["name"],
    "setPVAlias": ["handlePV", "alias"], "getChannelDevice": ["handlePV"], "getChannelAttribute": ["handlePV"],
}  # fmt: skip

CONSTANTS = {
    "CY_DBR_PLAIN": 1, "CY_DBE_VALUE": 1, "CY_DBE_LOG": 2, "CY_DBE_ALARM": 4, "ICAFE_NORMAL": 1,
    "ICAFE_CS_NEVER_CONN": 600, "ICAFE_CS_CONN": 602, "ICAFE_CS_CLOSED": 603, "ICAFE_CS_DISCONN": 604,
    "ICAFE_CALLBACK_NOT_YET_INVOKED": 703, "ICAFE_CACHE_EMPTY": 705,
    "ICAFE_HAS_MONITOR_GET_DONE_FROM_CACHE": 708, "ECAFE_NODATA": 1000, "ECAFE_UNKNOWN_COLLECTION": 1009,
    "ECAFE_UNKNOWN_GROUP": 1014, "ECAFE_INVALID_HANDLE": 1017, "ECAFE_INVALID_GROUP_HANDLE": 1018,
    "ECAFE_NORDACCESS": 1019, "ECAFE_NOWTACCESS": 1020, "ECAFE_TIMEOUT": 1021, "ECAFE_INVALID_ENUM_INDEX": 1032,
    "ECAFE_TIMEOUT_SET_AND_MATCH": 1034, "ECAFE_HANDLE_MISMATCH_SET_AND_MATCH": 1035,
    "ECAFE_LOAD_COLLECTION": 1100, "ECAFE_LOAD_GROUP": 1101, "ECA_PUTFAIL": 160,
}  # fmt: skip


def test_the_table_of_methods():
    from introspect import parameters

    wrong = []
    for name, wanted in TABLE.items():
        found = parameters(getattr(PyCafe.CyCafe, name, None)) or [["missing", "", None]]
        shown = [one if default is None else f"{one}={default}" for one, _, default in found if one != "self"]
        if shown != wanted:
            wrong.append(f"{name}: {wanted} there, {shown} here")
    assert not wrong, "\n" + "\n".join(wrong)
    assert {name: getattr(cyca, name) for name in CONSTANTS} == CONSTANTS
    for name in ("ICAFE_DAQ_RUN", "ICAFE_DAQ_PAUSED", "ICAFE_DAQ_STOPPED", "CY_DBR_STS", "CY_DBR_CTRL"):
        assert isinstance(getattr(cyca, name), int)


def test_handles_and_names(cafe):
    cafe.openPrepare()
    handles = cafe.open(["motor", "valve"])
    assert cafe.openNowAndWait(PATIENCE) == cyca.ICAFE_NORMAL
    motor, valve = handles
    assert cafe.open("motor") == motor == cafe.getHandleFromPV("motor")
    assert cafe.isConnected(motor) and cafe.isConnected("valve") and cafe.allChannelsConnected()
    assert cafe.getPVFromHandle(valve) == "valve"
    assert cafe.getHandleStates() == [[motor, valve], [cyca.ICAFE_CS_CONN] * 2]
    assert cafe.setPVAlias(motor, "stage") == cyca.ICAFE_NORMAL
    assert cafe.get("stage") == 1.5
    assert cafe.setPVAlias(valve, "stage") == cyca.ECAFE_PVALIAS_PREV_DEF
    assert cafe.close(motor) == cyca.ICAFE_NORMAL
    assert not cafe.isValid(motor) and cafe.get(motor) is None
    assert cafe.lastError.error_code == cyca.ECAFE_INVALID_HANDLE and cafe.lastError.handle == motor
    assert cafe.getHandleFromPV("stage") == 0


@pytest.mark.parametrize("bad", [None, 1.5, "", -1, object(), [], "  "])
def test_what_is_no_handle(cafe, bad):
    for call in (cafe.get, cafe.getCache, cafe.getUnits, cafe.getChannelInfo, cafe.getArray):
        assert call(bad) is None
    assert cafe.set(bad, 1) in (cyca.ECAFE_INVALID_HANDLE, cyca.ECAFE_BADSTR)
    cafe.withExceptions(True)
    with pytest.raises(PyCafe.CafeException) as caught:
        cafe.get(bad)
    assert caught.value.remedy
    assert not cafe._handles


def test_values_and_types(cafe):
    assert cafe.get("motor") == 1.5 and cafe.get("motor", "int") == 1 and cafe.get("motor", "str") == "1.500"
    assert cafe.get("valve") == "Open" and cafe.get("valve", dt="int") == 1
    assert cafe.get("valve", dt="float") == 1.0 and cafe.get("note") == "hello"
    assert cafe.get("wave") == 1.0 and cafe.get("wave", "str") == "1"
    assert cafe.get("text", "str").startswith("a text that is longer than the forty")
    assert cafe.get("note", "float") is None
    assert cafe.lastError.error_code == cyca.ECAFE_NO_CONVERT and "note" in str(cafe.lastError)
    assert cafe.get("motor", "double") is None
    assert cafe.lastError.error_code == cyca.ECAFE_INVALID_TYPE and "native, float" in str(cafe.lastError)
    structure = cafe.getPV("motor")
    assert structure.value == [1.5] and structure.status == cyca.ICAFE_NORMAL
    assert structure.alarmSeverityAsString == "NO_ALARM" and structure.ts[0] > 0
    assert structure.pulseID == structure.ts[1] % 1_000_000 and structure.tsDate.year >= 2020


def test_a_state_without_a_text_is_its_number(cafe, default):
    default.add("half", sim.Pv(2, type="enum", states=["a", "b", ""]))
    assert cafe.getPV("half").value == [2] and cafe.getPV("half", "int").value == [2]
    assert cafe.get("half", "str") == "2"


def test_arrays(cafe):
    array = cafe.getArray("wave")
    assert array.tolist() == [1.0, 2.0, 3.0] and not array.flags.writeable
    view = cafe.getArray("wave", art="memoryview")
    assert isinstance(view, memoryview) and view.readonly and view[2] == 3.0
    assert cafe.getArray("wave", dt="int").tolist() == [1, 2, 3]
    assert cafe.getArray("names", art="list") == ["one", "two"]
    assert cafe.getArray("motor").tolist() == [1.5]
    assert cafe.getArrayCache("wave").tolist() == [1.0, 2.0, 3.0]
    assert cafe.getArray("wave", art="torch") is None
    assert cafe.set("wave", [4, 5, 6]) == cyca.ICAFE_NORMAL
    assert cafe.getCompoundList(["wave", "motor"])[0] == [[4.0, 5.0, 6.0], 1.5]


def test_the_cache(cafe, default):
    assert cafe.getCache("motor") is None and cafe.lastError.error_code == cyca.ICAFE_CACHE_EMPTY
    assert cafe.get("motor") == 1.5
    default["motor"] = 2.5
    assert cafe.getCache("motor") == 1.5 and cafe.get("motor") == 2.5 and cafe.getCache("motor") == 2.5
    default.stop()
    while cafe.isConnected("motor"):
        threading.Event().wait(0.01)
    cached = cafe.getPVCache("motor")
    assert cached.value == [2.5] and cached.status == cyca.ICAFE_CS_DISCONN


def test_descriptions(cafe):
    ctrl = cafe.getCtrl("motor")
    assert (ctrl.units, ctrl.precision) == ("mm", 3)
    assert (ctrl.upperDispLimit, ctrl.lowerDispLimit, ctrl.upperAlarmLimit) == (10.0, -10.0, 9.0)
    assert cafe.getCtrlCache("motor").units == "mm"
    assert cafe.getEnumStrings("valve") == ["Closed", "Open"] and cafe.isEnum("valve")
    assert cafe.getEnumFromString("valve", "Open") == 1 and cafe.getStringFromEnum("valve", 0) == "Closed"
    assert cafe.getEnumFromString("valve", "Ajar") is None
    assert cafe.lastError.error_code == cyca.ECAFE_INVALID_ENUM_INDEX and "Closed, Open" in str(
        cafe.lastError
    )
    assert cafe.getDescription("motor") == "a stage"
    info = cafe.getChannelInfo("wave")
    assert (info.dataType, info.nelem, info.writeAccess) == ("DOUBLE", 3, True)
    assert info.connectionState == cyca.ICAFE_CS_CONN and info.hostName.startswith("127.0.0.1")


def test_lists_tell_who_failed(cafe):
    cafe.policies.timeout.seconds = 0.3
    cafe.setOpenDefaultPendTime(0.3)
    handles = cafe.open(["motor", "nowhere", "valve"])
    values, status, statuses = cafe.getScalarList(handles)
    assert values == [1.5, None, "Open"]
    assert statuses == [1, cyca.ICAFE_CS_NEVER_CONN, 1] and status == cyca.ICAFE_CS_NEVER_CONN
    cafe.policies.timeout.seconds = PATIENCE
    assert cafe.setScalarList(["motor", "fixed"], [3.0, 1.0]) == [
        cyca.ECAFE_NOWTACCESS,
        [1, cyca.ECAFE_NOWTACCESS],
    ]
    assert cafe.get("motor") == 3.0
    assert cafe.setScalarList(["motor", "valve"], [1.0]) is None
    assert cafe.lastError.error_code == cyca.ECAFE_HANDLE_MISMATCH_SET_AND_MATCH


def test_errors_as_statuses_and_as_exceptions(cafe):
    assert cafe.set("valve", "Ajar") == cyca.ECA_PUTFAIL
    assert cafe.set("motor", "not a number") != cyca.ICAFE_NORMAL
    assert cafe.set("motor", None) == cyca.ECAFE_NO_CONVERT
    cafe.withExceptions(True)
    with pytest.raises(PyCafe.CafeException) as caught:
        cafe.set("fixed", 1)
    error = caught.value
    assert isinstance(error, canter.CanterError) and isinstance(error.__cause__, canter.AccessDenied)
    assert (error.name, error.error_code) == ("fixed", cyca.ECAFE_NOWTACCESS)
    assert error.error_text.startswith("ECAFE_NOWTACCESS") and "fixed" in error.error_info
    again = pickle.loads(pickle.dumps(error))
    assert (again.name, again.handle, again.error_code) == (error.name, error.handle, error.error_code)


def test_showing(cafe, capsys):
    cafe.grouping("g", ["motor", "wave"])
    cafe.getPVGroup("g").show(wf=2)
    cafe.printHandle("motor")
    cafe.getCtrl("motor").show()
    cafe.printStatusIfError(cyca.ECAFE_TIMEOUT)
    cafe.set("fixed", 1)
    cafe.lastError.reveal()
    shown = capsys.readouterr().out
    for part in (
        "2 PVs",
        "1.0 2.0 …",
        "ICAFE_CS_CONN",
        "upperDispLimit = 10.0",
        "1021 ECAFE_TIMEOUT",
        "peer: 127",
    ):
        assert part in shown, shown


def test_groups(cafe):
    cafe.openGroupPrepare()
    group = cafe.grouping("magnets", ["motor", "wave", "valve"])
    assert cafe.openGroupNowAndWait(PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.getGroup(group) == [[1.5, [1.0, 2.0, 3.0], "Open"], 1, [1, 1, 1]]
    assert cafe.setGroup("magnets", [2.5, [3.0, 2.0, 1.0], "Closed"]) == [1, [1, 1, 1]]
    assert cafe.getGroupCache(group)[0] == [1.5, [1.0, 2.0, 3.0], "Open"]
    values = cafe.getPVGroup("magnets")
    assert [one.value for one in values] == [[2.5], [3.0, 2.0, 1.0], ["Closed"]]
    assert values.getPV(2).pv == "valve" and values.status == cyca.ICAFE_NORMAL and len(values) == 3
    assert cafe.groupList() == ["magnets"] and cafe.groupMemberList("magnets") == ["motor", "wave", "valve"]
    assert len(cafe.getHandlesFromWithinGroup(group)) == 3
    assert cafe.grouping("magnets", ["motor", "wave", "valve"]) == group
    assert cafe.grouping("magnets", ["count"]) != group and cafe.getGroup("magnets")[0] == [5]
    assert cafe.getGroup(group) is None and cafe.lastError.error_code == cyca.ECAFE_INVALID_GROUP_HANDLE
    assert cafe.getGroup("magnet") is None
    assert cafe.lastError.error_code == cyca.ECAFE_UNKNOWN_GROUP and 'did you mean "magnets"' in str(
        cafe.lastError
    )
    assert cafe.grouping("empty", []) is None and cafe.lastError.error_code == cyca.ECAFE_EMPTY_GROUP
    assert cafe.setGroup("magnets", [1, 2]) is None
    assert cafe.groupClose("All") == cyca.ICAFE_NORMAL and not cafe._groups
    assert cafe.getGroup("magnets")[0] == [5]


def test_monitors_and_get_in_their_callbacks(cafe, default, box):
    def changed(handle):
        # What is not allowed in PyCafe: a get, a put, opening something in a callback.
        now, cached = cafe.get(handle), cafe.getPVCache(handle).value
        # The last one may run while the test ends.
        if cached:
            cafe.set("count", int(now))
            box(handle, now, cached[0], cafe.get("note"))

    handle = cafe.open("motor")
    cafe.openMonitorPrepare()
    first = cafe.monitorStart(handle, cb=changed, dbr=cyca.CY_DBR_PLAIN, mask=cyca.CY_DBE_VALUE)
    second = cafe.monitorStart(handle)
    assert cafe.openMonitorNowAndWait(PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.getMonitorIDs(handle) == [first, second]
    default["motor"] = 7.0
    box.until(lambda seen: seen == (handle, 7.0, 7.0, "hello"))
    assert cafe.get("count") == 7
    assert cafe.monitorStop(handle, first) == cyca.ICAFE_NORMAL
    assert cafe.monitorStop(handle, first) == cyca.ECAFE_NULLEVID
    assert cafe.monitorStop(handle) == cyca.ICAFE_NORMAL and cafe.getMonitorIDs(handle) == []
    assert cafe.monitorStart(handle, cb="no function") is None
    assert cafe.monitorStart(handle, dbr=77) is None


def test_a_match_in_a_callback(cafe, box):
    def changed(_handle):
        box(cafe.setAndMatch("count", 9, "count", 0, PATIENCE))

    cafe.monitorStart("motor", cb=changed)
    assert box.next() == cyca.ICAFE_NORMAL


def test_monitors_of_groups(cafe, default, box):
    group = cafe.grouping("both", ["motor", "count"])
    motor, count = cafe.getHandlesFromWithinGroup(group)
    assert len(cafe.groupMonitorStartWithCBList(group, cb=[box, lambda handle: box(("c", handle))])) == 2
    assert {box.next(), box.next()} == {motor, ("c", count)}
    assert cafe.groupMonitorStop(group) == cyca.ICAFE_NORMAL
    assert cafe.groupMonitorStart(group, cb=[box]) is None
    assert cafe.lastError.error_code == cyca.ECAFE_BADCOUNT
    ids = cafe.groupMonitorStart(group, cb=box)
    assert len(ids) == 2 and {box.next(), box.next()} == {motor, count}
    cafe.groupClose(group)
    while canter.default_client().stats()["subscriptions"]:
        threading.Event().wait(0.01)


def test_a_lost_connection_is_told(cafe, default, box):
    handle = cafe.open("motor")
    cafe.monitorStart(handle, cb=lambda one: box(cafe.isConnected(one)))
    box.until(True)
    default.stop()
    box.until(False)


def test_matches(cafe, capsys):
    assert cafe.match(1.5, "motor", 0.1, PATIENCE, 1) == cyca.ICAFE_NORMAL
    assert cafe.setAndMatch("motor", 2.0, "motor", 0, PATIENCE, 0) == cyca.ICAFE_NORMAL
    assert cafe.setAndMatch("valve", "Closed", "valve", 0, PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.setAndMatch("count", 3, "motor", 0.1, 0.2, 1) == cyca.ECAFE_TIMEOUT_SET_AND_MATCH
    assert '"motor" stands at 2, not 3' in capsys.readouterr().out
    assert cafe.get("count") == 3
    cafe.setOpenDefaultPendTime(0.2)
    assert cafe.match("x", "nowhere", 0, 0.2) == cyca.ICAFE_CS_NEVER_CONN
    assert cafe.match([1, 2], "motor", 0, 0.2) == cyca.ECAFE_INVALID_TYPE
    assert cafe.match(1.5, "motor", float("nan"), 0.2) == cyca.ECAFE_NO_CONVERT
    assert cafe.setAndMatch("fixed", 3, "motor", 0.1, 1.0) == cyca.ECAFE_NOWTACCESS
    assert cafe.matchMany([2.0, 3], ["motor", "count"], 0, PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.matchMany([2.0, 99], ["motor", "count"], 0, PATIENCE, needed=1) == cyca.ICAFE_NORMAL
    both = ["motor", "count"]
    assert cafe.setAndMatchMany(both, [4.0, 5], both, 0, PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.compareAndMatchMany(both, [4.0, 6], both, 0, PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.setTriggerAndMatchMany(both, [1.0, 2], "valve", 1, both, 0, PATIENCE) == cyca.ICAFE_NORMAL
    assert cafe.getScalarList([*both, "valve"])[0] == [1.0, 2, "Open"]
    assert cafe.setAndMatchMany(both, [1], both) == cyca.ECAFE_HANDLE_MISMATCH_SET_AND_MATCH


def test_policies(cafe, default):
    cafe.monitorStart("motor")
    cafe.getCache("motor")
    cafe.policies.whenMonitor.source = "cache"
    assert cafe.get("motor") == 1.5
    cafe.policies.timeout.setSelfGoverning(seconds=0.05)
    cafe.open("count")
    default.set_rights("count", read=True, write=True)
    cafe.policies.request.wait = True
    cafe.policies.timeout.seconds = 0.05
    assert cafe.set("never", 1) == cyca.ECAFE_TIMEOUT
    with pytest.raises(AttributeError, match="it has seconds, tries"):
        cafe.policies.timeout.second = 3


COLLECTIONS = """<?xml version="1.0"?>
<cafe:config>
  <cafe:collection id="cQuads">
    <cafe:description> the quadrupoles </cafe:description>
    <cafe:attributes><cafe:attribute>I-SET</cafe:attribute><cafe:attribute>I-READ</cafe:attribute></cafe:attributes>
    <cafe:member pos="12.5"><cafe:device> Q2 </cafe:device></cafe:member>
    <cafe:member pos="3.25"><cafe:device>Q1</cafe:device></cafe:member>
  </cafe:collection>
</cafe:config>
"""

GROUPS = """<config>
  <group id="gQuads">
    <description>all of them</description>
    <member><name> motor </name></member>
    <collection><id>cQuads</id><attribute>I-SET</attribute></collection>
  </group>
  <group id="gMotor"><member><name>motor</name></member></group>
</config>
"""


def test_files_of_collections_and_groups(cafe, tmp_path, monkeypatch):
    (tmp_path / "c.xml").write_text(COLLECTIONS)
    (tmp_path / "g.xml").write_text(GROUPS)
    monkeypatch.setenv("CAFE_XML_PATH", str(tmp_path))
    assert cafe.loadCollectionsFromXML("c.xml") == cyca.ICAFE_NORMAL
    assert cafe.loadGroupsFromXML(tmp_path / "g.xml") == cyca.ICAFE_NORMAL
    assert cafe.collectionList() == ["cQuads"] and cafe.isCollection("cQuads")
    assert cafe.devicePositionMap("cQuads") == {3.25: "Q1", 12.5: "Q2"}
    assert list(cafe.devicePositionMap("cQuads")) == [3.25, 12.5]
    assert cafe.collectionFetch("cQuads").description == "the quadrupoles"
    assert cafe.groupMemberList("gQuads") == ["motor", "Q2:I-SET", "Q1:I-SET"]
    assert cafe.getGroup("gMotor")[0] == [1.5]
    assert cafe.groupDefineFromCollection("gRead", "cQuads", "I-READ") == cyca.ICAFE_NORMAL
    assert cafe.groupMemberList("gRead") == ["Q2:I-READ", "Q1:I-READ"]
    assert cafe.groupDefineFromCollection("g", "cQuads", "I-RAED") == cyca.ECAFE_DEVICE_ATTRIB_NOT_FOUND
    assert 'did you mean "I-READ"' in str(cafe.lastError)
    assert cafe.collectionMemberList("cQuad") is None and 'did you mean "cQuads"' in str(cafe.lastError)
    assert cafe.group2XML("gQuads", tmp_path / "out.xml") == cyca.ICAFE_NORMAL
    other = PyCafe.CyCafe()
    assert other.loadGroupsFromXML(tmp_path / "out.xml") == cyca.ICAFE_NORMAL
    assert other.groupMemberList("gQuads") == ["motor", "Q2:I-SET", "Q1:I-SET"]


def test_all_mistakes_of_a_file_are_told_with_their_place(cafe, tmp_path):
    cafe.collectionDefine("cQuads", ["Q1"], ["I-SET"])
    path = tmp_path / "g.xml"
    path.write_text(
        """<config>
  <group id="a"><member><nam>motor</nam></member></group>
  <group name="b"><member><name>x</name></member></group>
  <group id="a"><collection><id>cQuad</id><attribute>I-SET</attribute></collection></group>
  <group id="c"><collection><id>cQuads</id><attribute>I-SETT</attribute></collection></group>
</config>
"""
    )
    assert cafe.loadGroupsFromXML(path) == cyca.ECAFE_LOAD_GROUP
    told = cafe.lastError.error_info
    for part in (
        f"error: <nam> in <member>\n --> {path}:2:25",
        'help: did you mean "name"?',
        f"error: <group> has no attribute `name`\n --> {path}:3:3",
        "help: it has id",
        '<group name="b"><member>',
        f'error: "a" is there already\n --> {path}:4:3',
        'error: there is no collection "cQuad"',
        'help: did you mean "cQuads"?',
        'error: "cQuads" has no attribute "I-SETT"',
        'help: did you mean "I-SET"?',
    ):
        assert part in told, told
    assert cafe.groupList() == []


@pytest.mark.parametrize(
    "text, told",
    [
        ("<config><group id='a'>", "<group> is not closed"),
        ("", "there is no element in it"),
        ("<config>\n <collection id='a'></colection></config>", "no XML: "),
        ("<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><config>&b;</config>", "a document type"),
        ("<config>" + "<group id='a'>" + "<x>" * 40, "elements within each other"),
        ("<settings/>", "<settings> at the beginning"),
        ("\x00\x01", "a text outside of all elements"),
        (
            "<config><collection id='c'><member pos='far'><device>Q</device></member></collection></config>",
            "no number",
        ),
        ("<config><collection id='c'/></config>", "has no members"),
    ],
)
def test_what_is_no_such_file(cafe, tmp_path, text, told):
    path = tmp_path / "bad.xml"
    path.write_text(text)
    assert cafe.loadCollectionsFromXML(path) == cyca.ECAFE_LOAD_COLLECTION
    assert told in cafe.lastError.error_info, cafe.lastError.error_info
    assert cafe.collectionList() == []


def test_files_that_are_too_large_or_not_there(cafe, tmp_path):
    path = tmp_path / "large.xml"
    with path.open("wb") as file:
        # Of nothing, but so long.
        file.truncate((64 << 20) + 1)
    assert cafe.loadGroupsFromXML(path) == cyca.ECAFE_CANNOT_OPEN_FILE
    assert "more than 67108864 bytes" in str(cafe.lastError)
    assert cafe.loadGroupsFromXML(tmp_path / "missing.xml") == cyca.ECAFE_CANNOT_OPEN_FILE
    assert "CAFE_XML_PATH" in str(cafe.lastError)


def test_a_snapshot_is_brought_back(cafe, tmp_path, monkeypatch):
    monkeypatch.setenv("CAFE_SAR_PATH", str(tmp_path))
    names = ["motor", "valve", "wave", "note", "names", "fixed"]
    cafe.grouping("all", names)
    cafe.set("motor", 0.1 + 0.2)
    path = cafe.snapshot2XML("all")
    assert Path(path).parent == tmp_path and len(list(tmp_path.iterdir())) == 1
    before = cafe.getGroup("all")[0]
    assert before[0] == 0.1 + 0.2
    cafe.setScalarList(names[:4], [9.0, "Closed", [0, 0, 0], "changed"])
    cafe.set("names", ["three", "four"])
    assert cafe.restoreFromXML(path) == cyca.ICAFE_NORMAL, cafe.lastError
    assert cafe.getGroup("all")[0] == before
    # As CAFE writes it: the elements of an array in one text, a prefix that is not declared.
    text = "<cafe:config><cafe:group id='all'><cafe:member><cafe:name> wave </cafe:name><cafe:nelem> 3 </cafe:nelem>"
    text += "<cafe:val> 7 8 9 </cafe:val><cafe:settable> true </cafe:settable></cafe:member></cafe:group></cafe:config>"
    Path(path).write_text(text)
    assert cafe.restoreFromXML(path) == cyca.ICAFE_NORMAL
    assert cafe.getArray("wave").tolist() == [7.0, 8.0, 9.0]
    Path(path).write_text(text.replace(" 7 8 9 ", " 7 8 "))
    assert cafe.restoreFromXML(path) == cyca.ECAFE_LOAD_GROUP
    assert "2 values, and <nelem> says 3" in str(cafe.lastError)


EXPECTED = """[True, True, True, True] ['QUAD:I-SET', 'QUAD:I-READ', 'BPM:X', 'RF:STATE']
1.5 1.500 1 ON
2 ['OFF', 'STANDBY', 'ON'] A
3 current of the quadrupole
A 3 10.0 -10.0 []
0.25 True 0 True
True
31.0 8.0
[1.5, 1.501, 0.25, 'ON', [1.0, 2.0, 4.0, 8.0, 16.0]] 1 [1, 1, 1, 1, 1]
['gQuad'] 5
[0.25]
2.0 True 2.001
3.0 True 3.001
4.0 True 4.001
True 1.501 4.001 1
[4.001] True
True
True 1
None True
RF:STATE True True
[1, [1, 1]]
True
1 quiet
"""


def run_script(environment):
    done = subprocess.run(
        [sys.executable, "-m", "canter.pycafe_shim", str(SCRIPTS / "of_pycafe.py")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_peers
def test_a_script_of_a_linac_on_the_real_ioc(tmp_path):
    with real_ioc((SCRIPTS / "linac.db").read_text(), tmp_path) as environment:
        assert run_script(environment) == EXPECTED


def test_a_script_of_a_linac_on_our_ioc():
    pvs = {
        "QUAD:I-SET": sim.Pv(
            1.5, units="A", precision=3, control=(-10, 10), description="current of the quadrupole"
        ),
        "QUAD:I-READ": sim.Pv(1.501, units="A", precision=3),
        "BPM:X": sim.Pv(0.25, units="mm", precision=2),
        "RF:STATE": sim.Pv("ON", states=["OFF", "STANDBY", "ON"]),
        "BPM:WAVEFORM": [0.0] * 5,
        "RF:NOTE": "quiet",
    }

    def follow(put):
        if put.name == "QUAD:I-SET":
            ioc["QUAD:I-READ"] = put.value + 0.001

    with sim.IOC(pvs, on_put=follow) as ioc:
        assert run_script(ioc.env) == EXPECTED


SHIFT = """1 1
['cCorrectors'] ['CH1', 'CH2', 'CH3'] ['gAll', 'gSet']
1 ['CH2:SET', 'CH1:SET', 'CH3:SET', 'CH2:READ', 'CH1:READ', 'CH3:READ', 'ORBIT:RMS']
[[2.0, 1.0, 3.0], 1, [1, 1, 1]] CH1 SET
7
[1, [1, 1, 1]]
True
[0.5, -1.0, 0.5, 0.5, -1.0, 0.5] [0.5, -1.0, 0.5]
True
False 1.0 1.0
1 [2.0, 1.0, 3.0]
True
error: there is no collection "cCorrector"
  = help: did you mean "cCorrectors"?
CH9:SET True
True 1
"""


def test_a_script_of_a_shift_with_files_of_devices_and_groups(tmp_path):
    pvs = {f"CH{number}:{word}": float(number) for number in (1, 2, 3) for word in ("SET", "READ")}

    def follow(put):
        if put.name.endswith(":SET"):
            ioc[put.name.replace("SET", "READ")] = put.value
            ioc["ORBIT:RMS"] = abs(put.value)

    with sim.IOC({**pvs, "ORBIT:RMS": 0.0}, on_put=follow) as ioc:
        done = subprocess.run(
            [sys.executable, "-m", "canter.pycafe_shim", str(SCRIPTS / "of_pycafe_shift.py"), str(tmp_path)],
            env={**os.environ, **ioc.env}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == SHIFT
