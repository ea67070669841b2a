"""Lookups on the score path: read with each batch, stamped where they lack, and independent of rows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition import parse_definition
from features.lookup.codec import encode_lookups, lookup_prefix
from features.matrix import FeaturePlan
from features.stores.memory import MemoryStore
from stream.engine.batch import BatchPolicy
from stream.engine.serving import Loaded
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.workers import START_MS
from tests.stream.visits import TEXT, trained

LOOKUP = "  - lookup: {entity: person, fields: [limit, age], max_age: 10m}\n"
WINDOWS = "".join(line for line in TEXT.splitlines(keepends=True) if line.startswith("  - window"))
OUTPUT = "output: {features: all}\n"
RULES = TEXT.replace("weight > 5", "weight > person_limit")
BOTH = parse_definition(RULES.replace("rules:", f"{LOOKUP}rules:") + OUTPUT, "visits.yaml")
ALONE = parse_definition(RULES.replace(WINDOWS, LOOKUP) + OUTPUT, "visits.yaml")
"""Without a row."""
WIDER = parse_definition(RULES.replace(WINDOWS, LOOKUP.replace("age]", "age, rank]")) + OUTPUT, "visits.yaml")
FIELDS = ALONE.lookups["person"]


def write(made: Bench, person: str, limit: float, age: float = 30.0, written_at: int = START_MS) -> None:
    values = encode_lookups(FIELDS, np.array([written_at]), np.array([[limit, age]]))
    put(made, person, values[0])


def put(made: Bench, person: str, value: bytes) -> None:
    key = lookup_prefix("visits", "person") + person.encode()
    (there,) = made.store.store.read([key])
    assert made.store.store.replace(key, there or b"", value, None)


def degradations(prediction: dict[str, Any]) -> list[str]:
    """But for the model that no test here has."""
    return [name for name in prediction["degradations"] if name != "no_model"]


def test_lookups_alone_need_no_materializer_and_are_always_fresh() -> None:
    with bench(ALONE) as made:
        write(made, "ann", 2.0)
        made.produce((START_MS, "ann", None, 3.0), (START_MS, "ann", None, 1.0))
        made.scorer().settle()
        dear, cheap = made.predictions()
        assert dear["features"] == {"weight": 3.0, "person_limit": 2.0, "person_age": 30.0}
        assert (dear["decision"], cheap["decision"]) == ("stop", "go")
        assert degradations(dear) == []
        assert dear["freshness_ms"] == 0


class Asked(MemoryStore):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(lambda: START_MS)
        self.keys: list[bytes] = []

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.keys += keys
        return super().read(keys)


def test_a_batch_is_one_read_of_each_key_once_and_of_nothing_else() -> None:
    with bench(ALONE) as made:
        made.store.store = asked = Asked()
        worker = made.scorer(batch=BatchPolicy(100, 100))
        worker.loop.step()
        made.produce_some(50)
        before = made.store.tries
        asked.keys.clear()
        worker.settle()
        assert made.store.tries == before + 1
        assert asked.keys == [b"rr:visits:lookup:person:p0-%d" % number for number in range(3)]
        assert len(made.predictions()) == 50


def test_what_is_absent_too_old_or_unreadable_is_missing_and_said() -> None:
    with bench(ALONE) as made:
        write(made, "old", 1.0, written_at=START_MS - 600_001)
        write(made, "new", 1.0, written_at=START_MS - 600_000)
        put(made, "bad", b"\x00" * 40)
        put(made, "json", b'{"limit": 7, "written_at": %d}' % START_MS)
        for person in ("none", "old", "new", "bad", "json"):
            made.produce((START_MS, person, None, 1.0))
        worker = made.scorer()
        worker.settle()
        none, old, new, bad, json = made.predictions()
        assert degradations(none) == degradations(old) == ["lookup_missing"]
        assert degradations(bad) == ["lookup_missing", "lookup_unreadable"]
        assert degradations(new) == degradations(json) == []
        missing = {"weight": 1.0, "person_limit": None, "person_age": None}
        assert none["features"] == old["features"] == bad["features"] == missing
        assert json["features"] == {"weight": 1.0, "person_limit": 7.0, "person_age": None}
        assert worker.value("riverrun_degradations_total", cause="lookup_missing") == 3.0


def test_a_store_that_does_not_answer_leaves_the_answer_to_the_rules() -> None:
    with bench(ALONE) as made:
        write(made, "ann", 2.0)
        worker = made.scorer()
        worker.loop.step()
        made.store.refusals = 1
        made.produce((START_MS, "ann", None, 3.0))
        worker.settle()
        made.produce((START_MS, "ann", None, 3.0))
        worker.settle()
        down, up = made.predictions()
        assert down["source"] == "rules"
        assert degradations(down) == ["store_down"]
        assert down["features"]["person_limit"] is None
        assert up["features"]["person_limit"] == 2.0


def test_a_value_is_what_stands_there_when_the_batch_is_read() -> None:
    with bench(ALONE) as made:
        worker = made.scorer()
        for limit in (1.0, 2.0):
            write(made, "ann", limit)
            made.produce((START_MS, "ann", None, 3.0))
            worker.settle()
        assert [p["features"]["person_limit"] for p in made.predictions()] == [1.0, 2.0]


def test_lookups_and_windows_come_with_the_same_read() -> None:
    with bench(BOTH) as made:
        write(made, "ann", 2.0)
        materializer, worker = made.materializer(), made.scorer(batch=BatchPolicy(100, 100))
        materializer.settle()
        worker.loop.step()
        made.produce((START_MS, "ann", "front", 3.0), (START_MS + 1, "ann", "front", 3.0))
        before = made.store.tries
        worker.settle()
        assert made.store.tries == before + 1
        first, second = made.predictions()
        assert degradations(first) == degradations(second) == []
        assert second["features"]["person_limit"] == 2.0
        assert (first["features"]["person_count_1000ms"], second["features"]["person_count_1000ms"]) == (1, 2)


def test_a_previous_champion_that_looks_up_more_is_left_out(tmp_path: Path) -> None:
    bundle = trained(tmp_path)
    narrow, wide = (
        replace(bundle, definition=definition, plan=FeaturePlan(definition)) for definition in (ALONE, WIDER)
    )
    with bench(ALONE) as made:
        assert made.serving(Loaded(narrow, wide, ())).answerers.previous is None
        assert made.serving(Loaded(wide, narrow, ())).answerers.previous is narrow


garbage = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["limit", "age", "written_at"]), st.none() | st.text(max_size=2)).map(
        msgspec.json.encode
    ),
)


@settings(max_examples=50)
@given(st.lists(st.none() | garbage, min_size=1, max_size=6))
def test_whatever_stands_there_every_event_is_answered(values: list[bytes | None]) -> None:
    with bench(ALONE) as made:
        for at, value in enumerate(values):
            if value:
                put(made, f"p{at}", value)
            made.produce((START_MS, f"p{at}", None, 1.0))
        made.scorer().settle()
        assert made.predicted() == made.events()
        assert all(
            set(degradations(p)) <= {"lookup_missing", "lookup_unreadable"} for p in made.predictions()
        )
