"""A pass-through for latency: every record with key and headers from topic to topic, as soon as it comes.

With the properties of riverrun's own clients, its linger and its fetch settings among them, and without
callbacks and commits. It waits for one record and takes with it whatever else is there, which is the soonest
that a client of librdkafka can be; or, with WAIT_MS above 0, for up to `BATCH` records and so long.
"""

import signal
import sys
from types import FrameType

from confluent_kafka import Consumer, Producer, TopicPartition

from stream.transport.kafka.properties import KafkaConnection

AT_ONCE = 2_000
BATCH = 100
"""What riverrun takes at most while there is no lag."""
IDLE_S = 0.1
READY = "ready"


def main(bootstrap: str, source: str, sink: str, partitions: int, wait_ms: int) -> None:
    """Until SIGTERM. Says `READY` once every record that is sent from then on will be passed."""
    connection = KafkaConnection(bootstrap, {"statistics.interval.ms": "0"})
    consumer = Consumer({**connection.consumer(f"{source}.passthrough"), "enable.partition.eof": False})
    producer = Producer(connection.producer())
    places = [TopicPartition(source, p) for p in range(partitions)]
    for place in places:
        _, place.offset = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign(places)
    stopping: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, on_signal)
    print(READY, flush=True)
    produce = producer.produce
    while not stopping:
        if wait_ms:
            messages = consumer.consume(BATCH, wait_ms / 1000)
        else:
            messages = consumer.consume(1, IDLE_S)
            if messages:
                messages += consumer.consume(AT_ONCE, 0)
        for message in messages:
            if error := message.error():
                raise SystemExit(str(error))
            produce(sink, message.value(), message.key(), headers=message.headers())
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("not everything was delivered")
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
