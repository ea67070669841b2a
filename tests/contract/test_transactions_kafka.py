"""What only librdkafka and a real Kafka can show about transactions."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError

from stream.errors import AbortCause, Aborted, Fatal
from stream.transport.kafka import KafkaConnection, KafkaSource, KafkaTransactions
from stream.transport.kafka.transactions import Reaction, reaction
from tests.contract.clusters import (
    KafkaCluster,
    Recorder,
    create_with_admin,
    next_offsets,
    produce,
    read,
)

Names = Callable[[str], str]
VALUES = [b"%d" % i for i in range(20)]
TIMEOUT_MS = 10_000
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_offsets_of_who_has_no_member_id_are_refused(
    kafka: str, fresh_name: Names, protocol: str
) -> None:
    """Of a client that never joined; one that was expelled is in the same state until it joined again.

    Brokers take the offsets of such a one for those of a client that knows of no groups.
    """
    events, group = fresh_name("read"), fresh_name("g")
    cluster = KafkaCluster(kafka, create_with_admin(kafka), {"group.protocol": protocol})
    cluster.create(events)
    try:
        produce(cluster.sink(), events, VALUES)
        member = cluster.source(events, group, Recorder())
        done = next_offsets(read(member, len(VALUES)))
        member.commit(done)
        assert member.await_commits(30_000)
        outside = KafkaConnection(NOBODY, {"group.protocol": protocol})
        stranger = cluster.clients.keep(KafkaSource(outside, events, group, Recorder()))
        sink = cluster.clients.keep(KafkaTransactions(cluster.connection(), f"{events}.a", TIMEOUT_MS))
        sink.begin()
        with pytest.raises(Aborted) as refused:
            sink.commit(stranger, dict.fromkeys(done, 1))
        assert refused.value.cause is AbortCause.GROUP_MOVED
        assert cluster.committed(events, group) == done
        sink.begin()
        sink.commit(member, done)
    finally:
        cluster.clients.close()


def test_whoever_waits_for_a_coordinator_that_is_away_may_give_up() -> None:
    class GivenUp(Exception):
        pass

    def waiting() -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        KafkaTransactions(KafkaConnection(NOBODY, {}), "name", TIMEOUT_MS, waiting)


def test_a_timeout_that_brokers_do_not_allow_stops_the_worker_and_names_the_mend(
    kafka: str, fresh_name: Names
) -> None:
    with pytest.raises(Fatal, match=r"delivery\.transaction_timeout_ms"):
        KafkaTransactions(KafkaConnection(kafka, {}), fresh_name("name"), 2_000_000)


def test_errors_are_sorted_by_what_helps() -> None:
    def of(code: int, **kinds: bool) -> Reaction:
        return reaction(KafkaError(code, "said", **kinds))

    assert of(KafkaError._TIMED_OUT, retriable=True) is Reaction.AGAIN
    assert of(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True) is Reaction.ABORT
    assert of(KafkaError._MSG_TIMED_OUT, txn_requires_abort=True) is Reaction.ABORT
    assert of(KafkaError._FENCED, fatal=True) is Reaction.START_AGAIN
    assert of(KafkaError.INVALID_TXN_STATE, fatal=True) is Reaction.START_AGAIN
    assert of(KafkaError.INVALID_TRANSACTION_TIMEOUT, fatal=True) is Reaction.STOP
    assert of(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True) is Reaction.STOP
    assert of(KafkaError.TOPIC_AUTHORIZATION_FAILED, txn_requires_abort=True) is Reaction.STOP
