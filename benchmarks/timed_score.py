"""`riverrun score` with a clock at two places: where a poll returns, and where its outputs are produced.

Run as `python -P benchmarks/timed_score.py FILE score ...`, so that the code that is measured comes from
where `riverrun` itself would take it. When the worker ends, FILE holds four int64 a batch: when the poll
returned and when its outputs were handed to the producer, in ns of the monotonic clock, how many outputs
there were, and the CPU time, ns, that the worker's thread took for it. The readings cost a microsecond.
"""

import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from models.threads import use_one_thread
from stream.records import Headers, RecordBatch
from stream.transport.endpoints import OnAck

use_one_thread()  # before anything imports LightGBM

from stream import cli  # noqa: E402
from stream.transport.kafka import KafkaSink, KafkaSource  # noqa: E402
from stream.workers import score  # noqa: E402

DEADLETTERS = ".deadletters"


class _Clock:
    """One thread polls and produces."""

    def __init__(self) -> None:
        self.returned_ns = self.cpu_ns = 0
        self.times = array("q")


CLOCK = _Clock()


class TimedSource(KafkaSource):
    def poll(self, events_max: int, wait_ms: int) -> RecordBatch:
        records = super().poll(events_max, wait_ms)
        CLOCK.returned_ns, CLOCK.cpu_ns = time.monotonic_ns(), time.thread_time_ns()
        return records


class TimedSink(KafkaSink):
    def produce_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
        on_ack: OnAck,
    ) -> None:
        super().produce_batch(topic, keys, values, headers, on_ack)
        if not topic.endswith(DEADLETTERS):
            cpu_ns = time.thread_time_ns() - CLOCK.cpu_ns
            CLOCK.times.extend((CLOCK.returned_ns, time.monotonic_ns(), len(values), cpu_ns))


def main() -> None:
    """What `riverrun` does, and then the file."""
    file = Path(sys.argv.pop(1))
    vars(score).update(KafkaSource=TimedSource, KafkaSink=TimedSink)
    try:
        cli.main()
    finally:
        file.write_bytes(CLOCK.times.tobytes())


if __name__ == "__main__":
    main()
