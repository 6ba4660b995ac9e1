"""Texts and bytes, as PyEpics has them."""

from __future__ import annotations

import os

IOENCODING = os.environ.get("PYTHONIOENCODING", "utf-8").split(":")[0] or "utf-8"


def str2bytes(st1):
    """A text as bytes."""
    return st1 if isinstance(st1, bytes) else str(st1).encode(IOENCODING)


def bytes2str(st1):
    """Bytes as a text."""
    return st1.decode(IOENCODING, "replace") if isinstance(st1, bytes) else str(st1)


def strjoin(sep, seq):
    """Joins texts and bytes."""
    return bytes2str(sep).join(map(bytes2str, seq))
