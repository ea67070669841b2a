"""Proxies that break the connections through them, and how: told over Toxiproxy's HTTP API."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tools.processes import free_port
from tools.reaper import end_with_us
from tools.toxiproxy import ToxiproxyServer

Direction = Literal["upstream", "downstream"]
"""Upstream is from the client to the server."""
_HEALED_AFTER_MAX = 20
BOTH: tuple[Direction, ...] = ("upstream", "downstream")


class Toxiproxy:
    """All proxies of a stage, in one process."""

    def __init__(self, directory: Path) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._server = ToxiproxyServer(directory)

    def start(self) -> None:
        """Raises NoToxiproxy, ServerDidNotStart."""
        self._server.start()
        assert self._server.process is not None
        end_with_us(self._server.process.pid)

    def stop(self) -> None:
        self._server.stop()

    def proxy(self, name: str, upstream_port: int) -> "Proxy":
        """A proxy in front of a loopback port, on a port of its own; it lets everything through."""
        made = Proxy(self, name, free_port())
        listen, upstream = f"127.0.0.1:{made.port}", f"127.0.0.1:{upstream_port}"
        self.ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        self.proxies[name] = made
        return made

    def heal(self) -> None:
        """Every proxy lets everything through again; connections held half-open are closed."""
        self.ask("POST", "/reset")

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        """One request to the API; fails with its answer unless that is a success."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._server.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AssertionError(f"{method} {path}: {refusal.code} {refusal.read()!r}") from None
        except http.client.HTTPException as broken:
            raise AssertionError(f"{method} {path}: {broken!r}") from None


class Proxy:
    """In front of one server. What is done to it adds up, and lasts until `heal`."""

    def __init__(self, toxiproxy: Toxiproxy, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._toxiproxy = toxiproxy

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._enable(False)

    def reset_peer(self, after_ms: int = 0) -> None:
        """Answer the next data of every connection by closing it: new ones with a reset (RST)."""
        self._both("reset_peer", {"timeout": after_ms})

    def half_open(self) -> None:
        """Swallow all data and close nothing, as a firewall does that forgot the connection."""
        self._both("timeout", {"timeout": 0})

    def half_open_one_way(self, direction: Direction) -> None:
        """Swallow what goes one way: requests are never seen, or answers never come."""
        self._add("timeout", direction, {"timeout": 0})

    def latency(self, ms: int, jitter_ms: int = 0) -> None:
        """Delay what the server says by `ms` give or take `jitter_ms`; order is kept."""
        self._add("latency", "downstream", {"latency": ms, "jitter": jitter_ms})

    def bandwidth(self, kb_per_s: int) -> None:
        """In each direction."""
        self._both("bandwidth", {"rate": kb_per_s})

    def slow_close(self, delay_ms: int) -> None:
        """Hold back the end of a connection."""
        self._both("slow_close", {"delay": delay_ms})

    def limit_data(self, nbytes: int) -> None:
        """Close every connection after so many bytes of answers, in the middle of one."""
        self._add("limit_data", "downstream", {"bytes": nbytes})

    def heal(self) -> None:
        """Let everything through again; a connection that was held half-open is closed.

        A toxic goes when what it holds was passed on, which waits for whoever does not read: then all
        connections are closed, too.
        """
        for _ in range(_HEALED_AFTER_MAX):
            toxics = json.loads(self._ask("GET", "/toxics"))
            if not toxics:
                break
            try:
                self._ask("DELETE", f"/toxics/{toxics[0]['name']}")
            except TimeoutError:
                self._enable(False)
        self._enable(True)

    def _both(self, kind: str, attributes: Mapping[str, int]) -> None:
        for direction in BOTH:
            self._add(kind, direction, attributes)

    def _add(self, kind: str, direction: Direction, attributes: Mapping[str, int]) -> None:
        self._ask("POST", "/toxics", {"type": kind, "stream": direction, "attributes": attributes})

    def _enable(self, enabled: bool) -> None:
        self._ask("POST", "", {"enabled": enabled})

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        return self._toxiproxy.ask(method, f"/proxies/{self.name}{path}", body)
