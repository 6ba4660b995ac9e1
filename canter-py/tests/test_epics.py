"""The face of PyEpics, against the simulated IOC."""

import os
import threading

import numpy as np
import pytest

import canter
from canter import epics, sim
from conftest import PATIENCE, patiently, run_script


@pytest.fixture(autouse=True)
def found(default):
    yield default
    epics.ca.clear_cache()


def test_caget_in_all_forms():
    assert epics.caget("motor") == 1.5 and type(epics.caget("motor")) is float
    assert epics.caget("motor", as_string=True) == "1.500"
    assert epics.caget("valve") == 1 and epics.caget("valve", as_string=True) == "Open"
    assert epics.caget("note") == "hello"
    wave = epics.caget("wave")
    assert isinstance(wave, np.ndarray) and wave.tolist() == [1, 2, 3]
    wave[0] = 9
    assert epics.caget("wave", as_numpy=False) == [9, 2, 3] or epics.caget("wave", as_numpy=False) == [
        1,
        2,
        3,
    ]
    assert epics.caget("wave", count=2).tolist()[1:] == [2]
    assert epics.caget("room").tolist() == [1] and epics.caget("room", count=1) == 1
    assert epics.caget("text", as_string=True).startswith("a text that is longer")
    assert epics.caget("names").tolist() == ["one", "two"]


def test_what_is_not_there_is_none_and_the_cause_is_kept(capsys):
    assert epics.caget("nowhere", connection_timeout=0.05) is None
    assert epics.caput("nowhere", 1, connection_timeout=0.05) is None
    assert epics.cainfo("nowhere", connection_timeout=0.05) is None
    assert capsys.readouterr().out.startswith("cannot connect to nowhere")
    pv = epics.PV("nowhere", connection_timeout=0.05)
    assert pv.get() is None and repr(pv) == "<PV 'nowhere': not connected>"
    assert isinstance(pv.last_error, canter.ConnectTimeout) and pv.last_error.phase == "search"


def test_caput_and_its_results():
    assert epics.caput("motor", 2.5) == 1
    assert epics.caput("motor", 3.5, wait=True) == 1 and epics.caget("motor") == 3.5
    assert epics.caput("never", 1, wait=True, timeout=0.05) == -1
    assert epics.caput("valve", "Closed", wait=True) == 1 and epics.caget("valve") == 0
    with pytest.raises(ValueError, match="Closed, Open"):
        epics.caput("valve", "Ajar")
    with pytest.raises(epics.ca.CASeverityException, match="Write access denied"):
        epics.caput("fixed", 1)
    with pytest.raises(epics.ca.ChannelAccessException, match="motor"):
        epics.caput("motor", None)


def test_many_at_once():
    def story(timeout):
        names = ["motor", "nowhere", "valve", "wave"]
        values = epics.caget_many(names, timeout=timeout, connection_timeout=timeout)
        assert values[:3] == [1.5, None, 1] and values[3].tolist() == [1, 2, 3]
        assert epics.caget_many(["motor", "valve"], as_string=True, timeout=timeout) == ["1.500", "Open"]

    patiently(story)
    assert epics.caput_many(["motor", "count"], [4.5, 6]) == [1, 1]
    assert epics.caput_many(["motor", "nowhere"], [5.5, 1], wait="each", connection_timeout=0.1) == [1, -1]
    assert epics.caput_many(["motor", "valve"], [6.5, "Closed"], wait="all") == [1, 1]
    assert epics.PV("motor").get(use_monitor=False) == 6.5
    with pytest.raises(ValueError):
        epics.caput_many(["motor"], [1, 2])


def test_camonitor_writes_lines(ioc, box):
    epics.camonitor("motor", writer=box)
    name, _day, _time, value = box.next().split()
    assert (name, value) == ("motor", "1.500")
    ioc["motor"] = 2.5
    assert box.next().endswith(" 2.500")
    epics.camonitor_clear("motor")
    epics.camonitor("valve", callback=box)
    assert box.until(lambda seen: isinstance(seen, dict))["char_value"] == "Open"


def test_a_pv_and_all_it_knows():
    pv = epics.PV("motor")
    assert pv.wait_for_connection(PATIENCE) and pv.connected
    assert repr(pv) == str(pv) == "<PV 'motor', count=1, type=time_double, access=read/write>"
    assert (pv.value, pv.char_value, pv.units, pv.precision) == (1.5, "1.500", "mm", 3)
    assert (pv.type, pv.typefull, pv.ftype, pv.count, pv.nelm) == ("time_double", "time_double", 20, 1, 1)
    assert (pv.severity, pv.status, pv.char_severity, pv.char_status) == (0, 0, "NO_ALARM", "NO_ALARM")
    assert (pv.upper_disp_limit, pv.lower_alarm_limit) == (10, -9) and pv.host.startswith("localhost:")
    assert pv.timestamp == pytest.approx(pv.posixseconds + pv.nanoseconds * 1e-9, abs=1e-5)
    assert pv.read_access and pv.write_access and pv.access == "read/write"
    assert pv.auto_monitor is True and pv.auto_monitor_mask == 5
    pv.value = 2.5
    assert pv.get(use_monitor=False) == 2.5
    valve = epics.PV("valve")
    assert valve.enum_strs == ("Closed", "Open") and valve.get(as_string=True) == "Open"
    assert "value           = 1\n" in valve.info and "       1 = Open" in valve.info
    assert valve.wait_for_connection(timeout=0) and valve == epics.PV("valve")


@pytest.mark.parametrize("form, name, ftype", [("native", "double", 6), ("ctrl", "ctrl_double", 34)])
def test_other_forms(form, name, ftype):
    pv = epics.PV("motor", form=form)
    assert pv.wait_for_connection(PATIENCE) and (pv.type, pv.ftype) == (name, ftype)
    assert pv.get() == 1.5 and pv.units == "mm" and pv.upper_ctrl_limit is not None
    assert epics.PV("note", form=form).get() == "hello"
    with pytest.raises(ValueError, match="native, time or ctrl"):
        epics.PV("motor", form="gr")


CALLBACK_KEYWORDS = (
    "pvname value char_value status ftype chid host count access write_access read_access severity timestamp "
    "posixseconds nanoseconds precision units enum_strs monitor_delta nelm type typefull cb_info "
    "upper_disp_limit lower_disp_limit upper_alarm_limit lower_alarm_limit lower_warning_limit "
    "upper_warning_limit upper_ctrl_limit lower_ctrl_limit"
)


def test_callbacks_have_all_keywords(ioc, box):
    pv = epics.PV("motor", callback=box)
    seen = box.next()
    assert set(seen) == set(CALLBACK_KEYWORDS.split())
    assert seen["cb_info"] == (0, pv) and seen["units"] == "mm" and seen["char_value"] == "1.500"
    number = pv.add_callback(box, extra="more")
    assert number == 1
    ioc["motor"] = 2.5
    assert box.until(lambda seen: seen.get("extra"))["value"] == 2.5
    pv.remove_callback(1)
    pv.clear_callbacks()
    assert pv.callbacks == {}
    pv.add_callback(box, run_now=True, index=7)
    assert box.until(lambda seen: seen["cb_info"][0] == 7)["value"] == 2.5


def test_the_first_callback_of_an_enum_has_its_states(box):
    epics.PV("valve", callback=box)
    seen = box.next()
    assert seen["enum_strs"] == ("Closed", "Open") and seen["char_value"] == "Open"


def test_connection_and_access_callbacks(ioc, box):
    rights = type(box)()
    pv = epics.PV(
        "motor", connection_callback=box, access_callback=lambda *args, pv=None: rights((*args, pv))
    )
    assert box.next() == {"pvname": "motor", "conn": True, "pv": pv}
    assert rights.next() == (True, True, pv)
    ioc.set_rights("motor", write=False)
    assert rights.next() == (True, False, pv) and pv.access == "read-only"
    ioc.stop()
    assert box.next()["conn"] is False
    assert not pv.connected and pv.get(timeout=0.01) is None
    ioc.start()
    assert box.next()["conn"] is True and pv.get() == 1.5


def test_put_with_completion_beside(box):
    pv = epics.PV("slow")
    pv.wait_for_connection(PATIENCE)
    assert pv.put_complete is None
    pv.put(1.0, use_complete=True)
    assert pv.put_complete is False
    while not pv.put_complete:
        pass
    assert pv.put(2.0, callback=box, callback_data="data") == 1
    assert box.next() == {"pvname": "slow", "data": "data"}


def test_metadata():
    pv = epics.PV("motor")
    known = pv.get_with_metadata(with_ctrlvars=True)
    assert known["value"] == 1.5 and known["units"] == "mm" and known["timestamp"]
    assert pv.get_with_metadata(as_namespace=True).precision == 3
    assert pv.get_with_metadata(form="ctrl", use_monitor=False)["ftype"] == 34
    assert pv.get_ctrlvars()["precision"] == 3 and set(pv.get_timevars()) == {
        "status",
        "severity",
        "timestamp",
        "posixseconds",
        "nanoseconds",
    }


def test_monitor_delta_filters_here_and_leaves_mdel_alone(ioc, box):
    epics.PV("motor", callback=box, monitor_delta=1.0)
    assert box.next()["value"] == 1.5
    ioc["motor"] = 1.6
    ioc["motor"] = 3.0
    assert box.next()["value"] == 3.0 and ioc["motor.MDEL"] == 0


def test_a_slow_callback_loses_nothing(ioc):
    # More than the IOC itself keeps for a circuit would be lost there, as with the real one.
    count = 200
    seen, first, go, done = [], threading.Event(), threading.Event(), threading.Event()

    def slow(value=None, **_kw):
        if not first.is_set():
            first.set()
            assert go.wait(PATIENCE)
        seen.append(value)
        if value == count:
            done.set()

    pv = epics.PV("motor", callback=slow)
    assert first.wait(PATIENCE)
    for value in range(1, count + 1):
        ioc.post("motor", float(value))
        # The update has reached this client: a get behind it has.
        canter.get("motor")
    go.set()
    assert done.wait(PATIENCE)
    assert seen[1:] == [float(value) for value in range(1, count + 1)]
    pv.disconnect()


def test_no_monitor_when_told_so(ioc):
    pv = epics.PV("motor", auto_monitor=False)
    assert pv.get() == 1.5
    ioc["motor"] = 2.5
    assert pv.get() == 2.5
    pv.auto_monitor = True
    ioc["motor"] = 3.5
    while pv.get() != 3.5:
        pass
    pv.clear_auto_monitor()
    pv.disconnect()
    assert pv.callbacks == {}


def test_get_pv_gives_the_same(box):
    pv = epics.get_pv("motor", connect=True)
    assert epics.get_pv("motor") is pv and epics.get_pv("motor", form="ctrl") is not pv
    epics.get_pv("motor", connection_callback=box)
    assert box.next()["conn"] is True


def test_put_inside_a_callback_and_wait(box):
    def callback(value=None, **kw):
        box(epics.caput("count", int(value), wait=True))

    epics.PV("motor", callback=callback)
    assert box.next() == 1


def test_the_low_level():
    seen = []
    chid = epics.ca.create_channel("motor", connect=True, callback=lambda **kw: seen.append(kw))
    assert seen == [{"pvname": "motor", "chid": chid, "conn": True}]
    assert (epics.ca.name(chid), epics.ca.field_type(chid), epics.ca.element_count(chid)) == ("motor", 6, 1)
    assert epics.ca.isConnected(chid) and epics.ca.state(chid) == epics.dbr.CS_CONN
    assert epics.ca.access(chid) == "read/write" and epics.ca.promote_type(chid, use_ctrl=True) == 34
    assert epics.ca.get(chid) == 1.5 and epics.ca.get(chid, as_string=True) == "1.500"
    assert epics.ca.put(chid, 2.5, wait=True) == 1
    assert epics.ca.get(chid, wait=False) is None and epics.ca.get_complete(chid) == 2.5
    assert epics.ca.get_ctrlvars(chid)["units"] == "mm" and epics.ca.get_precision(chid) == 3
    gid = epics.ca.sg_create()
    place = epics.ca.sg_get(gid, chid)
    epics.ca.sg_put(gid, chid, 3.5)
    assert epics.ca.sg_block(gid) == 1 and place == [2.5] and epics.ca.get(chid) == 3.5
    with pytest.raises(epics.ca.ChannelAccessException, match="no channel"):
        epics.ca.name(99999)
    assert epics.dbr.Name(20) == "TIME_DOUBLE" and epics.dbr.Name("time_double", reverse=True) == 20
    assert epics.dbr.native_type(34) == 6


def test_a_subscription_of_the_low_level(ioc, box):
    chid = epics.ca.create_channel("motor")
    subscription = epics.ca.create_subscription(chid, use_time=True, callback=box)
    seen = box.next()
    assert seen["value"] == 1.5 and seen["pvname"] == "motor" and seen["ftype"] == 20
    epics.ca.clear_subscription(subscription[2])


def test_an_alarm(ioc, box):
    alarm = epics.Alarm("motor", comparison=">", trip_point=5, callback=box, alert_delay=0)
    ioc["motor"] = 4.0
    ioc["motor"] = 6.0
    seen = box.next()
    assert (seen["value"], seen["trip_point"], seen["comparison"]) == (6.0, 5, ">")
    assert alarm.alarm_state is True
    with pytest.raises(ValueError, match="comparison"):
        epics.Alarm("motor", comparison="=>", trip_point=5)


def test_a_device(ioc, tmp_path, box):
    with sim.IOC({"dev:a": 1.0, "dev:b": sim.Pv("x"), "dev:c": sim.Pv(2.0, read_only=True)}) as ioc:
        with ioc.environment():
            canter.configure(repeater_port=0)
            device = epics.Device("dev:", attrs=("a", "b"), aliases={"first": "a"})
            assert device.a == 1.0 and device.first == 1.0 and device.get("b") == "x" and device.c == 2.0
            device.a = 2.0
            device.put("b", "y", wait=True)
            assert device.get("a") == 2.0 and {"a", "b", "first"} <= set(dir(device))
            with pytest.raises(AttributeError):
                epics.Device("dev:", timeout=0.05).nothing  # noqa: B018
            file = tmp_path / "state"
            device.write_state(str(file))
            device.put("a", 9.0, wait=True)
            device.read_state(str(file), restore=True)
            while ioc["dev:a"] != 2.0:
                pass
            device.add_callback("a", box)
            ioc["dev:a"] = 2.5
            assert box.until(lambda seen: seen["value"] == 2.5)
            assert device.PV("a").get(use_monitor=False) == 2.5
            device.restore_state({"a": 7.0})
            while ioc["dev:a"] != 7.0:
                pass


def test_records_as_devices(ioc):
    record = epics.devices.ao("motor")
    assert record.VAL == 1.5 and record.DESC == "a stage" and record.EGU == "mm"


def test_autosave(ioc, tmp_path):
    (tmp_path / "more.req").write_text("$(P)ount\n")
    (tmp_path / "all.req").write_text("# a request\nmotor\nvalve\nwave\nnote\nnames\nfile more.req P=c\n")
    saved = tmp_path / "all.sav"
    epics.autosave.save_pvs(str(tmp_path / "all.req"), str(saved))
    text = saved.read_text()
    assert "motor 1.5\n" in text and '@array@ { "1.0" "2.0" "3.0" }' in text and text.endswith("<END>\n")
    for name, value in {
        "motor": 3.0,
        "valve": 0,
        "wave": [4.0, 5.0, 6.0],
        "note": "other",
        "count": 9,
    }.items():
        ioc[name] = value
    assert epics.autosave.restore_pvs(str(saved))
    assert (ioc["motor"], ioc["valve"], ioc["note"], ioc["count"]) == (1.5, 1, "hello", 5)
    assert list(ioc["wave"]) == [1, 2, 3] and list(ioc["names"]) == ["one", "two"]
    saved.write_text("fixed 3\nmotor 2\n<END>\n")
    assert not epics.autosave.restore_pvs(str(saved)) and ioc["motor"] == 2
    saved.write_text("motor 2\n")
    with pytest.raises(ValueError, match="<END>"):
        epics.autosave.restore_pvs(str(saved))


def test_threads_need_nothing(box):
    threads = [epics.ca.CAThread(target=lambda: box(epics.caget("motor"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert [box.next() for _ in threads] == [1.5] * 8
    assert threading.active_count() < 50


def test_processes_need_nothing(ioc):
    script = """
        from canter import epics
        epics.caget("motor")
        pv = epics.get_pv("count")
        def work(n):
            return n + epics.caget("motor") + pv.get()
        if __name__ == "__main__":
            import multiprocessing
            with epics.CAPool(2, context=multiprocessing.get_context("fork")) as pool:
                print(pool.map(work, range(3)))
            process = epics.CAProcess(target=lambda: print(epics.caget("valve", as_string=True), flush=True))
            process.start()
            process.join()
    """
    assert run_script(script, ioc) == "[6.5, 7.5, 8.5]\nOpen\n"


def test_a_script_of_pyepics_runs_as_it_is(ioc, tmp_path):
    script = tmp_path / "beamline.py"
    script.write_text(
        "import sys, epics\n"
        "from epics import PV, caput, caget, ca, dbr\n"
        "from epics.pv import fmt_time\n"
        "import epics.devices\n"
        "assert epics.pv.PV is PV\n"
        "caput('motor', 4.5, wait=True)\n"
        "print(__name__, sys.argv[1:], PV('motor').get(), caget('valve', as_string=True))\n"
    )
    import os
    import subprocess
    import sys

    for command in (
        ["-m", "canter.epics_shim"],
        [
            "-c",
            "import canter.epics_shim, runpy, sys; "
            "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
        ],
    ):
        done = subprocess.run(
            [sys.executable, *command, str(script), "a", "b"],
            env={**os.environ, **ioc.env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stdout == "__main__ ['a', 'b'] 4.5 Open\n", done.stderr


def test_a_pth_file_has_all_programs_run_on_ours(ioc, tmp_path):
    (tmp_path / "canter_as_epics.pth").write_text("import canter.epics_shim\n")
    script = f"""
        import site
        site.addsitedir({str(tmp_path)!r})
        import epics
        from epics.devices.mca import ROI
        from epics.compat.ca_util import caget
        print(epics.__name__, epics.caget("motor"), caget("count"), ROI.__module__)
    """
    assert run_script(script, ioc) == "canter.epics 1.5 5 canter.epics.devices.mca\n"


def test_a_part_of_an_array_is_not_taken_for_all_of_it():
    pv = epics.PV("wave")
    assert pv.wait_for_connection(PATIENCE)
    assert pv.get(count=2, use_monitor=False).tolist()[1:] == [2]
    assert len(pv.get()) == 3
    pv.disconnect()


def test_a_pv_goes_on_with_another_client(ioc, box):
    """Its value is not that of an IOC which nobody asks any more."""
    with ioc.environment():
        canter.configure(repeater_port=0)
        pv = epics.get_pv("motor", connect=True, timeout=PATIENCE)
        pv.put(2.5, wait=True, timeout=PATIENCE)
        assert pv.get() == 2.5
    with sim.IOC({"motor": 7.0}) as other, other.environment():
        canter.configure(repeater_port=0)
        assert pv.wait_for_connection(PATIENCE) and pv.get() == 7.0 and epics.caget("motor") == 7.0
        pv.add_callback(box)
        other["motor"] = 8.0
        box.until(lambda known: known["value"] == 8.0)
        assert pv.value == 8.0
    canter.configure(repeater_port=0, addr_list="127.0.0.1:1", auto_addr_list=False)


@pytest.mark.parametrize("pv, given, seen", [
    ("count", 0x80000000, -0x80000000), ("count", 2**32 + 5, 5), ("count", 0xFFFFFFFF, -1), ("count", -(2**31) - 1, 2**31 - 1),
    ("count", 2**70 + 3, 3), ("count", "0xFFFFFFFE", -2), ("small", 40000, -25536), ("small", -40000, 25536),
    ("small", np.uint16(65535), -1), ("byte", 300, 44), ("byte", -1, 255), ("byte", np.int16(-2), 254),
    ("valve", 65537, 1), ("many", [0x80000000, 2**32 + 1], [-0x80000000, 1]),
    ("many", np.array([0xFFFFFFFF, 7], np.uint32), [-1, 7]), ("many", (2**40 + 9, -1), [9, -1]),
])  # fmt: skip
def test_integers_are_cut_to_what_a_pv_holds(pv, given, seen):
    """As PyEpics cuts them, by the rules of C: masks are put without a sign. Elsewhere they are refused."""
    pvs = {"count": 1, "small": sim.Pv(2, type="short"), "byte": sim.Pv(3, type="char"), "many": [1, 2],
           "valve": sim.Pv(0, states=["Closed", "Open"])}  # fmt: skip
    with sim.IOC(pvs) as ioc, ioc.environment():
        canter.configure(repeater_port=0, timeout=PATIENCE)
        assert epics.caput(pv, given, wait=True, timeout=PATIENCE) == 1
        read = epics.caget(pv, use_monitor=False, timeout=PATIENCE)
        assert (read.tolist() if pv == "many" else read) == seen
        assert epics.caput_many([pv], [given], wait="all", put_timeout=PATIENCE) == [1]
        assert epics.ca.put(epics.ca.create_channel(pv), given, wait=True, timeout=PATIENCE) == 1
        # A number that is none, or no whole one, is nobody's mask.
        for wrong in (float("nan"), 1e300):
            with pytest.raises(epics.ca.ChannelAccessException, match="whole numbers from"):
                epics.caput(pv, [wrong] if pv == "many" else wrong, wait=True, timeout=PATIENCE)
        canter.configure(repeater_port=0, addr_list="127.0.0.1:1", auto_addr_list=False)


def test_data_of_a_put_comes_as_pyepics_has_it(default, box):
    pv = epics.PV("motor")
    assert pv.wait_for_connection(PATIENCE)
    pv.put(2.0, callback=box, callback_data=5)
    assert box.next() == {"pvname": "motor", "data": 5}
    pv.put(3.0, callback=box, callback_data={"mine": 6})
    assert box.next() == {"pvname": "motor", "mine": 6}
    with pytest.raises(canter.BadRequest, match="cannot be called"):
        pv.put(4.0, callback=[1])
    assert pv.get(use_monitor=False) == 3.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_pv_goes_on_in_the_child_of_a_fork(default):
    """With a subscription of its own: it does not stand where its parent's was."""
    pv = epics.get_pv("motor", connect=True, timeout=PATIENCE)
    assert pv.get() == 1.5
    default["motor"] = 2.5
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            values = []
            ready = threading.Event()
            assert pv.wait_for_connection(PATIENCE) and pv.get(timeout=PATIENCE) == 2.5
            pv.add_callback(lambda value=None, **_: (values.append(value), value == 3.5 and ready.set()))
            os.write(write, b".")
            code = 0 if ready.wait(PATIENCE) and pv.get() == 3.5 else 2
        finally:
            os._exit(code)
    os.close(write)
    assert os.read(read, 1) == b"."
    default["motor"] = 3.5
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(read)
