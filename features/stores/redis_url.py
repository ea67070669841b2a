"""What a Redis URL says: one server, a cluster, or sentinels that know where the master is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs, unquote, urlsplit


class Form(Enum):
    """Their values follow ``redis`` or ``rediss`` in a scheme."""

    SERVER = ""
    CLUSTER = "+cluster"
    SENTINEL = "+sentinel"


FORMS = {
    Form.SERVER: "redis://[user:password@]host[:port][/db] or unix:///path[?db=n]",
    Form.CLUSTER: "redis+cluster://[user:password@]host:port,host:port",
    Form.SENTINEL: "redis+sentinel://[user:password@]host:port,host:port/master name[/db]",
}
_SCHEMES = {
    f"{scheme}{form.value}": (form, scheme == "rediss") for form in Form for scheme in ("redis", "rediss")
} | {"unix": (Form.SERVER, False)}
_DEFAULT_PORTS = {Form.SERVER: 6379, Form.CLUSTER: 6379, Form.SENTINEL: 26379}


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """What is wrong with one option."""

    setting: str
    """As the section ``redis`` of the settings names it."""
    cause: str
    mend: str


class RedisOptionsRefused(ValueError):
    """Options that make no sense, all of them at once; a password is never quoted."""

    def __init__(self, problems: Sequence[OptionProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"redis.{one.setting}: {one.cause}; {one.mend}" for one in problems))


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL's parts, decoded."""

    scheme: str
    form: Form
    tls: bool
    addresses: tuple[Address, ...]
    """The server; nodes or sentinels to ask first. Empty for a Unix socket."""
    path: str
    """Of the Unix socket."""
    master: str
    """The name by which sentinels know it."""
    database: int
    username: str | None
    password: str | None


def parse_url(url: str) -> RedisUrl:
    """Raises `RedisOptionsRefused`. What cannot be parsed may hold a password anywhere, so none of it is
    quoted.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _SCHEMES:
        first, *others = (f"{name}://" for name in _SCHEMES)
        raise _refused(f"it must begin with {', '.join([first, *others[:-1]])} or {others[-1]}", Form.SERVER)
    form, tls = _SCHEMES[scheme]
    authority = rest[: min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))]
    login, _, hosts = authority.rpartition("@")
    tail = urlsplit(rest[len(authority) :])
    addresses = () if scheme == "unix" else _addresses(hosts, form)
    if tail.fragment or (scheme == "unix" and (hosts or not tail.path)):
        raise _refused("its parts cannot be told apart", form)
    master, database = _place(form, scheme, tail.path, tail.query)
    username, _, password = login.partition(":")
    return RedisUrl(
        scheme=scheme,
        form=form,
        tls=tls,
        addresses=addresses,
        path=unquote(tail.path) if scheme == "unix" else "",
        master=master,
        database=database,
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def _addresses(hosts: str, form: Form) -> tuple[Address, ...]:
    found: list[Address] = []
    for host in hosts.split(","):
        try:
            parts = urlsplit(f"//{host}")
            port = parts.port  # which checks it
        except ValueError:
            raise _refused("a host or its port cannot be read", form) from None
        if not parts.hostname or port == 0 or parts.netloc != host:
            raise _refused("a host is missing", form)
        found.append(Address(parts.hostname, port or _DEFAULT_PORTS[form]))
    if form is Form.SERVER and len(found) > 1:
        raise _refused(
            "one server has one address", form, "write redis+cluster:// or redis+sentinel:// if it is one"
        )
    return tuple(found)


def _place(form: Form, scheme: str, path: str, query: str) -> tuple[str, int]:
    """The master's name and the database."""
    options = parse_qs(query, keep_blank_values=True)
    segments = [] if scheme == "unix" else [unquote(part) for part in path.strip("/").split("/") if part]
    master = ""
    if form is Form.SENTINEL:
        if not segments:
            raise _refused("it lacks the name by which the sentinels know the master", form)
        master = segments.pop(0)
    text = options.pop("db", ["/".join(segments)])[-1] or "0"
    if options:
        raise _refused(f"it has options we do not know: {', '.join(sorted(options))}", form, "leave them out")
    if not text.isascii() or not text.isdigit():
        raise _refused("its database must be a number", form)
    if form is Form.CLUSTER and int(text):
        raise _refused("a cluster has no other database than 0", form, "leave out the database")
    return master, int(text)


def _refused(cause: str, form: Form, mend: str | None = None) -> RedisOptionsRefused:
    mend = mend or f"write {FORMS[form]}, with special characters in user and password percent-encoded"
    return RedisOptionsRefused([OptionProblem("url", cause, mend)])
