"""Where Redis is and how to log in: read once from a URL and settings, shown without its secrets."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis.connection
from redis.backoff import NoBackoff
from redis.retry import Retry

_DEFAULT_PORT = 6379
_KINDS = {
    "redis": redis.connection.Connection,
    "rediss": redis.connection.SSLConnection,
    "unix": redis.connection.UnixDomainSocketConnection,
}


class Connection(Protocol):
    """What we use of a redis-py connection."""

    _sock: socket.socket | None

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...


@dataclass(frozen=True, slots=True, repr=False)
class RedisOptions:
    """Raises ValueError, which never quotes a password, when the parts do not make sense together."""

    url: str
    """``redis://[user[:password]@]host[:port][/db]``, ``rediss://…`` (TLS) or ``unix:///path[?db=n]``."""
    username: str | None = None
    """Goes before the URL's, as `password` does."""
    password: str | None = None
    ca_file: Path | None = None
    """Who may vouch for the server; the system's authorities when None. Names are always checked."""
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_ms: int = 1_000
    read_timeout_ms: int = 1_000
    """For one request of ours to be sent and answered as a whole."""
    client_name: str = "riverrun"
    reconnect_silently: bool = True
    """Whether a connection found closed before a request is replaced without a word. Who must know that the
    server may have come back with an older state says False: that request then fails, unsent, and the next
    one connects again."""
    _parts: SplitResult = field(init=False, compare=False)
    _database: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parts", _split(self.url))
        object.__setattr__(self, "_database", _database(self._parts))
        tls_files = (self.ca_file, self.cert_file, self.key_file)
        if self._parts.scheme != "rediss" and any(tls_files):
            raise ValueError(f"{self.address}: certificate files are for rediss:// only")
        if self.key_file and not self.cert_file:
            raise ValueError(f"{self.address}: a key file needs its certificate file")
        if self.connect_timeout_ms < 1 or self.read_timeout_ms < 1:
            raise ValueError("connect_timeout_ms and read_timeout_ms must be at least 1")
        if any(not "!" <= character <= "~" for character in self.client_name):
            raise ValueError(f"client_name {self.client_name!r}: only printable ASCII without spaces will do")

    @property
    def address(self) -> str:
        """The URL with its password masked; what messages and logs show."""
        parts, user = self._parts, self._user()
        login = f"{user or ''}:***@" if self._secret() is not None else f"{user}@" if user else ""
        if parts.scheme == "unix":
            return f"unix://{login}{parts.path}?db={self._database}"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{login}{host}:{parts.port or _DEFAULT_PORT}/{self._database}"

    def __repr__(self) -> str:
        return f"RedisOptions({self.address})"

    def unreadable_files(self) -> list[Path]:
        """Certificate files that are not there, or not for us to read."""
        return [
            path for path in (self.ca_file, self.cert_file, self.key_file) if path and not _readable(path)
        ]

    def masked(self, text: str) -> str:
        """`text` without the password, should a server or a library have quoted it."""
        secret = self._secret()
        return text.replace(secret, "***") if secret else text

    def connection(self) -> Connection:
        """A connection of redis-py, not yet connected: RESP3, and nothing is tried twice."""
        parameters: dict[str, Any] = {
            "db": self._database,
            "username": self._user(),
            "password": self._secret(),
            "protocol": 3,
            "client_name": self.client_name or None,
            "socket_connect_timeout": self.connect_timeout_ms / 1_000,
            "socket_timeout": self.read_timeout_ms / 1_000,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
        }
        kind: Any = _KINDS[self._parts.scheme]
        if self._parts.scheme == "unix":
            parameters["path"] = unquote(self._parts.path)
        else:
            parameters |= {"host": self._parts.hostname, "port": self._parts.port or _DEFAULT_PORT}
        files = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
        parameters |= {name: str(path) for name, path in files.items() if path}
        opened: Connection = kind(**parameters)
        return opened

    def _user(self) -> str | None:
        return self.username or (unquote(self._parts.username) if self._parts.username else None)

    def _secret(self) -> str | None:
        return self.password or (unquote(self._parts.password) if self._parts.password else None)


def _split(url: str) -> SplitResult:
    """Any doubt is answered without quoting the URL: what cannot be parsed may hold a password anywhere."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0  # reading the port checks it
    except ValueError:
        raise ValueError(
            "the Redis URL cannot be read; percent-encode special characters in its user and password"
        ) from None
    if parts.scheme not in _KINDS:
        raise ValueError("the Redis URL must begin with redis://, rediss:// or unix://")
    if parts.fragment or (parts.scheme == "unix") == has_host or (not has_host and not parts.path):
        raise ValueError(
            "the Redis URL must be redis://[user:password@]host[:port][/db] or unix:///path[?db=n], "
            "with special characters in user and password percent-encoded"
        )
    return parts


def _database(parts: SplitResult) -> int:
    query = parse_qs(parts.query, keep_blank_values=True)
    in_path = "" if parts.scheme == "unix" else parts.path.strip("/")
    in_query = query.pop("db", [in_path])
    if query:
        raise ValueError(f"the Redis URL has options we do not know: {', '.join(sorted(query))}")
    text = in_query[-1] or "0"
    if not text.isascii() or not text.isdigit():
        raise ValueError("the Redis URL's database must be a number: redis://host:port/0")
    return int(text)


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
