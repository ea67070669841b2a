"""Which rows are looked at, told by the lengths that appends answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.codec import entry_bytes
from features.definition.model import RowKind, RowSchema
from features.keys import Namespace
from stream.engine import compaction_plan
from stream.engine.compaction_plan import CompactionPlan, Growth, growth_of
from tests.stream.engine.bench import LABELLED

SCHEMA = RowSchema("door", RowKind.EVENTS, ())
GROWTH = Growth(b"door:", SCHEMA, first=100, allowance=50)
OTHER = Growth(b"person:", SCHEMA, first=300, allowance=50)


def grew(plan: CompactionPlan, **lengths: int) -> None:
    plan.grew([b"door:" + key.encode() for key in lengths], np.array(list(lengths.values())))


def taken(plan: CompactionPlan, rows_max: int = 10, bytes_max: int = 10_000) -> list[str]:
    return [due.key.removeprefix(b"door:").decode() for due in plan.take(rows_max, bytes_max)]


def test_rows_may_grow_to_twice_their_exact_entries_at_first_and_by_as_many_later() -> None:
    namespace = Namespace.of(LABELLED)
    for growth, schema in zip(growth_of(namespace, LABELLED.rows), LABELLED.rows, strict=True):
        assert growth.first == 2 * growth.allowance == 2 * schema.exact * entry_bytes(schema)
        assert namespace.row(schema.entity, schema.kind, "k").startswith(growth.prefix)


def test_a_row_is_due_once_it_passes_its_limit_and_not_again_before_the_next() -> None:
    plan = CompactionPlan([GROWTH])
    grew(plan, a=100, b=101)
    assert taken(plan) == ["b"]
    grew(plan, b=130)
    [due] = plan.take(1, 1)
    plan.looked_at(due, 120)
    grew(plan, b=170)
    assert taken(plan) == []
    grew(plan, b=171)
    assert taken(plan) == ["b"]


def test_a_row_that_was_made_short_may_grow_to_the_first_limit_again() -> None:
    plan = CompactionPlan([GROWTH])
    grew(plan, a=101)
    [due] = plan.take(1, 1)
    plan.looked_at(due, 10)
    grew(plan, a=100)
    assert taken(plan) == []
    grew(plan, a=101)
    assert taken(plan) == ["a"]


def test_each_schema_has_limits_of_its_own() -> None:
    plan = CompactionPlan([GROWTH, OTHER])
    plan.grew([b"person:a", b"person:b"], np.array([300, 301]))
    assert [(due.key, due.growth) for due in plan.take(9, 9_999)] == [(b"person:b", OTHER)]


def test_rows_are_taken_in_the_order_in_which_they_became_due_and_within_bounds() -> None:
    plan = CompactionPlan([GROWTH])
    grew(plan, a=200, b=200, c=200, d=900)
    grew(plan, a=210)
    assert taken(plan, rows_max=1) == ["a"]
    assert taken(plan, bytes_max=400) == ["b", "c"]
    assert taken(plan, bytes_max=400) == ["d"], "too large a row comes alone"
    assert taken(plan) == []


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_looked_at_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compaction_plan, "LIMITS_MAX", 2)
    monkeypatch.setattr(compaction_plan, "DUE_MAX", 3)
    plan = CompactionPlan([GROWTH])
    grew(plan, a=200, b=200, c=200, d=200)
    assert len(plan) == 3
    due = plan.take(10, 10_000)
    plan.looked_at(due[0], 200)
    plan.looked_at(due[1], 200)
    grew(plan, a=210)  # it was used last
    plan.looked_at(due[2], 200)
    grew(plan, a=220, b=220, c=220, d=220)
    assert taken(plan) == ["b", "d"]


def test_nothing_is_known_of_rows_that_the_store_lost() -> None:
    plan = CompactionPlan([GROWTH])
    grew(plan, a=200, b=200)
    [due] = plan.take(1, 1)
    plan.looked_at(due, 1_000)
    plan.forget()
    assert taken(plan) == []
    grew(plan, a=200)
    assert taken(plan) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 80), st.booleans()), max_size=60))
def test_no_row_is_ever_longer_than_its_limit_and_an_append_without_being_due(
    appends: list[tuple[str, int, bool]],
) -> None:
    plan, lengths, limits = CompactionPlan([GROWTH]), dict.fromkeys("abc", 0), dict.fromkeys("abc", 100)
    for key, size, looks in appends:
        lengths[key] += size
        grew(plan, **{key: lengths[key]})
        waiting = {due.key[-1:].decode() for due in plan._due.values()}
        assert waiting == {at for at in "abc" if lengths[at] > limits[at]}
        if looks:
            for due in plan.take(1, 10_000):
                at = due.key[-1:].decode()
                lengths[at] = lengths[at] // 2
                plan.looked_at(due, lengths[at])
                limits[at] = max(lengths[at] + 50, 100)
