"""Collections of devices, files of them and of groups, snapshots."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import canter
from canter._errors import printable

from . import _xml
from ._codes import NORMAL, codes
from ._errors import failure
from ._match import Match
from ._xml import Collection, Saved, nearest


class Collections(Match):
    """Collections and files."""

    def __init__(self) -> None:
        super().__init__()
        self._collections: dict[str, Collection] = {}
        #: What is between a device and its attribute in the name of a PV.
        self.delimiter = ":"

    # -- collections

    def collectionDefine(  # noqa: N802 - the names are CAFE's
        self,
        name: str,
        devices: Iterable[str] | Mapping[str, float],
        attributes: Iterable[str] = (),
        description: str = "",
    ) -> int:
        """Says what belongs to a collection: devices, or positions by device, and their attributes."""
        members = dict(devices) if isinstance(devices, Mapping) else {one: 0.0 for one in devices}
        if not members:
            error = failure(codes.ECAFE_EMPTY_COLLECTION, f'the collection "{name}" has no members', name)
            return self._failed(error, name, None)
        self._collections[name] = Collection(name, members.items(), attributes, description)
        return NORMAL

    def collectionList(self) -> list[str]:  # noqa: N802
        """Names of the collections."""
        return list(self._collections)

    def isCollection(self, name: str) -> bool:  # noqa: N802
        """Whether there is a collection of this name."""
        return name in self._collections

    def collectionMemberList(self, name: str) -> list[str] | None:  # noqa: N802
        """Devices of a collection."""
        found = self.collectionFetch(name)
        return None if found is None else list(found.members)

    def collectionFetch(self, name: str) -> Collection | None:  # noqa: N802
        """A collection, with its ``members``, ``positions``, ``attributes`` and ``description``."""
        found = self._collections.get(name)
        if found is None:
            near = nearest(str(name), self._collections)
            remedy = f'did you mean "{near}"?' if near else "define it, or load its file"
            error = failure(
                codes.ECAFE_UNKNOWN_COLLECTION, f"there is no collection {name!r}", str(name), 0, remedy
            )
            self._failed(error, str(name), None)
        return found

    def devicePositionMap(self, name: str) -> dict[float, str] | None:  # noqa: N802
        """Devices of a collection by their positions, in their order along the machine."""
        found = self.collectionFetch(name)
        if found is None:
            return None
        return {
            position: device for device, position in sorted(found.positions.items(), key=lambda it: it[1])
        }

    def groupDefineFromCollection(self, name: str, collection: str, attribute: str) -> int:  # noqa: N802
        """Says that a group is an attribute of all devices of a collection."""
        found = self.collectionFetch(collection)
        if found is None:
            return codes.ECAFE_UNKNOWN_COLLECTION
        if found.attributes and attribute not in found.attributes:
            near = nearest(attribute, found.attributes)
            remedy = f'did you mean "{near}"?' if near else f"it has {', '.join(found.attributes)}"
            message = f'the collection "{collection}" has no attribute "{attribute}"'
            return self._failed(
                failure(codes.ECAFE_DEVICE_ATTRIB_NOT_FOUND, message, collection, 0, remedy), collection, None
            )
        return self.groupDefine(name, [f"{one}{self.delimiter}{attribute}" for one in found.members])

    def getChannelDevice(self, handlePV: Any) -> str | None:  # noqa: N802, N803
        """The device in the name of a PV: what is before the last delimiter."""
        return self._part(handlePV, 0)

    def getChannelAttribute(self, handlePV: Any) -> str | None:  # noqa: N802, N803
        """The attribute in the name of a PV: what is after the last delimiter."""
        return self._part(handlePV, 2)

    def _part(self, handle_or_pv: Any, which: int) -> str | None:
        def part(handle: Any) -> str:
            parts = handle.name.rpartition(self.delimiter)
            if parts[1]:
                return parts[which]
            message = f'"{handle.name}" has no {self.delimiter!r} between a device and an attribute'
            raise failure(codes.ECAFE_DEVICE_ATTRIB_NOT_FOUND, message, handle.name, handle.number)

        return self._guard(handle_or_pv, part)

    # -- files

    def loadCollectionsFromXML(self, path: str | os.PathLike) -> int:  # noqa: N802
        """Loads the collections of a file, which is looked for here and in ``CAFE_XML_PATH``.

        Nothing is loaded of a file with mistakes: all of them are told, with their lines, by
        ``lastError`` or by the exception.
        """
        return self._loaded(path, self._load_collections, codes.ECAFE_LOAD_COLLECTION)

    def _load_collections(self, path: Any) -> None:
        for one in _xml.collections(path):
            self._collections[one.name] = one

    def loadGroupsFromXML(self, path: str | os.PathLike) -> int:  # noqa: N802
        """Loads the groups of a file, whose collections are loaded already; see `loadCollectionsFromXML`."""
        return self._loaded(path, self._load_groups, codes.ECAFE_LOAD_GROUP)

    def _load_groups(self, path: Any) -> None:
        for name, pvs in _xml.groups(path, self._collections, self.delimiter):
            self._define(name, pvs)

    def _loaded(self, path: Any, load: Any, code: int) -> int:
        try:
            load(path)
        except canter.FileProblem as mistakes:
            error = failure(code, str(mistakes), str(path))
        except OSError as reason:
            error = failure(codes.ECAFE_CANNOT_OPEN_FILE, str(reason), str(path), remedy="give another file")
        except canter.CanterError as reason:
            return self._failed(reason, printable(path), None)
        except ValueError:
            # A zero, or characters that no file system has.
            text = f"there is no file {path!a}"
            error = failure(codes.ECAFE_CANNOT_OPEN_FILE, text, printable(path), remedy="give another name")
        else:
            return NORMAL
        return self._failed(error, printable(path), None)

    def group2XML(self, name: str, path: str | os.PathLike) -> int:  # noqa: N802
        """Writes the members of a group to a file, from which `loadGroupsFromXML` loads it."""
        pvs = self.groupMemberList(name)
        if pvs is None:
            return codes.ECAFE_UNKNOWN_GROUP
        members = "".join(
            f"    <cafe:member><cafe:name>{escape(pv)}</cafe:name></cafe:member>\n" for pv in pvs
        )
        return self._loaded(path, lambda to: _write(to, _file(name, members)), codes.ECAFE_CANNOT_OPEN_FILE)

    def snapshot2XML(self, group: Any, path: str | os.PathLike | None = None) -> str | None:  # noqa: N802
        """Reads a group and writes its values to a file: whole, or not at all.

        Args:
            path: without it, a name with group and date in the directory ``CAFE_SAR_PATH``.

        Returns:
            The path.
        """
        values = self.getPVGroup(group, "str")
        native = self.getPVGroupCache(group)
        if values is None or native is None:
            return None
        lines = [self._member(text, plain) for text, plain in zip(values.pvdata, native.pvdata)]
        if path is None:
            now = datetime.datetime.now()
            directory = os.environ.get("CAFE_SAR_PATH", ".")
            path = Path(directory) / f"{values.name}_{now:%Y_%m_%d_%H-%M-%S}.xml"
        text = _file(values.name, f"    <cafe:npv>{values.npv}</cafe:npv>\n" + "".join(lines))
        status = self._loaded(path, lambda to: _write(to, text), codes.ECAFE_CANNOT_OPEN_FILE)
        return str(path) if status == NORMAL else None

    def _member(self, text: Any, plain: Any) -> str:
        # Numbers as they are, not with the digits that are shown.
        exact = [one if isinstance(one, str) else repr(one) for one in plain.value]
        values = "".join(f"<cafe:val>{escape(one)}</cafe:val>" for one in exact)
        channel = self._handles.get(text.handle)
        writable = channel is not None and bool(channel.channel.info().get("can_write"))
        settable = "true" if writable and exact else "false"
        return (
            f"    <cafe:member><cafe:name>{escape(text.pv)}</cafe:name><cafe:nelem>{len(exact)}</cafe:nelem>"
            f"{values or '<cafe:val></cafe:val>'}<cafe:settable>{settable}</cafe:settable>"
            f"<cafe:status>{text.status}</cafe:status></cafe:member>\n"
        )

    def restoreFromXML(self, path: str | os.PathLike) -> int:  # noqa: N802
        """Writes the values of a snapshot back, all at once: ``ICAFE_NORMAL``, or the first status that
        is not. A file with mistakes writes nothing.
        """
        found: list[tuple[str, list[Saved]]] = []
        status = self._loaded(path, lambda it: found.extend(_xml.snapshots(it)), codes.ECAFE_LOAD_GROUP)
        if status != NORMAL:
            return status
        saved = [one for _, members in found for one in members]
        handles = [self._open_one(one.pv) for one in saved]
        self._connect(handles, self._open_pend_time)
        values = [_value(one, handle.channel.info().get("native")) for one, handle in zip(saved, handles)]
        return self._put_all(handles, values)[0]


def _value(saved: Saved, native: str | None) -> Any:
    made: list = list(saved.values)
    if native not in (None, "STRING", "ENUM"):
        try:
            made = [float(one) for one in made]
        except ValueError:
            pass
    return made if saved.is_array else made[0]


def _file(name: str, inside: str) -> str:
    spaces = 'xmlns:cafe="https://cafe.web.psi.ch"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<cafe:config {spaces}>\n'
        f"  <cafe:group id={quoteattr(name)}>\n{inside}  </cafe:group>\n</cafe:config>\n"
    )


def _write(path: str | os.PathLike, text: str) -> None:
    to = Path(path)
    number, beside = tempfile.mkstemp(dir=to.parent, prefix=f".{to.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, to)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
