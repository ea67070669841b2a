"""Where Redis is and how to log in: read once from a URL and settings, shown without its secrets."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import redis.connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.stores.redis_url import (
    Address,
    Form,
    OptionProblem,
    RedisOptionsRefused,
    RedisUrl,
    parse_url,
)


class Connection(Protocol):
    """What we use of a redis-py connection."""

    _sock: socket.socket | None

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...


@dataclass(frozen=True, slots=True, repr=False)
class RedisOptions:
    """Raises `RedisOptionsRefused`, which names everything that does not make sense."""

    url: str
    """See `features.stores.redis_url.FORMS`; ``rediss`` instead of ``redis`` means TLS."""
    username: str | None = None
    """Goes before the URL's, as `password` does."""
    password: str | None = None
    sentinel_username: str | None = None
    """Of the sentinels themselves, where they ask for a login."""
    sentinel_password: str | None = None
    ca_file: Path | None = None
    """Who may vouch for the servers; the system's authorities when None. Names are always checked, those too
    by which a cluster or sentinels tell of servers."""
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_ms: int = 1_000
    """For each server that is tried."""
    read_timeout_ms: int = 1_000
    """For a request to be sent, and again for its answer."""
    client_name: str = "riverrun"
    reconnect_silently: bool = True
    """Whether a connection found closed before a request is replaced without a word. Who must know that the
    server may have come back with an older state says False: that request then fails, unsent, and the next
    one connects again."""
    parts: RedisUrl = field(init=False, compare=False)

    def __post_init__(self) -> None:
        problems: list[OptionProblem] = []
        try:
            object.__setattr__(self, "parts", parse_url(self.url))
        except RedisOptionsRefused as refused:
            problems += refused.problems
        else:
            problems += self._mismatches()
        problems += self._nonsense()
        if problems:
            raise RedisOptionsRefused(problems)

    @property
    def address(self) -> str:
        """The URL with its password masked; what messages and logs show."""
        parts, user = self.parts, self._user()
        login = f"{user or ''}:***@" if self._secret() is not None else f"{user}@" if user else ""
        if not parts.addresses:
            return f"{parts.scheme}://{login}{parts.path}?db={parts.database}"
        hosts = ",".join(map(str, parts.addresses))
        place = {
            Form.SERVER: f"/{parts.database}",
            Form.CLUSTER: "",
            Form.SENTINEL: f"/{parts.master}/{parts.database}",
        }
        return f"{parts.scheme}://{login}{hosts}{place[parts.form]}"

    def __repr__(self) -> str:
        return f"RedisOptions({self.address})"

    def unreadable_files(self) -> list[Path]:
        """Certificate files that are not there, or not for us to read."""
        return [path for path in self._files().values() if not _readable(path)]

    def masked(self, text: str) -> str:
        """`text` without passwords, should a server or a library have quoted one."""
        for secret in (self._secret(), self.sentinel_password):
            text = text.replace(secret, "***") if secret else text
        return text

    def connection(self, address: Address | None, to_sentinel: bool = False) -> Connection:
        """A connection of redis-py, not yet connected: RESP3, and nothing is tried twice.

        address: None for the Unix socket.
        """
        parameters: dict[str, Any] = {
            "db": 0 if to_sentinel else self.parts.database,
            "username": self.sentinel_username if to_sentinel else self._user(),
            "password": self.sentinel_password if to_sentinel else self._secret(),
            "protocol": 3,
            "client_name": self.client_name or None,
            "socket_connect_timeout": self.connect_timeout_ms / 1_000,
            "socket_timeout": self.read_timeout_ms / 1_000,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        kind: Any
        if address is None:
            kind = redis.connection.UnixDomainSocketConnection
            parameters["path"] = self.parts.path
        else:
            kind = redis.connection.SSLConnection if self.parts.tls else redis.connection.Connection
            parameters |= {"host": address.host, "port": address.port}
        names = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
        parameters |= {names[setting]: str(path) for setting, path in self._files().items()}
        opened: Connection = kind(**parameters)
        return opened

    def _user(self) -> str | None:
        return self.username or self.parts.username

    def _secret(self) -> str | None:
        return self.password or self.parts.password

    def _files(self) -> dict[str, Path]:
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        return {setting: path for setting, path in files.items() if path}

    def _mismatches(self) -> Iterator[OptionProblem]:
        """What does not go with the URL."""
        if self._files() and not self.parts.tls:
            given = ", ".join(f"redis.{setting}" for setting in self._files())
            mend = f"write rediss:// for redis://, or leave out {given}"
            yield OptionProblem("url", f"{self.address} does not use TLS, and certificates are given", mend)
        if self.parts.form is not Form.SENTINEL:
            login = {
                "sentinel_username": self.sentinel_username,
                "sentinel_password": self.sentinel_password,
            }
            for setting, value in login.items():
                if value:
                    yield OptionProblem(
                        setting, "redis.url names no sentinels", "leave it out, or write redis+sentinel://"
                    )

    def _nonsense(self) -> Iterator[OptionProblem]:
        """What makes no sense whatever the URL is."""
        if self.key_file and not self.cert_file:
            yield OptionProblem("key_file", "a key needs its certificate", "set redis.cert_file")
        for setting in ("connect_timeout_ms", "read_timeout_ms"):
            if getattr(self, setting) < 1:
                yield OptionProblem(setting, "no answer comes in no time", "make it at least 1")
        if any(not "!" <= character <= "~" for character in self.client_name):
            yield OptionProblem(
                "client_name", f"{self.client_name!r} is no name", "use printable ASCII without spaces"
            )


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
