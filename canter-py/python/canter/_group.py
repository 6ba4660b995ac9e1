"""Groups of PVs: read, written, monitored and kept together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _canter
from ._batch import Results
from ._errors import CanterError

if TYPE_CHECKING:
    from ._channel import Channel, Subscription
    from ._client import Client


class Member(NamedTuple):
    """A PV of a group.

    Attributes:
        name: what it is called within the group.
        pv: name of the PV.
        tolerance: how far a number may be away and still count as the same, in the PV's units.
        order: its turn when the group is restored: lower ones first.
    """

    name: str
    pv: str
    tolerance: float = 0.0
    order: int = 0


class RestoreLine(NamedTuple):
    """What became of a member: ``same restored different not there not saved unreachable no access refused``,
    and the same in words.
    """

    name: str
    pv: str
    outcome: str
    text: str


class RestoreReport(NamedTuple):
    """What became of a group that was brought back. It prints the differences."""

    ok: bool
    put: int
    text: str
    lines: list[RestoreLine]

    def __str__(self) -> str:
        return self.text


def report_of(found: tuple) -> RestoreReport:
    ok, put, text, lines = found
    return RestoreReport(ok, put, text, [RestoreLine(*line) for line in lines])


class Group:
    """PVs by the names that they have within the group."""

    def __init__(self, client: Client, name: str, members: Iterable[Member | str]) -> None:
        self._client = client
        self.name = name
        made = [Member(one, one) if isinstance(one, str) else Member(*one) for one in members]
        self.members = {member.name: member for member in made}
        if len(self.members) != len(made):
            names = [member.name for member in made]
            twice = next(one for one in names if names.count(one) > 1)
            raise ValueError(f'the group "{name}" has "{twice}" more than once')
        self._channels = [client.channel(member.pv) for member in self.members.values()]

    @property
    def names(self) -> list[str]:
        """What the members are called."""
        return list(self.members)

    def channel(self, name: str) -> Channel:
        """The channel of a member."""
        return self._client.channel(self._member(name).pv)

    def _member(self, name: str) -> Member:
        found = self.members.get(name)
        if found is None:
            from difflib import get_close_matches

            near = get_close_matches(name, self.members, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(list(self.members)[:8])}"
            raise KeyError(f'the group "{self.name}" has no member "{name}"; {hint}')
        return found

    def connect(self, timeout: float | None = None) -> dict[str, CanterError | None]:
        """Connects all at once: for each ``None``, or why not."""
        return dict(zip(self.members, self._client.connect(self._channels, timeout)))

    def get(self, *, timeout: float | None = None, describe: bool = False, throw: bool = False) -> Results:
        """All values at once, by the names of the members; see `Client.get_many`."""
        results = self._client.get_many(self._channels, timeout=timeout, describe=describe)
        results._names = self.names
        return results.check() if throw else results

    def put(
        self,
        values: Mapping[str, Any] | Sequence[Any],
        *,
        wait: bool = False,
        check: bool = True,
        timeout: float | None = None,
    ) -> dict[str, CanterError | None]:
        """Puts values at once: by the names of members, or one for each in their order. For each ``None``, or
        its exception.
        """
        if not isinstance(values, Mapping):
            given = list(values)
            if len(given) != len(self.members):
                raise ValueError(f'{len(given)} values for the {len(self.members)} members of "{self.name}"')
            values = dict(zip(self.members, given))
        pvs = [self._member(name).pv for name in values]
        errors = self._client.put_many(pvs, list(values.values()), wait=wait, check=check, timeout=timeout)
        return dict(zip(values, errors))

    def monitor(self, callback: Callable[[str, Any], object], **options: Any) -> list[Subscription]:
        """Monitors all: the callback is called with the name of the member and its value."""

        def told(name: str) -> Callable[[Any], object]:
            return lambda value: callback(name, value)

        return [channel.monitor(told(name), **options) for name, channel in zip(self.members, self._channels)]

    def snapshot(self, path: str | os.PathLike, *, timeout: float | None = None) -> dict[str, str]:
        """Keeps all values in a file in TOML: whole, or not at all. What could not be read has the reason.

        Raises:
            FileProblem: it cannot be written.
        """
        rows = [tuple(member) for member in self.members.values()]
        return dict(self._client._core.snapshot(self.name, rows, os.fspath(path), timeout))

    def restore(
        self,
        path: str | os.PathLike,
        *,
        dry_run: bool = False,
        partial: bool = False,
        timeout: float | None = None,
    ) -> RestoreReport:
        """Brings a snapshot back; see `Client.restore`."""
        return self._client.restore(path, dry_run=dry_run, partial=partial, timeout=timeout)

    def _repr_html_(self) -> str:
        from ._notebook import PATIENCE, table_html

        results = self.get(timeout=PATIENCE, describe=True)
        return table_html(f"{self.name}: {len(self)} PVs", self.names, results)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"<canter.Group {self.name!r} of {len(self)} PVs>"


def load(client: Client, path: str | os.PathLike) -> dict[str, Group]:
    """The groups of a file."""
    found = _canter.load_groups(os.fspath(path))
    return {name: Group(client, name, [Member(*row) for row in rows]) for name, rows in found}
