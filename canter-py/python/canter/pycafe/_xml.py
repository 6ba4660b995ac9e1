"""CAFE's files of collections, groups and snapshots in XML, with all their mistakes at once.

What is read is bounded, and files with a document type are refused: entities of entities are how a small
file becomes a large one.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.parsers import expat

#: Bytes of a file.
MAX_BYTES = 16 << 20
#: Elements of a file.
MAX_ELEMENTS = 2_000_000
#: Elements within each other.
MAX_DEPTH = 16
#: Bytes of the text of one element: an array of 10^5 numbers.
MAX_TEXT = 4 << 20
#: Mistakes that are told.
MAX_MISTAKES = 50


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if one is."""
    found = difflib.get_close_matches(name, list(known)[:10_000], n=1)
    return found[0] if found else None


class Mistakes(Exception):
    """The mistakes of a file: each with line, column, and the line itself."""

    def __init__(self, path: str, mistakes: list[str]) -> None:
        self.path = path
        self.mistakes = mistakes
        shown = "\n".join(mistakes[:MAX_MISTAKES])
        more = len(mistakes) - MAX_MISTAKES
        super().__init__(shown + (f"\nand {more} more" if more > 0 else ""))


class Element:
    """An element: its name without prefix, where it begins, what is in it."""

    __slots__ = ("children", "column", "line", "name", "text", "values")

    def __init__(self, name: str, values: dict[str, str], line: int, column: int) -> None:
        self.name = name
        self.values = values
        self.line = line
        self.column = column
        self.children: list[Element] = []
        self.text = ""


def find(name: str | os.PathLike) -> Path | None:
    """A file here, or in the directories of ``CAFE_XML_PATH``."""
    directories = [".", *filter(None, os.environ.get("CAFE_XML_PATH", "").split(os.pathsep))]
    found = (Path(directory) / name for directory in directories)
    return next((path for path in found if path.is_file()), None)


class Reader:
    """Reads one file: the tree of its elements, and its mistakes."""

    #: What may be in what; names are compared without regard to case, as CAFE does.
    def __init__(self, path: str, data: bytes, grammar: dict[str, dict[str, set[str]]]) -> None:
        self.path = path
        self.mistakes: list[str] = []
        self._data = data
        self._lines: list[bytes] | None = None
        self._grammar = grammar
        self._stack: list[Element] = []
        self._count = 0
        self.root: Element | None = None

    def mistake(self, what: str, line: int, column: int) -> None:
        """Notes a mistake."""
        if len(self.mistakes) > MAX_MISTAKES:
            self.mistakes.append("")
            return
        if self._lines is None:
            self._lines = self._data.split(b"\n")
        text = self._lines[line - 1][:200].decode("utf-8", "replace") if line <= len(self._lines) else ""
        pointer = " " * min(column, 200) + "^"
        self.mistakes.append(f"{self.path}:{line}:{column + 1}: {what}\n    {text}\n    {pointer}")

    def read(self) -> Element:
        """The outermost element.

        Raises:
            Mistakes: at once for what is no XML; other mistakes are noted.
        """
        parser = expat.ParserCreate()
        # Prefixes are taken off here: CAFE's own files use one that they do not declare.
        parser.buffer_text = True
        parser.StartElementHandler = lambda name, values: self._begin(parser, name, values)
        parser.EndElementHandler = lambda name: self._end()
        parser.CharacterDataHandler = lambda text: self._take(parser, text)
        parser.StartDoctypeDeclHandler = lambda *_: self._refuse(parser)
        try:
            parser.Parse(self._data, True)
        except expat.ExpatError as error:
            self.mistake(expat.ErrorString(error.code), error.lineno, error.offset)
            raise Mistakes(self.path, self.mistakes) from None
        assert self.root is not None
        return self.root

    def _stop(self, parser: Any, what: str) -> None:
        self.mistake(what, parser.CurrentLineNumber, parser.CurrentColumnNumber)
        raise Mistakes(self.path, self.mistakes)

    def _refuse(self, parser: Any) -> None:
        self._stop(parser, "a document type, whose entities may grow without bound; take it out")

    def _begin(self, parser: Any, name: str, values: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            self._stop(parser, f"more than {MAX_ELEMENTS} elements; make several files of it")
        if len(self._stack) >= MAX_DEPTH:
            self._stop(parser, f"more than {MAX_DEPTH} elements within each other")
        name = name.rpartition(":")[2].lower()
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber
        plain = {key.rpartition(":")[2].lower(): one for key, one in values.items() if "xmlns" not in key}
        element = Element(name, plain, line, column)
        inside = self._stack[-1] if self._stack else None
        allowed = self._grammar.get(inside.name if inside else "", {})
        if name not in allowed:
            if inside is None or inside.name in self._grammar:
                self._unknown(element, inside, allowed)
        else:
            for key in element.values:
                if key not in allowed[name]:
                    known = ", ".join(sorted(allowed[name])) or "none"
                    self.mistake(f'<{name}> has no attribute "{key}"; it has: {known}', line, column)
        if inside is None:
            self.root = element
        else:
            inside.children.append(element)
        self._stack.append(element)

    def _unknown(self, element: Element, inside: Element | None, allowed: Iterable[str]) -> None:
        where = f"in <{inside.name}>" if inside else "at the beginning"
        near = nearest(element.name, allowed)
        hint = (
            f"did you mean <{near}>?" if near else f"there may be {', '.join(f'<{one}>' for one in allowed)}"
        )
        self.mistake(f"<{element.name}> {where}: {hint}", element.line, element.column)

    def _end(self) -> None:
        element = self._stack.pop()
        element.text = element.text.strip()

    def _take(self, parser: Any, text: str) -> None:
        if self._stack:
            element = self._stack[-1]
            element.text += text
            if len(element.text) > MAX_TEXT:
                self._stop(parser, f"a text of more than {MAX_TEXT} bytes")


_LEAF: dict[str, set[str]] = {}

COLLECTIONS = {
    "": {"config": set()},
    "config": {"collection": {"id"}},
    "collection": {"description": set(), "attributes": set(), "member": {"pos"}},
    "attributes": {"attribute": set()},
    "member": {"device": set()},
    "device": _LEAF, "attribute": _LEAF, "description": _LEAF,
}  # fmt: skip

GROUPS = {
    "": {"config": set()},
    "config": {"group": {"id"}},
    "group": {
        "description": set(), "statusgroup": set(), "npv": set(), "member": set(), "collection": set(),
        "collectivetype": set(),
    },
    "member": {
        "name": set(), "nelem": set(), "status": set(), "rule": set(), "datatype": set(), "val": set(),
        "settable": set(),
    },
    "collection": {"id": set(), "attribute": set(), "attrib": set(), "collectivetype": set()},
    "name": _LEAF, "id": _LEAF, "attribute": _LEAF, "nelem": _LEAF, "val": _LEAF, "settable": _LEAF,
}  # fmt: skip


def _load(
    path: str | os.PathLike, grammar: dict, outermost: str, take: Callable[[Reader, Element], Any]
) -> list:
    """What a file has, each made of one of its outermost elements.

    Raises:
        Mistakes: all of them.
        OSError: it cannot be read.
    """
    found = find(path)
    if found is None:
        where = os.environ.get("CAFE_XML_PATH")
        place = f"here and in CAFE_XML_PATH={where}" if where else "here, and CAFE_XML_PATH is not set"
        raise FileNotFoundError(f"{path} is neither there nor anywhere that is looked at: {place}")
    with found.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Mistakes(str(found), [f"{found}: more than {MAX_BYTES} bytes; make several files of it"])
    reader = Reader(str(found), data, grammar)
    root = reader.read()
    made = [take(reader, one) for one in root.children if one.name == outermost]
    if reader.mistakes:
        raise Mistakes(str(found), reader.mistakes)
    return made


def _id(reader: Reader, element: Element, seen: set[str]) -> str:
    name = element.values.get("id", "").strip()
    if not name:
        reader.mistake(f'<{element.name}> needs a name: id="…"', element.line, element.column)
    elif name in seen:
        reader.mistake(f'"{name}" is there already', element.line, element.column)
    seen.add(name)
    return name


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


def collections(path: str | os.PathLike) -> list[Collection]:
    """The collections of a file."""
    seen: set[str] = set()

    def take(reader: Reader, element: Element) -> Collection:
        name = _id(reader, element, seen)
        members: dict[str, float] = {}
        attributes: list[str] = []
        description = ""
        for child in element.children:
            if child.name == "description":
                description = child.text
            elif child.name == "attributes":
                attributes += [one.text for one in child.children if one.text]
            elif child.name == "member":
                device = next((one.text for one in child.children if one.name == "device"), "")
                if not device:
                    reader.mistake("a <member> needs a <device>", child.line, child.column)
                elif device in members:
                    reader.mistake(f'"{device}" is in it already', child.line, child.column)
                members[device] = _position(reader, child)
        if not members:
            reader.mistake(f'the collection "{name}" has no <member>', element.line, element.column)
        return Collection(name, members.items(), attributes, description)

    return _load(path, COLLECTIONS, "collection", take)


def _position(reader: Reader, member: Element) -> float:
    text = member.values.get("pos", "0")
    try:
        position = float(text)
    except ValueError:
        position = math.nan
    if not math.isfinite(position):
        reader.mistake(f'pos="{text}" is no number', member.line, member.column)
    return position


def groups(
    path: str | os.PathLike, known: dict[str, Collection], delimiter: str
) -> list[tuple[str, list[str]]]:
    """The groups of a file, each with the names of its PVs: its members, and the devices of its
    collections with their attributes.
    """
    seen: set[str] = set()

    def take(reader: Reader, element: Element) -> tuple[str, list[str]]:
        name = _id(reader, element, seen)
        pvs: list[str] = []
        for child in element.children:
            if child.name == "member":
                pv = next((one.text for one in child.children if one.name == "name"), "")
                if not pv:
                    reader.mistake("a <member> needs a <name>", child.line, child.column)
                pvs.append(pv)
            elif child.name == "collection":
                pvs += _expanded(reader, child, known, delimiter)
        if not pvs and not reader.mistakes:
            reader.mistake(f'the group "{name}" has no members', element.line, element.column)
        return name, pvs

    return _load(path, GROUPS, "group", take)


def _expanded(reader: Reader, element: Element, known: dict[str, Collection], delimiter: str) -> list[str]:
    identity = next((one for one in element.children if one.name == "id"), element)
    found = known.get(identity.text)
    if found is None:
        near = nearest(identity.text, known)
        hint = f'did you mean "{near}"?' if near else "load its file before: loadCollectionsFromXML"
        what = f'there is no collection "{identity.text}": {hint}'
        reader.mistake(what, identity.line, identity.column)
        return []
    attributes = [one for one in element.children if one.name in ("attribute", "attrib")]
    for one in attributes:
        if found.attributes and one.text not in found.attributes:
            near = nearest(one.text, found.attributes)
            hint = f'did you mean "{near}"?' if near else f"it has {', '.join(found.attributes)}"
            reader.mistake(f'"{found.name}" has no attribute "{one.text}": {hint}', one.line, one.column)
    names = [one.text for one in attributes] or found.attributes
    if not names:
        reader.mistake(f'which <attribute> of "{found.name}"?', element.line, element.column)
    return [f"{device}{delimiter}{attribute}" for attribute in names for device in found.members]


class Saved:
    """A value of a snapshot."""

    def __init__(self, pv: str, values: list[str], nelem: int) -> None:
        self.pv = pv
        self.values = values
        self.nelem = nelem


def snapshots(path: str | os.PathLike) -> list[tuple[str, list[Saved]]]:
    """Groups of a snapshot with the values that may be written back."""
    seen: set[str] = set()

    def take(reader: Reader, element: Element) -> tuple[str, list[Saved]]:
        name = _id(reader, element, seen)
        members = (child for child in element.children if child.name == "member")
        saved = [_saved(reader, member) for member in members]
        return name, [one for one in saved if one is not None]

    return _load(path, GROUPS, "group", take)


def _saved(reader: Reader, member: Element) -> Saved | None:
    by_name: dict[str, list[Element]] = {}
    for child in member.children:
        by_name.setdefault(child.name, []).append(child)
    first = {name: found[0] for name, found in by_name.items()}
    if "name" not in first or "val" not in first:
        reader.mistake("a <member> needs a <name> and a <val>", member.line, member.column)
        return None
    if "settable" in first and first["settable"].text != "true":
        return None
    values = [one.text for one in by_name["val"]]
    nelem = len(values)
    if "nelem" in first:
        try:
            nelem = int(first["nelem"].text)
        except ValueError:
            one = first["nelem"]
            reader.mistake(f'<nelem> of "{one.text}" is no count', one.line, one.column)
    if nelem > 1 and len(values) == 1:
        values = values[0].split()
    if len(values) != max(nelem, 1):
        one = first["val"]
        reader.mistake(f"{len(values)} values, and <nelem> says {nelem}", one.line, one.column)
    return Saved(first["name"].text, values, nelem)
