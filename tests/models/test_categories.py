"""Categories from training rows to served codes: the bundle keeps what a code means."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from features.arrays import Floats
from features.event import EventBatch
from features.lookup.codec import encode_lookups, lookup_prefix
from features.lookup.request import assemble_lookups, request_lookups
from features.past.offline import build_training_set, training_categories
from models.bundle import Bundle, BundleRefused, load_bundle
from models.explain import contributions
from models.training.run import TrainOptions
from models.training.split import HELD_OUT_SHARE
from models.training.train import train_bundle
from stream.pipeline.decode import Decoder
from stream.records import RecordBatch
from tests.models.conftest import CREATED_MS
from tests.models.meals import meals, profiles
from tests.models.test_bundle import edit, refusal, reseal
from tests.models.usecases import DAY, UseCase

NOW = 20 * DAY


@pytest.fixture(scope="module")
def case() -> UseCase:
    return meals()


@pytest.fixture(scope="module")
def trained(case: UseCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("meals")
    return train_bundle(case.definition, case.history, case.start, case.end, out, created_ms=CREATED_MS).path


@pytest.fixture(scope="module")
def bundle(trained: Path) -> Bundle:
    return load_bundle(trained)


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def served(bundle: Bundle, meals: list[dict[str, Any]]) -> tuple[EventBatch, Floats]:
    """Records as they come from Kafka and values as they stand in the store, to features."""
    definition, n = bundle.definition, len(meals)
    values: list[bytes | None] = [msgspec.json.encode({"eaten_at": NOW, **meal}) for meal in meals]
    records = RecordBatch(
        "t", np.zeros(n, np.int64), np.arange(n), np.full(n, -1), [None] * n, values, lambda _: []
    )
    events = Decoder(definition, future_limit_ms=0).decode(records).events
    table = profiles(definition)
    packed = encode_lookups(table.fields, np.zeros(len(table), np.int64), table.values)
    prefix = lookup_prefix(definition.name, "guest")
    store = {prefix + key.encode(): value for key, value in zip(table.keys, packed, strict=True)}
    request = request_lookups(definition, events, {})
    found = assemble_lookups(request, [store.get(key) for key in request.store_keys], events.times)
    return events, bundle.plan.matrix(events, {}, lookups=found.columns)


def meal(number: int, dish: str | None, guest: str = "g3") -> dict[str, Any]:
    return {"meal_id": f"new{number}", "guest": guest, "dish": dish, "price": 12.0}


def test_categories_come_from_the_training_rows_alone(case: UseCase) -> None:
    known = training_categories(case.definition, case.history, case.start, case.end)
    assert set(known["dish"]) == {"bread", "pie", "stew", "soup"}
    assert set(known["guest_tier"]) == {"gold", "tin", "wood"}
    later = training_categories(case.definition, case.history, 9 * DAY, 12 * DAY)
    assert "late" in later["dish"]
    dishes = case.history.events.columns["dish"]
    chosen = (case.history.events.times >= case.start) & (case.history.events.times < case.end)
    counts = [(dishes[chosen] == dish).sum() for dish in known["dish"]]
    assert counts == sorted(counts, reverse=True)


def test_serving_gives_the_codes_that_training_gave(case: UseCase, bundle: Bundle) -> None:
    known = training_categories(case.definition, case.history, case.start, case.end)
    trained = build_training_set(case.definition, case.history, 0, 12 * DAY, known)
    events = trained.events
    again = [
        {
            "meal_id": events.ids[i],
            "guest": events.keys["guest"][i],
            "dish": events.columns["dish"][i],
            "price": float(events.columns["price"][i]),
        }
        for i in range(len(events))
    ]
    _, online = served(bundle, again)
    np.testing.assert_array_equal(online, trained.matrix)
    assert set(trained.matrix[:, 0][~np.isnan(trained.matrix[:, 0])]) == {0, 1, 2, 3, 4}
    assert np.isnan(trained.matrix[:, 2]).any()
    assert (trained.matrix[:, 2] == 0).any()


def test_a_value_that_training_did_not_know_is_unknown_and_none_is_missing(bundle: Bundle) -> None:
    dishes = ["pie", "oysters", "rare", "late", "", None]
    events, matrix = served(bundle, [meal(i, dish) for i, dish in enumerate(dishes)])
    pie = bundle.plan.matrix(events, {})[0, 0]
    assert 1 <= pie <= 4
    np.testing.assert_array_equal(matrix[:, 0], [pie, 0, 0, 0, 0, np.nan])
    scores = bundle.scorer.predict(matrix)
    assert np.isfinite(scores).all()
    assert len(set(scores[1:5].tolist())) == 1


def test_a_guest_without_a_profile_has_no_tier_and_a_rare_tier_is_unknown(bundle: Bundle) -> None:
    _, matrix = served(bundle, [meal(i, "pie", guest) for i, guest in enumerate(["g0", "g1", "g2", "g5"])])
    assert matrix[0, 2] == 0
    assert np.isnan(matrix[1, 2:5]).all()
    assert matrix[2, 2] == matrix[3, 2] > 0
    assert matrix[2, 4] == 12 / 3


def test_the_model_takes_codes_as_names_and_not_as_amounts(bundle: Bundle, trained: Path) -> None:
    _, matrix = served(bundle, [meal(i, dish) for i, dish in enumerate(["bread", "pie", "stew", "soup"])])
    bread, pie, stew, soup = bundle.scorer.predict(matrix)
    assert min(bread, stew) > 0.7
    assert max(pie, soup) < 0.3
    assert "num_cat=1" in (trained / "model.txt").read_text()
    (reasons,) = contributions(bundle, matrix[:1], 1)
    assert reasons[0].feature == "dish"


def test_rules_and_decisions_read_the_text(bundle: Bundle) -> None:
    events, matrix = served(bundle, [meal(0, "oysters"), meal(1, None, "g2"), meal(2, "pie", "g1")])
    columns = bundle.plan.columns(events, matrix)
    assert bundle.rules.predict(columns, 3).reasons == ["oysters", None, None]
    assert bundle.rules.predict(columns, 3).scores.tolist() == [0.8, 0.6, 0.1]


def test_a_default_stands_in_for_a_missing_price_in_training_and_serving(
    case: UseCase, bundle: Bundle
) -> None:
    _, matrix = served(bundle, [{**meal(0, "pie"), "price": None}])
    assert matrix[0, 1] == 10
    assert (case.history.events.columns["price"] == 10).sum() > 50
    assert not np.isnan(case.history.events.columns["price"]).any()


def test_a_held_out_part_is_measured_with_what_the_rest_alone_would_know(tmp_path: Path) -> None:
    case = meals(min_count=80)
    cut = case.end - round((case.end - case.start) * HELD_OUT_SHARE)
    whole = training_categories(case.definition, case.history, case.start, case.end)
    part = training_categories(case.definition, case.history, case.start, cut - DAY)
    assert set(whole["dish"]) - set(part["dish"]) == {"soup"}
    ends = {"end_of_training": case.end, "after_training": cut - DAY}
    measured = [
        train_bundle(
            case.definition,
            case.history,
            case.start,
            end,
            tmp_path / split,
            created_ms=CREATED_MS,
            options=TrainOptions(test_end=case.end),
        ).held_out
        for split, end in ends.items()
    ]
    assert [held.split for held in measured] == list(ends)
    assert measured[0].metrics == measured[1].metrics
    assert measured[0].metrics["roc_auc"] > 0.8


def test_the_reference_has_a_bin_for_the_unknown_and_for_each_category(case: UseCase, bundle: Bundle) -> None:
    dish = bundle.reference.features["dish"]
    assert list(dish.edges) == [0, 1, 2, 3]
    chosen = (case.history.events.times >= case.start) & (case.history.events.times < case.end)
    dishes = case.history.events.columns["dish"][chosen]
    known = training_categories(case.definition, case.history, case.start, case.end)["dish"]
    assert list(dish.counts) == [dishes.tolist().count(one) for one in ("rare", *known)]
    assert dish.missing == dishes.tolist().count(None)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda held: held.pop("dish"), "does not name the categories of dish"),
        (lambda held: held.update(price=["a"]), "names categories of price, which is not a categorical"),
        (lambda held: held.update(dish=["a", "a"]), "names a category of dish twice"),
        (lambda held: held.update(dish=[f"{i}" for i in range(10_001)]), "10001 categories of dish"),
        (lambda held: held.update(dish=[1, 2]), "Expected `str`"),
    ],
)
def test_categories_that_do_not_fit_the_definition_are_refused(
    copied: Path, change: Callable[[Any], Any], cause: str
) -> None:
    edit(copied / "categories.json", change)
    reseal(copied)
    error = refusal(copied)
    assert error.file == copied / "categories.json"
    assert cause in error.cause


def test_categories_in_another_order_are_refused_by_the_golden_cases(copied: Path) -> None:
    edit(copied / "categories.json", lambda held: held["dish"].reverse())
    reseal(copied)
    assert refusal(copied).file == copied / "golden.json"


def test_a_bundle_without_its_categories_is_refused(copied: Path) -> None:
    (copied / "categories.json").unlink()
    edit(copied / "manifest.json", lambda manifest: manifest["files"].pop("categories.json"))
    assert "does not name categories.json" in refusal(copied).cause


def test_a_bundle_of_the_format_before_had_no_categories(copied: Path) -> None:
    (copied / "categories.json").unlink()
    edit(copied / "manifest.json", lambda manifest: manifest["files"].pop("categories.json"))
    edit(copied / "manifest.json", lambda manifest: manifest.update(format=1))
    with pytest.raises(BundleRefused, match="fingerprint"):
        load_bundle(copied)


def test_golden_cases_hold_texts_and_what_was_looked_up(trained: Path) -> None:
    cases = json.loads((trained / "golden.json").read_bytes())["cases"]
    assert {case["input"]["fields"]["dish"] for case in cases} > {"bread", "pie"}
    assert len({case["input"]["lookups"]["guest_tier"] for case in cases}) > 2
    assert {case["decision"] for case in cases} == {"serve", "ask"}
