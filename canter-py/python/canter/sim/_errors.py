"""What can be wrong with a simulated IOC."""

from __future__ import annotations

from typing import NamedTuple

from .._errors import FileProblem


class Mistake(NamedTuple):
    """Something that is wrong, or odd, in a file of records."""

    kind: str
    message: str
    remedy: str
    file: str
    line: int
    column: int


class DatabaseError(FileProblem):
    """Files of records are wrong. The text shows each mistake with its line; ``mistakes`` has them one by one."""

    def __init__(self, text: str, mistakes: list[tuple] | None = None) -> None:
        super().__init__(text, remedy="mend the file at the lines that are shown")
        self.mistakes = [Mistake(*one) for one in mistakes or []]

    def __str__(self) -> str:
        # The text has the remedy of each mistake.
        return self.message

    def __reduce__(self) -> tuple:
        return DatabaseError, (self.message, [tuple(one) for one in self.mistakes])


class Refuse(Exception):
    """Raised by a function that decides a put: the client is told that it failed, and nothing is written."""


class SkipWrite(Exception):
    """Raised by a putter in the manner of caproto: the put is complete, and nothing is written, as with `SKIP`."""
