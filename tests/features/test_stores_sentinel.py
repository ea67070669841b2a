"""RedisStore behind a real sentinel: the master, whichever that is."""

from collections.abc import Iterator

import pytest

from features.store import StoreRejected, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from tests.conftest import lacking
from tests.features.conftest import DAY_MS, PATIENT_MS, WRITES
from tools.processes import ServerDidNotStart
from tools.redis_sentinel import SentinelGroup
from tools.redis_server import NoRedisServer

pytestmark = pytest.mark.redis

PASSWORD = "of-servers"
SENTINEL_PASSWORD = "of-sentinels"


@pytest.fixture
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    """Servers and sentinel ask for a password, each for its own."""
    group = SentinelGroup(tmp_path_factory.mktemp("sentinel"), PASSWORD, SENTINEL_PASSWORD)
    try:
        group.start()
    except (NoRedisServer, ServerDidNotStart) as error:
        lacking("redis", str(error))
    yield group
    group.stop()


def options(group: SentinelGroup, reconnect_silently: bool = True) -> RedisOptions:
    return RedisOptions(
        group.url,
        password=PASSWORD,
        sentinel_password=SENTINEL_PASSWORD,
        connect_timeout_ms=PATIENT_MS,
        read_timeout_ms=PATIENT_MS,
        reconnect_silently=reconnect_silently,
    )


def test_a_fail_over_ends_at_the_new_master_with_the_data_and_another_life(group: SentinelGroup) -> None:
    reader = RedisStore.connect(options(group))
    writer = RedisStore.connect(options(group, reconnect_silently=False))
    writer.append([(b"key", b"1")], DAY_MS)
    assert reader.read([b"key"]) == [b"1"]
    life = writer.life()
    assert reader.life() == life
    group.await_replicated()
    group.fail_over()

    # Who asks for its life hears at once; the old master may take writes for some seconds yet.
    with pytest.raises(StoreUnavailable, match="another server has taken its place"):
        writer.life()
    assert writer.life() != life
    assert reader.life() == writer.life()
    assert writer.begin_append([(b"key", b"2")], DAY_MS).lengths() == {b"key": 2}
    assert reader.read([b"key"]) == [b"12"]


def test_a_master_that_dies_is_missed_until_the_sentinel_names_another(group: SentinelGroup) -> None:
    store = RedisStore.connect(options(group, reconnect_silently=False))
    store.append([(b"key", b"1")], DAY_MS)
    life = store.life()
    group.await_replicated()
    group.master.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.read([b"key"])
    group.fail_over()
    assert store.read([b"key"]) == [b"1"]
    for write in WRITES.values():
        write(store)
    assert store.life() != life


def test_each_password_is_asked_for_by_its_own_name(group: SentinelGroup) -> None:
    with pytest.raises(StoreRejected, match=r"NOAUTH.*set redis\.sentinel_password"):
        RedisStore.connect(RedisOptions(group.url, password=PASSWORD))
    with pytest.raises(StoreRejected, match=r"WRONGPASS.*check redis\.sentinel_username") as caught:
        RedisStore.connect(RedisOptions(group.url, sentinel_password="hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreRejected, match=r"NOAUTH.*set redis\.password"):
        RedisStore.connect(RedisOptions(group.url, sentinel_password=SENTINEL_PASSWORD))


def test_a_user_needs_no_more_rights_than_the_commands_it_sends(group: SentinelGroup) -> None:
    rights = ("~key", "+mget", "+role", "+hello", "+client")
    group.ask(group.master, "ACL", "SETUSER", "reader", "on", ">secret", *rights)
    store = RedisStore.connect(
        RedisOptions(group.url, username="reader", password="secret", sentinel_password=SENTINEL_PASSWORD)
    )
    assert store.read([b"key"]) == [None]
    with pytest.raises(StoreRejected, match="NOPERM"):
        store.append([(b"key", b"1")], DAY_MS)
