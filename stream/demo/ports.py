"""Ports for the demo's servers and workers."""

import secrets
import socket
from contextlib import suppress
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000


def free_port() -> int:
    """A port of the loopback that nothing listens on now.

    Below those that the kernel gives to connections: until a child listens on it, one might be given this.
    """
    end = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    while True:
        port = secrets.choice(range(min(_FIRST, end // 2), end))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
