"""Request files (``.req``) and save files (``.sav``) of the module autosave of synApps.

A request file has a name of a PV on each line, and ``file other.req P=$(P),M=m1`` for others. A save file has
name and value on each line, ``@array@ { "1" "2" }`` for arrays, and ends with ``<END>``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time

from ..ca import write
from ..pv import get_pv
from ..utils import IOENCODING

__all__ = ["IOENCODING", "AutoSaver", "get_pv", "restore_pvs", "save_pvs"]

#: Files within files, above which there is a circle.
_MAX_DEPTH = 20


def _macros(text: str) -> dict[str, str]:
    """``P=a:,M=m1`` as a dictionary."""
    pairs = (pair.partition("=") for pair in re.split(r"[,\s]+", text.strip()) if pair)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _expand(text: str, macros: dict[str, str]) -> str:
    def value(match: re.Match) -> str:
        name, _, default = match.group(1).partition("=")
        return macros.get(name, default if "=" in match.group(1) else match.group(0))

    return re.sub(r"\$[({]([^)}]*)[)}]", value, text)


def _parse_request_file(request_file, macro_values={}, _depth=0):  # noqa: B006 - it is only read
    if _depth > _MAX_DEPTH:
        raise ValueError(f"{request_file}: files include each other in a circle")
    names = []
    with open(request_file, encoding=IOENCODING) as lines:
        for line in lines:
            line = _expand(line.partition("#")[0].strip(), macro_values)
            if not line:
                continue
            word, _, rest = line.partition(" ")
            if word != "file":
                names.append(line.split()[0])
                continue
            parts = shlex.split(rest)
            other = os.path.join(os.path.dirname(request_file), parts[0])
            macros = {**macro_values, **_macros(" ".join(parts[1:]))}
            names += _parse_request_file(other, macros, _depth + 1)
    return names


class AutoSaver:
    """Saves the PVs of a request file, again and again."""

    def __init__(self, request_file=None):
        self.request_file = None
        self.pvs = []
        if request_file is not None:
            self.read_request_file(request_file)

    def read_request_file(self, request_file=None):
        """Reads the names, and connects the PVs."""
        if request_file is not None:
            self.request_file = request_file
        if self.request_file is None:
            raise ValueError("give a request file")
        self.pvs = [get_pv(name, connect=False) for name in _parse_request_file(self.request_file)]

    def save(self, save_file=None, verbose=False):
        """Writes the values; the name of the file, which without one is that of the request file with
        ``.sav`` at its end.
        """
        if save_file is None:
            save_file = f"{os.path.splitext(self.request_file)[0]}.sav"
        return _save(self.pvs, save_file, verbose)


def _save(pvs, save_file, verbose) -> str:
    lines = [
        "# File saved by pyepics autosave.save_pvs() on %s\n" % time.strftime("%Y-%m-%d %H:%M:%S"),
        "# Edit with extreme care.\n",
    ]
    for it in pvs:
        text = _value_text(it)
        if text is None:
            lines.append(f"#{it.pvname} not connected\n")
            if verbose:
                write(f"cannot save {it.pvname}: {it.last_error}")
            continue
        lines.append(f"{it.pvname} {text}\n")
        if verbose:
            write(f"saved {it.pvname} {text}")
    lines.append("<END>\n")
    # A crash in between leaves the file as it was.
    with open(f"{save_file}.tmp", "w", encoding=IOENCODING) as out:
        out.writelines(lines)
    os.replace(f"{save_file}.tmp", save_file)
    write(f"wrote {save_file}")
    return save_file


def _value_text(it) -> str | None:
    """A value as it stands in a save file; ``None`` if there is none."""
    if not it.wait_for_connection():
        return None
    value = it.get()
    if value is None:
        return None
    if it.nelm == 1:
        return str(value)
    if "char" in it.type:
        text = it.get(as_string=True)
        if text and text.isprintable() and not text.startswith("@array@"):
            return text
    elements = " ".join('"%s"' % str(one).replace("\\", "\\\\").replace('"', '\\"') for one in value)
    return f"@array@ {{ {elements} }}"


def save_pvs(request_file, save_file, debug=False):
    """Writes the values of the PVs of a request file to a save file."""
    saver = AutoSaver(request_file)
    saver.save(save_file, verbose=debug)


def restore_pvs(filepath, debug=False):
    """Puts the values of a save file; whether all arrived.

    Raises:
        ValueError: the file does not end with ``<END>``: it was not written to its end.
    """
    with open(filepath, encoding=IOENCODING) as text:
        lines = text.read().splitlines()
    if "<END>" not in [line.strip() for line in lines]:
        raise ValueError(f"{filepath} does not end with <END>: it was not written to its end")
    todo = []
    for line in lines:
        line = line.strip()
        if not line or line.startswith(("#", "!", "<END>")):
            continue
        name, _, text = line.partition(" ")
        todo.append((get_pv(name, connect=False), text.strip()))
    failures = []
    for it, text in todo:
        if debug:
            write(f"restoring {it.pvname} {text}")
        try:
            done = it.put(_value(it, text), wait=True) if it.wait_for_connection() else None
        except Exception as error:  # noqa: BLE001 - the others are restored
            it.last_error, done = error, None
        if done != 1:
            failures.append(it)
            write(f"cannot restore {it.pvname}: {it.last_error}")
    return not failures


def _value(it, text: str):
    if text.startswith("@array@"):
        inner = text.removeprefix("@array@").strip()
        # As PyEpics writes it, and as the autosave module of an IOC does.
        elements = json.loads(inner) if inner.startswith("[") else shlex.split(inner.strip("{} "))
        return elements if "string" in it.type else [float(one) for one in elements]
    if "enum" in it.type and text.isdigit():
        return int(text)
    return text
