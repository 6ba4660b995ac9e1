"""The fault proxy, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._errors import UNNAMED, CanterError, bad
from .. import _canter
from .._client import Client

if TYPE_CHECKING:
    from ._ioc import IOC


class Proxy:
    """Sits between clients and a server, and harms what passes by a script: see "The fault proxy" in the book.

    Args:
        server: an `IOC`, or the address where searches are answered.
        script: rules in TOML.
        seed: of what is random in them.
        read_only: nothing can be written through it.
    """

    def __init__(self, server: IOC | str, script: str = "", *, seed: int = 0, read_only: bool = False) -> None:
        address = getattr(server, "address", server)
        if not isinstance(address, str):
            raise TypeError(f"a proxy has an IOC or its address behind it, not a {type(server).__name__}")
        try:
            self._core = _canter.Proxy(address, script, seed=seed, read_only=read_only)
        except UNNAMED as error:
            if isinstance(error, CanterError):
                raise
            text = f"no proxy can be made of {address!a}, a script of {len(script)} characters and the seed {seed!a}"
            raise bad(f"{text}; look for numbers that are too large and characters that are no text") from error

    @property
    def address(self) -> str:
        return self._core.listen()

    @property
    def env(self) -> dict[str, str]:
        """The environment with which clients find the server through it, and nothing else."""
        return {
            "EPICS_CA_ADDR_LIST": self.address,
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": self.address.rpartition(":")[2],
        }

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Has clients of this process find the server through it; then the environment is as before."""
        env = {**self.env, "EPICS_CA_NAME_SERVERS": ""}
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            yield env
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def client(self, **settings: Any) -> Client:
        """A client that goes through it."""
        return Client(environ=self.env, repeater_port=0, **settings)

    def execute(self, line: str) -> str:
        """Executes a line of the proxy's protocol, such as ``off late``; ``help`` lists the commands.

        Raises:
            ValueError: it is no such line, or there is no such rule.
        """
        said = self._core.execute(line)
        last = said.rstrip().rpartition("\n")[2]
        if last.startswith("error: "):
            raise bad(last.removeprefix("error: "))
        return said

    def close(self) -> None:
        """Ends all circuits, and closes the ports."""
        self._core.stop()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
