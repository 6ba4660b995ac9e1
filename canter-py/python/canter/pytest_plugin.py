"""Fixtures for pytest: an IOC for each test, which clients of any make find, and nothing else.

Override the fixture ``ioc_pvs``, or mark a test with ``ca_pvs``, to say which PVs it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import canter
from canter import sim


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ca_pvs(pvs): PVs that the fixture `ioc` serves, by name")


@pytest.fixture
def ioc_pvs() -> Mapping[str, Any]:
    """PVs that the fixture `ioc` serves: values, or descriptions made by `canter.sim.Pv`, by name."""
    return {}


@pytest.fixture
def ioc(request: pytest.FixtureRequest, ioc_pvs: Mapping[str, Any]) -> Iterator[sim.IOC]:
    """An IOC on loopback. While the test runs, the environment has clients find it, and nothing else."""
    pvs = dict(ioc_pvs)
    for mark in request.node.iter_markers("ca_pvs"):
        pvs.update(*mark.args, **mark.kwargs)
    with sim.IOC(pvs) as ioc, ioc.environment():
        yield ioc


@pytest.fixture
def ca_client(ioc: sim.IOC) -> Iterator[canter.Client]:
    """A client for the IOC; it fails the test if subscriptions are left open."""
    client = ioc.client()
    yield client
    left = [subscription.channel.name for subscription in client._subscriptions]
    client.close()
    if left:
        pytest.fail(f"subscriptions were left open: {', '.join(sorted(left))}")


@pytest.fixture
def pv(ca_client: canter.Client) -> Callable[[str], canter.Channel]:
    """Gives connected channels by name."""
    return lambda name: ca_client.channel(name).connect()
