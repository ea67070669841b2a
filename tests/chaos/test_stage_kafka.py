"""What the stage does to brokers, and to the links to them, is what plain clients see."""

import uuid
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from redis import Redis

from tests.chaos.stage.faults import FAULTS, Fault, possible
from tests.chaos.stage.kafka import BROKERS, KafkaTrio
from tests.chaos.stage.servers import Servers
from tests.conftest import lacking
from tests.integration.processes import await_that
from tools.kafka_jars import NoKafka
from tools.processes import ServerDidNotStart
from tools.redis_server import NoRedisServer
from tools.toxiproxy import NoToxiproxy

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.redis]

PARTITIONS = 6
LONG_S = 120
"""A bound, for what takes seconds."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    try:
        made.start()
    except NoToxiproxy as error:
        lacking("toxiproxy", str(error))
    except NoRedisServer as error:
        lacking("redis", str(error))
    except (NoKafka, ServerDidNotStart) as error:
        lacking("kafka", str(error))
    yield made
    made.close()


@pytest.fixture
def servers(shared: Servers) -> Iterator[Servers]:
    yield shared
    shared.heal()


@pytest.fixture
def kafka(servers: Servers) -> KafkaTrio:
    return servers.kafka


@pytest.fixture
def topic(servers: Servers, fresh_name: Callable[[str], str]) -> str:
    name = fresh_name("events")
    servers.kafka.create(name, PARTITIONS)
    servers.topics = [name]
    return name


class Writer:
    """An idempotent producer, and what became of its records."""

    def __init__(self, bootstrap: str, timeout_s: int = LONG_S) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": timeout_s * 1_000,
                "linger.ms": 0,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 3_000,
                "log_level": 0,
            }
        )
        self.acknowledged: list[bytes] = []
        self.failed: list[KafkaError] = []

    def send(self, topic: str, count: int) -> None:
        for number in range(count):
            value = uuid.uuid4().bytes
            self._producer.produce(topic, value, partition=number % PARTITIONS, on_delivery=self._delivered)

    def await_delivery(self) -> None:
        assert self._producer.flush(LONG_S) == 0

    def wait(self, seconds: float) -> int:
        """How many records are not delivered by then."""
        return len(self._producer) and self._producer.flush(seconds)

    def _delivered(self, error: KafkaError | None, record: Message) -> None:
        if error is None:
            value = record.value()
            assert isinstance(value, bytes)
            self.acknowledged.append(value)
        else:
            self.failed.append(error)


def consumer(bootstrap: str, topic: str, **more: str) -> Consumer:
    made = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
            **{name.replace("_", "."): value for name, value in more.items()},
        }
    )
    made.subscribe([topic])
    return made


def read(kafka: KafkaTrio, topic: str, count: int) -> list[bytes]:
    """The first so many values of a topic."""
    reader, found = consumer(kafka.bootstrap, topic), list[bytes]()

    def has_all() -> bool:
        for record in reader.consume(count, 0.2):
            value = record.value()
            if record.error() is None and isinstance(value, bytes):
                found.append(value)
        return len(found) >= count

    await_that(has_all, "records are missing", LONG_S)
    reader.close()
    return found


def leaders_without(kafka: KafkaTrio, topic: str, n: int) -> Callable[[], bool]:
    return lambda: not {n, -1} & set(kafka.leaders(topic).values())


def test_who_comes_through_the_proxies_stays_there(kafka: KafkaTrio) -> None:
    seen = AdminClient({"bootstrap.servers": kafka.proxied_bootstrap}).list_topics(timeout=10).brokers
    assert {n: broker.port for n, broker in seen.items()} == {n: p.port for n, p in kafka.proxies.items()}


def test_with_one_broker_dead_writing_goes_on_and_with_two_it_waits(kafka: KafkaTrio, topic: str) -> None:
    writer = Writer(kafka.proxied_bootstrap)
    writer.send(topic, 60)
    kafka.kill(1)
    writer.send(topic, 60)
    writer.await_delivery()
    await_that(leaders_without(kafka, topic, 1), "leaders do not move", LONG_S)

    kafka.kill(2)
    writer.send(topic, 60)
    assert writer.wait(3) == 60
    kafka.start_broker(2)
    writer.await_delivery()
    kafka.heal()
    assert sorted(read(kafka, topic, 180)) == sorted(writer.acknowledged)


def test_a_stopped_broker_hands_its_leaderships_over(kafka: KafkaTrio, topic: str) -> None:
    assert 2 in kafka.leaders(topic).values()
    kafka.stop(2)
    await_that(leaders_without(kafka, topic, 2), "leaders do not move", LONG_S)
    assert kafka.alive == [1, 3]
    assert not kafka.isr_is_full()
    kafka.start_broker(2)
    kafka.await_isr_full()


def test_a_paused_broker_is_replaced_and_comes_back_in_sync(kafka: KafkaTrio, topic: str) -> None:
    writer = Writer(kafka.proxied_bootstrap)
    kafka.pause(3)
    writer.send(topic, 60)
    await_that(leaders_without(kafka, topic, 3), "leaders do not move", LONG_S)
    writer.await_delivery()
    kafka.resume(3)
    kafka.await_isr_full()
    assert sorted(read(kafka, topic, 60)) == sorted(writer.acknowledged)


def test_every_leader_moves_and_no_record_is_lost_or_doubled(kafka: KafkaTrio, topic: str) -> None:
    writer = Writer(kafka.proxied_bootstrap)
    for _ in range(3):
        before = kafka.leaders(topic)
        writer.send(topic, 60)
        kafka.move_leaders(topic)
        after = kafka.leaders(topic)
        assert all(before[partition] != after[partition] for partition in before)
    writer.await_delivery()
    assert sorted(read(kafka, topic, 180)) == sorted(writer.acknowledged)


def test_a_broker_with_a_full_disk_ends_and_comes_back_when_there_is_room(
    servers: Servers, topic: str
) -> None:
    if why := servers.why_no_full_disk:
        lacking("mount", why)
    kafka, writer = servers.kafka, Writer(servers.kafka.proxied_bootstrap)
    writer.send(topic, 60)
    kafka.fill_disk(2)
    assert 2 not in kafka.alive
    writer.send(topic, 60)
    writer.await_delivery()
    with pytest.raises(ServerDidNotStart):
        kafka.start_broker(2)
    kafka.free_disk(2)
    kafka.start_broker(2)
    kafka.await_isr_full()
    assert sorted(read(kafka, topic, 120)) == sorted(writer.acknowledged)


def test_a_rolling_restart_loses_nothing(kafka: KafkaTrio, topic: str) -> None:
    writer = Writer(kafka.proxied_bootstrap)
    writer.send(topic, 60)
    kafka.rolling_restart()
    writer.send(topic, 60)
    writer.await_delivery()
    assert kafka.alive == list(BROKERS)
    assert sorted(read(kafka, topic, 120)) == sorted(writer.acknowledged)


@pytest.mark.parametrize("harm", ["cut", "half_open", "reset_peer"])
def test_a_broken_link_stops_who_goes_through_it_and_nobody_else(
    servers: Servers, topic: str, harm: str
) -> None:
    through, past = Writer(servers.kafka.proxied_bootstrap), Writer(servers.kafka.bootstrap)
    through.send(topic, 6)
    through.await_delivery()
    for proxy in servers.kafka.proxies.values():
        getattr(proxy, harm)()
    through.send(topic, 6)
    past.send(topic, 6)
    past.await_delivery()
    assert through.wait(1) == 6
    servers.toxiproxy.heal()
    through.await_delivery()
    assert not through.failed
    assert sorted(read(servers.kafka, topic, 18)) == sorted(through.acknowledged + past.acknowledged)


@pytest.mark.parametrize("protocol", [{"session_timeout_ms": "1000"}, {"group_protocol": "consumer"}])
def test_both_group_protocols_notice_a_silent_member_soon(
    kafka: KafkaTrio, topic: str, protocol: Mapping[str, str]
) -> None:
    group = uuid.uuid4().hex
    silent = consumer(kafka.proxied_bootstrap, topic, group_id=group, **protocol)
    await_that(lambda: silent.poll(0.1) is None and bool(silent.assignment()), "it is not assigned", LONG_S)
    for proxy in kafka.proxies.values():
        proxy.half_open()
    heir = consumer(kafka.bootstrap, topic, group_id=group, **protocol)
    await_that(
        lambda: heir.poll(0.1) is None and len(heir.assignment()) == PARTITIONS, "nobody takes over", LONG_S
    )
    heir.close()
    for proxy in kafka.proxies.values():
        proxy.heal()
    silent.close()


def test_a_transaction_nobody_ends_is_aborted_soon(kafka: KafkaTrio, topic: str) -> None:
    forgetful = Producer(
        {
            "bootstrap.servers": kafka.proxied_bootstrap,
            "transactional.id": uuid.uuid4().hex,
            "transaction.timeout.ms": 1_000,
            "log_level": 0,
        }
    )
    forgetful.init_transactions(LONG_S)
    forgetful.begin_transaction()
    forgetful.produce(topic, b"never", partition=0)
    forgetful.flush(LONG_S)
    writer = Writer(kafka.bootstrap)
    writer.send(topic, 1)
    writer.await_delivery()
    # It reads with read_committed, as is the client's default, and gets past the open transaction.
    assert read(kafka, topic, 1) == writer.acknowledged
    with pytest.raises(KafkaException):
        forgetful.commit_transaction(LONG_S)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_after_a_fault_everything_is_as_before(servers: Servers, topic: str, fault: Fault) -> None:
    if fault not in possible(servers):
        lacking("mount", str(servers.why_no_full_disk))
    draw = np.random.default_rng(1)
    writer = Writer(servers.kafka.proxied_bootstrap)
    begun = fault.begin(servers, draw)
    writer.send(topic, 6)
    begun.end()
    writer.send(topic, 6)
    writer.await_delivery()
    assert not writer.failed
    assert sorted(read(servers.kafka, topic, 12)) == sorted(writer.acknowledged)
    assert servers.kafka.isr_is_full()
    assert servers.redis.answers()
    with Redis.from_url(servers.redis.proxied_url, socket_timeout=30, retry=None) as client:
        assert client.set("key", b"value")
