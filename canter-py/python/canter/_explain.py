"""What `Client.explain` finds out."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """Why a PV does not connect, or that it does. It prints all that was seen, and the verdict."""

    pv: str
    works: bool
    cause: str
    remedy: str
    text: str

    def __str__(self) -> str:
        return self.text
