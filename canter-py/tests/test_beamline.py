"""Scripts of a beamline, as their users write them: with PyEpics and with ours, on the real IOC and on ours; motors
of PyEpics, ophyd and ophyd-async on the motor record of our IOC (that of EPICS Base has none).
"""

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from canter import sim
from peers import PYTHON, needs_peers
from real_ioc import real_ioc

SCRIPTS = Path(__file__).with_name("scripts")

needs_records = pytest.mark.skipif(
    "db" not in inspect.signature(sim.IOC).parameters, reason="needs an IOC that serves records"
)


def run(script, environment, directory, shim=None, complains=False):
    """What a script prints: with ours by a shim, else with the real package."""
    directory.mkdir(exist_ok=True)
    command = [PYTHON] if shim is None else [sys.executable, "-m", shim]
    done = subprocess.run(
        [*command, str(SCRIPTS / script), str(directory)],
        # Without a repeater: the one of libca would outlive the test.
        env={**os.environ, **environment, "EPICS_CA_REPEATER_PORT": environment["EPICS_CA_SERVER_PORT"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert complains or "Traceback" not in done.stderr, done.stderr
    lines = done.stdout.replace(str(directory), "DIRECTORY").splitlines()
    return [line for line in lines if not line.startswith("mended: ")]


def ours(database, tmp_path):
    return sim.IOC(db=[str(SCRIPTS / database)])


@needs_peers
def test_device_alarm_and_autosave_on_the_real_ioc(tmp_path):
    database = (SCRIPTS / "sample.db").read_text()
    with real_ioc(database, tmp_path) as environment:
        theirs = run("of_sample.py", environment, tmp_path / "theirs")
    with real_ioc(database, tmp_path) as environment:
        assert run("of_sample.py", environment, tmp_path / "ours", "canter.epics_shim") == theirs
    assert len(theirs) == 10


@needs_peers
@needs_records
def test_device_alarm_and_autosave_on_our_ioc(tmp_path):
    with ours("sample.db", tmp_path) as ioc:
        theirs = run("of_sample.py", ioc.env, tmp_path / "theirs")
    with ours("sample.db", tmp_path) as ioc:
        assert run("of_sample.py", ioc.env, tmp_path / "ours", "canter.epics_shim") == theirs


@needs_peers
@needs_records
def test_motors_of_pyepics(tmp_path):
    with ours("beamline.db", tmp_path) as ioc:
        theirs = run("of_motor.py", ioc.env, tmp_path / "theirs")
    with ours("beamline.db", tmp_path) as ioc:
        assert run("of_motor.py", ioc.env, tmp_path / "ours", "canter.epics_shim") == theirs
    assert len(theirs) == 12


SCANNED = "['start', 'descriptor', 'event', 'event', 'event', 'stop']"

EXPECTED = {
    "ophyd": [
        "1.5 mm (-100.0, 100.0) False",
        "LimitError",
        SCANNED,
        "[(-1.0, -1.0), (0.0, 0.0), (1.0, 1.0)]",
        "True",
        "0.0",
    ],
    "ophyd_async": ["1.5 mm", "MotorLimitsError", SCANNED, "[-1.0, 0.0, 1.0]", "0.0"],
}


@needs_records
@pytest.mark.parametrize(
    "package, shim", [("ophyd", "canter.epics_shim"), ("ophyd_async", "canter.aioca_shim")]
)
def test_a_scan_of_a_motor(tmp_path, package, shim):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: tests/requirements.txt")
    with ours("beamline.db", tmp_path) as ioc:
        # ophyd's next move ends the status of the one before, if its monitor thread has not come to forgetting it, and
        # it says so: DMOV is 1 once for each motion (`a_motion_ends_once` of the record).
        complains = package == "ophyd"
        found = run(f"of_motor_{package}.py", ioc.env, tmp_path, shim, complains)
        assert found == EXPECTED[package]


@needs_records
@pytest.mark.skipif(importlib.util.find_spec("ophyd") is None, reason="needs ophyd: tests/requirements.txt")
def test_a_grid_of_two_motors_with_a_scaler_and_monitors(tmp_path):
    with ours("counting.db", tmp_path) as ioc:
        assert run("of_counting_ophyd.py", ioc.env, tmp_path, "canter.epics_shim", complains=True) == [
            "deg (-20.0, 20.0) mm 0.05",
            "start stop success",
            "['mono_monitor', 'primary']",
            "[(-1.0, 0.0), (-1.0, 2.0), (0.0, 2.0), (0.0, 0.0), (1.0, 0.0), (1.0, 2.0)]",
            "True",
            "True True",
            "True True True",
            "0.0 0.0 0.0",
        ]
