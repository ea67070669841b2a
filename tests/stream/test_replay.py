"""A replay's steps: ranges numbered, predictions read again, scored once more, and compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.arrays import Bools, Floats, Ints
from features.categories import Categories
from features.definition import parse_definition
from features.definition.model import Definition
from features.event import EventBatch, hash_texts, pack_positions
from models.bundle import CATEGORIES, Bundle, load_bundle
from models.categories import decode_categories
from models.training.run import TrainOptions
from models.training.train import train_bundle
from stream.cli import app
from stream.errors import ConfigurationError, ExitCode
from stream.pipeline.causes import Cause, Source
from stream.pipeline.encode import PredictionBatch, PredictionEncoder
from stream.records import RecordBatch
from stream.workers.replaying import span
from stream.workers.replaying.computed import Computed
from stream.workers.replaying.difference import Answers, Difference
from stream.workers.replaying.output import Replayed, answers_of, file_output
from stream.workers.replaying.rescore import Circumstances, Rescorer
from stream.workers.replaying.served import UNSERVED, Served
from stream.workers.replaying.span import Bound, EventRange, read_range
from stream.workers.replaying.state import UNKNOWN_TEXT, State, hashes_of_codes, state_names
from tests.models.meals import MEALS, meals
from tests.stream.definitions import classes, sequence
from tests.stream.predictions import decoded, encoded, scored
from tests.stream.visits import batch, trained

EVENTS = "visits.events"
N = 12
VISITS: Any = [(n % 2, n // 2, 1_000 * n, "abc"[n % 3], None if n == 5 else "x", 0.7 * n) for n in range(N)]


def whole(count: int = N, topic: str = EVENTS) -> EventRange:
    return EventRange(topic, {0: 0, 1: 0}, {0: count // 2, 1: count // 2})


def messages(values: Sequence[bytes]) -> RecordBatch:
    n = len(values)
    zeros = np.zeros(n, np.int64)
    return RecordBatch("out", zeros, np.arange(n), zeros, [None] * n, list(values), lambda _: [])


def around(state: State, causes: Ints | None = None) -> Circumstances:
    n = len(state.values)
    return Circumstances(state, np.zeros(n, np.int64) if causes is None else causes, np.zeros(n))


def rescored(bundle: Bundle, events: EventBatch, state: State, causes: Ints | None = None) -> PredictionBatch:
    no_causes = np.zeros(len(events), np.int64)
    return Rescorer(bundle).score(EVENTS, events, no_causes, around(state, causes), 1)


def served_as(bundle: Bundle, predictions: PredictionBatch, range_: EventRange) -> Served:
    """Predictions, written and read again."""
    values = PredictionEncoder(_logging(bundle.definition), message_bytes_max=1 << 20).encode(predictions)
    served = Served(bundle.definition, _categories(bundle), bundle.digest, range_)
    served.read([messages(values)], lambda _: None)
    return served


def _logging(definition: Definition) -> Definition:
    """The definition with all features in its predictions."""
    return replace(definition, output=replace(definition.output, features=1.0))


def _categories(bundle: Bundle) -> Categories:
    return decode_categories(bundle.definition, (bundle.path / CATEGORIES).read_bytes())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    models = tmp_path_factory.mktemp("models")
    return trained(models, 0), trained(models, 1)


# ----------------------------------------------------------------------------------------------- ranges


@given(st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=4))
def test_every_record_of_a_range_has_a_number_of_its_own_and_others_have_none(
    spans: dict[int, tuple[int, int]],
) -> None:
    starts = {p: start for p, (start, _) in spans.items()}
    events = EventRange(EVENTS, starts, {p: start + length for p, (start, length) in spans.items()})
    inside = [(p, start + n) for p, (start, length) in spans.items() for n in range(length)]
    outside = [(p, start + length) for p, (start, length) in spans.items()] + [(9, 0)]

    def numbers(places: list[tuple[int, int]]) -> list[int]:
        partitions, offsets = (np.array([place[i] for place in places], np.int64) for i in (0, 1))
        found: list[int] = events.numbers(pack_positions(partitions, offsets)).tolist()
        return found

    assert sorted(numbers(inside)) == list(range(events.records))
    assert numbers(outside) == [-1] * len(outside)


class Log:
    """The offsets of a topic, and what it says of times: half of each partition is newer than 1,000."""

    topic = EVENTS

    def whole(self) -> tuple[dict[int, int], dict[int, int]]:
        return {0: 10, 1: 0}, {0: 20, 1: 8}

    def since(self, timestamp_ms: int) -> tuple[dict[int, int], dict[int, int]]:
        low, high = self.whole()
        return ({0: 15, 1: 4} if timestamp_ms >= 1_000 else low), high


@pytest.mark.parametrize(
    ("first", "last", "starts", "ends"),
    [
        (0, None, {0: 10, 1: 0}, {0: 20, 1: 8}),
        (0, 1_000, {0: 10, 1: 0}, {0: 15, 1: 4}),
        (1_000, None, {0: 15, 1: 4}, {0: 20, 1: 8}),
        (1_000, 0, {0: 10, 1: 0}, {0: 10, 1: 0}),
        ({0: 12}, {0: 14}, {0: 12}, {0: 14}),
        ({0: 12}, {0: 99}, {0: 12}, {0: 20}),
        ({1: 2}, None, {1: 2}, {1: 8}),
        ({1: 2}, 1_000, {1: 2}, {1: 4}),
        (0, {1: 3}, {1: 0}, {1: 3}),
    ],
)
def test_a_range_is_between_two_times_or_two_places_and_within_the_log(
    first: Bound, last: Bound | None, starts: dict[int, int], ends: dict[int, int]
) -> None:
    log: Any = Log()
    found = read_range(log, first, last)
    assert (found.starts, found.ends) == (starts, ends)


def test_everything_that_does_not_fit_the_log_is_said_at_once() -> None:
    log: Any = Log()
    with pytest.raises(ConfigurationError) as refused:
        read_range(log, {0: 5, 7: 0}, {1: 5})
    said = str(refused.value)
    assert "offset 5 of partition 0 is gone: the log begins at 10; give 0:10 or later" in said
    assert "visits.events has no partition 7" in said
    assert "give both ends of each partition" in said


def test_a_range_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span, "EVENTS_MAX", 17)
    log: Any = Log()
    with pytest.raises(
        ConfigurationError, match="18 records, and 17 can be replayed at a time; replay it in parts"
    ):
        read_range(log, 0, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "soon"], "neither a date nor an ISO 8601 time"),
        (["--from", "0:1,0:2"], "a partition is named twice"),
        (["--from", "0:1,soon"], "is not PARTITION:OFFSET"),
        (["--from", "2026-01-01", "--topic-out", "t", "--out", "f"], "give a topic or a file, not both"),
    ],
)
def test_flags_that_mean_nothing_are_refused(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["replay", "--bundle", "b", *arguments])
    assert done.exit_code == ExitCode.CONFIGURATION
    assert said in " ".join(done.stderr.replace("│", " ").split())


# -------------------------------------------------------------------------------------- what was served


def test_the_first_prediction_of_an_event_counts_and_nothing_else_of_the_topic_does(
    bundles: tuple[Bundle, Bundle],
) -> None:
    events = batch(VISITS)
    state = State(np.ones((N, 3)), np.zeros(N, np.bool_))
    first, second = (rescored(bundle, events, state) for bundle in bundles)
    encoder = PredictionEncoder(_logging(bundles[0].definition), message_bytes_max=1 << 20)
    one, two = encoder.encode(first), encoder.encode(second)
    elsewhere = [value.replace(b'"visits.events"', b'"others.events"') for value in two]
    newer = [value.replace(b"prediction/1", b"prediction/2") for value in two]
    served = Served(bundles[0].definition, {}, bundles[0].digest, whole())
    served.read(
        [messages([*elsewhere, *newer, b"rubbish", b"{}", *one[:-1]]), messages(two[:-1])], lambda _: None
    )
    numbers = whole().numbers(events.positions)
    np.testing.assert_array_equal(served.scores[numbers[:-1], 0], first.scores[:-1])
    assert served.sources[numbers[-1]] == UNSERVED
    assert served.unreadable == 2
    assert {served.versions[number] for number in numbers[:-1].tolist()} == {"v0"}


def test_a_prediction_without_features_or_with_others_has_no_state(bundles: tuple[Bundle, Bundle]) -> None:
    events, bundle = batch(VISITS), bundles[0]
    state = State(np.ones((N, 3)), np.zeros(N, np.bool_))
    values = PredictionEncoder(_logging(bundle.definition), message_bytes_max=1 << 20).encode(
        rescored(bundle, events, state)
    )
    data = [msgspec.json.decode(value) for value in values]
    del data[0]["features"]
    del data[1]["features"]["person_count_1000ms"]
    data[2]["features"]["unknown"] = 1.0
    data[3]["degradations"] = ["a_cause_of_tomorrow", "stale"]
    served = Served(bundle.definition, {}, bundle.digest, whole())
    served.read([messages([msgspec.json.encode(one) for one in data])], lambda _: None)
    numbers = whole().numbers(events.positions)
    assert served.has_state[numbers].tolist() == [False, False, *[True] * (N - 2)]
    assert served.causes[numbers[3]] == int(Cause.STALE)


@pytest.mark.parametrize("definition", [classes(), sequence()], ids=["multiclass", "regression"])
def test_the_answers_of_every_task_are_read(definition: Definition) -> None:
    is_classes = definition.task == "multiclass"
    event = (
        {"ticket_id": "t", "opened_ms": 1_700_000_000_000, "team": "a", "length": 1}
        if is_classes
        else {"pump": 1, "cycle": 2, "pressure": 0.5}
    )
    events = decoded(definition, event)
    scores = np.array([[0.25, 0.7, 0.05]]) if is_classes else np.array([41.5])
    batch_ = scored(definition, events, scores, freshness=7)
    served = Served(definition, {}, "", EventRange("t.events", {0: 0}, {0: 1}))
    served.read([messages([msgspec.json.encode(one) for one in encoded(definition, batch_)])], lambda _: None)
    np.testing.assert_array_equal(served.scores, scores.reshape(1, -1))
    assert served.freshness.tolist() == [7.0]


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
    others = Served(two.definition, _categories(two), two.digest, range_)
    others.read([messages(values)], lambda _: None)
    assert not others.has_state.any()
    np.testing.assert_array_equal(others.scores[numbers, 0], then.scores)


def test_a_code_stands_for_its_text_the_code_of_all_others_for_none_and_missing_is_missing() -> None:
    hashes = hashes_of_codes({"tier": ("gold", "tin")}, "tier", np.array([2.0, 0.0, np.nan, 1.0]))
    gold, tin = hash_texts(["gold", "tin"]).tolist()
    np.testing.assert_array_equal(hashes, [tin, UNKNOWN_TEXT, np.nan, gold])


# ------------------------------------------------------------------------------------------ differences


def answers(
    scores: Sequence[float], decisions: Sequence[str | None], control: Bools | None = None
) -> Answers:
    n = len(scores)
    no = np.zeros(n, np.bool_)
    return Answers(
        np.array(scores).reshape(-1, 1),
        np.zeros(n, np.int64),
        list(decisions),
        no if control is None else control,
    )


def served_with(bundle: Bundle, scores: Sequence[float], decisions: Sequence[str | None]) -> Served:
    served = Served(bundle.definition, {}, "", whole(len(scores)))
    served.scores[:, 0] = scores
    served.sources[:] = int(Source.MODEL)
    served.decisions = list(decisions)
    return served


def test_differences_are_counted_measured_and_laid_out(bundles: tuple[Bundle, Bundle]) -> None:
    served = served_with(bundles[0], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5], ["go", "go", "go", "stop", None, "go"])
    served.sources[5] = UNSERVED
    served.sources[0] = int(Source.RULES)
    control = np.array([False, False, True, False, False, False])
    now = answers(
        [0.5, np.nextafter(0.5, 1), 0.5, 0.9, 0.5, 0.1], ["go", "go", "go", "go", None, "stop"], control
    )
    difference = Difference()
    equal = difference.add(served, np.arange(6), now)
    assert equal.tolist() == [True, False, False, False, True, False]
    assert (difference.compared, difference.equal, difference.unserved, difference.changed) == (5, 2, 1, 1)
    assert difference.score_differences()[2] == pytest.approx(0.4)
    text = "\n".join(difference.lines())
    assert "compared:  5 predictions" in text
    assert "unserved:  1 events" in text
    assert "equal:     2 to the bit, 3 differ" in text
    assert "decisions: 1 change" in text
    assert "by source: model then, model now: 4, 3 differ" in text
    assert "by source: rules then, model now: 1, 0 differ" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("           ")]
    assert rows == [
        ["served", "go", "none", "stop"],
        ["go", "3", "0", "0"],
        ["none", "0", "1", "0"],
        ["stop", "1", "0", "0"],
    ]


def test_without_anything_served_nothing_is_compared(bundles: tuple[Bundle, Bundle]) -> None:
    difference = Difference()
    served = Served(bundles[0].definition, {}, "", whole(2))
    assert not difference.add(served, np.arange(2), answers([0.1, 0.2], ["go", "go"])).any()
    assert list(difference.lines()) == [
        "compared:  0 predictions with what was served",
        "unserved:  2 events, of which no prediction was found",
    ]


def test_the_file_holds_what_is_said_now_beside_what_was_served(
    bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    bundle, events = bundles[0], batch(VISITS)
    state = State(np.ones((N, 3)), np.zeros(N, np.bool_))
    then = rescored(bundle, events, state)
    served = served_as(bundle, then, whole())
    numbers = whole().numbers(events.positions)
    served.sources[numbers[0]] = UNSERVED
    now = rescored(bundles[1], events, state)
    said = answers_of(bundle.definition, now)
    as_served = np.arange(N) > 0
    with file_output(bundle.definition, served, tmp_path / "out.parquet") as output:
        equal = Difference().add(served, numbers, said)
        output.write(Replayed(now, said, [None] * N, numbers, as_served, equal))
        assert not (tmp_path / "out.parquet").exists(), "it appears when it is whole"
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("score").to_pylist() == now.scores.tolist()
    assert table.column("served.score").to_pylist() == [None, *then.scores[1:].tolist()]
    assert table.column("equal").to_pylist() == [None, *equal[1:].tolist()]
    assert table.column("features").to_pylist() == ["computed", *["served"] * (N - 1)]
    assert table.column("served.version").to_pylist()[1:] == ["v0"] * (N - 1)
    assert table.column("offset").to_pylist() == [n // 2 for n in range(N)]


def test_what_was_not_computed_is_missing(bundles: tuple[Bundle, Bundle]) -> None:
    state, there = Computed(bundles[0].definition).of(batch(VISITS).positions)
    assert not there.any()
    assert np.isnan(state.values).all()
