"""Past events scored once more: to the bit where nothing changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats, Ints
from features.definition import parse_definition
from features.event import EventBatch, hash_texts
from models.bundle import Bundle, load_bundle
from models.training.run import TrainOptions
from models.training.train import train_bundle
from stream.pipeline.causes import Cause, Source
from stream.pipeline.encode import PredictionEncoder
from stream.workers.replaying.difference import Difference
from stream.workers.replaying.output import answers_of
from stream.workers.replaying.served import Served
from stream.workers.replaying.span import EventRange
from stream.workers.replaying.state import UNKNOWN_TEXT, State, hashes_of_codes, state_names
from tests.models.meals import MEALS, meals
from tests.stream.replays import EVENTS, VISITS, N, categories_of, messages, rescored, served_as, whole
from tests.stream.visits import batch

# ------------------------------------------------------------------------------------------ once more

_numbers = st.sampled_from([np.nan, 0.0, 1.0, 3.0, 1e300, 0.1])
_states = st.lists(st.tuples(_numbers, _numbers, _numbers), min_size=N, max_size=N).map(np.array)
_masks = st.lists(
    st.sampled_from([0, int(Cause.STORE_DOWN), int(Cause.REBUILDING | Cause.COLD), int(Cause.STALE)]),
    min_size=N,
    max_size=N,
).map(np.array)


@given(_states, _masks)
def test_what_was_served_is_said_again_to_the_bit_and_another_model_sees_the_same_features(
    bundles: tuple[Bundle, Bundle], values: Floats, causes: Ints
) -> None:
    events = batch(VISITS)
    state = State(values, np.zeros(N, np.bool_))
    then = rescored(bundles[0], events, state, causes)
    served = served_as(bundles[0], then, whole())
    numbers = whole().numbers(events.positions)
    assert served.has_state.all()
    for bundle in bundles:
        read = served.state(numbers)
        np.testing.assert_array_equal(read.values, values)
        again = rescored(bundle, events, read, served.causes[numbers])
        wanted = rescored(bundle, events, state, causes)
        np.testing.assert_array_equal(again.scores, wanted.scores)
        np.testing.assert_array_equal(again.matrix, wanted.matrix)
        np.testing.assert_array_equal(again.decisions.index, wanted.decisions.index)
    difference = Difference()
    equal = difference.add(
        served, numbers, answers_of(bundles[0].definition, rescored(bundles[0], events, state, causes))
    )
    assert equal.all()
    assert (difference.equal, difference.changed, difference.score_differences()) == (N, 0, (0.0, 0.0, 0.0))


def test_where_the_store_was_down_the_rules_answer_again_and_elsewhere_the_model_is_asked(
    bundles: tuple[Bundle, Bundle],
) -> None:
    causes = np.zeros(N, np.int64)
    causes[:4] = [int(Cause.STORE_DOWN), int(Cause.STORE_TIMEOUT), int(Cause.REBUILDING), int(Cause.NO_MODEL)]
    again = rescored(bundles[0], batch(VISITS), State(np.full((N, 3), np.nan), np.zeros(N, np.bool_)), causes)
    assert again.sources.tolist() == [int(Source.RULES)] * 3 + [int(Source.MODEL)] * (N - 3)
    assert again.causes.tolist() == [*causes[:3].tolist(), *[0] * (N - 3)]
    assert {stamp.variant for stamp in again.models} == {"replay"}


def test_a_displaced_edge_is_stamped_again(bundles: tuple[Bundle, Bundle]) -> None:
    trimmed = np.zeros(N, np.bool_)
    trimmed[3] = True
    then = rescored(bundles[0], batch(VISITS), State(np.ones((N, 3)), trimmed))
    served = served_as(bundles[0], then, whole())
    read = served.state(whole().numbers(batch(VISITS).positions))
    assert read.trimmed.tolist() == trimmed.tolist()


# -------------------------------------------------------------------------------- lookups and categories


@pytest.fixture(scope="module")
def diners(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    out = tmp_path_factory.mktemp("meals")
    case = meals()
    definition = parse_definition(f"{MEALS}output: {{features: all}}\n", "meals.yaml")
    made = [
        train_bundle(
            definition,
            case.history,
            start,
            case.end,
            out,
            created_ms=0,
            options=TrainOptions(version=version),
        )
        for version, start in (("one", case.start), ("two", case.start + 86_400_000))
    ]
    return load_bundle(made[0].path), load_bundle(made[1].path)


def eaten(bundle: Bundle) -> tuple[EventBatch, State]:
    """The first events of the history, and what is looked up for them."""
    history = meals().history
    events = history.events.take(np.arange(400))
    found: dict[str, Floats] = {}
    for entity, lookups in history.lookups.items():
        found |= lookups.columns(events.keys[entity], events.times)
    values = np.stack([found[name] for name in state_names(bundle.definition)], axis=1)
    return events, State(values, np.zeros(400, np.bool_))


def test_codes_of_what_was_looked_up_are_read_again_by_the_model_they_were_made_for_and_by_no_other(
    diners: tuple[Bundle, Bundle],
) -> None:
    one, two = diners
    events, state = eaten(one)
    range_ = EventRange(EVENTS, {-1: 0}, {-1: 400})
    then = rescored(one, events, state)
    assert len(np.unique(then.matrix[:, one.definition.feature_names.index("guest_tier")])) > 3
    served = served_as(one, then, range_)
    numbers = range_.numbers(events.positions)
    assert served.has_state[numbers].all()
    again = rescored(one, events, served.state(numbers))
    np.testing.assert_array_equal(again.matrix, then.matrix)
    np.testing.assert_array_equal(again.scores, then.scores)
    values = PredictionEncoder(one.definition, message_bytes_max=1 << 20).encode(then)
    others = Served(two.definition, categories_of(two), two.digest, range_)
    others.read([messages(values)], lambda _: None)
    assert not others.has_state.any()
    np.testing.assert_array_equal(others.scores[numbers, 0], then.scores)


def test_a_code_stands_for_its_text_the_code_of_all_others_for_none_and_missing_is_missing() -> None:
    hashes = hashes_of_codes({"tier": ("gold", "tin")}, "tier", np.array([2.0, 0.0, np.nan, 1.0]))
    gold, tin = hash_texts(["gold", "tin"]).tolist()
    np.testing.assert_array_equal(hashes, [tin, UNKNOWN_TEXT, np.nan, gold])
