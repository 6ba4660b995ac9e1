"""The simulated IOC."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from .. import _arguments, _canter
from .._canter import Snapshot
from .._client import Client
from .._errors import UNNAMED, BadName, BadRequest, CanterError, asked, bad, named, printable
from .._values import Severity
from ._desk import SKIP, After, Call, Decide, Desk, Put
from ._errors import Refuse
from ._model import Model
from ._record import Record, State

_Path = str | os.PathLike[str]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def Pv(value: Any, **description: Any) -> dict[str, Any]:  # noqa: N802 - it reads as the thing it makes
    """Describes a PV: its first value, and whatever else.

    Keywords: ``type`` (double, float, long, short, char, string, text, enum), ``states``, ``units``,
    ``precision``, ``description``, ``display``, ``control``, ``alarm``, ``warning`` (pairs of low and
    high), ``severities`` (of the states), ``hysteresis``, ``value_deadband``, ``archive_deadband``,
    ``capacity``, ``read_only``, ``undefined``, ``completes_after`` (seconds, ``None`` for never).
    """
    return {"value": value, **description}


def _of_pv(what: str) -> Callable[[_Function], _Function]:
    """A method whose first argument is the name of a PV: errors name it, whatever they are about."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(self: IOC, name: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return function(self, name, *args, **kwargs)
            except (CanterError, *UNNAMED) as error:
                raise named(error, what, _named(name)) from None
            except (TypeError, AttributeError):
                _named(name)
                raise

        return call  # type: ignore[return-value]

    return decorate


def _named(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a PV is a str, not a {type(name).__name__}")
    return name


def _port(what: str, given: Any) -> int:
    if not isinstance(given, int) or not 0 <= given <= 65535:
        raise bad(f"{what}={given!r}: give a port, 0 to 65535, where 0 has the system choose one")
    return given


class IOC:
    """An IOC that serves PVs and records on this host until it is closed.

    Any number of them live in one process; they start and stop at will.

    Args:
        pvs: first values, or descriptions made by `Pv`, by name; or a `canter.sim.PVGroup`.
        db: files of records (``.db``, ``.template``, ``.substitutions``): a name, or several; a text with
            records in it is taken as such; a pair is one of both with macros of its own.
        macros: for all of them, as a dictionary or as ``"A=1,B=2"``.
        dbd: ``.dbd`` files with record types, menus and devices of a site.
        path: directories in which files are looked for.
        hold_unknown: take record types and devices that no ``.dbd`` file describes; their records hold what files
            and clients write.
        functions: what ``sub`` and ``aSub`` records call, by the names that SNAM has. A function gets a
            `Call`, which has the inputs by their names, and gives a dictionary of fields, a number or an array
            (VAL of a ``sub``, VALA of an ``aSub``) or nothing. It may be a coroutine function. The record is
            active until then. What it raises is the alarm of BRSV.
        toml: descriptions in TOML, as those of ``canter ioc``.
        on_put: is called with a `Put` after a client has written a value.
        interface: where it serves; 127.0.0.1, so that nobody else can write.
        tcp_port, udp_port: 0 lets the system choose.
        seed: of random signals.
        frames: keep the last messages between it and its clients, see `frames`.
        loop: a running asyncio loop for coroutines; there is one of its own otherwise.

    Raises:
        DatabaseError: files of records are wrong; it tells all mistakes with their lines.
        BadRequest: a description of a PV is wrong.
        CannotStart: the addresses or ports cannot be used.
    """

    def __init__(
        self,
        pvs: Mapping[str, Any] | Any | None = None,
        *,
        db: _Path | Iterable[Any] | None = None,
        macros: Mapping[str, Any] | str = "",
        dbd: _Path | Iterable[_Path] = (),
        path: _Path | Iterable[_Path] = (),
        hold_unknown: bool = False,
        functions: Mapping[str, Callable[[Call], Any]] | None = None,
        toml: str | None = None,
        on_put: Callable[[Put], object] | None = None,
        interface: str = "127.0.0.1",
        tcp_port: int = 0,
        udp_port: int = 0,
        seed: int | None = None,
        frames: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        _world: _canter.World | None = None,
    ) -> None:
        sources = _sources(db, macros)
        given: Any = {} if pvs is None else pvs
        serve = getattr(given, "_serve", None)
        if serve is None and not hasattr(given, "items"):
            raise TypeError(f"pvs is a dict of PVs by their names, or a PVGroup, not a {type(given).__name__}")
        if functions is not None and not hasattr(functions, "items"):
            raise TypeError(f"functions is a dict by their names, not a {type(functions).__name__}")
        if serve is not None:
            given, more = given._described()
            sources += more
        functions = dict(functions or {})
        described = [(_named(name), _description(one)) for name, one in given.items()]
        ports = {"tcp_port": _port("tcp_port", tcp_port), "udp_port": _port("udp_port", udp_port)}
        try:
            self._core = _canter.Ioc(
                described,
                toml=toml,
                records=sources,
                dbd=_paths(dbd),
                directories=_paths(path),
                hold_unknown=hold_unknown,
                functions=list(functions),
                interface=interface,
                seed=seed,
                frames=frames,
                world=_world,
                **ports,
            )
        except UNNAMED as error:
            if isinstance(error, CanterError):
                raise
            raise _wrong(error, [name for name, _ in described], seed) from None
        self._desk = Desk(self._core, on_put, functions, loop, inline=_world is not None)
        self._models: list[Model] = []
        self._at_close: list[Callable[[], object]] = []
        self._closed = False
        if on_put is not None or functions:
            self._desk.ensure()
        if serve is not None:
            serve(self)

    # ---- Where it is. ----

    @property
    def address(self) -> str:
        """Where searches are answered: what belongs into a client's address list."""
        return self._core.udp_addr()

    @property
    def env(self) -> dict[str, str]:
        """The environment with which clients find this IOC, and no other."""
        return dict(self._core.env())

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Has clients of this process, ours and others, find this IOC; then the environment is as before.

        Clients of other makes look at it when they start, mostly when they are imported.
        """
        env = {**self.env, "EPICS_CA_NAME_SERVERS": ""}
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            yield env
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def client(self, **settings: Any) -> Client:
        """A client that finds this IOC, and no other."""
        return Client(environ=self.env, repeater_port=0, **settings)

    # ---- PVs and records. ----

    @property
    def names(self) -> list[str]:
        return self._core.names()

    @property
    def remarks(self) -> str:
        """What is odd about the files of records; empty if nothing is."""
        return self._core.remarks()

    def __contains__(self, name: object) -> bool:
        try:
            self._core.read(str(name))
        except (KeyError, UnicodeError):
            return False
        return True

    def __len__(self) -> int:
        return len(self._core.names())

    @_of_pv("find")
    def __getitem__(self, name: str) -> Record:
        """A PV, record or field by its name. In comparisons and calculations it is its value."""
        self._core.read(name)
        return Record(self, name)

    @_of_pv("set")
    def __setitem__(self, name: str, value: Any) -> None:
        """Sets a value or field, as the program of an IOC does."""
        self._core.post(name, value)

    def post(self, name: str | Mapping[str, Any], value: Any = None) -> None:
        """Sets a value or field, or all of a dictionary, as the program of an IOC does."""
        if isinstance(name, str):
            try:
                self._core.post(name, value)
            except UNNAMED as error:
                raise named(error, "set", name) from None
            return
        if not hasattr(name, "items"):
            raise TypeError(f"the name of a PV is a str, and many are a dict with their values, not a {type(name).__name__}")
        all_of_them = [(_named(one), given) for one, given in name.items()]
        try:
            self._core.post_many(all_of_them)
        except UNNAMED as error:
            raise named(error, "set", next(iter(name), "")) from None

    @_of_pv("read")
    def read(self, name: str) -> State:
        """Value, alarm and time stamp of a PV or field."""
        value, severity, status, stamp = self._core.read(name)
        return State(value, Severity(severity), status, stamp)

    @_of_pv("add")
    def add(self, name: str, given: Any) -> None:
        """Adds a PV, also while clients are connected."""
        self._core.add(name, _description(given))

    @_of_pv("replace")
    def replace(self, name: str, given: Any) -> None:
        """Replaces a PV, perhaps by one of another type: clients see it go and come back."""
        self._core.replace(name, _description(given))

    @_of_pv("remove")
    def remove(self, name: str) -> bool:
        """Takes a PV away: clients see it disconnect."""
        return self._core.remove(name)

    # ---- Puts. ----

    @_of_pv("decide puts to")
    def on_put(self, name: str, decide: Decide | None) -> None:
        """Has a function decide the puts of clients to a PV, record or field, before they are carried out.

        It is called with a `Put` and may take its time: the client waits, nobody else does. It may be a
        coroutine function. What it gives:

        - ``None``: the put is carried out;
        - a value: that one is written;
        - `SKIP`: the put is complete, and nothing is written;
        - an exception: the client is told that it failed. `Refuse` is the one that is not reported.

        ``None`` instead of a function ends it.
        """
        record, _, field = name.partition(".")
        field = field or self._value_field(record)
        if decide is None:
            self._core.ask(name, False)
            self._desk.deciders.pop((record, field), None)
            return
        self._desk.deciders[record, field] = decide
        self._desk.ensure()
        self._core.ask(name, True)

    @_of_pv("decide reads of")
    def on_get(self, name: str, getter: Callable[[], Any] | None) -> None:
        """Has a function make the value of a PV or record when a client reads it. Costly, as clients wait for it: a
        value that is set when it changes needs no such function.

        It may take its time, and be a coroutine function: the reader waits, for 10 s at most, nobody else does. What
        it gives is posted, so that monitors see it, too; with ``None`` the value stays. If it raises, the exception is
        reported, and the PV has the alarm INVALID (READ) until it succeeds. Monitors by themselves do not call it.

        ``None`` instead of a function ends it.
        """
        if getter is None:
            self._core.ask_read(name, False)
            self._desk.getters.pop(name, None)
            return
        self._desk.getters[name] = getter
        self._desk.ensure()
        self._core.ask_read(name, True)

    @_of_pv("observe")
    def observe(self, record: str, function: Callable[[Any], object]) -> None:
        """Calls a function with each value that a record of a file posts, whoever writes it."""
        self._desk.observers[record] = function
        self._desk.ensure()
        self._core.observe(record, True)

    def _value_field(self, record: str) -> str:
        return "VAL"

    def _put(self, name: str, value: Any) -> None:
        record, _, field = name.partition(".")
        decide = self._desk.deciders.get((record, field or "VAL"))
        if decide is None:
            self._core.post(name, value)
            return
        made = decide(Put(record, field or "VAL", value, "the program", False))
        if inspect.iscoroutine(made):
            loop = self._desk.loop
            if loop.is_current():
                made.close()
                raise RuntimeError(f'what decides puts to "{name}" is a coroutine, and this is its loop: use post')
            made = loop.start(made).result()
        elif hasattr(made, "result"):
            made = made.result()
        if made is SKIP:
            return
        self._core.post(name, value if made is None or isinstance(made, After) else made)
        if isinstance(made, After):
            made.call()

    @property
    def lost_puts(self) -> int:
        """Puts and values that were not told, because too many waited."""
        return self._core.lost_puts()

    # ---- Models. ----

    @asked
    def model(
        self,
        function: Callable[[float, Any], Any],
        *,
        set: Sequence[str] = (),  # noqa: A002 - it is what the PVs are
        read: Sequence[str] = (),
        arrays: Iterable[tuple[str, int, int]] = (),
        pulse: str | None = None,
        period: float | None = 0.1,
        on_error: Callable[[Exception], object] | None = None,
    ) -> Model:
        """Runs a model: a function that gets the time in seconds and the set-points as a NumPy vector, and gives
        the read-backs as one. All read-backs of a step have one time stamp.

        Args:
            set, read: names of PVs (not of records of files), in the order of the vectors.
            arrays: array PVs that show a part of the read-backs: name, first one, one behind the last.
            pulse: a PV that counts the steps.
            period: seconds between steps; ``None``: only when `Model.step` is called.
            on_error: is called with what a step raises, once until a step succeeds; the log ``canter`` has it, too.
        """
        if not callable(function):
            raise TypeError(f"a model is a function, not a {type(function).__name__}")
        if period is not None:
            period = _arguments.period(period)
        model = Model(self, function, set, read, arrays, pulse, on_error)
        self._models.append(model)
        if period is not None:
            model.start(period)
        return model

    # ---- Faults. ----

    @_of_pv("raise an alarm of")
    def set_alarm(self, name: str, severity: int, status: int = 0) -> None:
        """Raises an alarm beside those of the PV or record, the worse one of them; severity 0 ends it."""
        self._core.set_alarm(name, severity, status)

    @_of_pv("set the rights of")
    def set_rights(self, name: str, *, read: bool = True, write: bool = True) -> None:
        """What clients may do with a PV."""
        self._core.set_rights(name, read, write)

    @_of_pv("set the completion of")
    def set_completion(self, name: str, after: float | None) -> None:
        """When puts with completion are answered: after so many seconds, or never."""
        self._core.set_completion(name, after)

    @_of_pv("end a put to")
    def finish_put(self, name: str, status: int = 1) -> bool:
        """Ends the put with completion that a PV is busy with, with a status of ``caerr.h``; whether there was one."""
        return self._core.finish_put(name, status)

    # ---- Time and state. ----

    def freeze(self) -> None:
        """Lets time stand still for signals, scans, timers, models and faults; clients read and write as before."""
        self._core.freeze()

    def thaw(self) -> None:
        """Lets time go on after `freeze`."""
        self._core.thaw()

    @property
    def frozen(self) -> bool:
        return self._core.is_frozen()

    def step(self, seconds: float | None = None) -> float | None:
        """After `freeze`: goes on to the next moment at which something is due, or so many seconds, as fast as it
        goes. How many seconds those were; ``None`` if nothing will be due by itself.
        """
        try:
            return self._core.step(seconds)
        except UNNAMED as error:
            raise named(error, "step", "this IOC") from None

    def snapshot(self) -> Snapshot:
        """The state of the whole IOC, to go back to: values, alarms, timers, random numbers, faults."""
        return self._core.snapshot()

    @asked
    def rewind(self, snapshot: Snapshot | _Path) -> None:
        """Goes back to a snapshot, or to the file of one. Clients stay connected, and see the old values.

        Raises:
            ValueError: it is of an IOC with other records or PVs, or not whole; nothing has changed then.
        """
        if not isinstance(snapshot, Snapshot):
            snapshot = Snapshot.read(snapshot)
        self._core.rewind(snapshot)

    # ---- Life. ----

    @property
    def running(self) -> bool:
        return self._core.is_running()

    @property
    def counts(self) -> dict[str, int]:
        """What clients make it hold: circuits, channels, subscriptions, puts, questions."""
        return self._core.counts()

    @property
    def frames(self) -> list[str]:
        """The last messages between it and its clients, one per line, if it was made with ``frames=True``."""
        kept = self._core.frames()
        if kept is None:
            return []
        older, lines = kept
        return [f"({older} older ones)", *lines] if older else lines

    def start(self) -> None:
        """Serves again after `stop`, on the same ports."""
        self._core.start()

    def stop(self) -> None:
        """Ends all circuits, as when an IOC is killed; the values stay."""
        self._core.stop()

    def restart(self) -> None:
        """Stops and starts: clients lose their connections and come back."""
        self._core.stop()
        self._core.start()

    def close(self) -> None:
        """Stops it, and all that it calls."""
        if self._closed:
            return
        self._closed = True
        for model in self._models:
            model.stop()
        for call in self._at_close:
            call()
        self._core.stop()
        self._desk.close()

    def __enter__(self) -> IOC:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None:
            core.end_told()

    def __repr__(self) -> str:
        try:
            state = f"at {self.address}" if self.running else "stopped"
        except RuntimeError:
            state = "of the parent of this process"
        return f"<canter.sim.IOC {state}>"


def _wrong(error: BaseException, names: Iterable[str], seed: Any) -> CanterError:
    """What is wrong with the arguments of an IOC that names nothing."""
    for name in names:
        if printable(name) != name:
            text = f"{ascii(name)}: a PV name has no characters that no server knows, halves of surrogate pairs"
            return BadName(text, pv=ascii(name), remedy="check how the name is spelled")
    if isinstance(error, OverflowError):
        return bad(f"seed={seed!r}: give a whole number from 0 to 2**64 - 1")
    return BadRequest(f"cannot make an IOC: {ascii(str(error))}", remedy="look for characters that are no text")


def _description(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {"value": given}


def _paths(given: Any) -> list[str]:
    if isinstance(given, (str, os.PathLike)):
        given = (given,)
    return [os.fspath(one) for one in given]


def _macros(given: Mapping[str, Any] | str) -> str:
    if isinstance(given, str):
        return given

    def quoted(value: Any) -> str:
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'

    return ",".join(f"{name}={quoted(value)}" for name, value in given.items())


def _sources(db: Any, macros: Mapping[str, Any] | str) -> list[tuple[str, str, str]]:
    if db is None:
        return []
    if isinstance(db, (str, os.PathLike)):
        db = (db,)
    sources = []
    for one in db:
        what, own = one if isinstance(one, tuple) else (one, macros)
        what = os.fspath(what)
        kind = "text" if "{" in what or "\n" in what else "file"
        sources.append((kind, what, _macros(own)))
    return sources


__all__ = ["IOC", "Pv", "Refuse", "State"]
