"""The checker finds what is wrong: outputs of a faultless run, doctored one way at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from features.arrays import Floats
from features.past.offline import point_in_time_matrix
from stream.pipeline.causes import Cause
from tests.chaos.harness.audit import Account, account
from tests.chaos.harness.books import Planned, Sent
from tests.chaos.harness.oddities import HOSTILE, POISON, hostile, poisoned
from tests.chaos.harness.outputs import Letter, Predicted
from tests.chaos.harness.stamps import Circumstances, Span, Verdict, judge
from tests.chaos.harness.truth import Truth
from tests.chaos.harness.usecase import FEATURES, TEXT, rule_of
from tests.integration.usecase import Visit, definition_named, history_of

START_MS = 1_700_000_000_000
STEP_MS = 700
NAN = float("nan")


def visits(count: int = 200) -> list[Visit]:
    """In order, none at the same time; of five people and three doors."""
    draw = np.random.default_rng(3)
    return [
        Visit(
            visit=f"v-{at}",
            at=START_MS + at * STEP_MS,
            person=f"p{draw.integers(5)}",
            door=None if draw.random() < 0.1 else f"d{draw.integers(3)}",
            weight=float(draw.integers(8 * 1024)) / 1024,
        )
        for at in range(count)
    ]


def sent(given: Sequence[Visit]) -> list[Sent]:
    """Everything in one partition, and two records of poison at the end."""
    events = [
        Sent.of(Planned("event", 0, v.person.encode(), None, [], v, None), at, v.at, is_late=False)
        for at, v in enumerate(given)
    ]
    base = Planned("event", 0, b"k", b"v", [("own", b"1")], given[0], None)
    poison = [poisoned(base, kind) for kind in ("not json", "tombstone")]
    later = [Sent.of(p, len(events) + at, START_MS, is_late=False) for at, p in enumerate(poison)]
    return [*events, *later]


def model(matrix: Floats) -> Floats:
    """A stand-in for a bundle: any function of the features."""
    return np.asarray(np.nan_to_num(matrix).sum(axis=1) / 1e6)


def predictions(given: Sequence[Visit]) -> list[Predicted]:
    """As a faultless worker gives them, from the offline computation; the checker shares no code with it."""
    definition = definition_named("visits", TEXT)
    history = history_of(definition, given)
    place = {visit: at for at, visit in enumerate(history.events.ids)}
    matrix = point_in_time_matrix(definition, history, np.array([place[v.visit] for v in given]))
    return [
        Predicted(
            of=(0, at),
            partition=0,
            read_ms=v.at + 10,
            key=v.person.encode(),
            event_id=v.visit,
            event_time=v.at,
            entity_key=v.person,
            topic="events",
            score=float(model(matrix[at : at + 1])[0]),
            decision="go",
            source="model",
            version="v1",
            degradations=() if v.door is not None else ("key_missing",),
            features=tuple(matrix[at].tolist()),
            scored_at=v.at + 6_000,
        )
        for at, v in enumerate(given)
    ]


def letters(books: Sequence[Sent]) -> list[Letter]:
    return [
        Letter(
            one.position,
            START_MS,
            one.key,
            one.value,
            [*one.headers, ("riverrun.reason", one.reason.encode())],
        )
        for one in books
        if one.reason is not None
    ]


VISITS = visits()
BOOKS = sent(VISITS)
PREDICTED = predictions(VISITS)
LETTERS = letters(BOOKS)


def verdict(made: Sequence[Predicted], *spans: Span) -> Verdict:
    return judge(BOOKS, made, Truth(BOOKS), Circumstances(spans, {"v1": model}))


def counts(found: Account) -> dict[str, int]:
    kinds = ("lost", "duplicated", "disordered", "wrongly_lettered", "strangers")
    return {kind: getattr(found, kind).count for kind in kinds if getattr(found, kind).count}


def doctored(at: int, **changes: object) -> list[Predicted]:
    made = list(PREDICTED)
    made[at] = replace(made[at], **changes)  # type: ignore[arg-type]  # whatever the test says
    return made


def with_feature(at: int, name: str, value: float) -> list[Predicted]:
    """Another value, and the score that the model gives for it."""
    features = list(PREDICTED[at].features)
    features[FEATURES.index(name)] = value
    score = float(model(np.array([features]))[0])
    return doctored(at, features=tuple(features), score=score)


def with_a_door(least: int) -> int:
    """An event whose door was opened before."""
    return next(
        at
        for at, p in enumerate(PREDICTED)
        if at >= least and p.features[FEATURES.index("door_count_1m_delay_10s")] > 0
    )


# ------------------------------------------------------------------------------------------------ accounts


def test_a_faultless_run_has_nothing_against_it() -> None:
    found = account(BOOKS, PREDICTED, LETTERS)
    assert counts(found) == {}
    assert (found.events, found.poison) == (len(VISITS), 2)
    judged = verdict(PREDICTED)
    assert judged.false_stamps.count == 0, judged.false_stamps.examples
    assert judged.clean == len(VISITS)
    assert not judged.unexplained


def test_a_removed_prediction_is_lost() -> None:
    assert counts(account(BOOKS, PREDICTED[:50] + PREDICTED[51:], LETTERS)) == {"lost": 1}


def test_a_removed_dead_letter_is_lost() -> None:
    assert counts(account(BOOKS, PREDICTED, LETTERS[1:])) == {"lost": 1}


def test_a_doubled_prediction_is_duplicated() -> None:
    assert counts(account(BOOKS, [*PREDICTED, PREDICTED[7]], LETTERS)) == {"duplicated": 1}


def test_a_doubled_dead_letter_is_duplicated() -> None:
    assert counts(account(BOOKS, PREDICTED, [*LETTERS, LETTERS[0]])) == {"duplicated": 1}


def test_two_swapped_predictions_of_a_key_are_out_of_order() -> None:
    first = 20
    second = next(at for at in range(first + 1, 200) if PREDICTED[at].key == PREDICTED[first].key)
    made = list(PREDICTED)
    made[first], made[second] = made[second], made[first]
    assert counts(account(BOOKS, made, LETTERS)) == {"disordered": 1}


def test_what_is_repeated_later_is_no_disorder() -> None:
    made = [*PREDICTED, *PREDICTED[100:]]
    assert counts(account(BOOKS, made, LETTERS)) == {"duplicated": 100}


def test_keys_and_partitions_have_no_order_among_each_other() -> None:
    of_keys = sorted(PREDICTED, key=lambda p: (p.key or b"", p.of))
    assert counts(account(BOOKS, of_keys, LETTERS)) == {}


def test_an_event_that_is_dead_lettered_is_lost_and_wrongly_lettered() -> None:
    letter = Letter((0, 3), START_MS, b"k", b"v", [("riverrun.reason", b"not_json")])
    found = account(BOOKS, PREDICTED[:3] + PREDICTED[4:], [*LETTERS, letter])
    assert counts(found) == {"lost": 1, "wrongly_lettered": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": [("own", b"1"), ("riverrun.reason", b"too_deep")]},
        {"value": b"other"},
        {"key": None},
        {"headers": [("riverrun.reason", b"not_json")]},
    ],
    ids=["reason", "value", "key", "headers"],
)
def test_a_dead_letter_that_is_not_what_was_sent_is_found(changes: dict[str, object]) -> None:
    changed = replace(LETTERS[0], **changes)  # type: ignore[arg-type]  # whatever the test says
    assert counts(account(BOOKS, PREDICTED, [changed, *LETTERS[1:]])) == {"wrongly_lettered": 1}


def test_a_cut_dead_letter_is_as_good_as_a_whole_one() -> None:
    whole = LETTERS[0]
    cut = replace(
        whole, value=(whole.value or b"")[:3], headers=[*whole.headers, ("riverrun.cut", b"sha256=0 bytes=9")]
    )
    assert counts(account(BOOKS, PREDICTED, [cut, *LETTERS[1:]])) == {}


@pytest.mark.parametrize(
    "changes", [{"event_id": "v-9"}, {"event_time": 1}, {"entity_key": "p"}, {"key": b"p"}]
)
def test_a_prediction_under_another_name_is_a_stranger(changes: dict[str, object]) -> None:
    assert counts(account(BOOKS, doctored(5, **changes), LETTERS))["strangers"] == 1


def test_predictions_of_poison_and_of_nothing_are_strangers() -> None:
    made = [*PREDICTED, replace(PREDICTED[0], of=(0, 200)), replace(PREDICTED[0], of=(9, 9))]
    assert counts(account(BOOKS, made, LETTERS)) == {"strangers": 2}


# -------------------------------------------------------------------------------------------------- stamps


@pytest.mark.parametrize("name", FEATURES[1:])
def test_a_wrong_value_with_a_clean_stamp_is_false(name: str) -> None:
    at = with_a_door(100)
    right = PREDICTED[at].features[FEATURES.index(name)]
    assert verdict(with_feature(at, name, right - 1)).false_stamps.count == 1
    assert verdict(with_feature(at, name, right + 1)).false_stamps.count == 1
    assert verdict(with_feature(at, name, NAN)).false_stamps.count == 1


def test_a_degradation_that_nothing_led_to_is_false() -> None:
    for cause in ("rebuilding", "row_corrupt", "cold", "no_model", "key_missing", "trimmed", "model_error"):
        assert verdict(doctored(with_a_door(100), degradations=(cause,))).false_stamps.count == 1, cause


def test_a_degradation_that_a_fault_leads_to_is_true() -> None:
    at = with_a_door(100)
    made = doctored(
        at,
        degradations=("row_corrupt",),
        features=(PREDICTED[at].features[0], *[NAN] * 5),
        score=model(np.array([[PREDICTED[at].features[0]]]))[0],
    )
    then = PREDICTED[at].scored_at
    assert verdict(made).false_stamps.count == 1
    assert (
        verdict(
            made, Span("rows corrupt", then - 99_000, then - 98_000, Cause.ROW_CORRUPT)
        ).false_stamps.count
        == 1
    )
    assert verdict(made, Span("rows corrupt", then - 1, then, Cause.ROW_CORRUPT)).false_stamps.count == 0
    before = Span("rows corrupt", then - 99_000, then - 98_000, Cause.ROW_CORRUPT, for_good=True)
    assert verdict(made, before).false_stamps.count == 0


def test_what_a_worker_measured_itself_is_unexplained_unless_something_happened() -> None:
    at = with_a_door(100)
    then = PREDICTED[at].scored_at
    made = doctored(at, degradations=("behind",))
    assert verdict(made).unexplained == {"behind": 1}
    assert verdict(made).false_stamps.count == 0
    assert not verdict(made, Span("materializer killed", then - 1, then, Cause.BEHIND)).unexplained


@pytest.mark.parametrize(("name", "false"), [("door_count_1m_delay_10s", 0), ("person_count_1m", 1)])
def test_rows_that_are_behind_lack_entries_of_other_entities_only(name: str, false: int) -> None:
    at = with_a_door(100)
    made = with_feature(at, name, PREDICTED[at].features[FEATURES.index(name)] - 1)
    made[at] = replace(made[at], degradations=("behind",))
    assert verdict(made).false_stamps.count == false


def test_a_score_that_is_not_the_models_is_false() -> None:
    assert verdict(doctored(5, score=0.5)).false_stamps.count == 1


def test_a_version_that_does_not_exist_is_false() -> None:
    assert verdict(doctored(5, version="v9")).false_stamps.count == 1


@pytest.mark.parametrize("source", ["rules", "previous", "nobody"])
def test_another_source_without_a_cause_is_false(source: str) -> None:
    assert verdict(doctored(with_a_door(5), source=source)).false_stamps.count >= 1


def test_the_rules_answer_while_there_is_no_store_and_know_no_windows() -> None:
    at = with_a_door(100)
    weight = PREDICTED[at].features[0]
    features = (weight, *[NAN] * 5)
    made = doctored(
        at, source="rules", degradations=("store_down",), features=features, score=rule_of(weight)
    )
    assert verdict(made).false_stamps.count == 0
    made[at] = replace(made[at], score=0.5)
    assert verdict(made).false_stamps.count == 1
    made[at] = replace(made[at], score=rule_of(weight), features=PREDICTED[at].features)
    assert verdict(made).false_stamps.count == 1
    made[at] = replace(made[at], source="model", features=features)
    assert verdict(made).false_stamps.count >= 1


# --------------------------------------------------------------------------------------------------- truth


def test_the_harness_knows_the_features_by_their_names() -> None:
    assert definition_named("visits", TEXT).feature_names == FEATURES


def test_what_comes_from_another_partition_too_late_to_be_seen_may_be_in_a_value_or_not() -> None:
    moved = [
        replace(one, position=(1, one.position[1])) if one.position[1] % 2 else one for one in BOOKS[:200]
    ]
    at = next(at for at in range(100, 200, 2) if VISITS[at].door is not None)
    truth = Truth(moved)
    seen, unseen = truth.expected((0, at), 2**53).door, truth.expected((0, at), 0).door
    assert seen is not None
    assert unseen is not None
    assert seen.more == 0
    assert unseen.count + unseen.more == seen.count
    assert unseen.allows(seen.count, seen.total)
    assert unseen.allows(unseen.count, unseen.total)
    assert not math.isnan(seen.total)


def test_a_second_delivery_counts_once_and_sees_what_came_meanwhile() -> None:
    first = Visit("a", START_MS, "p", None, 1.0)
    between = Visit("b", START_MS - 1, "p", None, 2.0)
    again = sent([first, between, first])[:3]
    truth = Truth(again)
    assert (truth.expected((0, 0), 0).person.count, truth.expected((0, 2), 0).person.count) == (1, 2)
    assert truth.expected((0, 1), 0).person.count == 1


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_records_are_events(kind: str) -> None:
    visit = VISITS[0]
    record = visit.record()
    made = hostile(Planned("event", 0, record.key, record.value, [], visit, None), kind)
    assert made.visit is not None
    fields = msgspec.json.decode(made.value or b"")
    assert (fields["visit"], fields["weight"]) == (made.visit.visit, made.visit.weight)
    assert made.reason is None


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_no_event(kind: str) -> None:
    record = VISITS[0].record()
    made = poisoned(Planned("event", 0, record.key, record.value, [], VISITS[0], None), kind)
    assert made.visit is None
    assert made.reason is not None
