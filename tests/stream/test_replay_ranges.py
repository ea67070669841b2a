"""Which records a replay takes, and what it reads of what was served."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.definition.model import Definition
from features.event import pack_positions
from models.bundle import Bundle
from stream.cli import app
from stream.errors import ConfigurationError, ExitCode
from stream.pipeline.causes import Cause
from stream.pipeline.encode import PredictionEncoder
from stream.workers.replaying import span
from stream.workers.replaying.served import UNSERVED, Served
from stream.workers.replaying.span import Bound, EventRange, read_range
from stream.workers.replaying.state import State
from tests.stream.definitions import classes, sequence
from tests.stream.predictions import decoded, encoded, scored
from tests.stream.replays import EVENTS, VISITS, N, logging, messages, rescored, whole
from tests.stream.visits import batch

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
    encoder = PredictionEncoder(logging(bundles[0].definition), message_bytes_max=1 << 20)
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
    values = PredictionEncoder(logging(bundle.definition), message_bytes_max=1 << 20).encode(
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
