"""Event, entities, label, and the rest of what comes in: meaning, defaults, refusals."""

# ruff: noqa: E501  a problem is one line, and stands here as people read it

from typing import Any

import pytest

from features.definition.model import DerivedLabel, Entity, EventTime, RecordLabel
from tests.features.definition_texts import CLASSES, REGRESSION, SECTIONS, SEQUENCE, problems, read

DAY = 86_400_000


def event_with(fields: str, **event: str) -> str:
    parts = {"id": "order_id", "time": "{field: placed_at, unit: ms}", **event}
    body = "".join(f", {name}: {text}" for name, text in parts.items())
    return (
        f"{{fields: {{order_id: string, placed_at: timestamp, buyer: string, shop: int64, {fields}}}{body}}}"
    )


def test_what_is_not_said_has_its_documented_default() -> None:
    definition = read()
    assert (definition.timezone, definition.score_when, definition.grace) == ("UTC", None, 3_600_000)
    assert (definition.control, definition.history_none, definition.idle) == (0.0, False, None)
    assert (definition.output.include, definition.output.features) == ((), 1.0)
    assert (definition.training.rounds, definition.training.parameters) == (200, {})
    evaluation = definition.evaluation
    assert (evaluation.split, evaluation.gap, evaluation.rows) == ("time", 7 * DAY, "all")
    assert (evaluation.group, evaluation.top_k, evaluation.exclude_known) == (None, None, None)
    assert (definition.row_conditions, definition.rows, definition.retention) == ({}, (), 0)


def test_a_field_is_a_type_or_says_more() -> None:
    definition = read(
        event=event_with(
            "price: {type: float64, personal: true, min: 0, max: 9.5, missing: allow, out_of_range: clip}"
        ),
    )
    price, kind = definition.field("price"), definition.field("shop")
    assert (price.personal, price.minimum, price.maximum) == (True, 0, 9.5)
    assert (price.missing, price.out_of_range) == ("allow", "clip")
    assert (kind.personal, kind.minimum, kind.missing, kind.out_of_range) == (False, None, "stamp", "stamp")


def test_id_time_and_topic_key_are_never_missing() -> None:
    definition = read()
    needed = {field.name for field in definition.fields if field.missing == "reject"}
    assert needed == {"order_id", "placed_at", "buyer"}
    assert {field.name for field in read(**SEQUENCE).fields if field.missing == "reject"} == {"pump", "cycle"}
    found = problems(
        event=SECTIONS["event"].replace("buyer: string", "buyer: {type: string, missing: stamp}")
    )
    assert found == [
        "stamp: an event without its id, time or topic key is no event; write reject, or take the key out"
    ]


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("x: {type: int64, min: 2, max: 1}", "2: min is larger than max; mend one of the two"),
        ("x: {type: string, max: 1}", "max: a string has no range; take it out"),
        ("x: {type: float64, out_of_range: clip}", "clip: there is no range; add min or max, or take it out"),
        ("x: {type: float64, min: 1e999}", "inf: input should be a finite number; mend the value"),
        ("label: float64", "label: the name is taken: it is the label in aggregates; name the field otherwise"),
        ("score: float64", "score: the name is taken: the score in decisions; name the field otherwise"),
        ("x-y: float64", "x-y: not a name; letters, digits and _ only, no digit first"),
        ("returned: bool", "returned: a field of the event cannot be its label: the model would see what it is to predict; take it out of event.fields, or name the label otherwise"),
    ],
)  # fmt: skip
def test_a_field_that_contradicts_itself_is_refused(field: str, problem: str) -> None:
    assert problems(event=event_with(f"price: float64, {field}")) == [problem]


def test_the_words_that_decisions_read_depend_on_the_task() -> None:
    fields = event_with("price: float64, value: float64")
    assert not problems(event=fields)
    taken = problems(event=fields, task="regression", label="{field: returned}", rules="[{otherwise: 9}]")
    assert taken == ["value: the name is taken: the value in decisions; name the field otherwise"]
    classes = event_with("price: float64, score: float64, probability_small: float64")
    assert problems(event=classes, **CLASSES) == [
        "probability_small: the name is taken: a probability in decisions; name the field otherwise"
    ]


def test_time_is_a_clocks_or_a_sequences() -> None:
    assert read().time == EventTime("placed_at", "ms", None)
    assert read(**SEQUENCE).time == EventTime("cycle", None, "pump")
    assert problems(event=event_with("price: float64", time="{field: shop, unit: s}")) == [
        "shop: the event's time must be a timestamp, not int64; declare `shop: timestamp`"
    ]
    assert problems(
        event=event_with("price: float64", time="{sequence: price, per: buyer}"),
        features="[{fields: [price]}]",
        label=None,
    ) == ["price: a sequence must be an int64, not float64; declare `price: int64`"]


def test_the_first_entity_is_the_key_of_the_topic() -> None:
    definition = read(entities="{pair: [buyer, shop], shop: shop}")
    assert definition.entities == (Entity("pair", ("buyer", "shop"), True), Entity("shop", ("shop",), False))
    assert definition.topic_entity.name == "pair"


def test_keys_are_made_of_what_has_one_spelling() -> None:
    assert problems(entities="{buyer: buyer, x: [price, placed_at], y: [shop, shop]}") == [
        "price: a float64 cannot be part of a key; a key is made of string, int64, bool",
        "placed_at: a timestamp cannot be part of a key; a key is made of string, int64, bool",
        "shop: stands here twice; take one out",
    ]


def test_a_label_by_record_says_when_it_is_known_and_what_none_means() -> None:
    assert read(label="{field: returned, delay: 7d, absent: 0}").label == RecordLabel(
        "returned", 7 * DAY, 0.0, ()
    )
    assert read(label="{field: returned}").label == RecordLabel("returned", 0, None, ())
    sized = read(**{**CLASSES, "label": "{field: size, classes: [small, large], absent: large}"})
    assert sized.label == RecordLabel("size", 0, 1.0, ("small", "large"))


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("{field: returned, absent: 2}", "2: not a label of a binary task; write 0 or 1"),
        ("{field: returned, absent: no}", "no: not a label of a binary task; write 0 or 1"),
        ("{field: returned, classes: [a, b]}", "classes: a binary task has no classes; take it out"),
        ("{field: returned, delay: 5}", "5: a number without a unit; write the unit, such as 5d"),
        ("{field: returned, absent: []}", "[]: not a label; write a number, or one of the classes"),
        ("{time_to: gift, within: soon}", "soon: not a distance; write a duration such as 7d, or a number of events such as 30 events"),
        ("{time_to: gift, within: 5d, cap: 3 events}", "3 events: not a cap; write a whole number above 0, or a duration such as 125d"),
        ("{time_to: gift}", "label: a binary label needs to know how near is positive; add `within: 30 events`"),
        ("{time_to: gift, within: 5 events, cap: 9}", "cap: only a regression label has this; take it out"),
        ("{time_to: gift, within: 5 events, unit: time}", "5 events: the label counts time, this does not; write it such as 7d, or change `unit`"),
        ("{time_to: price, within: 5 events}", "price: this gives a number, not true or false; compare it with something"),
        ("{time_to: gift, field: x, within: 5d}", "field: no such key here; choose from `time_to`, `unit`, `within`, `cap`"),
    ],
)  # fmt: skip
def test_a_label_that_does_not_fit_its_task_is_refused(label: str, problem: str) -> None:
    assert problems(label=label) == [problem]


def test_a_derived_label_counts_what_its_distance_is_written_in() -> None:
    def label(text: str, **sections: str) -> DerivedLabel:
        found = read(**{**sections, "label": text}).label
        assert isinstance(found, DerivedLabel)
        return found

    by_events = label("{time_to: gift, within: 30 events}")
    assert (by_events.unit, by_events.within, by_events.cap) == ("events", 30, None)
    assert by_events.condition is not None
    assert by_events.condition.text == "gift"
    by_time = label("{time_to: end_of_entity, within: 2d}")
    assert (by_time.condition, by_time.unit, by_time.within) == (None, "time", 2 * DAY)
    steps = label("{time_to: end_of_entity, unit: time, within: 30}", **SEQUENCE)
    assert (steps.unit, steps.within) == ("time", 30)
    capped = label("{time_to: broken, cap: 125}", **REGRESSION)
    assert (capped.unit, capped.within, capped.cap) == ("events", None, 125.0)


def test_a_regression_has_no_within_and_a_multiclass_task_no_derived_label() -> None:
    assert problems(**{**REGRESSION, "label": "{time_to: broken, within: 3 events}"}) == [
        "within: only a binary label has this; take it out"
    ]
    found = problems(**{**CLASSES, "label": "{time_to: gift}"})
    assert found == ["time_to: a distance is no class; use task binary with `within`, or regression"]
    assert problems(**{**CLASSES, "label": None}) == [
        "multiclass: a multiclass task needs to know its classes; add `label: {field: …, classes: […]}`"
    ]
    assert problems(**{**CLASSES, "label": "{field: size, classes: [a, a], absent: b}"}) == [
        "a: stands here twice; take one out",
        "b: not one of the classes; write one of `classes`",
    ]
    assert problems(**{**CLASSES, "label": "{field: size, classes: [a]}"}) == [
        "label: a multiclass task needs its classes; add `classes: [a, b, …]`"
    ]


def test_history_none_says_that_there_never_was_more() -> None:
    assert read(history="none").history_none
    assert len(problems(history="all")) == 1


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"name": "9lives"}, "9lives: not a name; begin with a small letter; small letters, digits and _ only"),
        ({"output": "{include: [price, price, nope]}"}, "price: stands here twice; take one out"),
        ({"grace": "1 hour"}, "1 hour: not a length of time; write a duration: a whole number and ms, s, m, h or d, such as 7d"),
    ],
)  # fmt: skip
def test_the_rest_of_the_file_is_checked_too(sections: dict[str, Any], problem: str) -> None:
    assert problem in problems(**sections)


def test_a_name_is_at_most_40_characters_long() -> None:
    assert read(name="a" * 40).name == "a" * 40
    assert len(problems(name="a" * 41)) == 1


def test_a_time_zone_must_be_known() -> None:
    zoned = SECTIONS["event"].replace("  id:", "  timezone: Europe/Paris\n  id:")
    assert read(event=zoned).timezone == "Europe/Paris"
    assert problems(event=zoned.replace("Paris", "Pariss")) == [
        "Europe/Pariss: no such time zone; did you mean `Europe/Paris`?"
    ]


def test_score_when_is_a_condition_over_fields() -> None:
    chosen = SECTIONS["event"].replace("  id:", "  score_when: kind = 'sale'\n  id:")
    condition = read(event=chosen).score_when
    assert condition is not None
    assert condition.text == "kind = 'sale'"
