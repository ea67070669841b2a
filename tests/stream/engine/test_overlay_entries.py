"""Entries that grow at the end and go from the front are found as if all were looked through."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.codec import Entries
from features.definition.model import RowKind, RowSchema
from stream.engine import overlay_entries as module
from stream.engine.overlay_entries import HeldEntries

SCHEMA = RowSchema("person", RowKind.EVENTS, ("weight",))
KEYS = ["ann", "bob", "cy", "dee"]


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CAPACITY_MIN", 4)
        patch.setattr(module, "_UNINDEXED_MIN", 3)
        yield


def entries_of(row: np.ndarray, first: int) -> Entries:
    times = np.arange(first, first + len(row))
    marks = times.view(np.uint64)
    return Entries(row, times, marks + np.uint64(1), marks, times.reshape(-1, 1) / 2)


steps = st.one_of(
    st.tuples(st.just("append"), st.lists(st.sampled_from(KEYS), max_size=7)),
    st.tuples(st.just("drop"), st.floats(0, 1)),
    st.tuples(st.just("keep"), st.integers(0, 2**16)),
    st.tuples(st.just("forget keys"), st.none()),
    st.tuples(st.just("find"), st.lists(st.sampled_from([*KEYS, "eve"]), unique=True)),
)


@given(st.lists(steps, max_size=40))
def test_what_is_found_is_what_was_added_and_did_not_go(chosen: list[tuple[str, Any]]) -> None:
    held, model, count = HeldEntries(SCHEMA), list[tuple[str, int]](), 0
    for step, what in chosen:
        if step == "append":
            held.append(entries_of(held.numbers(what), count))
            model += [(key, count + at) for at, key in enumerate(what)]
            count += len(what)
        elif step == "drop":
            held.drop_first(int(what * len(model)))
            model = model[int(what * len(model)) :]
        elif step == "keep":
            kept = np.random.default_rng(what).random(len(model)) < 0.7
            held.keep(kept)
            model = [one for one, stays in zip(model, kept.tolist(), strict=True) if stays]
        elif step == "forget keys":
            held.forget_keys()
            assert set(held.keys) == {key for key, _ in model}
        else:
            found = held.find(what)
            got = {
                (what[row], time) for row, time in zip(found.row.tolist(), found.times.tolist(), strict=True)
            }
            assert got == {one for one in model if one[0] in what}
            assert len(got) == len(found)
            np.testing.assert_array_equal(found.values[:, 0], found.times / 2)
            np.testing.assert_array_equal(found.ids, found.marks + np.uint64(1))
        assert held.entries.times.tolist() == [time for _, time in model]
        assert held.characters == sum(map(len, held.keys))
