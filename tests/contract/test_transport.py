"""What every transport does: in memory, on librdkafka's mock cluster, and on Apache Kafka."""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

import pytest

from stream.demo.kafka_server import CLIENT_PROPERTIES, EmbeddedKafka
from stream.errors import Fatal
from stream.records import Headers, RecordBatch
from stream.transport.endpoints import record_bytes
from tests.contract.clusters import (
    PARTITIONS,
    Cluster,
    KafkaCluster,
    MemoryCluster,
    Recorder,
    create_with_admin,
    next_offsets,
    poll_until,
    produce,
    read,
    rows,
)

Names = Callable[[str], str]
VALUES = [b"%d" % i for i in range(40)]
PROMPT = {"heartbeat.interval.ms": "300"}
PROTOCOLS = {
    "kafka-cooperative": PROMPT,
    "kafka-eager": {"partition.assignment.strategy": "range", **PROMPT},
    "kafka-broker-side": {"group.protocol": "consumer"},
}


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as kafka:
        yield kafka


@pytest.fixture(
    params=[
        "memory",
        "embedded",
        *(pytest.param(name, marks=pytest.mark.kafka) for name in PROTOCOLS),
    ]
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    chosen = choose(request)
    yield chosen
    chosen.clients.close()


def choose(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "memory":
        return MemoryCluster()
    if request.param == "embedded":
        kafka = request.getfixturevalue("embedded")
        return KafkaCluster(kafka.bootstrap, kafka.create_topic, CLIENT_PROPERTIES)
    bootstrap = request.getfixturevalue("kafka")
    return KafkaCluster(bootstrap, create_with_admin(bootstrap), PROTOCOLS[request.param])


@pytest.fixture
def topic(cluster: Cluster, fresh_name: Names) -> str:
    name = fresh_name("events")
    cluster.create(name)
    return name


@pytest.fixture
def filled(cluster: Cluster, topic: str) -> str:
    """A topic that holds `VALUES`, keyed by themselves."""
    sink = cluster.sink()
    produce(sink, topic, VALUES)
    sink.close()
    return topic


def test_records_come_back_as_they_were_produced(cluster: Cluster, topic: str) -> None:
    sink, source = cluster.sink(), cluster.source(topic, f"{topic}.g", Recorder())
    acknowledged: list[int] = []
    headers: list[Headers] = [[("a", b"1"), ("a", b"2"), ("none", None)], []]
    sink.produce_batch(topic, [b"key", None], [b"value", None], headers, acknowledged.append)
    assert sink.flush(30_000) == 0
    assert acknowledged == [2]
    batches: list[RecordBatch] = []
    poll_until(
        [source], lambda: sum(len(batch) for batch in batches) == 2, lambda _, batch: batches.append(batch)
    )
    found = {
        batch.keys[i]: (batch.values[i], batch.headers(i), int(batch.timestamps[i]) > 0, batch.topic)
        for batch in batches
        for i in range(len(batch))
    }
    assert found == {b"key": (b"value", headers[0], True, topic), None: (None, [], True, topic)}
    source.close()
    sink.close()


def test_records_of_a_key_keep_their_order(cluster: Cluster, topic: str) -> None:
    sink, source = cluster.sink(), cluster.source(topic, f"{topic}.g", Recorder())
    keys = [b"k%d" % (i % 7) for i in range(70)]
    values = [b"%d" % i for i in range(70)]
    produce(sink, topic, values, keys)
    found = read(source, 70)
    for key in set(keys):
        mine = [r for r in found if r.key == key]
        assert len({r.partition for r in mine}) == 1
        assert [r.value for r in mine] == [v for k, v in zip(keys, values, strict=True) if k == key]
    for partition in range(PARTITIONS):
        offsets = [r.offset for r in found if r.partition == partition]
        assert offsets == sorted(offsets)
    source.close()
    sink.close()


def test_a_group_goes_on_from_what_it_committed(cluster: Cluster, filled: str) -> None:
    group = f"{filled}.g"
    first = cluster.source(filled, group, Recorder())
    found = read(first, len(VALUES))
    half = [r for r in found if r.offset < 3]
    first.commit(next_offsets(half))
    assert first.await_commits(30_000)
    first.close()
    listener = Recorder()
    second = cluster.source(filled, group, listener)
    rest = read(second, len(VALUES) - len(half))
    assert {r.value for r in rest} == set(VALUES) - {r.value for r in half}
    assert listener.committed == dict.fromkeys(range(PARTITIONS), 0) | next_offsets(half)
    second.close()


def test_a_new_group_may_start_at_the_end_but_afterwards_skips_nothing(cluster: Cluster, filled: str) -> None:
    group, sink, listener = f"{filled}.g", cluster.sink(), Recorder()
    first = cluster.source(filled, group, listener, "latest")
    poll_until([first], lambda: len(listener.held) == PARTITIONS)
    assert len(first.poll(1000, 100)) == 0
    poll_until([first], lambda: len(cluster.committed(filled, group)) == PARTITIONS)
    first.close()
    produce(sink, filled, [b"while away"])
    second = cluster.source(filled, group, Recorder(), "latest")
    assert [r.value for r in read(second, 1)] == [b"while away"]
    second.close()
    sink.close()


def test_the_listener_may_start_earlier_than_the_group_stands(cluster: Cluster, filled: str) -> None:
    group = f"{filled}.g"
    cluster.commit_as_operator(filled, group, dict.fromkeys(range(PARTITIONS), 4))
    listener = Recorder(start_at={0: 1, 1: 0})
    source = cluster.source(filled, group, listener)
    found = read(source, len(VALUES) - 4 * PARTITIONS + 3 + 4)
    first = {p: min(r.offset for r in found if r.partition == p) for p in range(PARTITIONS)}
    assert first == {0: 1, 1: 0, 2: 4, 3: 4}
    assert listener.committed == dict.fromkeys(range(PARTITIONS), 4)
    source.close()


def test_an_offset_outside_the_log_is_an_incident(cluster: Cluster, filled: str) -> None:
    group = f"{filled}.g"
    cluster.commit_as_operator(filled, group, dict.fromkeys(range(PARTITIONS), 4) | {2: 9_999})
    source = cluster.source(filled, group, Recorder())
    with pytest.raises(Fatal, match=rf"{filled}\[2\].*{group}.*9999.*holds 0 to \d+"):
        read(source, 1)
    source.close()
    assert cluster.committed(filled, group)[2] == 9_999


def test_members_share_partitions_and_a_leaver_hands_its_own_over(cluster: Cluster, filled: str) -> None:
    group = f"{filled}.g"
    one, two = Recorder(), Recorder()
    first = cluster.source(filled, group, one)
    poll_until([first], lambda: len(one.held) == PARTITIONS)
    second = cluster.source(filled, group, two)
    poll_until([first, second], lambda: len(one.held) == 2 and len(two.held) == 2)
    assert one.held | two.held == set(range(PARTITIONS))
    second.close()
    assert not two.held
    poll_until([first], lambda: len(one.held) == PARTITIONS)
    first.close()
    assert not one.held


def test_a_member_for_which_no_partition_is_left_is_told_so(cluster: Cluster, filled: str) -> None:
    listeners = [Recorder() for _ in range(PARTITIONS + 1)]
    sources = [cluster.source(filled, f"{filled}.g", listener) for listener in listeners]

    def settled() -> bool:
        answered = all(listener.calls for listener in listeners) or not cluster.tells_spares
        return answered and sorted(len(listener.held) for listener in listeners) == [0, 1, 1, 1, 1]

    poll_until(sources, settled)
    for source in sources:
        source.close()


def test_what_is_committed_while_partitions_are_revoked_stands(cluster: Cluster, filled: str) -> None:
    group = f"{filled}.g"
    listener = Recorder()
    source = cluster.source(filled, group, listener)
    done = next_offsets(read(source, len(VALUES)))
    listener.on_revoked = lambda partitions: source.commit({p: done[p] for p in partitions})
    source.close()
    assert cluster.committed(filled, group) == done


def test_the_latest_commit_stands_though_another_is_under_way_when_partitions_leave(
    cluster: Cluster, filled: str
) -> None:
    group, listener = f"{filled}.g", Recorder()
    source = cluster.source(filled, group, listener)
    done = next_offsets(read(source, len(VALUES)))

    def commit_twice(partitions: AbstractSet[int]) -> None:
        source.commit(dict.fromkeys(partitions, 1))
        source.commit({p: done[p] for p in partitions})

    listener.on_revoked = commit_twice
    source.close()
    assert cluster.committed(filled, group) == done


def test_a_paused_source_returns_nothing_and_loses_nothing(cluster: Cluster, filled: str) -> None:
    listener = Recorder()
    source = cluster.source(filled, f"{filled}.g", listener)
    source.pause()
    poll_until([source], lambda: len(listener.held) == PARTITIONS)
    assert [len(source.poll(1000, 50)) for _ in range(4)] == [0] * 4
    source.resume()
    assert {r.value for r in read(source, len(VALUES))} == set(VALUES)
    source.close()


def test_what_left_while_paused_and_came_back_after_the_pause_flows_again(
    cluster: Cluster, filled: str
) -> None:
    mine, others = Recorder(), Recorder()
    source = cluster.source(filled, f"{filled}.g", mine)
    source.pause()
    poll_until([source], lambda: len(mine.held) == PARTITIONS)
    guest = cluster.source(filled, f"{filled}.g", others)
    poll_until([source, guest], lambda: len(mine.held) == len(others.held) == PARTITIONS // 2)
    source.resume()
    guest.close()
    assert {r.value for r in read(source, len(VALUES))} == set(VALUES)
    source.close()


def test_a_rewound_source_reads_again_and_passes_over_what_is_not_its_own(
    cluster: Cluster, filled: str
) -> None:
    source = cluster.source(filled, f"{filled}.g", Recorder())
    assert source.partition_count == 0
    before = read(source, len(VALUES))
    assert source.partition_count == PARTITIONS
    source.rewind({1: 2, PARTITIONS + 5: 0})
    again = [r for r in before if r.partition == 1 and r.offset >= 2]
    assert source.lag()[1].records == len(again) > 0
    assert read(source, len(again)) == again
    source.close()


@pytest.mark.parametrize("paused", [False, True])
def test_a_source_may_be_rewound_as_soon_as_it_has_partitions(
    cluster: Cluster, filled: str, paused: bool
) -> None:
    group = f"{filled}.g"
    first = cluster.source(filled, group, Recorder())
    first.commit(next_offsets(read(first, len(VALUES))))
    assert first.await_commits(30_000)
    first.close()
    listener = Recorder()
    second = cluster.source(filled, group, listener)
    poll_until([second], lambda: len(listener.held) == PARTITIONS)
    if paused:
        second.pause()
    second.rewind(dict.fromkeys(range(PARTITIONS), 1))
    assert {p: lag.position for p, lag in second.lag().items()} == dict.fromkeys(range(PARTITIONS), 1)
    if paused:
        assert len(second.poll(1000, 100)) == 0
        second.resume()
    assert {r.value for r in read(second, len(VALUES) - PARTITIONS)} <= set(VALUES)
    assert {p: lag.records for p, lag in second.lag().items()} == dict.fromkeys(range(PARTITIONS), 0)
    second.close()


def test_a_poll_returns_at_most_as_many_as_asked_for(cluster: Cluster, filled: str) -> None:
    source = cluster.source(filled, f"{filled}.g", Recorder())
    sizes: list[int] = []
    found: list[object] = []
    while len(found) < len(VALUES):
        batch = source.poll(7, 100)
        sizes.append(len(batch))
        found += rows(batch)
    assert max(sizes) == 7
    source.close()


def test_lag_is_what_the_log_holds_beyond_the_position(cluster: Cluster, filled: str) -> None:
    listener = Recorder()
    source = cluster.source(filled, f"{filled}.g", listener)
    source.pause()
    poll_until([source], lambda: len(listener.held) == PARTITIONS)
    assert sum(lag.records for lag in source.lag().values()) == len(VALUES)
    source.resume()
    read(source, len(VALUES))
    assert sum(lag.records for lag in source.lag().values()) == 0
    ranges = {p: source.log_range(p) for p in range(PARTITIONS)}
    assert ranges == {p: (0, lag.end) for p, lag in source.lag().items()}
    source.close()
    assert source.lag() == {}


def test_a_record_as_large_as_allowed_is_delivered_and_a_larger_one_stops_the_sink(
    cluster: Cluster, topic: str
) -> None:
    sink = cluster.sink()
    headers: Headers = [("h" * 20, b"v" * 30)]
    room = sink.bytes_max(topic) - record_bytes(b"key", b"", headers)
    acknowledged: list[int] = []
    sink.produce_batch(topic, [b"key"], [b"x" * room], [headers], acknowledged.append)
    assert sink.flush(30_000) == 0
    assert acknowledged == [1]
    with pytest.raises(Fatal, match=r"max\.message\.bytes"):
        sink.produce_batch(topic, [b"key"], [b"x" * (room + 1_000)], [headers], acknowledged.append)
    sink.close()


def test_closing_twice_is_closing_once(cluster: Cluster, filled: str) -> None:
    listener = Recorder()
    source, sink = cluster.source(filled, f"{filled}.g", listener), cluster.sink()
    read(source, 1)
    for _ in range(2):
        source.close()
        sink.close()
    assert [name for name, _ in listener.calls] == ["assigned", "revoked"]
