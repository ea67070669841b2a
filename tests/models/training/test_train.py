import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.past.history import History
from models.bundle import load_bundle
from models.training.run import TrainingError, TrainOptions
from models.training.split import group_test_mask
from models.training.train import TrainResult, train_bundle
from tests.models.conftest import CREATED_MS
from tests.models.usecases import DAY, UseCase, orders


def train(case: UseCase, out: Path, **options: Any) -> TrainResult:
    return train_bundle(
        case.definition,
        case.history,
        case.start,
        case.end,
        out,
        created_ms=CREATED_MS,
        options=TrainOptions(**options),
    )


def with_labels(case: UseCase, labels: Any) -> UseCase:
    return replace(case, history=History(case.history.events, labels, case.history.observed_at))


def test_a_model_learns_each_task(trained: Mapping[str, TrainResult]) -> None:
    binary, multiclass, regression = (trained[name].held_out for name in ("orders", "sizes", "pumps"))
    assert (binary.split, multiclass.split, regression.split) == (
        "after_training",
        "after_training",
        "groups",
    )
    assert binary.metrics["roc_auc"] > 0.75
    assert multiclass.metrics["macro_f1"] > 0.6
    assert regression.metrics["mae"] < 5
    assert all(
        math.isfinite(value) for held in (binary, multiclass, regression) for value in held.metrics.values()
    )


@pytest.mark.parametrize("name", ["orders", "sizes", "pumps"])
def test_training_again_gives_the_same_model_whatever_the_threads(
    name: str, trained: Mapping[str, TrainResult], cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    again = train(cases[name], tmp_path, threads=2)
    assert (again.digest, again.version) == (trained[name].digest, trained[name].version)
    for file in (
        "model.txt",
        "golden.json",
        "reference.json",
        "metrics.json",
        "lineage.json",
        "manifest.json",
    ):
        assert (again.path / file).read_bytes() == (trained[name].path / file).read_bytes()


def test_another_seed_gives_another_model(
    trained: Mapping[str, TrainResult], cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    assert train(cases["orders"], tmp_path, seed=1).digest != trained["orders"].digest


def test_the_lineage_tells_what_the_model_was_made_of(
    trained: Mapping[str, TrainResult], cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    lineage = json.loads(
        (
            train(cases["orders"], tmp_path, lineage={"history": "orders.parquet"}).path / "lineage.json"
        ).read_bytes()
    )
    assert lineage["history"] == "orders.parquet"
    assert (lineage["data"]["start"], lineage["data"]["end"]) == (2 * DAY, 7 * DAY)
    assert lineage["parameters"]["deterministic"] is True
    assert lineage["seed"] == 0
    assert lineage["libraries"]["lightgbm"]
    other = json.loads((train(orders(seed=5), tmp_path).path / "lineage.json").read_bytes())
    assert other["data"]["digest"] != lineage["data"]["digest"]


def test_groups_that_are_held_out_are_not_learnt_from(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    """Where the held-out pumps cool as they age, what the others taught is wrong by far."""
    case = cases["pumps"]
    events = case.history.events
    held_out = group_test_mask(events.keys["pump"], 0.3)
    heat = np.where(held_out, 120 - events.columns["heat"], events.columns["heat"])
    odd = replace(events, columns={**events.columns, "heat": heat})
    result = train(replace(case, history=replace(case.history, events=odd)), tmp_path)
    assert result.held_out.events == held_out.sum()
    assert result.events == len(events)
    assert result.held_out.metrics["mae"] > 10


def test_a_time_split_without_later_labels_holds_out_the_end(
    cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    result = train(replace(cases["orders"], end=10 * DAY), tmp_path)
    assert result.held_out.split == "end_of_training"
    assert result.held_out.metrics["roc_auc"] > 0.7
    assert result.events > result.held_out.events > 0


def test_a_gap_that_leaves_nothing_to_learn_from_leaves_the_model_unmeasured(
    cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    case = cases["orders"]
    definition = replace(case.definition, evaluation=replace(case.definition.evaluation, gap=8 * DAY))
    result = train(replace(case, definition=definition, start=0, end=10 * DAY), tmp_path)
    assert (result.held_out.split, result.held_out.events, result.held_out.metrics) == ("none", 0, {})


def test_evaluation_ends_where_it_is_told(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    times = cases["orders"].history.events.times
    result = train(cases["orders"], tmp_path, test_end=9 * DAY)
    assert result.held_out.events == ((times >= 8 * DAY) & (times < 9 * DAY)).sum()


def test_events_without_a_label_are_not_learnt_from(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    case = cases["orders"]
    labels = case.history.labels.copy()
    labels[::2] = np.nan
    result = train(with_labels(case, labels), tmp_path)
    in_training = (case.history.events.times >= case.start) & (case.history.events.times < case.end)
    assert result.events == (in_training & ~np.isnan(labels)).sum()


def test_the_version_may_be_chosen_once(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    result = train(cases["orders"], tmp_path, version="v1")
    assert result.path == tmp_path / "v1"
    assert load_bundle(result.path).version == "v1"
    with pytest.raises(TrainingError, match="v1 exists"):
        train(cases["orders"], tmp_path, version="v1")
    with pytest.raises(TrainingError, match="cannot name a bundle"):
        train(cases["orders"], tmp_path, version="../v1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["v1"]


def test_a_policy_change_over_the_same_model_is_another_version(
    trained: Mapping[str, TrainResult], cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    from features.definition import parse_definition  # noqa: PLC0415  only this test edits the text
    from tests.models.usecases import ORDERS  # noqa: PLC0415  as above

    definition = parse_definition(ORDERS.replace("otherwise: ship", "otherwise: send"), "orders")
    result = train(replace(cases["orders"], definition=definition), tmp_path)
    assert result.digest == trained["orders"].digest
    assert result.version != trained["orders"].version


def test_progress_counts_every_round(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    case = cases["orders"]
    train_bundle(
        case.definition, case.history, case.start, case.end, tmp_path,
        created_ms=CREATED_MS, progress=lambda what, done, total: seen.append((what, done, total)),
    )  # fmt: skip
    assert [step for step in seen if step[0] == "train"] == [("train", i, 12) for i in range(1, 13)]
    assert [what for what, done, total in seen if what != "train"] == [
        "features",
        "evaluate",
        "bundle",
        "bundle",
    ]


def test_a_parameter_that_lightgbm_refuses_leaves_nothing_behind(
    cases: Mapping[str, UseCase], tmp_path: Path
) -> None:
    case = cases["orders"]
    training = replace(case.definition.training, parameters={"num_leaves": -5})
    with pytest.raises(TrainingError, match=r"LightGBM refuses.*num_leaves"):
        train(replace(case, definition=replace(case.definition, training=training)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_learn_from_is_said(cases: Mapping[str, UseCase], tmp_path: Path) -> None:
    case = cases["orders"]
    n = len(case.history)
    with pytest.raises(TrainingError, match="no event has a label"):
        train(with_labels(case, np.full(n, np.nan)), tmp_path)
    with pytest.raises(TrainingError, match="labels are 0"):
        train(with_labels(case, np.zeros(n)), tmp_path)
    with pytest.raises(TrainingError, match="the label has the value 2"):
        train(with_labels(case, np.full(n, 2.0)), tmp_path)
    with pytest.raises(TrainingError, match="no event has a label"):
        train(replace(case, start=100 * DAY, end=101 * DAY), tmp_path)
