"""How the server of a key is found: by nodes and sentinels that are away, wrong, or of two minds."""

import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from redis.crc import key_slot

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from tests.features.fake_redis import Answer, bulk, fake_redis, node, says
from tools.processes import free_port
from tools.redis_cluster import RedisCluster

DAY_MS = 86_400_000
NOBODY = "127.0.0.1:1"
Start = Callable[[Answer], str]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a fake server; returns its host and port."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(fake_redis(answer)).removeprefix("redis://")


def store_at(url: str, timeout_ms: int = 20_000) -> RedisStore:
    return RedisStore(RedisOptions(url, connect_timeout_ms=20_000, read_timeout_ms=timeout_ms))


def echo(connection: socket.socket, command: list[Any]) -> None:
    """A value is its key."""
    connection.sendall(b"$%d\r\n%b\r\n" % (len(command[1]), command[1]))


# ---------------------------------------------------------------------------------------------------- cluster
@pytest.mark.parametrize("host", [b"127.0.0.1", b"", b"?"], ids=["named", "unknown", "no host name"])
def test_any_node_that_can_be_reached_tells_of_all(start: Start, host: bytes) -> None:
    answering = start(node(echo, host=host))
    for _ in range(8):  # they are asked in random order
        assert store_at(f"redis+cluster://{NOBODY},{answering},{NOBODY}").read([b"a"]) == [b"a"]


def test_without_any_node_the_cluster_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=NOBODY):
        store_at(f"redis+cluster://{NOBODY}").read([b"a"])


def test_a_server_of_its_own_is_no_cluster(redis_url: str) -> None:
    cluster_url = redis_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    with pytest.raises(StoreRejected, match="write redis:// for redis"):
        store_at(cluster_url).read([b"a"])


def test_a_node_of_a_cluster_is_no_server_of_its_own(redis_cluster: RedisCluster) -> None:
    url = redis_cluster.nodes[0].url
    mend = r"write redis\+cluster:// for redis://"
    with pytest.raises(StoreRejected, match=mend):
        store_at(url).read([b"a", b"b", b"c"])
    with pytest.raises(StoreRejected, match=mend):
        store_at(url).append([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")], DAY_MS)


@pytest.mark.parametrize("code", [b"MOVED", b"ASK"])
def test_keys_that_are_sent_on_for_ever_are_unavailable(start: Start, code: bytes) -> None:
    asked: list[bytes] = []

    def send_on(connection: socket.socket, command: list[Any]) -> None:
        asked.append(command[0])
        port = connection.getsockname()[1]
        reply = b"+OK\r\n" if command[0] == b"ASKING" else b"-%b 1 127.0.0.1:%d\r\n" % (code, port)
        connection.sendall(reply)

    store = store_at("redis+cluster://" + start(node(send_on)))
    with pytest.raises(StoreUnavailable, match="sent on"):
        store.read([b"a"])
    assert asked.count(b"GET") == 6
    assert asked.count(b"ASKING") == (5 if code == b"ASK" else 0)


def test_a_slot_that_nobody_serves_is_unavailable(start: Start) -> None:
    first = key_slot(b"a")
    store = store_at("redis+cluster://" + start(node(echo, slots=(first, first))))
    assert store.read([b"a"]) == [b"a"]
    with pytest.raises(StoreUnavailable, match="no node serves"):
        store.read([b"a", b"b"])


def test_after_an_error_the_nodes_are_asked_for_anew(start: Start) -> None:
    down = iter([True, False])

    def answer(connection: socket.socket, command: list[Any]) -> None:
        if next(down):
            connection.sendall(b"-CLUSTERDOWN The cluster is down\r\n")
        else:
            echo(connection, command)

    learned: list[bytes] = []
    telling = node(answer)

    def count(connection: socket.socket, command: list[Any]) -> None:
        learned.append(command[0])
        telling(connection, command)

    store = store_at("redis+cluster://" + start(count))
    with pytest.raises(StoreUnavailable, match="CLUSTERDOWN"):
        store.read([b"a"])
    assert store.read([b"a"]) == [b"a"]
    assert learned == [b"CLUSTER", b"GET", b"CLUSTER", b"GET"]


LOW, HIGH = (
    next(b"%d" % n for n in range(99) if (key_slot(b"%d" % n) < 8_192) == is_low) for is_low in (True, False)
)
"""A key of each half of the slots."""


def halves(ports: list[int]) -> Answer:
    """Half of the slots at each of two nodes; every value is its key."""

    def answer(connection: socket.socket, command: list[Any]) -> None:
        if command[0] == b"CLUSTER":
            half = b"*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n"
            connection.sendall(b"*2\r\n" + half % (0, 8_191, ports[0]) + half % (8_192, 16_383, ports[1]))
        else:
            echo(connection, command)

    return answer


def port_of(server: str) -> int:
    return int(server.rpartition(":")[2])


def test_of_two_nodes_the_one_that_answers_misleads_nobody_when_the_other_is_late(start: Start) -> None:
    ports: list[int] = []
    late = threading.Event()
    hang = {LOW: True}
    answer = halves(ports)

    def answer_late(connection: socket.socket, command: list[Any]) -> None:
        if hang.pop(command[1], False):
            late.wait()
        answer(connection, command)

    nodes = [start(answer_late), start(answer)]
    ports += map(port_of, nodes)
    store = store_at("redis+cluster://" + nodes[1], timeout_ms=50)
    with pytest.raises(StoreTimeout):
        store.read([HIGH, LOW])
    late.set()
    for keys in ([LOW], [HIGH], [HIGH, LOW]):
        while True:
            try:
                assert store.read(keys) == keys
                break
            except StoreTimeout:  # a busy machine
                continue


def test_all_nodes_are_connected_to_at_once() -> None:
    both_came = threading.Barrier(2)
    with ExitStack() as servers:
        nodes = [servers.enter_context(fake_redis(echo, on_begin=both_came.wait)) for _ in range(2)]
        seed = servers.enter_context(fake_redis(halves([port_of(url) for url in nodes])))
        store = store_at(seed.replace("redis://", "redis+cluster://"))
        assert store.read([HIGH, LOW]) == [HIGH, LOW]


def test_of_nodes_connected_to_at_once_one_that_is_away_is_an_error(start: Start) -> None:
    seed = start(halves([free_port(), free_port()]))
    with pytest.raises(StoreUnavailable):
        store_at("redis+cluster://" + seed).read([HIGH, LOW])


# -------------------------------------------------------------------------------------------------- sentinels
def test_any_sentinel_that_can_be_reached_tells_of_the_master(start: Start) -> None:
    master = start(
        lambda c, command: c.sendall(
            b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" if command[0] == b"ROLE" else bulk(b"1")
        )
    )
    sentinel = start(says(bulk(b"127.0.0.1", master.rpartition(":")[2].encode())))
    for _ in range(8):  # they are asked in random order
        assert store_at(f"redis+sentinel://{NOBODY},{sentinel},{NOBODY}/main").read([b"a"]) == [b"1"]


def test_without_any_sentinel_the_master_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=f"sentinel {NOBODY}"):
        store_at(f"redis+sentinel://{NOBODY}/main").read([b"a"])


def test_a_master_that_no_sentinel_knows_is_refused_for_good(start: Start) -> None:
    ignorant = start(says(b"_\r\n"))
    with pytest.raises(StoreRejected, match="no master named 'main'"):
        store_at(f"redis+sentinel://{ignorant}/main").read([b"a"])
    with pytest.raises(StoreUnavailable):  # the other one may know it
        store_at(f"redis+sentinel://{ignorant},{NOBODY}/main").read([b"a"])


def test_a_sentinel_that_names_a_replica_leads_nowhere(start: Start) -> None:
    replica = start(says(b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"))
    sentinel = start(says(bulk(b"127.0.0.1", replica.rpartition(":")[2].encode())))
    with pytest.raises(StoreUnavailable, match="no master but a slave"):
        store_at(f"redis+sentinel://{sentinel}/main").read([b"a"])


def test_a_master_that_is_away_is_unavailable(start: Start) -> None:
    sentinel = start(says(bulk(b"127.0.0.1", b"%d" % free_port())))
    with pytest.raises(StoreUnavailable):
        store_at(f"redis+sentinel://{sentinel}/main").read([b"a"])


@pytest.mark.parametrize(
    "url",
    [
        "redis://{away}",
        "redis+cluster://{away},{halves}",
        "redis+cluster://{halves},{halves}",
        "redis+sentinel://{away},{away}/main",
        "redis+sentinel://{away},{sentinel}/main",
    ],
)
def test_a_store_that_failed_leaves_nothing_behind(start: Start, url: str) -> None:
    """Whoever reads with a deadline makes a new one for every try."""
    away = f"127.0.0.1:{free_port()}"
    answering = {
        "halves": start(halves([port_of(away)] * 2)),
        "sentinel": start(says(bulk(*away.encode().split(b":")))),
    }
    store = store_at(url.format(away=away, **answering))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                store.read([HIGH, LOW])
        gone = weakref.ref(store)
        del store
        assert gone() is None
    finally:
        gc.enable()
