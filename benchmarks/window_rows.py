"""The Handbook's rows (examples/fraud) in any number, written straight into Redis, and what scoring costs.

Every row of every kind holds ten entries, spread over the 37 days that the windows reach back. A materialize
worker has taken the topic over before anything is measured, and goes on beside what is measured.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from redis import Redis

from benchmarks import cards
from benchmarks.processes import PATIENCE_S, Riverrun, riverrun
from benchmarks.score_runs import Figures, Job, Run, create_topics, score, summary
from benchmarks.servers import PARTITIONS, Cores, Servers
from benchmarks.shapes import send
from benchmarks.workers import USECASE
from features.codec import encode_entries, entry_bytes
from features.definition.model import Definition, RowKind
from features.event import pack_positions
from features.keys import Namespace
from features.progress import decode_progress
from stream.demo.messages import iso8601
from stream.demo.plan import DAY_MS
from tools.redis_server import RedisServer

ENTRIES, REACH_MS = 10, 37 * DAY_MS
START_MS = 1_735_689_600_000
"""Of the events; rows hold what was before."""
ROWS_AT_ONCE = 5_000
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Rows:
    """So many rows, one half customers', the other terminals', which have rows of labels beside."""

    definition: Definition
    entities: int

    def write(self, client: Redis) -> float:
        """Returns how many bytes a row takes, its key included."""
        namespace, draw = Namespace.of(self.definition), np.random.default_rng(0)
        before, written = int(client.info("memory")["used_memory"]), 0
        half = self.entities // 2
        for schema in self.definition.rows:
            size = ENTRIES * entry_bytes(schema)
            prefix = namespace.row_prefix(schema.entity, schema.kind)
            for first in range(0, half, ROWS_AT_ONCE):
                keys = [prefix + b"%d" % key for key in range(first, min(first + ROWS_AT_ONCE, half))]
                data = self._entries(schema.kind, len(keys) * ENTRIES, len(schema.columns), draw)
                rows = [data[at : at + size] for at in range(0, len(data), size)]
                client.mset(dict(zip(keys, rows, strict=True)))
                written += len(keys)
        return (int(client.info("memory")["used_memory"]) - before) / max(written, 1)

    def events(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of events of any two of the entities."""
        draw, half = np.random.default_rng(1), self.entities // 2
        customers, terminals = (draw.integers(0, half, count).tolist() for _ in range(2))
        amounts = draw.uniform(5, 100, count).tolist()
        for at, (customer, terminal, amount) in enumerate(zip(customers, terminals, amounts, strict=True)):
            yield (
                b"%d" % customer,
                b'{"transaction_id":"%d","event_time":"%b","customer_id":"%d","terminal_id":"%d","amount":%.2f}'
                % (at, iso8601(START_MS + at).encode(), customer, terminal, amount),
            )

    def _entries(self, kind: RowKind, count: int, columns: int, draw: np.random.Generator) -> bytes:
        times = START_MS - 1 - draw.integers(0, REACH_MS, count)
        ids = draw.integers(1, 2**63, count).astype(np.uint64)
        marks = pack_positions(np.array([-1]), np.arange(count))
        values = draw.uniform(5, 100, (count, columns))
        if kind is RowKind.LABELS:
            marks = (times + 7 * DAY_MS).view(np.uint64)
            values = (values > 95).astype(np.float64)
        return encode_entries(times, ids, marks, values)


def measure(
    running: Servers, cores: Cores, sizes: Sequence[int], events: int, rounds: int
) -> dict[str, Figures]:
    """By number of rows. All sizes are there at once, so that they can take turns."""
    trained = cards.prepare(running.directory, 1, ("first",))
    runs: dict[str, list[Run]] = {}
    jobs: dict[str, tuple[Job, float]] = {}
    with ExitStack() as stack:
        for size in sizes:
            rows = Rows(trained.definition, size)
            store, row_bytes = stack.enter_context(_redis(running, rows))
            topic = f"windows-{size}"
            create_topics(running, topic, PARTITIONS)
            send(running.kafka.bootstrap, topic, rows.events(events))
            stack.enter_context(_materialized(running, cores, rows, store, topic, events))
            jobs[str(size)] = Job(USECASE, trained.models, store.url, topic, PARTITIONS, events), row_bytes
        for number in range(rounds):
            for name, (job, _) in jobs.items():
                runs.setdefault(name, []).append(score(running, cores, job, str(number)))
    return {name: summary(runs[name], row_bytes) for name, (_, row_bytes) in jobs.items()}


@contextmanager
def _redis(running: Servers, rows: Rows) -> Iterator[tuple[RedisServer, float]]:
    store = RedisServer(running.directory / f"redis-windows-{rows.entities}")
    store.start()
    try:
        with Redis.from_url(store.url) as client:
            row_bytes = rows.write(client)
        yield store, row_bytes
    finally:
        store.stop()


@contextmanager
def _materialized(
    running: Servers, cores: Cores, rows: Rows, store: RedisServer, topic: str, events: int
) -> Iterator[Riverrun]:
    """A materialize worker that has put all of a topic into the rows, and says so for as long as it runs."""
    settings = {
        "kafka.topics.events": topic,
        "kafka.topics.labels": f"{topic}.labels",
        "kafka.materialize_group": topic,
        "materialize.complete_since": str(START_MS - REACH_MS - DAY_MS),
    }
    flags = {"--usecase": str(USECASE), "--kafka": running.kafka.bootstrap, "--redis": store.url}
    with (
        Redis.from_url(store.url) as client,
        riverrun(running, "materialize", cores.servers, flags, settings) as worker,
    ):
        deadline_s = time.monotonic() + PATIENCE_S
        while _passed(client, rows.definition, topic) < events:
            worker.check()
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not materialized within {PATIENCE_S:g} s: {topic}")
            time.sleep(LOOK_EVERY_S)
        yield worker


def _passed(client: Redis, definition: Definition, topic: str) -> int:
    """Records of a topic that are in the rows."""
    namespace = Namespace.of(definition)
    keys = [namespace.epoch(), *(namespace.progress(topic, p) for p in range(PARTITIONS))]
    epoch, *values = [value if isinstance(value, bytes) else None for value in client.mget(keys)]
    if epoch is None:
        return 0
    found = [decode_progress(value, epoch.decode()) for value in values]
    return sum(known.offset for known in found if known is not None)
