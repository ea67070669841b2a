"""The fuzz targets in short: inputs drawn by Hypothesis from each target's own, and what was once found."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.catalog import TARGETS
from tests.fuzz.kept import kept

KEPT = kept()
EXAMPLES = {"bundle": 20, "definition": 30}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Refusals are logged, and thousands of them say nothing."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_near_to_right_ones_and_any_bytes_hold_what_the_target_says(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES.get(name, 100))
    @given(_hurt(list(target.seeds()), target.words, target.bytes_max))
    def holds(data: bytes) -> None:
        target.check(data)

    target.ready()
    holds()


@pytest.mark.parametrize("file", KEPT)
def test_what_was_once_found_is_mended(file: str) -> None:
    name, data = KEPT[file]
    TARGETS[name].check(data)


@st.composite
def _hurt(draw: st.DrawFn, seeds: list[bytes], words: tuple[bytes, ...], bytes_max: int) -> bytes:
    """One of the seeds with pieces of it replaced by words, by bytes and by pieces of others."""
    data = draw(st.sampled_from(seeds))
    others = st.sampled_from(seeds).flatmap(
        lambda one: st.integers(0, len(one)).map(lambda at: one[at : at + 9])
    )
    pieces = st.one_of(st.binary(max_size=9), others, *([st.sampled_from(words)] if words else []))
    for _ in range(draw(st.integers(0, 4))):
        at, gone = draw(st.integers(0, len(data))), draw(st.integers(0, 6))
        data = data[:at] + draw(pieces) + data[at + gone :]
    return data[:bytes_max]
