"""CAFE's files of collections, groups and snapshots in XML: where they are, and what they become. They are read, with all
their mistakes at once, as `canter-kit` of Rust reads them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from .. import _canter


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if one is."""
    found = difflib.get_close_matches(name, list(known)[:10_000], n=1)
    return found[0] if found else None


class Collection:
    """Devices of one kind, with their positions along the machine and the attributes that they have."""

    def __init__(
        self,
        name: str,
        members: Iterable[tuple[str, float]] = (),
        attributes: Iterable[str] = (),
        description: str = "",
    ) -> None:
        self.name = name
        self.description = description
        self.positions: dict[str, float] = dict(members)
        self.members = list(self.positions)
        self.attributes = list(attributes)


class Saved:
    """A value of a snapshot."""

    def __init__(self, pv: str, values: list[str], is_array: bool) -> None:
        self.pv = pv
        self.values = values
        self.is_array = is_array


def find(name: str | os.PathLike) -> str:
    """A file here, or in the directories of ``CAFE_XML_PATH``.

    Raises:
        FileNotFoundError: it is not there.
    """
    directories = [".", *filter(None, os.environ.get("CAFE_XML_PATH", "").split(os.pathsep))]
    for directory in directories:
        path = Path(directory) / name
        if path.is_file():
            return str(path)
    where = os.environ.get("CAFE_XML_PATH")
    place = f"here and in CAFE_XML_PATH={where}" if where else "here, and CAFE_XML_PATH is not set"
    raise FileNotFoundError(f"{name} is neither there nor anywhere that is looked at: {place}")


def collections(path: str | os.PathLike) -> list[Collection]:
    """The collections of a file.

    Raises:
        FileProblem: all its mistakes.
        OSError: it cannot be read.
    """
    rows = _canter.load_cafe_collections(find(path))
    return [Collection(name, devices, attributes, text) for name, text, devices, attributes in rows]


def groups(
    path: str | os.PathLike, known: dict[str, Collection], delimiter: str
) -> list[tuple[str, list[str]]]:
    """The groups of a file, each with the names of its PVs: its members, and the devices of its collections with their
    attributes; raises as `collections`.
    """
    rows = [(one.name, one.description, list(one.positions.items()), one.attributes) for one in known.values()]
    return _canter.load_cafe_groups(find(path), rows, delimiter)


def snapshots(path: str | os.PathLike) -> list[tuple[str, list[Saved]]]:
    """Groups of a snapshot with the values that may be written back; raises as `collections`."""
    found = _canter.load_cafe_snapshot(find(path))
    return [(name, [Saved(*one) for one in values]) for name, values in found]
