"""The exceptions of all faces: one tree, whose members name the PV, the peer, the phase and the remedy."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Function = TypeVar("_Function", bound=Callable[..., Any])


class CanterError(Exception):
    """Something went wrong with a PV.

    Attributes:
        pv: name of the PV; empty if it belongs to none.
        peer: address and port of the server, as far as one is known; also called ``server``.
        phase: how far the channel had come: ``search``, ``connect``, ``silent``, ``create``,
            ``unresponsive``, ``connected`` or ``closed``; ``None`` if nothing was tried.
        elapsed: seconds since the operation was started.
        remedy: what to do about it.
        status: the server's ``ECA`` status, if it sent one.
    """

    #: Whether the message says what to do.
    _tells_remedy = False

    def __init__(
        self,
        message: str,
        *,
        pv: str = "",
        peer: str | None = None,
        phase: str | None = None,
        elapsed: float = 0.0,
        remedy: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pv = pv
        self.peer = peer
        self.phase = phase
        self.elapsed = elapsed
        self.remedy = remedy
        self.status = status

    @property
    def server(self) -> str | None:
        return self.peer

    def __str__(self) -> str:
        if self.remedy and not self._tells_remedy:
            return f"{self.message}; {self.remedy}"
        return self.message

    def __reduce__(self):
        facts = {name: getattr(self, name) for name in ("pv", "peer", "phase", "elapsed", "remedy", "status")}
        return _rebuild, (type(self), self.message, facts)


def _rebuild(kind: type[CanterError], message: str, facts: dict) -> CanterError:
    return kind(message, **facts)


#: What the client calls a channel that it has forgotten.
_FORGOTTEN = "a closed channel"

#: What a request may raise that does not name its PV yet; `named` makes an error that does of it.
UNNAMED = (ValueError, OverflowError)


def named(error: BaseException, what: str, pv: str) -> CanterError:
    """An error of a request as one of the tree that names the PV: what cannot be, as a negative time-out or a text
    that has no form in UTF-8, is told before anybody knows of which PV.
    """
    pv = printable(pv)
    if isinstance(error, CanterError):
        if error.pv == _FORGOTTEN:
            error.message = error.message.replace(_FORGOTTEN, pv)
        elif not error.pv:
            error.message = f'cannot {what} "{pv}": {error.message}'
        else:
            return error
        error.pv = pv
        error.args = (error.message,)
        return error
    if isinstance(error, UnicodeError):
        text = "the text has characters that no server knows, halves of surrogate pairs"
        return ValueProblem(f'cannot {what} "{pv}": {text}', pv=pv, remedy="give another text")
    if isinstance(error, OverflowError):
        text = "that is no count of elements"
        return BadRequest(f'cannot {what} "{pv}": {text}', pv=pv, remedy="give a number from 0 on")
    text, _, remedy = str(error).partition(": ")
    return BadRequest(f'cannot {what} "{pv}": {text}', pv=pv, remedy=remedy or None)


def asked(function: _Function) -> _Function:
    """A method of many arguments: what cannot be made of one of them is told as an error of the tree, by the name of the
    method. What functions of the user raise comes so, too, with what they raised as its cause.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CanterError:
            raise
        except (ValueError, OverflowError, IndexError) as error:
            raise _misasked(function, error) from error

    return call  # type: ignore[return-value]


def asked_beside(function: _Function) -> _Function:
    """As `asked`, for coroutines."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except CanterError:
            raise
        except (ValueError, OverflowError, IndexError) as error:
            raise _misasked(function, error) from error

    return call  # type: ignore[return-value]


def _misasked(function: Any, error: BaseException) -> BadRequest:
    text = f"{function.__name__}: {ascii(str(error))[1:-1]}"
    remedy = "look at the arguments: a number may be too large, a list too short, a text no text"
    return BadRequest(text, remedy=remedy)


def unusable(error: BaseException, settings: dict) -> CanterError:
    """Settings of a client that cannot be, by their names."""
    if isinstance(error, CanterError):
        return error
    ports = {"server_port": 65535, "repeater_port": 65535, "priority": 99}
    for name, most in ports.items():
        given = settings.get(name)
        if isinstance(given, int) and not 0 <= given <= most:
            return bad(f"{name}={given}: give a number from 0 to {most}")
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    text = f"no client can be made with {ascii(given)[1:-1]}"
    return BadRequest(text, remedy="look for numbers that are too large and characters that are no text")


def bad(text: str, pv: str = "") -> BadRequest:
    """What cannot be asked for; behind ``; `` or ``: give`` the text tells the remedy."""
    message, found, remedy = text.partition("; ")
    if not found:
        message, found, remedy = text.partition(": give ")
        remedy = f"give {remedy}" if found else ""
    return BadRequest(message, pv=pv, remedy=remedy or None)


def printable(pv: object) -> str:
    """A name as it can be written to any stream."""
    text = str(pv)
    try:
        text.encode()
    except UnicodeError:
        return ascii(text)
    return text


class ConnectError(CanterError):
    """A channel is not there."""


class ConnectTimeout(ConnectError, TimeoutError):
    """The channel did not connect in time; it goes on trying while it is open."""

    _tells_remedy = True


class NowhereToSearch(ConnectError):
    """There are neither addresses to search at nor name servers."""

    _tells_remedy = True


class BadName(ConnectError, ValueError):
    """The name cannot be one of a PV."""


class TooManyChannels(ConnectError):
    """The client holds as many channels as it can."""


class Closed(CanterError):
    """The client was closed."""


class Disconnected(CanterError, ConnectionError):
    """The circuit was lost before the answer; whether a value that was put arrived is not known."""


class AccessDenied(CanterError, PermissionError):
    """The server does not let this user read or write."""


class GetError(CanterError):
    """A value could not be read."""


class GetTimeout(GetError, TimeoutError):
    """The server did not answer in time."""

    _tells_remedy = True


class GetRefused(GetError):
    """The server answered with an error."""


class Malformed(GetError):
    """The answer makes no sense."""


class PutError(CanterError):
    """A value could not be written."""


class PutTimeout(PutError, TimeoutError):
    """Completion was not reported in time; the value was sent, and may still be processed."""

    _tells_remedy = True


class PutRefused(PutError):
    """The server refused the value."""


class ReadOnly(PutError, PermissionError):
    """The client was made read-only."""


class MonitorError(CanterError):
    """A subscription could not be made."""


class BadRequest(CanterError, ValueError):
    """What is asked for does not exist: type, element count, mask."""


class ValueProblem(CanterError, ValueError):
    """The value cannot be sent, or not be had, in this form."""


class UnknownPv(CanterError, KeyError):
    """An IOC has no PV or field of this name."""


class CannotStart(CanterError, OSError):
    """There are no sockets or threads for a client or an IOC."""


class Unmatched(CanterError, TimeoutError):
    """A PV did not reach a value in time."""


class Aborted(CanterError):
    """A scan or ramp was aborted by its control."""


class RampError(CanterError):
    """A ramp did not come to its end; the set-point stays where it was put last."""


class ScanError(CanterError):
    """A scan ended before its last point; the message says where its axes are."""


class FileProblem(CanterError, ValueError):
    """A file of groups or of a snapshot has mistakes, or cannot be read or written: all of them are told, with
    their lines.
    """


class CannotWrite(FileProblem, OSError):
    """A file cannot be written."""
