"""The stubs say what there is, and the package fits its own types."""

import subprocess
import sys

import pytest
from conftest import PATIENCE


@pytest.mark.parametrize("command", [["mypy", "-p", "canter"], ["mypy.stubtest", "canter._canter"]])
def test_types(command, tmp_path):
    cache = [] if "stubtest" in command[0] else ["--cache-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", *command, *cache],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
