"""`CafeException`, and how our exceptions become statuses."""

from __future__ import annotations

from typing import Any

import canter
from canter._errors import CanterError

from ._codes import codes, name_of, text_of


class CafeException(CanterError):
    """What went wrong with a PV, group or file. It is one of `canter.CanterError` as well.

    Attributes:
        name: of the PV, group or file.
        handle: of the PV or group; 0 if there is none.
        error_code: the status, for instance ``cyca.ECAFE_TIMEOUT``.
        error_text: its name and meaning.
        error_info: what happened, with the remedy.
    """

    def __init__(self, message: str, *, handle: int = 0, error_code: int = 0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.name = self.pv
        self.handle = handle
        self.error_code = error_code
        self.error_text = f"{name_of(error_code)}: {text_of(error_code)}"
        self.error_info = str(self)

    def show(self) -> None:
        """Prints it in one line."""
        print(f"{self.name} (handle={self.handle}) {self.error_code} {self.error_text}")

    def reveal(self) -> None:
        """Prints all that is known."""
        self.show()
        print(f"  {self.error_info}")
        for fact in ("peer", "phase", "elapsed", "remedy"):
            known = getattr(self, fact)
            if known:
                print(f"  {fact}: {known}")

    def __reduce__(self):
        facts = {one: getattr(self, one) for one in ("pv", "peer", "phase", "elapsed", "remedy", "status")}
        return _rebuild, (self.message, {**facts, "handle": self.handle, "error_code": self.error_code})


def _rebuild(message: str, facts: dict) -> CafeException:
    return CafeException(message, **facts)


def failure(code: int, message: str, name: str = "", handle: int = 0, remedy: str | None = None):
    """An exception of this face alone."""
    return CafeException(message, pv=name, handle=handle, error_code=code, remedy=remedy)


# In this order: the first that fits.
_CODES: list[tuple[type, str]] = [
    (canter.Closed, "ECAFE_NULLCONTEXT"),
    (canter.ReadOnly, "ECAFE_NOWTACCESS"),
    (canter.Disconnected, "ICAFE_CS_DISCONN"),
    (canter.GetTimeout, "ECAFE_TIMEOUT"),
    (canter.PutTimeout, "ECAFE_TIMEOUT"),
    (canter.Unmatched, "ECAFE_TIMEOUT_SET_AND_MATCH"),
    (canter.ValueProblem, "ECAFE_NO_CONVERT"),
    (canter.BadRequest, "ECAFE_INVALID_TYPE"),
    (canter.Malformed, "ECA_INTERNAL"),
    (canter.GetRefused, "ECA_GETFAIL"),
    (canter.PutRefused, "ECA_PUTFAIL"),
]


def code_of(error: BaseException, writing: bool = False, was_connected: bool = False) -> int:
    """The status that says what an exception says."""
    if isinstance(error, CafeException):
        return error.error_code
    if isinstance(error, canter.AccessDenied):
        return codes.ECAFE_NOWTACCESS if writing else codes.ECAFE_NORDACCESS
    # A match that did not come, of a PV that is not there.
    lost = isinstance(error, canter.Unmatched) and error.phase is not None
    if isinstance(error, canter.ConnectError) or lost:
        if isinstance(error, (canter.BadName, canter.TooManyChannels)):
            return codes.ECAFE_NULLCHID
        return codes.ICAFE_CS_DISCONN if was_connected else codes.ICAFE_CS_NEVER_CONN
    if isinstance(error, CanterError) and error.status is not None:
        return error.status
    for kind, name in _CODES:
        if isinstance(error, kind):
            return getattr(codes, name)
    return codes.ECA_INTERNAL


def wrap(error: BaseException, name: str, handle: int, code: int) -> CafeException:
    """An exception as a `CafeException`; the one it was is its cause."""
    if isinstance(error, CafeException):
        return error
    facts: dict[str, Any] = {}
    if isinstance(error, CanterError):
        facts = {one: getattr(error, one) for one in ("peer", "phase", "elapsed", "status")}
    made = CafeException(str(error), pv=name, handle=handle, error_code=code, **facts)
    made.__cause__ = error
    return made
