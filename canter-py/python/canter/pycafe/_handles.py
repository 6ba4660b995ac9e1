"""Handles: numbers for channels, with what was read last."""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Callable, Iterable
from typing import Any

import canter
from canter import _arguments, _canter
from canter._client import Channel, Client
from canter._errors import UNNAMED, named, printable

from . import _codes
from ._codes import NORMAL, codes
from ._data import ChannelInfo
from ._errors import CafeException, code_of, failure, wrap
from ._policies import Policies

#: Seconds that `open` waits for a connection, unless it is told otherwise.
OPEN_PEND_TIME = 1.0


class Handle:
    """A channel with a number, and the last that was read of it."""

    def __init__(self, number: int, channel: Channel, group: int | None) -> None:
        self.number = number
        self.channel = channel
        self.group = group
        self.alias: str | None = None
        self.status = codes.ICAFE_CS_NEVER_CONN
        self.reading: _canter.Reading | None = None
        self.was_connected = False
        self.monitors: dict[int, Any] = {}
        self.timeout: float | None = None
        self._news = threading.Condition()

    @property
    def name(self) -> str:
        return self.channel.name

    @property
    def connected(self) -> bool:
        connected = self.channel.connected
        self.was_connected = self.was_connected or connected
        return connected

    @property
    def state(self) -> int:
        """Of the connection, as a code."""
        if self.connected:
            return codes.ICAFE_CS_CONN
        return codes.ICAFE_CS_DISCONN if self.was_connected else codes.ICAFE_CS_NEVER_CONN

    def take(self, reading: _canter.Reading) -> None:
        """Keeps what was read."""
        with self._news:
            self.reading = reading
            self.status = NORMAL
            self.was_connected = True
            self._news.notify_all()

    def wait_for_news(self, timeout: float) -> bool:
        """Waits until something was read."""
        with self._news:
            return self._news.wait_for(lambda: self.reading is not None, timeout)

    def end_monitors(self) -> None:
        monitors, self.monitors = self.monitors, {}
        for key in monitors.values():
            key.cancel()


class Handles:
    """What all parts of `CyCafe` stand on: handles, opening and closing, what becomes of errors."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._handles: dict[int, Handle] = {}
        self._by_name: dict[str, Handle] = {}
        self._by_alias: dict[str, Handle] = {}
        self._preparing: list[Handle] | None = None
        self._raises = False
        #: The last `CafeException`, raised or not.
        self.lastError: CafeException | None = None
        self.policies = Policies()
        self._open_pend_time = OPEN_PEND_TIME

    # -- life

    def init(self) -> int:
        """Begins: the client is the one of the process, which reads ``EPICS_CA_ADDR_LIST`` and the like."""
        self._client = None
        self._of_process()
        return NORMAL

    def _of_process(self) -> Client:
        if self._client is None:
            self._client = canter.default_client()
        return self._client

    def _settle(self) -> None:
        """Has callbacks run for what came before an operation returns."""
        self._of_process()._dispatcher.settle()

    def terminate(self) -> int:
        """Ends all monitors and closes all channels and groups. The object may be used anew."""
        with self._lock:
            handles, self._handles = list(self._handles.values()), {}
            self._by_name.clear()
            self._by_alias.clear()
            self._preparing = None
            self._forget_groups()
        for handle in handles:
            handle.end_monitors()
            handle.status = codes.ICAFE_CS_CLOSED
        return NORMAL

    def _forget_groups(self) -> None:
        """Overridden by the groups."""

    def withExceptions(self, flag: bool = True) -> None:  # noqa: N802 - the names are CAFE's
        """Whether what goes wrong raises `CafeException`, or gives ``None`` or a status."""
        self._raises = bool(flag)

    def attachContext(self, handlePV: Any = None) -> int:  # noqa: N802, N803
        """Nothing has to be attached: every thread may use everything."""
        return NORMAL

    # -- errors

    def _failed(self, error: BaseException, name: str, handle: Handle | None, writing: bool = False) -> int:
        """Keeps an error; its status.

        Raises:
            CafeException: if exceptions are on.
        """
        code, wrapped = self._keep(error, name, handle, writing)
        if self._raises:
            raise wrapped from wrapped.__cause__
        return code

    def _keep(
        self, error: BaseException, name: str, handle: Handle | None, writing: bool = False
    ) -> tuple[int, CafeException]:
        code = code_of(error, writing, handle is not None and handle.was_connected)
        wrapped = wrap(error, name, handle.number if handle else 0, code)
        if handle is not None:
            handle.status = code
        self.lastError = wrapped
        if self.policies.printError.always:
            wrapped.show()
        return code, wrapped

    def _guard(self, handle_or_pv: Any, work: Callable[[Handle], Any], otherwise: Any = None) -> Any:
        """The result of some work with a handle, or what stands for a failure."""
        handle = None
        try:
            handle = self._find(handle_or_pv)
            return work(handle)
        except (canter.CanterError, *UNNAMED) as error:
            name = handle.name if handle else str(handle_or_pv)
            self._failed(named(error, "read", name), name, handle)
            return otherwise

    def _guard_status(self, handle_or_pv: Any, work: Callable[[Handle], Any]) -> int:
        """As `_guard`, for work whose result is a status."""
        handle = None
        try:
            handle = self._find(handle_or_pv)
            work(handle)
        except (canter.CanterError, *UNNAMED) as error:
            name = handle.name if handle else str(handle_or_pv)
            return self._failed(named(error, "write", name), name, handle, writing=True)
        handle.status = NORMAL
        return NORMAL

    # -- finding

    def _find(self, handle_or_pv: Any) -> Handle:
        if isinstance(handle_or_pv, str):
            found = self._by_name.get(handle_or_pv) or self._by_alias.get(handle_or_pv)
            if found is None:
                found = self._open_one(handle_or_pv)
                self._connect([found], self._open_pend_time)
            return found
        number = _number(handle_or_pv)
        found = self._handles.get(number) if number is not None else None
        if found is None:
            message = f"{handle_or_pv!r} is no handle of an open channel"
            remedy = "open() gives handles; a name is taken as well"
            raise failure(codes.ECAFE_INVALID_HANDLE, message, handle=number or 0, remedy=remedy)
        return found

    def _open_one(self, name: str, group: int | None = None) -> Handle:
        name = name.strip() if isinstance(name, str) else name
        if not name or not isinstance(name, str):
            raise failure(codes.ECAFE_BADSTR, f"{name!r} is no name of a PV", remedy="give a text")
        with self._lock:
            if group is None and name in self._by_name:
                return self._by_name[name]
            handle = Handle(next(self._numbers), self._of_process().channel(name), group)
            self._handles[handle.number] = handle
            if group is None:
                self._by_name[name] = handle
        return handle

    def _connect(self, handles: Iterable[Handle], timeout: float) -> int:
        """Opens all at once and waits; the first status that is not ``ICAFE_NORMAL``."""
        waiting = [handle for handle in handles if not handle.connected]
        channels = [handle.channel for handle in waiting]
        overall = NORMAL
        for handle, error in zip(waiting, self._of_process().connect(channels, timeout)):
            if error is None:
                handle.was_connected = True
                handle.status = codes.ICAFE_CS_CONN
            else:
                handle.status = code_of(error, was_connected=handle.was_connected)
                self.lastError = wrap(error, handle.name, handle.number, handle.status)
                overall = handle.status if overall == NORMAL else overall
        return overall

    # -- opening

    def setOpenDefaultPendTime(self, seconds: float) -> None:  # noqa: N802
        """Seconds that `open` waits for connections."""
        given = _arguments.patience(seconds, "seconds")
        self._open_pend_time = _arguments.LONGEST if given is None else given

    def openPrepare(self) -> None:  # noqa: N802
        """What is opened from now on is waited for together: by `openNowAndWait`."""
        self._preparing = []

    def openNowAndWait(self, timeout: float | None = None) -> int:  # noqa: N802
        """Waits until all that was opened since `openPrepare` is connected, or the time is up.

        Returns:
            ``ICAFE_NORMAL``, or the status of the first that is not; they go on trying.
        """
        prepared, self._preparing = self._preparing or [], None
        return self._connect(prepared, self._open_pend_time if timeout is None else timeout)

    openNow = openNowAndWait

    def open(self, pv: str | Iterable[str]) -> Any:
        """Opens a channel, or many at once.

        Returns:
            The handle, or the list of them. A PV that is not there has a handle too: it goes on trying.
        """
        names = [pv] if isinstance(pv, str) or not isinstance(pv, Iterable) else list(pv)
        try:
            handles = [self._open_one(name) for name in names]
        except canter.CanterError as error:
            self._failed(error, str(pv), None)
            return None
        if self._preparing is not None:
            self._preparing.extend(handles)
        else:
            self._connect(handles, self._open_pend_time)
        numbers = [handle.number for handle in handles]
        return numbers[0] if isinstance(pv, str) else numbers

    def close(self, handlePV: Any = None) -> int:  # noqa: N803
        """Closes a channel, a list of them, or all that belong to no group."""
        if handlePV is None:
            handlePV = list({handle.number for handle in self._by_name.values()})  # noqa: N806
        if isinstance(handlePV, (list, tuple)):
            return max((self.close(one) for one in handlePV), default=NORMAL)
        return self._guard(handlePV, self._drop, codes.ECAFE_INVALID_HANDLE)

    closeChannels = closeHandles = close

    def _drop(self, handle: Handle) -> int:
        with self._lock:
            self._handles.pop(handle.number, None)
            if self._by_name.get(handle.name) is handle:
                del self._by_name[handle.name]
            if handle.alias:
                self._by_alias.pop(handle.alias, None)
        handle.end_monitors()
        handle.status = codes.ICAFE_CS_CLOSED
        return NORMAL

    # -- looking

    def isConnected(self, handlePV: Any) -> bool:  # noqa: N802, N803
        """Whether a channel is connected at this moment."""
        return bool(self._guard(handlePV, lambda handle: handle.connected, False))

    isChannelConnected = isConnected

    def isValid(self, handle: Any) -> bool:  # noqa: N802
        """Whether there is such a handle."""
        return _number(handle) in self._handles

    def allChannelsConnected(self) -> bool:  # noqa: N802
        """Whether all open channels are connected."""
        return all(handle.connected for handle in list(self._handles.values()))

    def getHandles(self) -> list[int]:  # noqa: N802
        """All handles, those of groups as well."""
        return list(self._handles)

    def getConnectedHandles(self) -> list[int]:  # noqa: N802
        """Handles that are connected."""
        return [number for number, handle in list(self._handles.items()) if handle.connected]

    def getDisconnectedHandles(self) -> list[int]:  # noqa: N802
        """Handles that are not connected."""
        return [number for number, handle in list(self._handles.items()) if not handle.connected]

    def getHandleStates(self) -> list[list]:  # noqa: N802
        """Handles, and the states of their connections."""
        handles = list(self._handles.values())
        return [[one.number for one in handles], [one.state for one in handles]]

    def getPVFromHandle(self, handle: Any) -> str | None:  # noqa: N802
        """The name of the PV of a handle."""
        return self._guard(handle, lambda found: found.name)

    def getHandleFromPV(self, pv: str) -> int:  # noqa: N802
        """The handle of a PV that was opened, 0 if it was not."""
        found = self._by_name.get(pv) or self._by_alias.get(pv)
        return found.number if found is not None else 0

    getHandleFromPVAlias = getHandleFromPV

    def setPVAlias(self, handlePV: Any, alias: str) -> int:  # noqa: N802, N803
        """Gives a PV another name, which is taken wherever its name is."""

        def rename(handle: Handle) -> None:
            if alias in self._by_name:
                raise failure(codes.ECAFE_PVALIAS_INVALID, f'"{alias}" is the name of another PV', alias)
            if self._by_alias.get(alias) not in (None, handle):
                raise failure(codes.ECAFE_PVALIAS_PREV_DEF, f'"{alias}" is the alias of another PV', alias)
            handle.alias = alias
            self._by_alias[alias] = handle

        return self._guard_status(handlePV, rename)

    def getStatus(self, handlePV: Any) -> int:  # noqa: N802, N803
        """The status of the last that was done with a handle."""
        return self._guard(handlePV, lambda handle: handle.status, codes.ECAFE_INVALID_HANDLE)

    def getChannelInfo(self, handlePV: Any) -> ChannelInfo | None:  # noqa: N802, N803
        """What is known of a channel: server, type, rights; why it is not connected."""
        return self._guard(handlePV, _info)

    def printHandle(self, handlePV: Any) -> None:  # noqa: N802, N803
        """Prints what is known of a channel, and its last value."""
        found = self.getChannelInfo(handlePV)
        if found is not None:
            found.show()

    def printDisconnectedHandles(self) -> None:  # noqa: N802
        """Prints what is not connected, with the reason."""
        for number in self.getDisconnectedHandles():
            self.printHandle(number)

    def getStatusInfo(self, status: int) -> str:  # noqa: N802
        """What a status means."""
        return f"{_codes.name_of(status)}: {_codes.text_of(status)}"

    def printStatus(self, status: int) -> None:  # noqa: N802
        """Prints what a status means."""
        print(ascii(status), printable(self.getStatusInfo(status)))

    def printStatusIfError(self, status: int) -> None:  # noqa: N802
        """Prints what a status means if it is not ``ICAFE_NORMAL``."""
        if status != NORMAL:
            self.printStatus(status)


def _info(handle: Handle) -> ChannelInfo:
    return ChannelInfo(handle.name, handle.number, handle.state, handle.channel.info())


def _number(handle: Any) -> int | None:
    try:
        return operator.index(handle)
    except TypeError:
        return None
