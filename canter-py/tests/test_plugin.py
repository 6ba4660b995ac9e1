"""The plugin for pytest, by pytest itself."""

import importlib.util

import pytest

from peers import PYTHON, needs_peers

BASE = """
import pytest, canter
from canter import sim

@pytest.fixture
def ioc_pvs():
    return {"x": 1.0, "valve": sim.Pv("Open", states=["Closed", "Open"])}
"""


@pytest.fixture
def run(pytester):
    def run(tests, *args):
        pytester.makepyfile(BASE + tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)

    return run


def test_fixtures_and_marks(run):
    result = run('''
def test_values(ioc, ca_client, pv):
    assert ca_client.get("x") == 1.0 and pv("valve").get() == "Open"
    ioc["x"] = 2.0
    assert pv("x").get() == 2.0

@pytest.mark.ca_pvs({"y": 3})
@pytest.mark.ca_db('record(calc, "$(P)twice") { field(INPA, "$(P)in") field(CALC, "A*2") }'
                   'record(ao, "$(P)in") { field(FLNK, "$(P)twice") }', P="T:")
def test_marks(ioc, ca_client):
    ca_client.put("T:in", 4, wait=True)
    assert ca_client.get("y") == 3 and ca_client.get("T:twice") == 8

@pytest.mark.ca_fault("x", alarm=3, write=False)
def test_faults(ca_client):
    assert ca_client.get("x").severity == 3
    with pytest.raises(canter.CanterError):
        ca_client.put("x", 5)

@pytest.mark.ca_faults("[[rule]]\\nid = 'deaf'\\non = 'search'\\naction = 'drop'\\ntimes = 2")
def test_rules(ca_client, ca_proxy):
    assert ca_client.get("x", timeout=60) == 1.0 and "deaf" in ca_proxy.execute("list")

def test_proxy(ca_proxy):
    canter.configure(repeater_port=0, timeout=60)
    assert canter.get("x") == 1.0
    canter.configure(addr_list="127.0.0.1:1", auto_addr_list=False, repeater_port=0)
''')
    result.assert_outcomes(passed=5)


def test_what_is_left_fails_the_test(run):
    result = run('''
import threading

def test_subscription(ca_client):
    ca_client.monitor("x", print)

@pytest.mark.ca_allow_leaks
def test_allowed(ca_client):
    ca_client.monitor("x", print)

def test_thread(ca_leak_check):
    threading.Thread(target=threading.Event().wait, name="canter-forgotten", daemon=True).start()

def test_sockets(ca_leak_check):
    global kept
    kept = sim.IOC({})

def test_nothing(ca_leak_check):
    with sim.IOC({"x": 1}) as ioc, ioc.client() as client:
        client.get("x")

def test_question(ioc, ca_client):
    event = threading.Event()
    ioc.on_put("x", lambda put: event.wait(60) and None)
    ca_client.channel("x").put(5, check=False)
    while not ioc.counts["questions"]:
        pass
    test_question.event = event
''')
    result.assert_outcomes(passed=6, errors=4)
    result.stdout.fnmatch_lines_random([
        "*subscriptions were left open: x*", '*left behind: thread "canter-forgotten"*', "*left behind: * sockets*",
        "*1 puts were not answered*",
    ])  # fmt: skip


def test_messages_are_in_the_report_of_a_test_that_fails(run):
    result = run('''
def test_it(ioc, ca_client):
    ca_client.put("x", 2.5)
    assert ca_client.get("x") == 3.5

def test_well(ioc, ca_client):
    assert ca_client.get("valve") == "Open"
''')
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*messages of the IOC*", "*SEARCH*", "*CREATE_CHAN*", "*WRITE*"])
    assert "valve" not in result.stdout.str()


def test_a_world_and_what_passed_in_it(run):
    result = run('''
@pytest.mark.ca_seed(7)
def test_well(ca_world):
    ca_world.ioc({"x": 1.0})
    assert ca_world.client().get("x") == 1.0
    ca_world.run(3600)
    assert ca_world.now > 3600

def test_fails(ca_world):
    ca_world.ioc({"other": 1.0})
    assert ca_world.client().get("other") == 2.0
''')
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*messages of the world*", "*CREATE_CHAN*other*"])


def test_side_by_side(run):
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("needs pytest-xdist: tests/requirements.txt")
    result = run('''
@pytest.mark.parametrize("n", range(12))
def test_it(ioc, ca_client, n):
    ca_client.put("x", n)
    assert ca_client.get("x") == n
''', "-n", "3")
    result.assert_outcomes(passed=12)


SCRIPTS = {
    "pyepics": """
import epics
assert epics.caget("x", timeout=30) == 1.0
assert epics.caput("x", 4.5, wait=True, timeout=30) == 1
""",
    "aioca": """
import asyncio, aioca
async def story():
    await aioca.caput("x", 4.5, wait=True, timeout=30)
    assert await aioca.caget("valve", datatype=str, timeout=30) == "Open"
asyncio.run(story())
""",
    "caproto": """
from caproto.sync import client
assert client.read("x", timeout=30, repeater=False).data[0] == 1.0
client.write("x", 4.5, timeout=30, repeater=False, notify=True)
""",
}


@needs_peers
@pytest.mark.parametrize("name", SCRIPTS)
def test_clients_of_other_makes_find_the_ioc(run, name):
    result = run(f"""
import subprocess

def test_it(ioc):
    done = subprocess.run([{PYTHON!r}, "-c", {SCRIPTS[name]!r}], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ioc["x"] == 4.5
""")
    result.assert_outcomes(passed=1)
