"""Hostile arguments for every public function and method, found by introspection: whatever is given in the place of one
argument, what is raised is of canter's tree or of the face's own, or a `TypeError` that says what was wanted. Never an
error of the system, an assertion, a panic or a name that Python does not know.
"""

import inspect

import canter
import numpy
import pytest
from canter import aioca, catools, epics, pycafe, sim

HOSTILE = {
    "None": None,
    "negative": -1,
    "zero": 0,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "huge": 2**70,
    "larger than any": 10**400,
    "half of a pair": "\ud800",
    "a NUL": "a\0b",
    "empty": "",
    "bytes": b"x",
    "an object": object(),
    "an empty list": [],
    "a list of None": [None],
    "a complex": 1j,
    "an array of complex": numpy.zeros(2, complex),
    "two dimensions": numpy.zeros((2, 2)),
}

#: Time-outs that are good, and that nobody waits for here.
ENDLESS = [float("inf"), 2**70, 10**400]

#: What no user should see: it names neither the PV nor what to do.
BARE = (
    AssertionError, AttributeError, IndexError, KeyError, NameError, OSError, OverflowError, RecursionError,
    RuntimeError, UnicodeError, ValueError, ZeroDivisionError,
)  # fmt: skip

#: Exceptions of the faces.
OWN = (
    canter.CanterError, epics.ca.ChannelAccessException, epics.ca.ChannelAccessGetFailure,
    epics.ca.CASeverityException, pycafe.CafeException, aioca.CANothing, catools.CANothing,
)  # fmt: skip


def judge(error, where):
    if isinstance(error, OWN):
        assert str(error), where
    elif isinstance(error, (SyntaxError, SystemExit)) or not isinstance(error, Exception):
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    elif "truth value of an array" in str(error):
        # A switch that is given an array: NumPy says it well.
        pass
    elif isinstance(error, BARE):
        # NotImplementedError and the like say what they say.
        if not isinstance(error, NotImplementedError):
            raise AssertionError(f"{where}: bare {type(error).__name__}: {error!a}") from error


def attempts(function, given, skip=()):
    """Calls of a function: for each argument that it may get, each hostile value in its place."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skip or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        for word, value in HOSTILE.items():
            yield f"{getattr(function, '__qualname__', function)}({name}={word})", {**given(function), name: value}


def arguments(function, known):
    """What it needs, and short time-outs."""
    made = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in known and (parameter.default is parameter.empty or "timeout" in name):
            value = known[name]
            made[name] = value() if callable(value) and getattr(value, "__name__", "") == "<lambda>" else value
        elif parameter.default is parameter.empty and name not in ("self", "cls"):
            raise LookupError(f"{function}: no value for {name}")
    return made


def assault(functions, known, close=True):
    failures = []
    for function in functions:
        for where, kwargs in attempts(function, lambda one: arguments(one, known)):
            if kwargs.get("timeout") is None and "timeout" in kwargs and function.__name__ == "wait_until":
                continue
            if any("timeout" in name and isinstance(value, (int, float)) and value in ENDLESS for name, value in kwargs.items()):
                continue
            try:
                made = function(**kwargs)
                if close and hasattr(made, "close"):
                    made.close()
            except BaseException as error:  # noqa: BLE001
                try:
                    judge(error, where)
                except AssertionError as failure:
                    failures.append(str(failure))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


def public(thing, leave=()):
    return [
        getattr(thing, name)
        for name in getattr(thing, "__all__", None) or [one for one in dir(thing) if not one.startswith("_")]
        if name not in leave and inspect.isroutine(getattr(thing, name))
    ]


T = 0.05
NATIVE = {
    "pv": "motor", "pvs": ["motor", "count"], "name": "motor", "value": 1.0, "values": [1.0, 2], "timeout": T,
    "callback": print, "condition": 1.0, "readback": "motor", "rows": [("motor", 1.0, "motor")], "to": 1.0,
    "axes": canter.Axis("motor", [1.0]), "observe": ["motor"], "members": ["motor"], "path": "/nowhere/x.csv",
}  # fmt: skip


@pytest.fixture
def hasty(default):
    """The default client, which does not wait long."""
    canter.configure(repeater_port=0, timeout=T)
    return default


@pytest.mark.usefixtures("hasty")
def test_the_native_functions():
    assault(public(canter, ("configure", "default_client")), NATIVE)


@pytest.mark.usefixtures("hasty")
def test_the_methods_of_a_client():
    with canter.Client(timeout=T, repeater_port=0) as client:
        assault(public(client, ("close",)), NATIVE)
        assault(public(client.channel("motor"), ("close", "plot")), NATIVE)


def test_settings_of_a_client():
    wrong = []
    settings = ("environ", "addr_list", "auto_addr_list", "name_servers", "timeout", "priority", "read_only",
                "server_port", "repeater_port", "user", "host")  # fmt: skip
    for name in settings:
        for word, value in HOSTILE.items():
            try:
                canter.Client(**{name: value}).close()
            except BaseException as error:  # noqa: BLE001
                try:
                    judge(error, f"Client({name}={word})")
                except AssertionError as failure:
                    wrong.append(str(failure))
    assert not wrong, "\n".join(wrong)


SIM = {
    "name": "motor", "value": 2.0, "given": 1.0, "decide": None, "getter": None, "record": "rec", "severity": 1,
    "status": 1, "after": 0.1, "seconds": 0.0, "snapshot": lambda: sim.IOC().snapshot(), "read": True, "write": True,
    "function": lambda: (lambda *_: None), "set": ["motor"], "period": None,
}  # fmt: skip


def attack(failures, where, make):
    try:
        made = make()
        if hasattr(made, "close"):
            made.close()
    except BaseException as error:  # noqa: BLE001
        try:
            judge(error, where)
        except AssertionError as failure:
            failures.append(str(failure))


def test_a_simulated_ioc():
    failures = []
    for name in inspect.signature(sim.IOC).parameters:
        for word, value in HOSTILE.items():
            if name not in ("_world", "loop"):
                attack(failures, f"IOC({name}={word})", lambda name=name, value=value: sim.IOC(**{name: value}))
    for word, value in HOSTILE.items():
        attack(failures, f"IOC(a PV={word})", lambda value=value: sim.IOC({"x": value}))
        attack(failures, f"IOC(the name={word})", lambda value=value: sim.IOC({value: 1.0} if word in WORDS else {}))
        for key in (
            "type", "states", "units", "precision", "description", "display", "control", "alarm", "warning", "severities",
            "hysteresis", "value_deadband", "archive_deadband", "capacity", "read_only", "undefined", "completes_after",
        ):  # fmt: skip
            attack(failures, f"Pv({key}={word})", lambda k=key, v=value: sim.IOC({"x": sim.Pv(1.0, **{k: v})}))
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


#: Those that can be keys.
WORDS = [word for word, value in HOSTILE.items() if not isinstance(value, (list, numpy.ndarray))]


def test_the_methods_of_a_simulated_ioc():
    with sim.IOC({"motor": 1.0, "count": 1}, db='record(ai, "rec") {}') as ioc:
        assault(public(ioc, ("client", "environment", "close", "start", "stop", "restart", "freeze", "thaw")), SIM)
        ioc.freeze()
        assault([ioc.step], SIM)
        failures = []
        for word, value in HOSTILE.items():
            for name in ("motor", "count", "rec", "rec.DESC", "rec.PREC"):
                attack(failures, f"ioc[{name}] = {word}", lambda n=name, v=value: ioc.__setitem__(n, v))
            attack(failures, f"ioc[{word}]", lambda v=value: ioc[v])
            attack(failures, f"{word} in ioc", lambda v=value: v in ioc)
            attack(failures, f"Snapshot({word})", lambda v=value: sim.Snapshot(v))
            attack(failures, f"Proxy({word})", lambda v=value: sim.Proxy(v))
            attack(failures, f"Proxy(script={word})", lambda v=value: sim.Proxy(ioc, v))
            if word != "half of a pair":
                # As `open` has it.
                attack(failures, f"Snapshot.read({word})", lambda v=value: sim.Snapshot.read(v))
            attack(failures, f"World({word})", lambda v=value: sim.World(v))
        assert not failures, f"{len(failures)}:\n" + "\n".join(failures)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 3e10, -3e10, 2**31])
def test_integers_get_numbers_that_they_can_hold(number):
    """Servers make anything of what does not fit."""
    pvs = {"count": 5, "small": sim.Pv(7, type="short"), "valve": sim.Pv(1, states=["a", "b"]), "many": [1, 2, 3]}
    with sim.IOC(pvs) as ioc, ioc.client(timeout=60) as client:
        for pv in pvs:
            for wrong in (number, [1.0, number]) if pv == "many" else (number,):
                with pytest.raises(canter.ValueProblem, match=f'"{pv}".* is no ') as caught:
                    client.put(pv, wrong)
                assert caught.value.pv == pv and caught.value.remedy
                with pytest.raises(canter.ValueProblem, match=f'"{pv}".* is no '):
                    ioc[pv] = wrong
                (error,) = client.put_many([pv], [wrong])
                assert isinstance(error, canter.ValueProblem) and error.pv == pv
        assert client.get("count") == 5 and client.get("small") == 7 and client.get("many").tolist() == [1, 2, 3]
        # What fits is as before: the server cuts what is behind the point.
        client.put("count", 7.9)
        client.put("small", 300)
        assert client.get("count") == 7 and client.get("small") == 300


PYEPICS = {
    "pvname": "motor", "value": 1.0, "values": [1.0], "pvlist": ["motor"], "timeout": T, "connection_timeout": T,
    "conn_timeout": None, "put_timeout": T, "monitor_delta": None, "writer": lambda: (lambda *_: None),
}  # fmt: skip


@pytest.mark.usefixtures("hasty")
def test_pyepics():
    functions = [epics.caget, epics.caput, epics.cainfo, epics.camonitor, epics.caget_many, epics.caput_many, epics.get_pv]
    assault(functions, PYEPICS, close=False)
    failures = []
    for name in inspect.signature(epics.PV).parameters:
        for word, value in HOSTILE.items():
            given = {"pvname": "motor", name: value}
            attack(failures, f"PV({name}={word})", lambda given=given: epics.PV(**given).get(timeout=T))
    pv = epics.PV("motor")
    assert pv.wait_for_connection(60)
    assert not failures, f"{len(failures)}:\n" + "\n".join(failures)
    known = {**PYEPICS, "index": 0, "evt": 0.0, "iot": 0.0}
    assault([pv.get, pv.put, pv.get_with_metadata, pv.get_timevars, pv.get_ctrlvars, pv.wait_for_connection,
             pv.add_callback, pv.remove_callback, pv.run_callback], known, close=False)  # fmt: skip
