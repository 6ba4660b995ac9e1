"""Where an IOC serves that is started as a program."""

from __future__ import annotations

import os
from typing import Any

from .._errors import bad


def settings_of_environment() -> dict[str, Any]:
    """``EPICS_CAS_INTF_ADDR_LIST`` (127.0.0.1 without it), ``EPICS_CAS_SERVER_PORT`` or ``EPICS_CA_SERVER_PORT``."""
    settings: dict[str, Any] = {}
    interfaces = os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "").split()
    if interfaces:
        settings["interface"] = interfaces[0]
    for name in ("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"):
        text = os.environ.get(name, "").strip()
        if text:
            try:
                port = int(text)
            except ValueError:
                raise bad(f'{name} is "{text}": give a port, 0 to 65535') from None
            settings["udp_port"] = port
            settings["tcp_port"] = port
            break
    else:
        settings["udp_port"] = settings["tcp_port"] = 5064
    return settings
