"""The limits of a server, and who may ask it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..errors import UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Everything that can be set of a server; the defaults are the command's.

    Attributes:
        host: address or name to listen on.
        port: 0 is any that is free.
        jobs: how many run at once, each in a process of its own.
        waiting: how many more are taken in; others are told to come back later.
        max_upload: bytes of a request.
        timeout: seconds for a job, and for an upload to arrive.
        memory: bytes of address space of a job's process; 0 for no limit.
        keep: seconds for which a finished build can be fetched.
        keep_bytes: of all of them together; the oldest go first.
        token: what clients must send; empty: anyone may ask.
        names: names by which clients reach this machine, besides addresses and "localhost".
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    jobs: int = 1
    waiting: int = 8
    max_upload: int = 256 * MIB
    timeout: float = 120.0
    memory: int = 4 << 30
    keep: float = 600.0
    keep_bytes: int = 2048 * MIB
    token: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, value, least in (
            ("port", self.port, 0), ("jobs", self.jobs, 1), ("waiting jobs", self.waiting, 0),
            ("bytes of an upload", self.max_upload, 1), ("seconds to keep a result", self.keep, 1),
        ):  # fmt: skip
            if value < least:
                raise UsageError(f"{value} {what} cannot be", remedy=f"give {least} or more")
        if self.port > 65535:
            raise UsageError(f"there is no port {self.port}", remedy="give 1 to 65535")
        if not self.timeout > 0:
            raise UsageError(f"{self.timeout:g} s for a job cannot be", remedy="give --timeout 120")
        if self.token and (not self.token.isascii() or not self.token.isprintable()):
            raise UsageError("the token is not plain text", remedy="give letters and digits")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
