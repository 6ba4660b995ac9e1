"""Groups: PVs that are read and written together, by a name or handle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import canter

from ._codes import DBE, DBR, NORMAL, codes
from ._data import PVData, PVGroup, check_datatype
from ._errors import failure
from ._handles import Handle, _number
from ._monitors import Callback, Monitors
from ._values import _first_bad
from ._xml import nearest

#: Seconds that opening a group waits, unless it is told otherwise.
GROUP_PEND_TIME = 1.0

#: PVs of a group.
MAX_MEMBERS = 1_000_000


class Group:
    """A group that is open."""

    def __init__(self, name: str, number: int, members: list[Handle]) -> None:
        self.name = name
        self.number = number
        self.members = members


class Groups(Monitors):
    """Groups."""

    def __init__(self) -> None:
        super().__init__()
        self._defined: dict[str, list[str]] = {}
        self._groups: dict[int, Group] = {}
        self._group_names: dict[str, Group] = {}
        self._groups_preparing: list[Handle] | None = None

    def _forget_groups(self) -> None:
        self._groups.clear()
        self._group_names.clear()
        self._defined.clear()
        self._groups_preparing = None

    # -- definition and opening

    def groupDefine(self, name: str, pvs: Iterable[str]) -> int:  # noqa: N802 - the names are CAFE's
        """Says what belongs to a group; `groupOpen` opens it."""
        try:
            self._define(name, list(pvs))
        except canter.CanterError as error:
            return self._failed(error, name, None)
        return NORMAL

    def _define(self, name: str, pvs: list[str]) -> None:
        if not isinstance(name, str) or not name.strip():
            raise failure(codes.ECAFE_BADSTR, f"{name!r} is no name of a group", remedy="give a text")
        if not pvs:
            raise failure(codes.ECAFE_EMPTY_GROUP, f'the group "{name}" has no members', name)
        if len(pvs) > MAX_MEMBERS:
            message = f'the group "{name}" has {len(pvs)} members, more than {MAX_MEMBERS}'
            raise failure(codes.ECAFE_BADCOUNT, message, name, remedy="make several of it")
        wrong = next((one for one in pvs if not isinstance(one, str) or not one.strip()), None)
        if wrong is not None:
            raise failure(codes.ECAFE_BADSTR, f'a member of the group "{name}" is {wrong!r}, no name', name)
        opened = self._group_names.get(name)
        if opened is not None and [one.name for one in opened.members] != pvs:
            self._close_group(opened)
        self._defined[name] = pvs

    def grouping(self, name: str, pvs: Iterable[str]) -> int | None:
        """Defines a group and opens it; its handle. A group of this name with other members is replaced."""
        try:
            self._define(name, list(pvs))
        except canter.CanterError as error:
            self._failed(error, str(name), None)
            return None
        return self.groupOpen(name)

    def groupOpen(self, name: str) -> int | None:  # noqa: N802
        """Opens a group that is defined; its handle."""
        try:
            group = self._open_group(name)
        except canter.CanterError as error:
            self._failed(error, str(name), None)
            return None
        if self._groups_preparing is not None:
            self._groups_preparing.extend(group.members)
        else:
            self._connect(group.members, GROUP_PEND_TIME)
        return group.number

    def _open_group(self, name: str) -> Group:
        with self._lock:
            if name in self._group_names:
                return self._group_names[name]
            pvs = self._defined.get(name)
            if pvs is None:
                raise self._no_group(name)
            number = next(self._numbers)
            members = [self._open_one(pv, group=number) for pv in pvs]
            group = Group(name, number, members)
            self._groups[number] = self._group_names[name] = group
            return group

    def _no_group(self, name: Any) -> canter.CanterError:
        near = nearest(str(name), self._defined)
        remedy = f'did you mean "{near}"?' if near else "define it before: grouping(name, pvs)"
        return failure(codes.ECAFE_UNKNOWN_GROUP, f"there is no group {name!r}", str(name), 0, remedy)

    def openGroupPrepare(self) -> None:  # noqa: N802
        """Groups that are opened from now on are waited for together: by `openGroupNowAndWait`."""
        self._groups_preparing = []

    def openGroupNowAndWait(self, timeout: float = GROUP_PEND_TIME) -> int:  # noqa: N802
        """Waits until all members of the groups that were opened since `openGroupPrepare` are connected."""
        prepared, self._groups_preparing = self._groups_preparing or [], None
        return self._connect(prepared, timeout)

    def _group(self, handle_or_name: Any) -> Group:
        if isinstance(handle_or_name, str):
            found = self._group_names.get(handle_or_name)
            return found if found is not None else self._open_and_connect(handle_or_name)
        number = _number(handle_or_name)
        found = self._groups.get(number) if number is not None else None
        if found is None:
            message = f"{handle_or_name!r} is no handle of an open group"
            remedy = "grouping() and groupOpen() give them; the name is taken as well"
            raise failure(codes.ECAFE_INVALID_GROUP_HANDLE, message, handle=number or 0, remedy=remedy)
        return found

    def _open_and_connect(self, name: str) -> Group:
        group = self._open_group(name)
        self._connect(group.members, GROUP_PEND_TIME)
        return group

    def _with_group(self, handle_or_name: Any, work: Callable[[Group], Any], otherwise: Any = None) -> Any:
        try:
            return work(self._group(handle_or_name))
        except canter.CanterError as error:
            self._failed(error, str(handle_or_name), None)
            return otherwise

    def groupClose(self, group: Any = "All") -> int:  # noqa: N802
        """Closes a group, or all of them with ``"All"``, and its monitors. The definition stays."""
        if group == "All":
            for one in list(self._groups.values()):
                self._close_group(one)
            return NORMAL
        if isinstance(group, str) and group in self._defined and group not in self._group_names:
            return NORMAL
        return self._with_group(group, self._close_group, codes.ECAFE_INVALID_GROUP_HANDLE)

    def groupCloseAll(self) -> int:  # noqa: N802
        """Closes all groups."""
        return self.groupClose("All")

    def _close_group(self, group: Group) -> int:
        with self._lock:
            self._groups.pop(group.number, None)
            self._group_names.pop(group.name, None)
        for handle in group.members:
            self._drop(handle)
        return NORMAL

    # -- looking

    def groupList(self) -> list[str]:  # noqa: N802
        """Names of the groups that are defined."""
        return list(self._defined)

    def groupMemberList(self, name: str) -> list[str] | None:  # noqa: N802
        """Names of the PVs of a group."""
        if name in self._defined:
            return list(self._defined[name])
        self._failed(self._no_group(name), str(name), None)
        return None

    def isGroup(self, name: str) -> bool:  # noqa: N802
        """Whether a group is defined."""
        return name in self._defined

    def getHandlesFromWithinGroup(self, group: Any) -> list[int] | None:  # noqa: N802
        """Handles of the members of a group, in their order."""
        return self._with_group(group, lambda found: [one.number for one in found.members])

    def getGroupHandleFromGroupName(self, name: str) -> int:  # noqa: N802
        """The handle of a group that is open, 0 if it is not."""
        found = self._group_names.get(name)
        return found.number if found is not None else 0

    def allChannelsWithinGroupConnected(self, group: Any) -> bool:  # noqa: N802
        """Whether all members of a group are connected."""
        return bool(self._with_group(group, lambda found: all(one.connected for one in found.members)))

    # -- values

    def getGroup(self, group: Any, dt: str = "native") -> list | None:  # noqa: N802
        """Values of a group as the servers have them now, all asked at once.

        Returns:
            ``[values, status, statuses]``: lists for arrays, ``None`` for what did not come; the status is
            ``ICAFE_NORMAL`` or the first of the statuses that is not.
        """
        return self._with_group(group, lambda found: self._group_lists(found, dt, False))

    def getGroupCache(self, group: Any, dt: str = "native") -> list | None:  # noqa: N802
        """As `getGroup`, of what was read or monitored last."""
        return self._with_group(group, lambda found: self._group_lists(found, dt, True))

    def _group_lists(self, group: Group, dt: str, cache: bool) -> list:
        check_datatype(dt, group.name)
        return self._lists(group.members, dt, cache, False)

    def getPVGroup(self, group: Any, dt: str = "native") -> PVGroup | None:  # noqa: N802
        """The values of a group with statuses, alarms and time stamps, as the servers have them now."""
        return self._with_group(group, lambda found: self._pv_group(found, dt, False))

    def getPVGroupCache(self, group: Any, dt: str = "native") -> PVGroup | None:  # noqa: N802
        """As `getPVGroup`, of what was read or monitored last."""
        return self._with_group(group, lambda found: self._pv_group(found, dt, True))

    def _pv_group(self, group: Group, dt: str, cache: bool) -> PVGroup:
        check_datatype(dt, group.name)
        members = []
        for handle, reading in zip(group.members, self._read_all(group.members, cache)):
            try:
                if isinstance(reading, BaseException):
                    raise reading
                members.append(PVData(handle.name, handle.number, NORMAL, reading, dt))
            except canter.CanterError as error:
                members.append(PVData(handle.name, handle.number, self._note(error, handle)))
        return PVGroup(group.name, group.number, members)

    def setGroup(self, group: Any, values: Sequence[Any]) -> list | None:  # noqa: N802
        """Writes a value to each member of a group at once: ``[status, statuses]``."""
        return self._with_group(group, lambda found: self._put_all(found.members, values))

    # -- monitors

    def groupMonitorStart(  # noqa: N802
        self,
        group: Any,
        cb: Callback | Sequence[Callback | None] | None = None,
        dbr: int = DBR["CY_DBR_PLAIN"],
        mask: int = DBE["CY_DBE_VALUE"] | DBE["CY_DBE_ALARM"],
    ) -> list[int] | None:
        """Monitors all members of a group with one callback, which gets the handle of the member.

        Returns:
            Numbers of the monitors.
        """
        if isinstance(cb, (list, tuple)):
            return self.groupMonitorStartWithCBList(group, cb, dbr, mask)
        return self._with_group(
            group,
            lambda found: self._start_all(found.members, [cb] * len(found.members), dbr, mask),  # type: ignore[list-item]
        )

    def groupMonitorStartWithCBList(  # noqa: N802
        self,
        group: Any,
        cb: Sequence[Callback | None],
        dbr: int = DBR["CY_DBR_PLAIN"],
        mask: int = DBE["CY_DBE_VALUE"] | DBE["CY_DBE_ALARM"],
    ) -> list[int] | None:
        """Monitors all members of a group, each with its callback."""

        def start(found: Group) -> list[int]:
            if len(cb) != len(found.members):
                message = f'{len(cb)} callbacks for the {len(found.members)} members of "{found.name}"'
                raise failure(codes.ECAFE_BADCOUNT, message, found.name, found.number)
            return self._start_all(found.members, cb, dbr, mask)

        return self._with_group(group, start)

    def groupMonitorStop(self, group: Any) -> int:  # noqa: N802
        """Ends the monitors of the members of a group."""

        def stop(found: Group) -> int:
            for handle in found.members:
                handle.end_monitors()
            return NORMAL

        return self._with_group(group, stop, codes.ECAFE_INVALID_GROUP_HANDLE)

    def groupStatus(self, group: Any) -> int:  # noqa: N802
        """``ICAFE_NORMAL``, or the first status of a member that is not."""
        found = self._with_group(group, lambda known: _first_bad(one.status for one in known.members))
        return codes.ECAFE_UNKNOWN_GROUP if found is None else found
