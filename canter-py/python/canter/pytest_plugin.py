"""Fixtures for pytest: an IOC for each test, which clients of any make find, and nothing else.

Override the fixture ``ioc_pvs``, or mark a test with ``ca_pvs``, to say which PVs it serves; mark it with ``ca_db``
for records of files, ``ca_faults`` for a fault proxy. What a test leaves open fails it. The messages between the IOC
and its clients are in the report of a test that fails.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import canter
from canter import sim

#: Lines of messages in a report; options in the ini file may say otherwise.
_FRAMES = 200

#: Threads that stay when an IOC or client is gone.
_STAY = ("canter-ioc", "canter-background", "canter-poll")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("ca_frames", "lines of messages in the report of a test that fails", default=str(_FRAMES))
    parser.addini("ca_leaks", "fail tests that leave subscriptions, circuits or threads", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "ca_pvs(pvs): PVs that the fixture `ioc` serves, by name",
        "ca_db(*files, **macros): files or texts of records that the fixture `ioc` serves",
        "ca_faults(script, seed=0): rules in TOML of the fault proxy between the fixture `ioc` and the clients",
        "ca_fault(pv, alarm=…, write=…, read=…, completes_after=…): a fault of a PV from the start of the test on",
        "ca_seed(seed): the seed of the fixture `ca_world`",
        "ca_allow_leaks: the test may leave subscriptions, circuits and threads",
    ):
        config.addinivalue_line("markers", line)


# ---- What is served. ----


@pytest.fixture
def ioc_pvs() -> Mapping[str, Any]:
    """PVs that the fixture `ioc` serves: values, or descriptions made by `canter.sim.Pv`, by name."""
    return {}


@pytest.fixture
def ioc_settings() -> Mapping[str, Any]:
    """Further settings of the fixture `ioc`: those of `canter.sim.IOC`."""
    return {}


_frames_key = pytest.StashKey[list[sim.IOC]]()
_world_key = pytest.StashKey[sim.World]()


@pytest.fixture
def ioc(
    request: pytest.FixtureRequest, ioc_pvs: Mapping[str, Any], ioc_settings: Mapping[str, Any]
) -> Iterator[sim.IOC]:
    """An IOC on loopback. While the test runs, the environment has clients find it, and nothing else."""
    with _serve(request, ioc_pvs, ioc_settings) as ioc:
        script, options = _faults(request)
        if script:
            with sim.Proxy(ioc, script, **options) as proxy, proxy.environment():
                ioc.proxy = proxy  # type: ignore[attr-defined]
                yield ioc
        else:
            with ioc.environment():
                yield ioc
        _check_ioc(request, ioc)


def _serve(request: pytest.FixtureRequest, ioc_pvs: Any, settings: Mapping[str, Any]) -> sim.IOC:
    given = dict(settings)
    files = list(given.pop("db", ()))
    for mark in request.node.iter_markers("ca_db"):
        files += [(file, dict(mark.kwargs)) for file in mark.args]
    pvs = ioc_pvs
    if isinstance(ioc_pvs, Mapping):
        pvs = dict(ioc_pvs)
        for mark in request.node.iter_markers("ca_pvs"):
            pvs.update(*mark.args, **mark.kwargs)
    path = [str(request.path.parent), *given.pop("path", ())]
    ioc = sim.IOC(pvs, db=files, path=path, frames=True, **given)
    request.node.stash.setdefault(_frames_key, []).append(ioc)
    for mark in request.node.iter_markers("ca_fault"):
        _apply(ioc, *mark.args, **mark.kwargs)
    return ioc


def _apply(
    ioc: sim.IOC,
    pv: str,
    *,
    alarm: int | tuple[int, int] | None = None,
    read: bool = True,
    write: bool = True,
    completes_after: Any = ...,
) -> None:
    if alarm is not None:
        severity, status = alarm if isinstance(alarm, tuple) else (alarm, 9)
        ioc.set_alarm(pv, severity, status)
    if not (read and write):
        ioc.set_rights(pv, read=read, write=write)
    if completes_after is not ...:
        ioc.set_completion(pv, completes_after)


def _faults(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    scripts, options = [], {}
    for mark in request.node.iter_markers("ca_faults"):
        scripts += mark.args
        options.update(mark.kwargs)
    return "\n".join(scripts), options


# ---- Clients. ----


@pytest.fixture
def ca_client(request: pytest.FixtureRequest, ioc: sim.IOC) -> Iterator[canter.Client]:
    """A client for the IOC, through the fault proxy if there is one; it fails the test if subscriptions are left
    open."""
    via = getattr(ioc, "proxy", ioc)
    client = via.client()
    yield client
    gc.collect()
    left = [name for subscription in client._subscriptions for name in subscription.names]
    client.close()
    if left and _looks(request):
        pytest.fail(f"subscriptions were left open: {', '.join(sorted(left))}")


@pytest.fixture
def pv(ca_client: canter.Client) -> Callable[[str], canter.Channel]:
    """Gives connected channels by name."""
    return lambda name: ca_client.channel(name).connect()


@pytest.fixture
def ca_proxy(ioc: sim.IOC) -> Iterator[sim.Proxy]:
    """A fault proxy in front of the IOC; while the test runs, the environment has clients go through it. Rules are
    those of the mark ``ca_faults``; ``ca_proxy.execute("off late")`` switches them."""
    made = getattr(ioc, "proxy", None)
    if made is not None:
        yield made
        return
    with sim.Proxy(ioc) as proxy, proxy.environment():
        yield proxy


@pytest.fixture
def ca_world(request: pytest.FixtureRequest) -> Iterator[sim.World]:
    """A world without sockets, whose clock moves when it is told: ``ca_world.ioc(…)``, ``ca_world.client()``,
    ``ca_world.run(3600)``. The mark ``ca_seed`` gives its seed. The report of a test that fails has what passed."""
    mark = request.node.get_closest_marker("ca_seed")
    with sim.world(mark.args[0] if mark else 0) as world:
        request.node.stash[_world_key] = world
        yield world


# ---- Leaks. ----


def _looks(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getini("ca_leaks")) and request.node.get_closest_marker("ca_allow_leaks") is None


def _check_ioc(request: pytest.FixtureRequest, ioc: sim.IOC) -> None:
    """Puts that nobody has answered are a leak of the IOC's program."""
    if not _looks(request) or not ioc.running:
        return
    questions = ioc.counts["questions"]
    if questions:
        pytest.fail(f"{questions} puts were not answered when the test ended")


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("canter-")}


def _sockets() -> int | None:
    """Open sockets of this process; ``None`` where the system does not say."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return None
    count = 0
    for name in names:
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            pass
    return count


@pytest.fixture
def ca_leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test if threads of Canter or sockets are left that were not there before; of all makes of clients,
    so that those that keep theirs for the process must not be asked for in it for the first time."""
    threads, sockets = _threads(), _sockets()
    yield
    gc.collect()
    if not _looks(request):
        return
    left = []
    for thread in _threads() - threads:
        thread.join(5.0)
        if thread.is_alive():
            left.append(f'thread "{thread.name}"')
    now = _sockets()
    if sockets is not None and now is not None and now > sockets:
        left.append(f"{now - sockets} sockets")
    if left:
        pytest.fail(f"left behind: {', '.join(sorted(left))}")


# ---- Reports. ----


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        served: list[sim.IOC] = item.stash.setdefault(_frames_key, [])
        for number, ioc in enumerate(served):
            lines = _frames(item, ioc)
            if lines:
                name = "messages of the IOC" if number == 0 else f"messages of IOC {number + 1}"
                report.sections.append((name, "\n".join(lines)))
        world = item.stash.get(_world_key, None)
        if world is not None:
            report.sections.append(("messages of the world", "\n".join(_last(item, world.trace))))
    if call.when == "teardown":
        item.stash.setdefault(_frames_key, []).clear()
    return report


def _frames(item: pytest.Item, ioc: sim.IOC) -> list[str]:
    return _last(item, ioc.frames)


def _last(item: pytest.Item, lines: list[str]) -> list[str]:
    most = int(item.config.getini("ca_frames"))
    if most <= 0 or len(lines) <= most:
        return lines if most > 0 else []
    return [f"({len(lines) - most} lines before)", *lines[-most:]]
