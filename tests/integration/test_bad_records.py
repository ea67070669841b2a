"""What is no event goes to the dead letters as it came and stops nothing; too much of it stops the worker."""

import hashlib
from dataclasses import replace

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import (  # its types hide them where they are public
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from jsonschema import Draft202012Validator

from stream.contracts import dead_letter_schema
from stream.pipeline.rejected import RejectReason
from stream.records import Headers
from tests.integration.records import Letter, Record
from tests.integration.stage import HOUR_MS, Stage, now_ms
from tests.integration.usecase import Visit, some_visits

HEADERS: Headers = [("traceparent", b"00-1-2-01"), ("twice", b"\x00\xff"), ("twice", b""), ("null", None)]


def changed(**fields: object) -> bytes:
    """A good event but for these fields; None leaves one out."""
    good = {"visit": "bad", "at": now_ms(), "person": "a", "door": "x", "weight": 1.0}
    return msgspec.json.encode({name: value for name, value in (good | fields).items() if value is not None})


def one_of_each() -> dict[RejectReason, bytes | None]:
    deep = b'{"unknown":' + b"[" * 300 + b"]" * 300 + b"}"
    return {
        RejectReason.TOMBSTONE: None,
        RejectReason.TOO_LARGE: changed(unknown="x" * 1_050_000),
        RejectReason.TOO_DEEP: deep,
        RejectReason.NOT_UTF8: b'{"visit": "\xff"}',
        RejectReason.NOT_JSON: b'{"visit": "cut sho',
        RejectReason.WRONG_TYPE: changed(weight="1.0"),
        RejectReason.MISSING_FIELD: changed(weight=None),
        RejectReason.OUT_OF_RANGE: changed(weight=1_000.5),
        RejectReason.BAD_TIME: changed(at=1e18),
        RejectReason.FUTURE_TIME: changed(at=now_ms() + 2 * HOUR_MS),
        RejectReason.BAD_ID: changed(visit=""),
        RejectReason.BAD_KEY: changed(person="p" * 513),
    }


NOT_OF_A_RECORD = {RejectReason.BAD_LABEL, RejectReason.PREDICTION_TOO_LARGE}
LITTLE, ROOMY = 4_096, 2_000_000


@pytest.mark.parametrize("mode", ["at_least_once", "exactly_once"])
def test_output_topics_may_take_less_than_the_events_topic(stage: Stage, mode: str) -> None:
    take(stage, LITTLE, "predictions", "deadletters")
    worker = stage.score(f"delivery.mode={mode}", "delivery.worker=a", models=False)
    bad = [Record(b"k", b"?" * 50_000, partition=0) for _ in range(20)]
    positions = stage.send(some_visits(300, now_ms() - HOUR_MS))
    stage.sender.send(stage.topics["events"], bad)
    stage.outputs.await_predictions(positions)
    letters = stage.outputs.await_letters(len(bad))
    assert all(len(letter.value or b"") < LITTLE for letter in letters)
    assert all(letter.header("cut").endswith("bytes=50000") for letter in letters)
    assert worker.terminate() == 0


def take(stage: Stage, bytes_max: int, *topics: str) -> None:
    """Have these topics take records of so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET)
    kind = ConfigResource.Type.TOPIC
    wanted = [ConfigResource(kind, stage.topics[topic], incremental_configs=[entry]) for topic in topics]
    with AdminClient({"bootstrap.servers": stage.kafka}) as admin:
        for done in admin.incremental_alter_configs(wanted).values():
            done.result(timeout=30)


def test_every_kind_of_bad_record_becomes_a_dead_letter_byte_for_byte(stage: Stage) -> None:
    broken = one_of_each()
    assert set(broken) == set(RejectReason) - NOT_OF_A_RECORD, "a new reason needs its record here"
    take(stage, ROOMY, "deadletters")
    score = stage.score(f"kafka.properties.message.max.bytes={ROOMY}", models=False)
    events = stage.topics["events"]
    poison = [
        Record(b"key \xff" if at % 2 else None, value, HEADERS, partition=at % 3)
        for at, value in enumerate(broken.values())
    ]
    alone = stage.sender.send(events, poison)  # batches without a single event
    stage.outputs.await_letters(len(poison))
    good = [visit.record() for visit in some_visits(len(poison), now_ms())]
    mixed = [record for pair in zip(good, poison, strict=True) for record in pair]
    places = stage.sender.send(events, mixed)
    stage.outputs.await_predictions(places[::2])
    letters = {letter.of: letter for letter in stage.outputs.await_letters(2 * len(poison))}
    stage.await_lag_gone(score)
    stage.outputs.read_to_end()

    assert len(letters) == len(stage.outputs.letters) == 2 * len(poison)
    assert len(stage.outputs.predictions) == len(good)
    sent = zip([*alone, *places[1::2]], poison * 2, list(broken) * 2, strict=True)
    for position, record, reason in sent:
        assert_letter(letters[position], record, reason, stage)
    metrics = score.metrics()
    assert metrics.by("dead_letters_total", "reason") == {reason.value: 2 for reason in broken}
    assert metrics.total("events_total") == len(good)


def assert_letter(letter: Letter, record: Record, reason: RejectReason, stage: Stage) -> None:
    assert (letter.key, letter.value) == (record.key, record.value)
    assert letter.headers[: len(HEADERS)] == HEADERS
    ours = {name: (value or b"").decode() for name, value in letter.headers[len(HEADERS) :]}
    Draft202012Validator(dead_letter_schema()).validate(ours)
    assert ours["riverrun.reason"] == reason.value
    assert ours["riverrun.topic"] == stage.topics["events"]
    assert (int(ours["riverrun.partition"]), int(ours["riverrun.offset"])) == letter.of
    assert ours["riverrun.use_case"] == stage.name
    assert abs(int(ours["riverrun.timestamp"]) - now_ms()) < HOUR_MS


def test_a_dead_letter_too_large_for_its_topic_is_cut_and_says_so(stage: Stage) -> None:
    stage.score(models=False)
    value = changed(unknown="x" * 1_050_000)
    stage.sender.send(stage.topics["events"], [Record(b"a", value, HEADERS)])
    (letter,) = stage.outputs.await_letters(1)
    assert letter.header("cut") == f"sha256={hashlib.sha256(value).hexdigest()} bytes={len(value)}"
    assert letter.value is not None
    assert len(letter.value) > 900_000
    assert value.startswith(letter.value)
    assert letter.headers[: len(HEADERS)] == HEADERS


def test_too_many_bad_records_stop_the_worker_and_none_of_them_is_lost(stage: Stage) -> None:
    worker = stage.score("rejects.window=100", models=False)
    events = stage.topics["events"]
    start = now_ms()
    good = [replace(visit, person="a") for visit in some_visits(400, start)]
    first = stage.send(good[:200])
    stage.outputs.await_predictions(first)
    bad = [Record(b"a", b"rubbish %d" % at) for at in range(200)]
    rest = [record for pair in zip([v.record() for v in good[200:]], bad, strict=True) for record in pair]
    later = stage.sender.send(events, rest)

    assert worker.await_end() == 3
    said = worker.log.read_text()
    assert f"of the last records of {events} were rejected" in said
    assert f"at partition {later[0][0]} offset " in said
    assert "rejects.share_max" in said

    worker = stage.score("rejects.share_max=1", models=False)
    stage.outputs.await_predictions([*first, *later[::2]])
    stage.outputs.await_letters(len(bad))
    stage.await_lag_gone(worker)
    stage.outputs.read_to_end()
    assert not stage.outputs.doubled
    assert sorted(letter.of for letter in stage.outputs.letters) == sorted(later[1::2])


def test_a_bad_label_is_counted_and_the_others_are_materialized(stage: Stage) -> None:
    materialize = stage.materialize()
    known = Visit("v", now_ms(), "a", "x", 1.0, bad=True, observed_at=now_ms())
    wrong = replace(known, visit="w").label_record()
    assert wrong.value is not None
    broken = [b'{"event_id": "w"', wrong.value.replace(b'"label":true', b'"label":2')]
    records = [known.label_record(), *(Record(b"w", value) for value in broken)]
    places = stage.sender.send(stage.topics["labels"], records)
    stage.await_materialized(materialize, "labels", places)
    assert materialize.metrics().by("labels_total", "outcome") == {"appended": 1.0, "rejected": 2.0}
