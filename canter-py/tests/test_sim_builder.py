"""IOCs record by record, in the manner of pythonSoftIOC, and with a driver, as those of pcaspy."""

import asyncio
import threading

import numpy
import pytest

import canter
from canter.sim import alarm, asyncio_dispatcher, builder, pcaspy, softioc
from conftest import PATIENCE
from peers import introspect_here


@pytest.fixture
def made():
    made = builder.Builder("T")
    yield made
    made.ClearRecords()


def serve(made, **settings):
    return made.iocInit(tcp_port=0, udp_port=0, interface="127.0.0.1", **settings)


def test_in_records_are_set_by_the_program(made):
    first = made.aIn("A", initial_value=1.5, EGU="mm", PREC=2, LOPR=-1, HOPR=1)
    made.boolIn("B", "Off", "On", initial_value=1)
    state = made.mbbIn("M", "Zero", ("One", "MINOR"), ("Two", alarm.MAJOR_ALARM))
    text = made.stringIn("S", initial_value="hello")
    long = made.longStringIn("L", length=100)
    wave = made.WaveformIn("W", [1.0, 2.0, 3.0], length=5)
    made.int64In("I", initial_value=2**40)
    first.set(2.0)
    with serve(made) as ioc, ioc.client(timeout=PATIENCE) as client:
        value = client.get("T:A")
        assert (value, value.units, value.precision, value.severity) == (2.0, "mm", 2, 0)
        assert client.get("T:A.SCAN") == "Passive" and client.get("T:B") == "On" and client.get("T:I") == 2**40
        with pytest.raises(canter.CanterError):
            client.put("T:A", 5.0)
        with client.monitor("T:A") as updates:
            updates.get(PATIENCE)
            first.set(3.0, severity=alarm.MINOR_ALARM, alarm=alarm.HIGH_ALARM)
            seen = updates.get(PATIENCE)
            assert (seen, seen.severity, seen.status) == (3.0, 1, 4) and first.get() == 3.0
        first.set_alarm(alarm.NO_ALARM, alarm.NO_ALARM)
        assert client.get("T:A").severity == 0
        state.set(2)
        assert client.get("T:M") == "Two" and client.get("T:M").severity == canter.Severity.MAJOR
        text.set("other")
        long.set("x" * 99)
        wave.set([4.0, 5.0])
        assert client.get("T:S") == "other" and client.get("T:W").tolist() == [4.0, 5.0]
        assert client.get("T:L", as_type=str) == "x" * 99 and long.get() == "x" * 99
        with pytest.raises(ValueError, match="up to 5"):
            wave.set(range(6))
        first.set_field("EGU", "um")
        assert first.get_field("EGU") == "um" and first.get_field("SCAN") == "Passive"


def test_out_records_tell_what_clients_write(made, box):
    out = made.aOut("A", DRVL=-10, DRVH=10, initial_value=1.0, on_update_name=lambda value, name: box((name, value)))
    made.aOut("V", initial_value=0.0, validate=lambda record, value: value < 5, on_update=box)
    made.Action("GO", on_update=box)
    made.stringOut("S", on_update=box)
    made.longStringOut("L", on_update=box, length=200)
    made.WaveformOut("W", datatype="int16", length=5, on_update=lambda value: box(value.tolist()))
    made.mbbOut("M", "a", "b", on_update=box)
    calc = made.records.calcout("C", CALC="A+1", OUT=builder.PP(out), OOPT="Every Time")
    calc.add_alias("ALIAS")
    with serve(made) as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("T:A", 50.0, wait=True)
        assert box.next() == ("A", 10.0) and out.get() == 10.0
        client.put("T:A", 10.0, wait=True)
        # What a record writes is told, too.
        client.put("ALIAS.A", 4.0, wait=True)
        assert box.next() == ("A", 5.0) and client.get("T:A") == 5.0
        out.set(6.0)
        assert box.next() == ("A", 6.0) and client.get("T:A") == 6.0
        out.set(7.0, process=False)
        assert client.get("T:A") == 7.0
        with pytest.raises(canter.PutRefused):
            client.put("T:V", 6.0, wait=True)
        client.put("T:V", 4.0, wait=True)
        assert box.next() == 4.0
        for _ in range(2):
            client.put("T:GO", 1, wait=True)
            assert box.next() == 1
        client.put("T:S", "text", wait=True)
        assert box.next() == "text"
        client.put("T:L", "long " * 30, wait=True)
        assert box.next() == "long " * 30
        client.put("T:W", [1, 2, 3], wait=True)
        assert box.next() == [1, 2, 3]
        client.put("T:M", "b", wait=True)
        assert box.next() == 1 and box.queue.empty()
        out.set_alarm(alarm.MAJOR_ALARM, alarm.WRITE_ALARM)
        assert client.get("T:A").severity == canter.Severity.MAJOR


@pytest.mark.parametrize("with_dispatcher", [False, True])
def test_blocking_records_complete_when_on_update_has_returned(made, with_dispatcher):
    steps = []

    async def update(value):
        steps.append(("begun", value, float(ioc["T:A"])))
        await asyncio.sleep(0.01)
        steps.append("ended")

    before = made.SetBlocking(True)
    made.aOut("A", initial_value=0.0, on_update=update)
    assert before is False and made.SetBlocking(False) is True
    dispatcher = asyncio_dispatcher.AsyncioDispatcher() if with_dispatcher else None
    try:
        with serve(made, dispatcher=dispatcher) as ioc, ioc.client(timeout=PATIENCE) as client:
            client.put("T:A", 3.0, wait=True)
            assert steps == [("begun", 3.0, 3.0), "ended"] and client.get("T:A") == 3.0
    finally:
        if dispatcher is not None:
            dispatcher.close()


def test_setting_in_on_update_neither_hangs_nor_loops(made, box):
    """pythonSoftIOC issues 119 and 170."""

    def update(value):
        out.set(value)
        other.set(value + 1)
        box(value)

    out = made.aOut("A", initial_value=0.0, on_update=update)
    other = made.aOut("B", initial_value=0.0, on_update=lambda value: out.set(1.0))
    with serve(made) as ioc, ioc.client(timeout=PATIENCE) as client:
        client.put("T:A", 5.0, wait=True)
        assert [box.next(), box.next()] == [5.0, 1.0]
        assert client.wait_until("T:B", 2.0, timeout=PATIENCE) == 2.0


def test_names_and_mistakes(made, tmp_path):
    made.PushPrefix("SUB")
    record = made.aIn("X")
    assert str(record) == "T:SUB:X" and made.LookupRecord("T:SUB:X") is record and made.PopPrefix() == "SUB"
    with pytest.raises(ValueError, match="already"):
        made.aIn("SUB:X")
    with pytest.raises(TypeError, match="not both"):
        made.aOut("Y", on_update=print, on_update_name=print)
    with pytest.raises(TypeError, match="length"):
        made.WaveformIn("W", datatype=float)
    with pytest.raises(ValueError, match="16"):
        made.mbbIn("M", *"abcdefghijklmnopq")
    fan = made.create_fanout("F", *[made.records.ao(f"O{n}") for n in range(8)])
    assert 'field(FLNK, "T:F1")' in made.text() and str(fan.LNK1) == "T:O0"
    made.WriteRecords(tmp_path / "all.db")
    assert 'record(fanout, "T:F")' in (tmp_path / "all.db").read_text()
    (tmp_path / "more.db").write_text('record(ai, "$(N)") {}\n')
    made.dbLoadDatabase("more.db", str(tmp_path), "N=MORE")
    with serve(made) as ioc:
        assert "MORE" in ioc
        with pytest.raises(RuntimeError, match="ClearRecords"):
            made.aIn("late")
        with pytest.raises(RuntimeError, match="runs already"):
            serve(made)
    made.ClearRecords()
    made.aIn("BAD", EGUU="mm")
    with pytest.raises(ValueError, match="EGUU"):
        serve(made)


def test_the_functions_of_the_module(capsys):
    builder.SetDeviceName("D")
    try:
        builder.aOut("X", initial_value=2.5, PREC=3)
        builder.boolIn("B", "Off", "On", initial_value=1)
        builder.LoadDatabase()
        softioc.iocInit(udp_port=0, tcp_port=0)
        softioc.dbl()
        softioc.dbl("ao", "DESC VAL")
        softioc.dbgf("D:B")
        softioc.dbpf("D:X", 4)
        softioc.dbgrep("*:B")
        softioc.dbnr()
        softioc.dbpr("D:X")
    finally:
        builder.ClearRecords()
        builder.UnsetDevice()
    said = capsys.readouterr().out
    assert 'D:X\nD:B\nD:X, "", "2.500"\nD:B: On\nD:X: 4.000\nD:B\n     1 ao\n     1 bi\nNAME: D:X' in said
    with pytest.raises(RuntimeError, match="iocInit"):
        softioc.dbl()


def test_names_and_keywords_of_pythonsoftioc():
    """What the installed package has, and ours has not."""
    pytest.importorskip("softioc")
    from softioc import builder as theirs

    #: Names that are missing, and why.
    missing = {
        "InitialiseDbd": "record types of Base are known; dbd files are given to canter.sim.IOC",
        "LoadDbdFile": "as InitialiseDbd",
        "Disclaimer": "comes with epicsdbbuilder, for the head of files",
        "Parameter": "comes with epicsdbbuilder, for templates; macros are given when a file is loaded",
        "RecordLookup": "the class behind LookupRecord",
        "SetSimpleRecordNames": "SetPrefix and SetSeparator do it",
        "SetTemplateRecordNames": "as Parameter",
        "SimpleRecordNames": "the class behind SetSimpleRecordNames",
        "TemplateRecordNames": "the class behind SetTemplateRecordNames",
        "load_autosave": "autosave is not there",
        "dbLoadDatabase": None,
    }
    wrong = introspect_here(theirs, builder, {name for name, reason in missing.items() if reason})
    assert wrong == []
    there = {"iocInit", "interactive_ioc", "non_interactive_ioc", "dbLoadDatabase", "safeEpicsExit", "dbl", "dbgf",
             "dbpf", "dbpr", "dbgrep", "dba", "dbnr"}  # fmt: skip
    assert there <= set(softioc.__all__)


# ---- pcaspy. ----


@pytest.fixture
def server():
    with pcaspy.SimpleServer(udp_port=0, tcp_port=0) as server:
        yield server


PVDB = {
    "A": {"prec": 3, "unit": "mm", "lolo": -1, "low": 0, "high": 8, "hihi": 9, "lolim": -10, "hilim": 10},
    "STATE": {"type": "enum", "enums": ["Off", "On", "Bad"], "states": [0, 0, 2]},
    "TEXT": {"type": "char", "count": 300, "value": "some text"},
    "WAVE": {"type": "int", "count": 4, "value": [1, 2, 3, 4]},
    "SLOW": {"asyn": True},
    "SCANNED": {"scan": 0.001, "type": "int"},
}


def test_a_driver_is_behind_the_pvs(server, box):
    class Driver(pcaspy.Driver):
        turns = 0

        def read(self, reason):
            if reason != "SCANNED":
                return self.getParam(reason)
            self.turns += 1
            return self.turns

        def write(self, reason, value):
            if reason == "A" and value > 100:
                return False
            if reason == "SLOW":
                threading.Timer(0.01, self.callbackPV, [reason]).start()
            self.setParam(reason, value)
            box((reason, value))
            return True

    server.createPV("P:", PVDB)
    driver = Driver()
    with server.ioc.client(timeout=PATIENCE) as client:
        client.put("P:A", 8.5, wait=True)
        value = client.get("P:A")
        assert box.next() == ("A", 8.5) and (value, value.units, value.severity) == (8.5, "mm", 1)
        with pytest.raises(canter.PutRefused):
            client.put("P:A", 101.0, wait=True)
        assert client.get("P:A") == 8.5
        client.put("P:STATE", "Bad", wait=True)
        assert box.next() == ("STATE", 2) and client.get("P:STATE").severity == 2
        client.put("P:SLOW", 4.0, wait=True)
        assert box.next() == ("SLOW", 4.0) and client.get("P:SLOW") == 4.0
        assert client.get("P:TEXT", as_type=str) == "some text" and client.get("P:WAVE").tolist() == [1, 2, 3, 4]
        assert client.wait_until("P:SCANNED", lambda value: value > 2, timeout=PATIENCE) > 2
        driver.setParam("A", 1.0)
        # Its read tells what was set, monitors see it after the update.
        assert client.get("P:A") == 1.0 and driver.getParam("A") == 1.0
        driver.updatePVs()
        assert client.get("P:A") == 1.0
        driver.setParamStatus("A", pcaspy.Alarm.READ_ALARM, pcaspy.Severity.INVALID_ALARM)
        driver.updatePV("A")
        assert client.get("P:A").severity == 3
        driver.setParamInfo("A", {"unit": "um"})
        assert client.get("P:A.EGU") == "um" and driver.getParamInfo("A", ["unit"]) == {"unit": "um"}
        driver.setParamEnums("STATE", ["x", "y"])
        assert server.ioc.client(timeout=PATIENCE).get("P:STATE").enums == ("x", "y")
        with pytest.raises(KeyError, match='did you mean "STATE"'):
            driver.setParam("STATES", 1)
    server.process(0.0)


def test_mistakes_in_a_pvdb(server):
    with pytest.raises(ValueError, match="precision"):
        server.createPV("P:", {"A": {"precision": 3}})
    with pytest.raises(ValueError, match="flaot"):
        server.createPV("P:", {"A": {"type": "flaot"}})
    with pytest.raises(NotImplementedError, match="set_rights"):
        server.initAccessSecurityFile("x.as")


def test_numpy_values_are_taken(made):
    out = made.aOut("A", initial_value=numpy.float32(1.5))
    wave = made.WaveformIn("W", numpy.arange(3))
    with serve(made) as ioc:
        out.set(numpy.int64(4))
        wave.set(numpy.array([7, 8], dtype=numpy.int64))
        assert ioc["T:A"] == 4.0 and ioc["T:W"].value.tolist() == [7, 8]


def test_a_driver_reads_when_a_client_does(server):
    server.createPV("D:", {"TURNS": {"type": "int"}, "KEPT": {"value": 2.5, "prec": 1}})

    class Driver(pcaspy.Driver):
        turns = 0

        def read(self, reason):
            if reason != "TURNS":
                return self.getParam(reason)
            self.turns += 1
            return self.turns

    driver = Driver()
    with server.ioc.client(timeout=PATIENCE) as client:
        client.get("D:TURNS")
        turns = driver.turns
        assert [client.get("D:TURNS") - turns for _ in range(2)] == [1, 2]
        assert client.get("D:KEPT") == 2.5 and driver.getParamDB("KEPT")["prec"] == 1


def test_a_driver_has_what_that_of_pcaspy_has():
    theirs = pytest.importorskip("pcaspy")
    import inspect

    def words(function):
        return [(it.name, it.default) for it in inspect.signature(function).parameters.values()]

    for kind, missing in ((theirs.Driver, set()), (theirs.SimpleServer, {"pvExistTest", "pvAttach"})):
        ours = getattr(pcaspy, kind.__name__)
        own = {name for name, one in vars(kind).items() if not name.startswith("_") and callable(getattr(kind, name))}
        assert {name for name in own if not hasattr(ours, name)} == missing
        for name in own - missing:
            wanted, have = words(getattr(kind, name)), words(getattr(ours, name))
            assert [word for word in wanted if word not in have] == [], name


@pytest.mark.parametrize("kind", ["aOut", "longOut", "int64Out"])
def test_a_program_is_told_of_what_is_within_the_drive_limits(kind):
    """Once, and so is what looks whether it may be."""
    told, looked = [], []
    made = builder.Builder("D")
    record = getattr(made, kind)(
        "OUT", DRVL=-5, DRVH=10, on_update=told.append, validate=lambda _, new: looked.append(new) or True, blocking=True
    )
    with made.iocInit(udp_port=0) as ioc, ioc.client(timeout=PATIENCE) as client:
        for given, held in ((500, 10), (-500, -5), (3, 3)):
            client.put("D:OUT", given, wait=True)
            assert client.get("D:OUT") == held and record.get() == held
    assert looked == [10, -5, 3] and told == [10, -5, 3]
