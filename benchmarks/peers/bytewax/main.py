"""Bytewax doing the plain job.

ordinary: one `map` per event, with an MGET of two keys and a prediction of one row each.
collect: `collect` of 1,000 events per partition, scored list by list.
best: `flat_map_batch`, which is handed what the source polled, 1,000 events of one partition at most.

What limits it: each record becomes a frozen dataclass with all its fields, and another one on its way out;
the sink flushes its producer after each batch and waits. A batch is what one poll of one partition gives.

It has no consumer groups: each process is told which share of the partitions is its, and offsets are not
committed to Kafka but kept in its own recovery store, snapshot by snapshot. That store is on here, as without
it a restart would begin anew.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow, Stream
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from redis import Redis

from benchmarks.peers.plain import Job, decode_event, encode_scores, features_of, keys_of

AT_ONCE = 1_000
WITHIN = timedelta(milliseconds=100)
SNAPSHOTS = timedelta(seconds=5)

Received: TypeAlias = KafkaSourceMessage[bytes, bytes]
Sent: TypeAlias = KafkaSinkMessage[bytes, bytes]


class Scorer:
    """Messages in, messages out."""

    def __init__(self, job: Job) -> None:
        self._redis = Redis.from_url(job.redis, single_connection_client=True)
        self._predict = job.predictor()

    def one(self, message: Received) -> Sent:
        return self.many([message])[0]

    def many(self, messages: Sequence[Received]) -> list[Sent]:
        events = [decode_event(message.value) for message in messages]
        scores = self._predict(features_of(self._redis.mget(keys_of(events))))
        payloads = encode_scores(events, scores)
        return [
            KafkaSinkMessage(message.key, payload)
            for message, payload in zip(messages, payloads, strict=True)
        ]


def ordinary(received: "Stream[Received]", scorer: Scorer) -> "Stream[Sent]":
    return op.map("score", received, scorer.one)


def collect(received: "Stream[Received]", scorer: Scorer) -> "Stream[Sent]":
    by_partition = op.key_on("by_partition", received, lambda message: str(message.partition))
    collected = op.collect("collect", by_partition, WITHIN, AT_ONCE)
    return op.flat_map("score", collected, lambda pair: scorer.many(pair[1]))


def best(received: "Stream[Received]", scorer: Scorer) -> "Stream[Sent]":
    def score(batch: list[Any]) -> Iterable[Sent]:
        return scorer.many(batch) if batch else ()

    return op.flat_map_batch("score", received, score)


IDIOMS = {"ordinary": ordinary, "collect": collect, "best": best}


def main() -> None:
    job = Job.parse(tuple(IDIOMS))
    flow = Dataflow("plain")
    brokers = [job.bootstrap]
    received = kafka.input("events", flow, brokers=brokers, topics=[job.source], batch_size=AT_ONCE)
    scored = IDIOMS[job.idiom](received.oks, Scorer(job))
    kafka.output("scores", scored, brokers=brokers, topic=job.sink)
    init_db_dir(job.state, 1)
    cli_main(flow, epoch_interval=SNAPSHOTS, recovery_config=RecoveryConfig(job.state))


if __name__ == "__main__":
    main()
