"""Quix Streams doing the plain job.

ordinary: one `apply` per event, as its tutorials have it: an MGET of two keys and a prediction of one row.
windows: tumbling count windows of 1,000 events, one window open per partition, scored as it closes.
best: a `BatchingSink`, flushed by the framework before each checkpoint: batches without a state store.

What limits it: whatever the idiom, each record is polled by itself, made into a `Row` and run through the
composed functions in a context copy of its own. Count windows also write every event into RocksDB and into a
changelog topic, and one that never fills is never scored: a partition's last 999 events may wait for good.
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, Message
from quixstreams import Application
from quixstreams.dataframe.windows import Collect
from quixstreams.models import Deserializer, Serializer, Topic
from quixstreams.sinks import BatchingSink, SinkBatch
from redis import Redis

from benchmarks.peers.plain import Job, decode_event, encode_scores, features_of, keys_of

AT_ONCE = 1_000
IN_FLIGHT = 100_000


class Text(Deserializer):
    """The event's JSON, not yet parsed: count windows keep values as JSON, in which bytes cannot be."""

    def __call__(self, value: bytes, ctx: object) -> str:
        return value.decode()


class OneKey(Deserializer):
    """Windows are kept by key and partition; with one key for all they are those of the partition."""

    def __call__(self, value: bytes, ctx: object) -> bytes:
        return b"all"


class Payload(Serializer):
    """Of (key, payload), the payload as it is."""

    def __call__(self, value: tuple[bytes, bytes], ctx: object) -> bytes:
        return value[1]


class Scorer:
    """Records in, (key, payload) out."""

    def __init__(self, job: Job) -> None:
        self._redis = Redis.from_url(job.redis, single_connection_client=True)
        self._predict = job.predictor()

    def one(self, event: dict[str, Any]) -> dict[str, Any]:
        """With the JSON of the framework itself."""
        keys = [f"customer:{event['customer_id']}", f"terminal:{event['terminal_id']}"]
        scores = self._predict(features_of(self._redis.mget(keys)))
        return {"event_id": event["transaction_id"], "score": float(scores[0])}

    def many(self, records: Iterable[str | bytes]) -> list[tuple[bytes, bytes]]:
        """Records are keyed by their customer, as they were before windows took them."""
        events = [decode_event(record) for record in records]
        scores = self._predict(features_of(self._redis.mget(keys_of(events))))
        keys = [event.customer_id.encode() for event in events]
        return list(zip(keys, encode_scores(events, scores), strict=True))


class ScoringSink(BatchingSink):
    """Scores what came since the last checkpoint; offsets are committed when all of it is delivered."""

    def __init__(self, scorer: Scorer, application: Application, topic: str) -> None:
        super().__init__()
        self._scorer = scorer
        self._producer = application.get_producer()
        self._topic = topic
        self._failed: KafkaError | None = None

    def write(self, batch: SinkBatch) -> None:
        for chunk in batch.iter_chunks(AT_ONCE):
            for key, payload in self._scorer.many(item.value for item in chunk):
                self._producer.produce(self._topic, payload, key, on_delivery=self._delivered)

    def flush(self) -> None:
        super().flush()
        self._producer.flush()
        if self._failed is not None:
            raise RuntimeError(str(self._failed))

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self._failed = error or self._failed


def ordinary(application: Application, job: Job, scorer: Scorer) -> None:
    """A dict in, dict out."""
    frame = application.dataframe(application.topic(job.source, value_deserializer="json"))
    frame.apply(scorer.one).to_topic(application.topic(job.sink, value_serializer="json"))


def windows(application: Application, job: Job, scorer: Scorer) -> None:
    """A window's value is a list of texts, which becomes as many records again."""
    source = application.topic(job.source, key_deserializer=OneKey(), value_deserializer=Text())
    sink: Topic = application.topic(job.sink, value_serializer=Payload())
    closed = application.dataframe(source).tumbling_count_window(AT_ONCE).agg(events=Collect()).final()
    closed.apply(lambda window: scorer.many(window["events"]), expand=True).to_topic(
        sink, key=lambda pair: pair[0]
    )


def best(application: Application, job: Job, scorer: Scorer) -> None:
    """Values stay bytes until a whole batch is decoded."""
    source = application.topic(job.source, value_deserializer="bytes")
    application.dataframe(source).sink(ScoringSink(scorer, application, job.sink))


IDIOMS = {"ordinary": ordinary, "windows": windows, "best": best}


def main() -> None:
    job = Job.parse(tuple(IDIOMS))
    application = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        auto_create_topics=job.idiom == "windows",  # for their changelog
        state_dir=job.state,
        loglevel="WARNING",
        # A checkpoint waits for all deliveries: a batch for the sink, for the others every five seconds.
        commit_every=4 * AT_ONCE if job.idiom == "best" else 0,
        commit_interval=1.0 if job.idiom == "best" else 5.0,
        producer_extra_config={"linger.ms": 5, "queue.buffering.max.messages": IN_FLIGHT},
    )
    IDIOMS[job.idiom](application, job, Scorer(job))
    application.run()


if __name__ == "__main__":
    main()
