"""Serving a group as a program, whose arguments are those of caproto's IOCs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._instance import AsyncLib
from ._ioc import IOC

if TYPE_CHECKING:
    from .group import PVDatabase, PVGroup


def run(
    group: PVGroup | PVDatabase,
    *,
    module_name: str | None = None,
    interfaces: Sequence[str] | None = None,
    startup_hook: Callable[..., Any] | None = None,
    log_pv_names: bool = False,
    **settings: Any,
) -> None:
    """Serves a group until it is interrupted (Ctrl-C), as the ``run`` of caproto. ``module_name`` does nothing.

    Without ``interfaces`` it serves 127.0.0.1, and the port of ``EPICS_CAS_SERVER_PORT`` or
    ``EPICS_CA_SERVER_PORT``, 5064 otherwise.
    """
    from ._env import settings_of_environment

    given = {**settings_of_environment(), **settings}
    if interfaces and list(interfaces) != ["0.0.0.0"]:
        given["interface"] = interfaces[0]
    with IOC(group, **given) as ioc:
        if startup_hook is not None:
            ioc._desk.start(startup_hook(AsyncLib()), startup_hook)
        if log_pv_names:
            print("\n".join(ioc.names))
        print(f"serving {len(ioc)} PVs at {ioc.address}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


def template_arg_parser(
    *,
    desc: str,
    default_prefix: str,
    argv: list[str] | None = None,
    macros: Mapping[str, str | None] | None = None,
    supported_async_libs: Sequence[str] | None = None,
) -> tuple[argparse.ArgumentParser, Callable[[argparse.Namespace], tuple[dict[str, Any], dict[str, Any]]]]:
    """A parser of the arguments of an IOC, to be extended, and a function that makes of them the keywords of the group
    and of `run`.

    Args:
        desc: what the IOC does.
        default_prefix: of its PVs.
        argv: nothing; for those who give it.
        macros: default values; those that are ``None`` must be given.
        supported_async_libs: nothing, as all runs in asyncio.
    """
    macros = dict(macros or {})
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=desc, formatter_class=formatter)
    parser.add_argument("--prefix", default=default_prefix, help=f"what names of PVs begin with ({default_prefix})")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="tell of warnings only")
    loud.add_argument("-v", "--verbose", action="count", help="tell more; -vv yet more")
    parser.add_argument("--list-pvs", action="store_true", help="print the names of all PVs at the start")
    parser.add_argument("--async-lib", default="asyncio", choices=["asyncio"], help="always asyncio")
    interfaces = os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1").split()
    parser.add_argument("--interfaces", default=interfaces, nargs="+", help=f"addresses to serve at ({interfaces[0]})")
    for name, value in macros.items():
        told = "needed" if value is None else f"{value!r} otherwise"
        parser.add_argument(f"--{name}", default=value, required=value is None, help=f"a macro, {told}")

    def split(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
        level = logging.WARNING if args.quiet else logging.DEBUG if (args.verbose or 0) > 1 else logging.INFO
        logging.basicConfig(level=level)
        given = {name: getattr(args, name) for name in macros}
        return (
            {"prefix": args.prefix, "macros": given},
            {"interfaces": args.interfaces, "log_pv_names": args.list_pvs},
        )

    return parser, split


def ioc_arg_parser(
    *,
    desc: str,
    default_prefix: str,
    argv: list[str] | None = None,
    macros: Mapping[str, str | None] | None = None,
    supported_async_libs: Sequence[str] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parses the arguments of an IOC: keywords of the group, and of `run`. See `template_arg_parser`; ``argv`` is
    parsed here, with the name of the program in front.
    """
    parser, split = template_arg_parser(desc=desc, default_prefix=default_prefix, macros=macros)
    return split(parser.parse_args((sys.argv if argv is None else argv)[1:]))
