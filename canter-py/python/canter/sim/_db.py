"""Texts of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def quoted(value: Any) -> str:
    """A value between quotation marks, as files of records have it."""
    if isinstance(value, bool):
        value = int(value)
    text = str(value)
    for sign, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(sign, written)
    # `$(` would begin a macro.
    return '"' + text.replace("$(", "\\x24(").replace("${", "\\x24{") + '"'


def record_text(
    kind: str,
    name: str,
    fields: Mapping[str, Any],
    infos: Mapping[str, Any] | None = None,
    aliases: Iterable[str] = (),
) -> str:
    """A record, as a ``.db`` file has it; fields that are ``None`` are left out."""
    lines = [f"record({kind}, {quoted(name)}) {{"]
    lines += [f"    field({field}, {quoted(value)})" for field, value in fields.items() if value is not None]
    lines += [f"    info({quoted(info)}, {quoted(value)})" for info, value in (infos or {}).items()]
    lines += [f"    alias({quoted(alias)})" for alias in aliases]
    return "\n".join([*lines, "}\n"])
