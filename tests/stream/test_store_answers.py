"""Whatever Redis answers or fails to: what predictions say of it, and what a materialize worker is told."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.errors import Fatal
from stream.pipeline.causes import Cause, names
from tests.features.conftest import DAY_MS, PROGRESS
from tests.features.fake_redis import Answer, bulk, fake_redis, node, says
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.workers import START_MS
from tools.processes import free_port

Start: TypeAlias = Callable[[Answer], str]
"""Starts a fake server; returns its host and port."""

SOON_MS = 50
PATIENT_MS = 20_000


@dataclass(frozen=True)
class Case:
    name: str
    url: Callable[[Start], str]
    cause: Cause
    """Stamped on a prediction."""
    told: type[Exception]
    """Raised to who writes."""
    read_timeout_ms: int = PATIENT_MS


def code(text: str) -> str:
    return text.partition(" ")[0]


def refuses(text: str, told: type[Exception], url: str = "redis://{}") -> Case:
    """Every command is answered by that."""
    answer = says(b"-%b\r\n" % text.encode())
    return Case(code(text), lambda start: url.format(start(answer)), Cause.STORE_DOWN, told)


def refuses_writes(text: str) -> Case:
    """Reads are served: of a store that holds nothing, not even how far it was filled."""

    def answer(connection: socket.socket, command: list[Any]) -> None:
        nothing = b"*%d\r\n" % (len(command) - 1) + b"$-1\r\n" * (len(command) - 1)
        connection.sendall(nothing if command[0] == b"MGET" else b"-%b\r\n" % text.encode())

    return Case(code(text), lambda start: "redis://" + start(answer), Cause.REBUILDING, StoreUnavailable)


def fails(name: str, answer: Answer) -> Case:
    return Case(name, lambda start: "redis://" + start(answer), Cause.STORE_DOWN, StoreUnavailable)


def hangs(name: str, answer: Answer) -> Case:
    return Case(name, lambda start: "redis://" + start(answer), Cause.STORE_TIMEOUT, StoreTimeout, SOON_MS)


def of_cluster(text: str, told: type[Exception]) -> Case:
    """A node of a cluster answers that about every key, and `{}` stands for its own address."""

    def answer(connection: socket.socket, command: list[Any]) -> None:
        here = f"127.0.0.1:{connection.getsockname()[1]}"
        without_key = {b"ASKING": b"+OK\r\n", b"INFO": b"$8\r\nrun_id:1\r\n"}
        connection.sendall(without_key.get(command[0], b"-%b\r\n" % text.format(here).encode()))

    name = f"cluster {code(text)}"
    return Case(name, lambda start: "redis+cluster://" + start(node(answer)), Cause.STORE_DOWN, told)


def behind_sentinel(name: str, reply: Callable[[Start], bytes], told: type[Exception]) -> Case:
    """The sentinel's reply about the master."""

    def url(start: Start) -> str:
        return f"redis+sentinel://{start(says(reply(start)))}/main"

    return Case(f"sentinel {name}", url, Cause.STORE_DOWN, told)


def hang_up(connection: socket.socket, _command: list[Any]) -> None:
    connection.sendall(b"*1\r\n$3\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def place(host_and_port: str) -> bytes:
    return bulk(*host_and_port.encode().split(b":"))


REPLICA = says(b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n")

CASES = [
    Case("nobody listens", lambda _: f"redis://127.0.0.1:{free_port()}", Cause.STORE_DOWN, StoreUnavailable),
    fails("hangs up", hang_up),
    fails("is no Redis", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    hangs("says nothing", says(b"")),
    hangs("says half of it", says(b"$1000\r\nhalf")),
    refuses("LOADING Redis is loading the dataset in memory", StoreUnavailable),
    refuses("BUSY Redis is busy running a script.", StoreUnavailable),
    refuses("MASTERDOWN Link with MASTER is down", StoreUnavailable),
    refuses("ERR max number of clients reached", StoreUnavailable),
    refuses_writes("READONLY You can't write against a read only replica."),
    refuses_writes("OOM command not allowed when used memory > 'maxmemory'."),
    refuses_writes("MISCONF Redis is configured to save RDB snapshots, but it is unable to"),
    refuses_writes("NOREPLICAS Not enough good replicas to write."),
    refuses("NOAUTH Authentication required.", StoreRejected),
    refuses("WRONGPASS invalid username-password pair or user is disabled.", StoreRejected),
    refuses("NOPERM this user has no permissions to run this command", StoreRejected),
    refuses("WRONGTYPE Operation against a key holding the wrong kind of value", StoreRejected),
    refuses("MOVED 3999 127.0.0.1:6381", StoreRejected),
    refuses("ASK 3999 127.0.0.1:6381", StoreRejected),
    refuses("CROSSSLOT Keys in request don't hash to the same slot", StoreRejected),
    refuses("LOADING every node", StoreUnavailable, "redis+cluster://{}"),
    refuses("ERR This instance has cluster support disabled", StoreRejected, "redis+cluster://{}"),
    of_cluster("MOVED 3999 {}", StoreUnavailable),
    of_cluster("ASK 3999 {}", StoreUnavailable),
    of_cluster("TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable),
    of_cluster("CLUSTERDOWN Hash slot not served", StoreUnavailable),
    of_cluster("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable),
    of_cluster("NOPERM this user has no permissions to run this command", StoreRejected),
    behind_sentinel("knows none", lambda _: b"_\r\n", StoreRejected),
    behind_sentinel("wants a login", lambda _: b"-NOAUTH Authentication required.\r\n", StoreRejected),
    behind_sentinel("names the dead", lambda _: place(f"127.0.0.1:{free_port()}"), StoreUnavailable),
    behind_sentinel("names a replica", lambda start: place(start(REPLICA)), StoreUnavailable),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def store(case: Case) -> Iterator[RedisStore]:
    with ExitStack() as servers:
        url = case.url(lambda answer: servers.enter_context(fake_redis(answer)).removeprefix("redis://"))
        options = RedisOptions(
            url, connect_timeout_ms=PATIENT_MS, read_timeout_ms=case.read_timeout_ms, reconnect_silently=False
        )
        yield RedisStore(options)


@pytest.fixture
def scored() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_the_rules_answer_and_the_prediction_says_why(
    case: Case, store: RedisStore, scored: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored.store, "connect", lambda: store)
    scored.produce((START_MS, "ann", "front", 1.0))
    scored.scorer().settle()
    (prediction,) = scored.predictions()
    assert (prediction["source"], prediction["degradations"]) == ("rules", names(case.cause))


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.append([(b"a", b"1"), (b"b", b"1")], DAY_MS),
        lambda store: store.begin_append([(b"a", b"1")], None).lengths(),
        lambda store: store.replace(b"a", b"", b"1", DAY_MS),
        lambda store: store.put_if_absent(b"a", b"1"),
        lambda store: store.advance(b"a", PROGRESS),
    ],
    ids=["append", "begin_append", "replace", "put_if_absent", "advance"],
)
def test_who_writes_is_told_whether_trying_again_can_help(
    case: Case, store: RedisStore, write: Callable[[RedisStore], object]
) -> None:
    for _ in range(2):
        with pytest.raises((StoreUnavailable, StoreRejected)) as caught:
            write(store)
        assert type(caught.value) is case.told
        assert "redis" in str(caught.value), "it does not name the server"


class Waits(Exception):
    """The worker sleeps before it tries again."""


def test_a_materialize_worker_waits_where_that_can_help_and_ends_where_it_cannot(
    case: Case, store: RedisStore, scored: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait() -> None:
        raise Waits

    monkeypatch.setattr(scored.store, "connect", lambda: store)
    scored.produce((START_MS, "ann", "front", 1.0))
    worker = scored.materializer(on_sleep=wait).worker
    with pytest.raises(Fatal if case.told is StoreRejected else Waits):
        worker.step(1, 0)
