"""The least that a consumer and a producer can do: every record with key and headers from topic to topic.

A process of its own, so that it can have a core of its own. With `--headers` records also get those that
predictions have. Prints one JSON object.
"""

import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from stream.pipeline.encode import prediction_headers
from stream.records import Headers
from stream.transport.kafka.properties import KafkaConnection

AT_ONCE = 2_000
WARM_SHARE = 0.1


def main(bootstrap: str, source: str, sink: str, partitions: int, events: int, more: Headers) -> None:
    """With the properties of riverrun's own clients, and no callbacks. more: headers that are added."""
    connection = KafkaConnection(bootstrap, {"statistics.interval.ms": "0"})
    consumer = Consumer({**connection.consumer(f"{source}.passthrough"), "enable.partition.eof": False})
    producer = Producer({**connection.producer(), "queue.buffering.max.messages": events + AT_ONCE})
    consumer.assign([TopicPartition(source, p, OFFSET_BEGINNING) for p in range(partitions)])
    seen, warm = 0, int(events * WARM_SHARE)
    warmed: tuple[int, float, float] | None = None
    produce = producer.produce
    while seen < events:
        for message in consumer.consume(AT_ONCE, 1.0):
            if error := message.error():
                raise SystemExit(str(error))
            headers = message.headers()
            if more:
                headers = [*(headers or []), *more]
            produce(sink, message.value(), message.key(), headers=headers)
            seen += 1
        producer.poll(0)
        if warmed is None and seen >= warm:
            warmed = (seen, time.perf_counter(), time.process_time())
    if producer.flush(60):
        raise SystemExit("not everything was delivered")
    assert warmed is not None
    print(
        json.dumps(
            {
                "events": seen - warmed[0],
                "seconds": time.perf_counter() - warmed[1],
                "cpu_seconds": time.process_time() - warmed[2],
            }
        )
    )
    consumer.close()


if __name__ == "__main__":
    added = prediction_headers([]) if sys.argv[6:] == ["--headers"] else []
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), added)
