"""IOCs that are programs, as their users write them, judged by a program of PyEpics: with libca, and with ours."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from peers import PYTHON, needs_peers

SCRIPTS = Path(__file__).with_name("scripts")

TOLD = {
    "ioc_softioc.py": """\
[20.0, 0, 0, 1099511627776.0, 0, 'cold', 3, 7.0, 0, 'heater']
 | none [0.0, 0.0, 0.0, 0.0, 0.0] [1.0, 2.0, 3.0]
90.0 1 Heating hot 1 [20.0, 37.5, 55.0, 72.5, 90.0]
True set to 90.0;
90.0 1
100.0 100.0
TRIPPED Fault 2
[4.0, 5.0] 100 12 8.0 other
'' 100.0 degC 1
""",
    "ioc_pcaspy.py": """\
True mbar 3
Ar 1 [2.0, 2.0, 2.0, 2.0] 113
3 0
new
yes
9.0 1
11.0 2
7.0 3
""",
    "ioc_caproto.py": """\
[1, 2, 3] 2 idle Free
2.5 4.0 3.0 1 1 False
GO
GO Locked mm 10.0
""",
}  # fmt: skip


@pytest.mark.parametrize("client", [pytest.param("libca", marks=needs_peers), "canter"])
@pytest.mark.parametrize("script", TOLD)
def test_an_ioc_as_its_users_write_it(script, client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_SERVER_PORT": port,
           "EPICS_CA_REPEATER_PORT": port}  # fmt: skip
    command = [sys.executable, str(SCRIPTS / script)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, **pipes) as ioc:
        try:
            assert ioc.stdout.readline() == "ready\n"
            program = [sys.executable, "-m", "canter.epics_shim"] if client == "canter" else [PYTHON]
            done = subprocess.run(
                [*program, str(SCRIPTS / "judge_of_iocs.py"), script], env=env, capture_output=True, text=True, timeout=300,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout == TOLD[script]
        finally:
            ioc.stdin.close()
            ioc.wait(60)
