"""Streams of Arrow, for what takes tables by them (https://arrow.apache.org/docs/format/CStreamInterface.html).

A stream here has one batch, which the Rust layer has made: what is left are the four functions that hand it out.
Readers call them from any thread; `ctypes` takes the GIL for that.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import threading
from typing import Any

_Int = ctypes.c_int


class _Stream(ctypes.Structure):
    """``struct ArrowArrayStream``."""


_Get = ctypes.CFUNCTYPE(_Int, ctypes.POINTER(_Stream), ctypes.c_void_p)
_Last = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))
_Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_Destroy = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_Stream._fields_ = [
    ("get_schema", _Get),
    ("get_next", _Get),
    ("get_last_error", _Last),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]


class _Schema(ctypes.Structure):
    """``struct ArrowSchema``."""

    _fields_ = [
        ("format", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


class _Array(ctypes.Structure):
    """``struct ArrowArray``."""

    _fields_ = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


_api = ctypes.pythonapi
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destroy)(("PyCapsule_New", _api))
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))

_NAME = b"arrow_array_stream"
_numbers = itertools.count(1)
_lock = threading.Lock()
#: What each stream still has: a function that makes a capsule of its schema, and the batch until it was handed out.
_open: dict[int, list[Any]] = {}
#: Structures in the hands of capsules, by their addresses.
_held: dict[int, _Stream] = {}


def _move(kind: Any, capsule: Any, name: bytes, to: int) -> None:
    """Moves what a capsule has: whoever gets it releases it."""
    found = kind.from_address(_pointer(capsule, name))
    ctypes.memmove(to, ctypes.addressof(found), ctypes.sizeof(kind))
    found.release = None


def _get_schema(stream: Any, to: int) -> int:
    try:
        make, _ = _open[stream.contents.private_data]
        _move(_Schema, make()[0], b"arrow_schema", to)
    except Exception:  # noqa: BLE001 - there is nobody who could be told more
        return errno.EIO
    return 0


def _get_next(stream: Any, to: int) -> int:
    try:
        left = _open[stream.contents.private_data]
        with _lock:
            batch, left[1] = left[1], None
        if batch is None:
            # The end is an array that is released.
            ctypes.memset(to, 0, ctypes.sizeof(_Array))
        else:
            _move(_Array, batch, b"arrow_array", to)
    except Exception:  # noqa: BLE001
        return errno.EIO
    return 0


def _release(stream: Any) -> None:
    _open.pop(stream.contents.private_data, None)
    stream.contents.release = _Release()


def _destroy(capsule: int) -> None:
    address = _pointer_of(capsule, _NAME)
    found = _held.pop(address, None)
    # Nobody took it.
    if found is not None and found.release:
        found.release(ctypes.pointer(found))


_functions = (_Get(_get_schema), _Get(_get_next), _Last(lambda _: None), _Release(_release))
_destroyer = _Destroy(_destroy)


def stream(make: Any) -> Any:
    """A capsule of a stream with one batch; ``make`` gives capsules of its schema and of the batch."""
    number = next(_numbers)
    _, batch = make()
    _open[number] = [make, batch]
    made = _Stream(*_functions, number)
    address = ctypes.addressof(made)
    _held[address] = made
    return _capsule(address, _NAME, _destroyer)
