"""Clients that a restarting Kafka told of no brokers: they connect to none any more, and must start again."""

import json
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from stream.errors import Fenced
from stream.transport.kafka import KafkaConnection, KafkaSink, KafkaSource
from stream.transport.kafka.statistics import READINGS, Statistics
from tests.contract.clusters import Recorder
from tests.contract.forgetful import forgetful_kafka

WITHIN_S = 60.0


@pytest.fixture
def connection() -> Iterator[KafkaConnection]:
    with forgetful_kafka() as address:
        often = {"statistics.interval.ms": "100", "topic.metadata.refresh.interval.ms": "100"}
        yield KafkaConnection(address, often)


def again_and_again(call: Callable[[], object]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        call()


def test_a_consumer_that_lost_its_brokers_ends(connection: KafkaConnection) -> None:
    source = KafkaSource(connection, "events", "g", Recorder())
    with pytest.raises(Fenced, match=r"events, group g: the client lost all of its brokers.*start again"):
        again_and_again(lambda: source.poll(10, 50))
    source.close()


def test_a_producer_that_lost_its_brokers_ends_whatever_it_waits_for(connection: KafkaConnection) -> None:
    sink = KafkaSink(connection)
    sink.produce_batch("events", [None], [b"value"], None, lambda _: None)
    with pytest.raises(Fenced, match=r"producer.*start again"):
        again_and_again(lambda: sink.flush(50))
    sink.close()


def statistics(*brokers: tuple[str, str, int]) -> str:
    """brokers: source, state and age of the state, in seconds, of each."""
    names = ("source", "state", "stateage")
    told = {
        str(at): dict(zip(names, (source, state, age_s * 1_000_000), strict=True))
        for at, (source, state, age_s) in enumerate(brokers)
    }
    return json.dumps({"name": "rdkafka#consumer-1", "brokers": told, "topics": {}})


NONE_OF_THE_CLUSTER = (("internal", "INIT", 0), ("logical", "TRY_CONNECT", 0))


@pytest.mark.parametrize(
    "alive",
    [("learned", "UP", 3_600), ("configured", "CONNECT", 30), ("learned", "APIVERSION_QUERY", 30)],
)
def test_a_moment_without_brokers_is_none_that_lasts(alive: tuple[str, str, int]) -> None:
    client = Statistics("client")
    read = client.config({})["stats_cb"]
    read(statistics(alive))
    for _ in range(2):
        for _ in range(READINGS - 1):
            read(statistics(*NONE_OF_THE_CLUSTER))
        client.check()
        read(statistics(*NONE_OF_THE_CLUSTER, alive))
    client.check()
    for _ in range(READINGS):
        read(statistics(*NONE_OF_THE_CLUSTER))
    with pytest.raises(Fenced):
        client.check()


def test_brokers_that_are_listed_and_never_tried_again_are_none() -> None:
    client = Statistics("client")
    read = client.config({})["stats_cb"]
    read(statistics(("learned", "UP", 60)))
    for reading in range(READINGS):
        client.check()
        read(statistics(("learned", "INIT", 20 + 5 * reading), ("logical", "TRY_CONNECT", 0)))
    with pytest.raises(Fenced):
        client.check()


def test_a_cluster_that_is_away_is_tried_for_as_long_as_it_takes() -> None:
    client = Statistics("client")
    read = client.config({})["stats_cb"]
    for _ in range(10 * READINGS):
        read(statistics(("learned", "INIT", 600), ("configured", "INIT", 1)))
        client.check()


def test_how_far_the_fetcher_is_is_told_of_the_topic() -> None:
    told = {"brokers": {}, "topics": {"events": {"partitions": {"0": {"next_offset": 7}, "-1": {}}}}}
    heard: list[Mapping[int, int]] = []
    client = Statistics("client", "events", heard.append)
    client.config({})["stats_cb"](json.dumps(told))
    assert heard == [{0: 7, -1: -1}]
