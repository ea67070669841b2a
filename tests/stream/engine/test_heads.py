"""How complete rows are, while some of them still lie in the layout before."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from features.codec import decode_rows, entry_bytes
from features.keys import Namespace
from features.progress import ALWAYS, Progress, encode_progress
from stream.engine.heads import request_heads
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import START_MS

NEW = Bench().namespace
OLD = NEW.previous()
TOPICS = [("a", 2), ("b", 1)]


def progress(offset: int, epoch: str) -> Progress:
    return Progress(
        epoch=epoch, offset=offset, log_end=9, event_time=0, complete_since=ALWAYS, written_at=START_MS
    )


def heads(values: dict[bytes, bytes], previous: Namespace | None) -> tuple[list[list[int | None]], bool]:
    """The offsets that are known, and whether there is a predecessor."""
    request = request_heads(NEW, TOPICS, previous)
    found = request.decode([values.get(key) for key in request.keys])
    return [
        [None if one is None else one.offset for one in topic] for topic in found.progress
    ], found.has_predecessor


def held(names: Namespace, epoch: str, **offsets: int) -> dict[bytes, bytes]:
    """offsets: by topic and partition, such as `a0`."""
    said = {
        names.progress(at[0], int(at[1:])): encode_progress(progress(to, epoch)) for at, to in offsets.items()
    }
    return {names.epoch(): epoch.encode(), **said}


@pytest.mark.parametrize("previous", [None, OLD])
def test_without_a_predecessor_todays_progress_alone_counts(previous: Namespace | None) -> None:
    values = {**held(OLD, "e1", a0=1, a1=2, b0=3), **held(NEW, "e2", a0=5, b0=6)}
    assert heads(values, previous) == ([[5, None], [6]], False)


def test_a_partition_that_was_not_taken_over_yet_has_the_progress_of_before() -> None:
    values = {**held(OLD, "e1", a0=1, a1=2, b0=3), **held(NEW, "e2", a0=5), NEW.predecessor(): b"1"}
    assert heads(values, OLD) == ([[5, 2], [3]], True)
    assert heads(values, None) == ([[5, None], [None]], True), "who did not ask is told that there is more"


def test_progress_of_another_epoch_of_its_own_layout_counts_as_none() -> None:
    values = {**held(OLD, "e1", a0=1), **held(NEW, "e2", a1=5), NEW.predecessor(): b"1"}
    values |= {OLD.epoch(): b"another"}
    assert heads(values, OLD) == ([[None, 5], [None]], True)
    assert heads({NEW.predecessor(): b"1"}, OLD) == ([[None, None], [None]], True)


def test_without_partitions_nothing_is_asked() -> None:
    request = request_heads(NEW, [("a", 0), ("b", 0)], OLD)
    assert list(request.keys) == []
    assert request.decode([]).progress == [[], []]


# ------------------------------------------------------------------------------------------------- scoring


def to_layout_1(made: Bench) -> None:
    """Everything in the store becomes what a materializer of the previous layout would have left."""
    old, values = made.namespace.previous(), made.store.store._values
    for schema in made.definition.rows:
        prefix = made.namespace.row_prefix(schema.entity, schema.kind)
        for name in [name for name in values if name.startswith(prefix)]:
            entries = decode_rows(schema, [bytes(values[name])]).entries
            words = np.frombuffer(bytes(values.pop(name)), np.uint64).reshape(len(entries), -1)
            assert words.shape[1] * 8 == entry_bytes(schema)
            key = name[len(prefix) :].decode()
            values[old.row(schema.entity, schema.kind, key)] = bytearray(words[:, 1:].tobytes())
    for name in [name for name in values if name.startswith(made.namespace.prefix)]:
        values[old.prefix + name[len(made.namespace.prefix) :]] = values.pop(name)


def last(made: Bench) -> tuple[float, set[str]]:
    """The count of the person's visits that the last prediction was made with, and what it lacked."""
    one = made.predictions()[-1]
    return one["features"]["person_count_1000ms"], set(one["degradations"]) - {"no_model", "key_missing"}


def test_rows_of_both_layouts_are_one_while_there_is_a_predecessor() -> None:
    with bench() as made:
        made.produce(*((START_MS + n, "ann", None, 1.0) for n in range(4)))
        made.materializer().settle()
        before = made.scorer()
        before.settle()
        before.source.close()
        to_layout_1(made)
        values, old = made.store.store._values, made.namespace.previous()
        scoring = made.scorer()
        made.produce((START_MS + 10, "ann", None, 1.0))
        scoring.settle()
        assert "rebuilding" in last(made)[1], "nobody took over yet"

        # A materializer takes over where the other one stood.
        known = msgspec.json.decode(values[old.progress(EVENTS, 0)])
        values[made.namespace.epoch()] = bytearray(b"fresh")
        taken_over = msgspec.json.encode(known | {"epoch": "fresh"})
        values[made.namespace.progress(EVENTS, 0)] = bytearray(taken_over)
        values[made.namespace.predecessor()] = bytearray(b"1")
        made.produce((START_MS + 11, "ann", None, 1.0))
        scoring.settle()
        assert last(made) == (6.0, set()), "four from before, and two that only the overlay holds"

        del values[made.namespace.predecessor()]
        for name in [name for name in values if name.startswith(old.prefix)]:
            del values[name]
        made.produce((START_MS + 12, "ann", None, 1.0))
        scoring.settle()
        assert last(made) == (3.0, set()), "when it is gone, nothing but today's rows counts"


def test_without_a_predecessor_the_layout_before_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with bench() as made:
        made.materializer().settle()
        asked: list[bytes] = []
        read = made.store.store.read

        def noted(keys: Sequence[bytes]) -> list[bytes | None]:
            asked.extend(keys)
            return read(keys)

        monkeypatch.setattr(made.store.store, "read", noted)
        scoring = made.scorer()
        for n in range(3):
            before = len(asked)
            made.produce((START_MS + n, "ann", "front", 1.0))
            scoring.settle()
            old = [key for key in asked[before:] if key.startswith(made.namespace.previous().prefix)]
            assert bool(old) == (n == 0)
