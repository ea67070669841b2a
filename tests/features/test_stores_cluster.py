"""RedisStore on a real cluster: slots on the move, nodes that die."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.crc import key_slot

from features.store import StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from tests.conftest import lacking
from tests.features.conftest import DAY_MS, PATIENT_MS, PROGRESS, WRITES
from tools.processes import ServerDidNotStart
from tools.redis_cluster import RedisCluster, ask
from tools.redis_server import NoRedisServer, RedisServer


def store_at(cluster: RedisCluster, reconnect_silently: bool = True) -> RedisStore:
    return RedisStore.connect(
        RedisOptions(
            cluster.url,
            connect_timeout_ms=PATIENT_MS,
            read_timeout_ms=PATIENT_MS,
            reconnect_silently=reconnect_silently,
        )
    )


def errors(node: RedisServer, code: str) -> int:
    """How often a node answered with that."""
    return int(ask(node, "INFO", "errorstats").get(f"errorstat_{code}", {}).get("count", 0))


@pytest.fixture
def keys(redis_cluster: RedisCluster, fresh_name: Callable[[str], str]) -> list[bytes]:
    """Two hundred, all in one slot."""
    tag = fresh_name("tag")
    return [b"{%b}:%d" % (tag.encode(), number) for number in range(200)]


@pytest.fixture
def slot(redis_cluster: RedisCluster, keys: list[bytes]) -> Iterator[int]:
    """The keys' slot, which goes back to its first owner."""
    slot = key_slot(keys[0])
    first = redis_cluster.owner(slot)
    yield slot
    if redis_cluster.owner(slot) is not first:
        redis_cluster.begin_move(slot, first)
        redis_cluster.move_keys(slot, first)
    redis_cluster.end_move(slot, first)


@pytest.fixture
def target(redis_cluster: RedisCluster, slot: int) -> RedisServer:
    """A node that does not own the slot."""
    owner = redis_cluster.owner(slot)
    return next(node for node in redis_cluster.nodes if node is not owner)


def test_keys_of_a_slot_that_moved_are_found_at_its_new_owner(
    redis_cluster: RedisCluster, keys: list[bytes], slot: int, target: RedisServer
) -> None:
    store, source = store_at(redis_cluster), redis_cluster.owner(slot)
    store.append([(key, b"1") for key in keys], DAY_MS)
    redis_cluster.begin_move(slot, target)
    assert redis_cluster.move_keys(slot, target) >= len(keys)  # others may share the slot
    redis_cluster.end_move(slot, target)
    before = errors(source, "MOVED")
    assert store.read(keys) == [b"1"] * len(keys)
    assert errors(source, "MOVED") == before + len(keys)
    lengths = store.begin_append([(key, b"2") for key in keys], DAY_MS).lengths()
    assert lengths == dict.fromkeys(keys, 2)
    assert errors(source, "MOVED") == before + len(keys), "it asked the old owner again"


def test_keys_of_a_slot_on_its_way_are_found_at_either_end(
    redis_cluster: RedisCluster, keys: list[bytes], slot: int, target: RedisServer
) -> None:
    store, source = store_at(redis_cluster), redis_cluster.owner(slot)
    old, new = keys[:150], keys[150:]
    store.append([(key, b"1") for key in old], DAY_MS)
    redis_cluster.begin_move(slot, target)
    redis_cluster.move_keys(slot, target, keys_max=70)
    before = errors(source, "ASK")
    assert store.read(keys) == [b"1"] * len(old) + [None] * len(new)
    assert errors(source, "ASK") == before + 70 + len(new)
    assert store.begin_append([(key, b"2") for key in keys], DAY_MS).lengths() == (
        dict.fromkeys(old, 2) | dict.fromkeys(new, 1)
    )
    assert store.read(keys) == [b"12"] * len(old) + [b"2"] * len(new)
    assert store.replace(keys[0], b"12", b"34", DAY_MS)
    assert store.replace(keys[-1], b"2", b"34", DAY_MS)
    assert store.put_if_absent(keys[-1] + b":mark", b"1") == b"1"
    assert store.advance(keys[-1] + b":progress", PROGRESS)
    redis_cluster.move_keys(slot, target)
    redis_cluster.end_move(slot, target)
    assert store.read([keys[0], *keys[1:149], keys[-1]]) == [b"34", *[b"12"] * 148, b"34"]
    assert all(redis_cluster.ask_owner("PTTL", key) > 0 for key in keys)


def test_nothing_is_lost_or_doubled_while_slots_move_under_appends(
    redis_cluster: RedisCluster, keys: list[bytes], slot: int, target: RedisServer
) -> None:
    store, source = store_at(redis_cluster), redis_cluster.owner(slot)
    settled = threading.Event()

    def move_about() -> None:
        for to in (target, source) * 3:
            redis_cluster.begin_move(slot, to)
            while redis_cluster.move_keys(slot, to, keys_max=40):
                pass
            redis_cluster.end_move(slot, to)
        settled.set()

    rounds = 0
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move_about)
        while not settled.is_set() and not moving.done():
            rounds += 1
            lengths = store.begin_append([(key, b"x") for key in keys], DAY_MS).lengths()
            assert lengths == dict.fromkeys(keys, rounds)
            assert store.read(keys) == [b"x" * rounds] * len(keys)
        moving.result()
    assert errors(source, "MOVED")
    assert errors(source, "ASK")


@pytest.fixture
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One to break."""
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
    except (NoRedisServer, ServerDidNotStart) as error:
        lacking("redis", str(error))
    yield cluster
    cluster.stop()


@pytest.mark.redis
def test_the_life_is_another_when_a_replica_took_over_whether_its_master_gave_way_or_died(
    own_cluster: RedisCluster,
) -> None:
    first = own_cluster.nodes[0]
    second = own_cluster.add_replica(first)
    store, reader = store_at(own_cluster, reconnect_silently=False), store_at(own_cluster)
    keys = [b"key:%d" % number for number in range(300)]
    store.append([(key, b"1") for key in keys], DAY_MS)
    assert reader.read(keys) == [b"1"] * len(keys)
    life = store.life()

    own_cluster.give_way(first, second)
    after_giving_way = store.life()
    assert after_giving_way != life
    assert reader.read(keys) == [b"1"] * len(keys)
    store.append([(key, b"2") for key in keys], DAY_MS)
    assert store.life() == after_giving_way, "it had not looked who serves now"

    own_cluster.await_replicated(second, first)
    second.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            reader.read(keys)
        with pytest.raises(StoreUnavailable):
            store.append([(key, b"3") for key in keys], DAY_MS)
        with pytest.raises(StoreUnavailable):
            store.life()
    own_cluster.take_over(first, second)
    assert all(value is not None and value[:2] == b"12" for value in reader.read(keys))
    for write in WRITES.values():
        write(store)
    assert store.life() not in (life, after_giving_way)


def test_what_another_program_keeps_at_a_key_reads_as_absent(
    redis_cluster: RedisCluster, keys: list[bytes]
) -> None:
    ask(redis_cluster.owner(key_slot(keys[0])), "LPUSH", keys[0], "1")
    store = store_at(redis_cluster)
    store.append([(keys[1], b"1")], DAY_MS)
    assert store.read(keys[:3]) == [None, b"1", None]


def test_what_begins_with_a_prefix_is_removed_from_every_node(
    redis_cluster: RedisCluster, fresh_name: Callable[[str], str]
) -> None:
    store, prefix = store_at(redis_cluster), fresh_name("removed").encode()
    keys = [b"%b:%d" % (prefix, number) for number in range(100)]
    store.append([(key, b"1") for key in keys], DAY_MS)
    assert store.remove(prefix) == len(keys)
    assert store.read(keys) == [None] * len(keys)
