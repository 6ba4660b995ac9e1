"""The interpreter with real EPICS, PyEpics and aioca in it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("CANTER_PEERS_PYTHON")

needs_peers = pytest.mark.skipif(PYTHON is None, reason="needs real EPICS: cargo xtask test")


def introspect(*modules):
    """The public names of installed modules, with keywords and defaults."""
    script = Path(__file__).with_name("introspect.py")
    done = subprocess.run([PYTHON, str(script), *modules], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(theirs, ours, package, face, deviations):
    """What of theirs is not as it is here, but for the listed deviations; and deviations that are none."""
    wrong, used = [], set()

    def look(name, their, our):
        if their == our:
            return
        used.add(name)
        if name not in deviations:
            wrong.append(f"{name}: {their} there, {our} here")

    for name, their in theirs.items():
        our = ours.get(name.replace(package, face, 1), "missing")
        if isinstance(their, dict) and isinstance(our, dict):
            for member, one in their.items():
                look(f"{name}.{member}", one, our.get(member, "missing"))
        elif isinstance(their, dict) and our == "missing":
            look(name, "a class", "missing")
        else:
            look(name, their, our)
    stale = [f"{name}: is as there, take it from the list" for name in deviations if name not in used]
    return wrong + stale
