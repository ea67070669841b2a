"""What a replay finds to differ, and the file that it leaves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.arrays import Bools
from models.bundle import Bundle
from stream.pipeline.causes import Source
from stream.workers.replaying.computed import Computed
from stream.workers.replaying.difference import Answers, Difference
from stream.workers.replaying.output import Replayed, answers_of, file_output
from stream.workers.replaying.served import UNSERVED, Served
from stream.workers.replaying.state import State
from tests.stream.replays import (
    VISITS,
    N,
    rescored,
    served_as,
    whole,
)
from tests.stream.visits import batch

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
