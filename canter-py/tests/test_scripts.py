"""Scripts as users write them, run with the real package and with ours, on the same IOC: what they print is
the same, but for what is listed.
"""

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from canter import sim
from conftest import PVS
from peers import PYTHON, needs_peers

SCRIPTS = Path(__file__).with_name("scripts")

#: What differs from run to run.
CHANGING = [
    (r"localhost:\d+|127\.0\.0\.1:\d+", "HOST"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "DATE"),
    (r"datetime\.datetime\([^)]*\)", "DATE"),
    (r"1[789]\d{8}(\.\d+)?", "STAMP"),
    (r"'nanoseconds', '\d+'", "'nanoseconds', NANOS"),
    (r"nanoseconds     = \d+", "nanoseconds     = NANOS"),
    (r"'chid', '\d+'", "'chid', 'CHID'"),
    (r"'raw_stamp': \(STAMP, \d+\)", "'raw_stamp': STAMP"),
    (r"(?m)^CA\.Client\.Exception[\s\S]*?^\.+$", ""),
]


def run(command, ioc):
    # Without a repeater: the one of libca would outlive the test.
    environment = {**os.environ, **ioc.env, "EPICS_CA_REPEATER_PORT": ioc.env["EPICS_CA_SERVER_PORT"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for pattern, constant in CHANGING:
        text = re.sub(pattern, constant, text)
    return text.splitlines()


def fresh():
    more = {"tiny": sim.Pv(1.25e-7, precision=3), "huge": sim.Pv(123456789.25, precision=2)}
    return sim.IOC({**PVS, **more})


@needs_peers
@pytest.mark.parametrize(
    "script, shim", [("of_pyepics.py", "canter.epics_shim"), ("of_aioca.py", "canter.aioca_shim")]
)
def test_a_script_prints_the_same_with_both(script, shim):
    path = str(SCRIPTS / script)
    with fresh() as ioc:
        theirs = run([PYTHON, path], ioc)
    with fresh() as ioc:
        ours = run([sys.executable, "-m", shim, path], ioc)
    mended = [name for name in MENDED if tagged(theirs, name) and tagged(theirs, name) != tagged(ours, name)]
    theirs, ours = ([line for line in text if not line.startswith("mended: ")] for text in (theirs, ours))
    different = "\n".join(difflib.unified_diff(theirs, ours, "theirs", "ours", lineterm="", n=0))
    assert not different, "\n" + different
    assert len(theirs) > 50 and mended == (list(MENDED) if "pyepics" in script else [])


def tagged(lines, name):
    return [line for line in lines if line.startswith(f"mended: {name} ")]


#: What differs on purpose: the script marks these lines.
MENDED = {
    "description": "the first callbacks have units and precision (pyepics#276)",
    "precision": "ca.get has the digits of the PV in its text",
    "list": "ca.get without NumPy gives a list, not an array of ctypes",
    "label": "ca.get has the text of the state as its text",
}
