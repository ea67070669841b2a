"""Static members, twins, and the protocol in which brokers assign: what a group notices of its members."""

from collections.abc import Callable, Iterator, Mapping

import pytest
from confluent_kafka import ConsumerGroupType
from confluent_kafka.admin import AdminClient

from stream.errors import ExitCode, Fatal, Fenced
from stream.transport.endpoints import Source
from stream.transport.kafka import KafkaConnection, KafkaSource
from tests.contract.clusters import (
    PARTITIONS,
    KafkaCluster,
    Recorder,
    create_with_admin,
    next_offsets,
    poll_until,
    produce,
    read,
)
from tests.integration.processes import await_that
from tests.integration.stage import SESSION_MS, Stage

Names = Callable[[str], str]
CLASSIC = {"heartbeat.interval.ms": "300"}
EAGER = {"partition.assignment.strategy": "roundrobin", **CLASSIC}
BROKER_SIDE = {"group.protocol": "consumer"}
PROTOCOLS = pytest.mark.parametrize(
    "protocol", [CLASSIC, EAGER, BROKER_SIDE], ids=["cooperative", "eager", "broker-side"]
)
TWINS = "give each its own"


class Members:
    """Of one group on one filled topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.cluster = KafkaCluster(bootstrap, create_with_admin(bootstrap))
        self.topic, self.group = topic, f"{topic}.g"
        self.cluster.create(topic)
        sink = self.cluster.sink()
        produce(sink, topic, [b"%d" % i for i in range(40)])
        sink.close()

    def join(self, properties: Mapping[str, str], name: str | None = None) -> tuple[Source, Recorder]:
        """name: of a static member."""
        named = {} if name is None else {"group.instance.id": name}
        connection = KafkaConnection(self.cluster.bootstrap, {**properties, **named})
        listener = Recorder()
        source = KafkaSource(connection, self.topic, self.group, listener)
        return self.cluster.clients.keep(source), listener


@pytest.fixture
def members(kafka: str, fresh_name: Names) -> Iterator[Members]:
    made = Members(kafka, fresh_name("events"))
    yield made
    made.cluster.clients.close()


@PROTOCOLS
def test_a_static_member_that_comes_back_in_time_has_its_partitions_and_nobody_notices(
    members: Members, protocol: Mapping[str, str]
) -> None:
    one, of_one = members.join(protocol, "one")
    poll_until([one], lambda: len(of_one.held) == PARTITIONS)
    two, of_two = members.join(protocol, "two")
    poll_until([one, two], lambda: len(of_one.held) == len(of_two.held) == PARTITIONS // 2)
    held, calls = set(of_one.held), list(of_two.calls)
    one.close()
    again, of_again = members.join(protocol, "one")
    poll_until([again, two], lambda: of_again.held == held)
    poll_until([again, two], beats(again, two))
    assert of_two.calls == calls


@PROTOCOLS
def test_a_twin_is_told_so(members: Members, protocol: Mapping[str, str]) -> None:
    one, of_one = members.join(protocol, "one")
    poll_until([one], lambda: len(of_one.held) == PARTITIONS)
    twin, _ = members.join(protocol, "one")
    with pytest.raises((Fatal, Fenced), match=TWINS):
        poll_until([one, twin], lambda: False)


@pytest.mark.parametrize(
    ("protocol", "kind", "assignor"),
    [
        ({}, ConsumerGroupType.CLASSIC, "cooperative-sticky"),
        (EAGER, ConsumerGroupType.CLASSIC, "roundrobin"),
        (BROKER_SIDE, ConsumerGroupType.CONSUMER, "uniform"),
    ],
    ids=["default", "eager", "broker-side"],
)
def test_members_share_by_the_protocol_and_the_strategy_that_were_chosen(
    members: Members, protocol: Mapping[str, str], kind: ConsumerGroupType, assignor: str
) -> None:
    one, of_one = members.join(protocol)
    poll_until([one], lambda: len(of_one.held) == PARTITIONS)
    admin = AdminClient({"bootstrap.servers": members.cluster.bootstrap})
    told = admin.describe_consumer_groups([members.group])[members.group].result()
    assert (told.type, told.partition_assignor) == (kind, assignor)


def test_a_worker_that_has_a_twin_ends_and_says_what_to_mend(stage: Stage) -> None:
    named = "kafka.properties.group.instance.id=the-one"
    pair = [stage.start("materialize", named, models=False).await_ready()]
    pair.append(stage.start("materialize", named, models=False))
    await_that(lambda: not all(worker.is_alive for worker in pair), "both go on")
    (ended,) = (worker for worker in pair if not worker.is_alive)
    assert ended.await_end() == ExitCode.FATAL
    assert TWINS in ended.log.read_text()


@pytest.mark.parametrize("protocol", [CLASSIC, BROKER_SIDE], ids=["classic", "broker-side"])
def test_a_paused_member_that_polls_stays_in_the_group(members: Members, protocol: Mapping[str, str]) -> None:
    limits = {"max.poll.interval.ms": str(SESSION_MS)}
    if protocol is CLASSIC:
        limits["session.timeout.ms"] = str(SESSION_MS)
    source, listener = members.join({**protocol, **limits})
    done = next_offsets(read(source, 40))
    source.pause()
    polls = iter(range(SESSION_MS // 75))
    poll_until([source], lambda: next(polls, None) is None)
    source.commit(done)
    assert source.await_commits(30_000)
    assert [name for name, _ in listener.calls] == ["assigned"]
    source.resume()


def beats(*sources: Source) -> Callable[[], bool]:
    """Whether everyone had its say since: a commit is answered only to a member of the group as it is."""
    for source in sources:
        source.commit({p: lag.position for p, lag in source.lag().items()})
    return lambda: all(source.await_commits(100) for source in sources)
