"""What facilities stand on, unchanged on top of Canter: ophyd, ophyd-async, bluesky."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCANNED = """['start', 'descriptor', 'event', 'event', 'event', 'stop']
"""


def events(*names):
    found = [sorted({names[0]: 5, names[1]: place}.items()) for place in (1.0, 2.0, 3.0)]
    return f"{found}\n"


EXPECTED = {
    "ophyd": """2.5 5 Closed [1.0, 2.0, 3.0]
mm (0.0, 0.0) ('Closed', 'Open')
"""
    + SCANNED
    + events("stage_count", "stage_motor"),
    "ophyd_async": """2.5 Closed hello
mm 3 integer
2.5
3.5
"""
    + SCANNED
    + events("stage-count", "stage-motor"),
}


@pytest.mark.parametrize(
    "package, shim", [("ophyd", "canter.epics_shim"), ("ophyd_async", "canter.aioca_shim")]
)
def test_devices_and_a_scan(ioc, package, shim):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: tests/requirements.txt")
    script = Path(__file__).with_name("scripts") / f"of_{package}.py"
    done = subprocess.run(
        [sys.executable, "-m", shim, str(script)],
        env={**os.environ, **ioc.env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == EXPECTED[package]
