"""Texts of states."""

from __future__ import annotations


class Choice(str):
    """The text of a state, which is equal to its number, too; the first state is false."""

    number: int

    def __new__(cls, text: str, number: int) -> Choice:
        made = super().__new__(cls, text)
        made.number = number
        return made

    def __eq__(self, other: object) -> bool:
        return self.number == other if isinstance(other, (int, float)) else str(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(str(self))

    def __int__(self) -> int:
        return self.number

    __index__ = __int__

    def __bool__(self) -> bool:
        return self.number != 0
