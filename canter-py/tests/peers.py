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


def introspect_here(theirs, ours, missing):
    """Public functions of a module that another one has not, or without some of their keywords, but for those that
    are said to be missing; and those that are said to be and are not."""
    import inspect

    wrong = []
    for name in dir(theirs):
        their = getattr(theirs, name)
        if name.startswith("_") or not callable(their) or not name[0].isalpha():
            continue
        our = getattr(ours, name, None)
        if our is None:
            if name not in missing:
                wrong.append(f"{name}: missing")
            continue
        if name in missing:
            wrong.append(f"{name}: is there, take it from the list")
            continue
        try:
            wanted = inspect.signature(their).parameters.values()
            have = inspect.signature(our).parameters.values()
        except (TypeError, ValueError):
            continue
        any_keyword = any(one.kind is one.VAR_KEYWORD for one in have)
        names = {one.name: one for one in have}
        for one in wanted:
            if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
                if not any(it.kind is one.kind for it in have):
                    wrong.append(f"{name}: takes no {one}")
            elif one.name in names:
                if names[one.name].default != one.default:
                    wrong.append(f"{name}: {one.name} is {one.default!r} there, {names[one.name].default!r} here")
            elif not any_keyword:
                wrong.append(f"{name}: takes no {one.name}")
    return wrong
