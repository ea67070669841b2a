"""Training sets and explanations out of a real Kafka and a real Redis."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers

from features.arrays import Floats
from features.codec import Entries
from features.definition.model import Definition
from features.event import EventBatch, hash_ids, pack_positions
from features.matrix import FeaturePlan
from features.rows import history_rows, index_keys
from features.stores.redis import RedisStore
from stream.config import Settings, load_settings, load_usecase, redis_for_writes
from stream.engine.entries import event_chunks, label_chunks
from stream.errors import Fatal
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import LabelDecoder
from stream.transport.kafka import KafkaConnection
from stream.transport.kafka.ranges import TopicRanges
from stream.workers.build import run_topic
from stream.workers.explain import explain_as_served
from tests.features.visit_tables import COUNTS, TIME, text_of
from tests.integration.records import Record, Sender

PARTITIONS = 3
BASE = 1_700_000_000_000
DRAW = np.random.default_rng(11)


@dataclass(frozen=True, slots=True)
class Sent:
    """What stands in the topics, and the settings to find it by."""

    settings: Settings
    definition: Definition
    events: EventBatch
    """With their real positions, in the order they were sent."""
    labels: dict[str, list[dict[str, Any]]]
    """By event id, in the order they were sent."""


def event(number: int) -> dict[str, Any]:
    """Events come up to three seconds out of order, over a minute and a half."""
    return {
        "id": f"e{number}",
        "at": BASE + number * 250 - int(DRAW.integers(0, 3_000)),
        "who": f"w{DRAW.integers(0, 6)}",
        "place": f"p{DRAW.integers(0, 3)}",
        "kind": ["paid", "seen"][int(DRAW.integers(0, 2))],
        "amount": float(DRAW.integers(0, 30)) / 10,
    }


def label(of: dict[str, Any], value: bool, late_ms: int) -> dict[str, Any]:
    return {
        "event_id": of["id"],
        "label": value,
        "observed_at": of["at"] + late_ms,
        "event_time": of["at"],
        "entities": {"who": of["who"], "place": of["place"]},
    }


@pytest.fixture
def sent(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Sent:
    usecase = tmp_path / "visits.yaml"
    usecase.write_text(
        text_of(TIME + COUNTS).replace("name: visits", f"name: {fresh_name('visits').replace('-', '_')}")
    )
    topics = {kind: fresh_name(kind) for kind in ("events", "labels")}
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in topics.values()]).values():
        made.result(timeout=30)
    flags = {"--usecase": str(usecase), "--kafka": kafka, "--redis": redis_url}
    flags |= {f"kafka.topics.{kind}": name for kind, name in topics.items()}
    settings = load_settings(None, {}, flags)
    definition = load_usecase(settings)
    events = [event(number) for number in range(360)]
    labels = [label(one, bool(DRAW.integers(0, 2)), int(DRAW.integers(1_000, 7_000))) for one in events[:300]]
    labels += [label(events[at], True, 8_000) for at in range(0, 100, 7)]  # corrections
    labels += [{"event_id": "e310", "label": True, "observed_at": BASE + 90_000}]
    with closing(Sender(kafka)) as sender:
        places = sender.send(topics["events"], [record(one, one["who"]) for one in events])
        sender.send(topics["events"], [Record(b"w0", b"no event at all")])
        sender.send(topics["labels"], [record(one, one["event_id"]) for one in labels])
    by_id: dict[str, list[dict[str, Any]]] = {}
    for one in labels:
        by_id.setdefault(one["event_id"], []).append(one)
    return Sent(settings, definition, batch(definition, events, places), by_id)


def record(value: dict[str, Any], key: str) -> Record:
    return Record(key.encode(), msgspec.json.encode(value))


def batch(definition: Definition, events: list[dict[str, Any]], places: list[tuple[int, int]]) -> EventBatch:
    ids = [one["id"] for one in events]
    columns = {
        field.name: np.array([one[field.name] for one in events], object if field.type == "string" else float)
        for field in definition.fields
    }
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([one["at"] for one in events]),
        positions=pack_positions(np.array([p for p, _ in places]), np.array([o for _, o in places])),
        columns=columns,
        keys={name: [one[name] for one in events] for name in ("who", "place")},
    )


def expected(sent: Sent) -> Floats:
    """All events and labels at once, in memory."""
    events, labels = sent.events, {}
    for entity in ("who", "place"):
        index = index_keys(events.keys[entity])
        named = [one for of_id in sent.labels.values() for one in of_id if "entities" in one]
        labels[entity] = Entries(
            row=np.array([index.keys.index(one["entities"][entity]) for one in named]),
            times=np.array([one["event_time"] for one in named]),
            ids=hash_ids([one["event_id"] for one in named]),
            marks=np.array([one["observed_at"] for one in named]).view(np.uint64),
            values=np.array([[float(one["label"])] for one in named]),
        )
    return FeaturePlan(sent.definition).matrix(events, history_rows(sent.definition, events, labels))


@pytest.mark.parametrize("slice_rows", [70, 100_000])
def test_topics_become_the_training_set_that_serving_would_have_seen(
    sent: Sent, slice_rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set.parquet"
    start, end = BASE + 20_000, BASE + 80_000
    stamps = [np.datetime64(at, "ms").astype(str) for at in (start, end)]
    run_topic(sent.settings, stamps[0], stamps[1], out, (), slice_rows)
    assert "rejected: 1 rows" in capsys.readouterr().out
    table, events = pq.read_table(out), sent.events
    paid = events.columns["kind"] == "paid"
    wanted = np.flatnonzero((events.times >= start) & (events.times < end) & paid)
    wanted = wanted[np.lexsort((events.positions[wanted], events.times[wanted]))]
    assert table.column("event.id").to_pylist() == [events.ids[at] for at in wanted.tolist()]
    matrix = expected(sent)[wanted]
    for at, name in enumerate(sent.definition.feature_names):
        np.testing.assert_array_equal(table.column(name).to_numpy(), matrix[:, at], err_msg=name)
    latest = [max(sent.labels.get(events.ids[at], [{}]), key=observed_at) for at in wanted.tolist()]
    assert table.column("event.label").to_pylist() == [float(one["label"]) if one else None for one in latest]


def observed_at(one: dict[str, Any]) -> int:
    return int(one.get("observed_at", 0))


@pytest.mark.parametrize("by_place", [True, False])
def test_an_event_is_explained_out_of_kafka_and_redis_as_it_is_served(sent: Sent, by_place: bool) -> None:
    fill(sent)
    events, matrix, at = sent.events, expected(sent), 250
    position = int(events.positions[at])
    place = ((position >> 48) - 1, position & (1 << 48) - 1) if by_place else None
    found = explain_as_served(sent.settings, sent.definition, events.ids[at], place, 0)
    np.testing.assert_array_equal([feature.value for feature in found.features], matrix[at])


def fill(sent: Sent) -> None:
    """Every entry into the online store, as materializers append them."""
    connection = KafkaConnection(sent.settings.kafka.bootstrap_servers)
    topics = sent.settings.kafka.topics
    assert topics.events is not None
    assert topics.labels is not None
    with closing(RedisStore(redis_for_writes(sent.settings))) as store:
        events = Decoder(sent.definition, future_limit_ms=10**9)
        with closing(TopicRanges(connection, topics.events)) as ranges:
            for records in ranges.read(*ranges.whole()):
                store.append(event_chunks(sent.definition, events.decode(records).events), 60_000)
        labels = LabelDecoder(sent.definition, future_limit_ms=10**9)
        with closing(TopicRanges(connection, topics.labels)) as ranges:
            for records in ranges.read(*ranges.whole()):
                store.append(label_chunks(sent.definition, labels.decode(records)), 60_000)


def test_a_range_holds_what_was_asked_for_and_a_topic_that_is_not_there_is_said_to_be_missing(
    sent: Sent,
) -> None:
    connection = KafkaConnection(sent.settings.kafka.bootstrap_servers)
    assert sent.settings.kafka.topics.events is not None
    with closing(TopicRanges(connection, sent.settings.kafka.topics.events)) as ranges:
        starts, ends = ranges.whole()
        read = [
            list(zip(r.partitions.tolist(), r.offsets.tolist(), strict=True))
            for r in ranges.read(starts, ends)
        ]
        assert sum(map(len, read)) == sum(ends.values()) - sum(starts.values()) == 361
        (one,) = [r.offsets.tolist() for r in ranges.read({1: 3}, {1: 4})]
        assert one == [3]
        assert ranges.since(2**41)[0] == ends
    with (
        closing(TopicRanges(connection, "nobody-made-this")) as ranges,
        pytest.raises(Fatal, match="nobody-made-this"),
    ):
        ranges.whole()
