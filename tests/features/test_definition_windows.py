"""Windows: names, order, and what each of their keys means."""

# ruff: noqa: E501  a problem is one line, and stands here as people read it

import math

import pytest

from features.definition import Definition
from features.definition.model import RowKind, RowSchema, WindowFeature
from tests.features.definition_texts import CLASSES, SEQUENCE, problems, read, window_problems, windows

MINUTE, DAY = 60_000, 86_400_000


def by_name(definition: Definition) -> dict[str, WindowFeature]:
    return {window.name: window for window in definition.windows}


def test_names_tell_entity_aggregate_field_span_and_delay() -> None:
    first = windows("entity: buyer, spans: [7d], aggregates: [count, mean(price)]")
    assert first.feature_names == ("buyer_count_7d", "buyer_mean_price_7d")
    second = windows("entity: shop, spans: [1d], delay: 7d, aggregates: [count, count(label), mean(label)]")
    assert second.feature_names == (
        "shop_count_1d_delay_7d",
        "shop_count_label_1d_delay_7d",
        "shop_mean_label_1d_delay_7d",
    )
    third = windows("entity: shop, spans: [30 events], aggregates: [time_since_last]")
    assert third.feature_names == ("shop_time_since_last_30_events",)


def test_spans_come_before_aggregates_and_these_before_the_fields_of_of() -> None:
    names = windows(
        "entity: buyer, spans: [1d, 2d], aggregates: [mean, max, count], of: [price, shop]"
    ).feature_names
    assert names[:5] == (
        "buyer_mean_price_1d",
        "buyer_mean_shop_1d",
        "buyer_max_price_1d",
        "buyer_max_shop_1d",
        "buyer_count_1d",
    )
    assert names[5] == "buyer_mean_price_2d"


def test_a_name_takes_the_place_of_the_entity() -> None:
    names = windows("entity: buyer, spans: [1d], aggregates: [count], where: gift, name: gifts").feature_names
    assert names == ("gifts_count_1d",)


@pytest.mark.parametrize(
    ("span", "kind", "length"),
    [
        ("500ms", "time", 500),
        ("30s", "time", 30_000),
        ("15m", "time", 900_000),
        ("1h", "time", 3_600_000),
        ("7d", "time", 7 * DAY),
        ("30 events", "events", 30),
        ("1 event", "events", 1),
    ],
)
def test_spans_are_durations_or_numbers_of_events(span: str, kind: str, length: int) -> None:
    (window,) = windows(f"entity: buyer, spans: [{span}], aggregates: [count]").windows
    assert (window.span.kind, window.span.length) == (kind, length)


def test_spans_and_delays_of_a_sequence_are_steps_of_it() -> None:
    definition = windows("entity: pump, spans: [50], delay: 10, aggregates: [mean(pressure)]", **SEQUENCE)
    (window,) = definition.windows
    assert window.name == "pump_mean_pressure_50_delay_10"
    assert (window.span.kind, window.span.length, window.delay) == ("time", 50, 10)
    assert (definition.retention, definition.grace) == (60, 0)


def test_lengths_of_the_other_kind_of_time_are_refused() -> None:
    assert window_problems("entity: pump, spans: [7d], aggregates: [count]", **SEQUENCE) == [
        "7d: this use case has no clock; write a whole number: steps of the sequence"
    ]
    assert window_problems("entity: buyer, spans: [7], delay: 1, aggregates: [count]") == [
        "7: a number without a unit; write the unit, such as 7d",
        "1: a number without a unit; write the unit, such as 1d",
    ]


def test_a_window_must_stay_within_the_unit_whose_sequence_it_counts() -> None:
    found = window_problems("entity: plant, spans: [50], aggregates: [count]", **SEQUENCE)
    assert found == [
        (
            "plant: the sequence runs per `pump`, and this entity may have events of several; "
            "use an entity that has `pump` among its fields"
        )
    ]


def test_the_event_itself_counts_unless_delayed_excluded_or_a_label() -> None:
    label = "{field: returned}"
    plain = by_name(
        windows("entity: buyer, spans: [1d], aggregates: [count, time_since_last, mean(label)]", label=label)
    )
    assert plain["buyer_count_1d"].include_current
    assert not plain["buyer_time_since_last_1d"].include_current
    assert not plain["buyer_mean_label_1d"].include_current
    assert (
        not windows("entity: buyer, spans: [1d], aggregates: [count], current: exclude")
        .windows[0]
        .include_current
    )
    assert (
        not windows("entity: buyer, spans: [1d], aggregates: [count], delay: 1d").windows[0].include_current
    )


def test_including_the_event_in_a_window_that_ends_before_it_is_refused() -> None:
    found = window_problems("entity: buyer, spans: [1d], aggregates: [count], delay: 1d, current: include")
    assert found == [
        "include: the event itself is never in a window that ends before it; take `current` or `delay` out"
    ]


def test_an_empty_window_is_missing_unless_the_definition_says_otherwise_and_counts_are_zero() -> None:
    text = "entity: buyer, spans: [1d], aggregates: [count, count(label), distinct_count(kind), sum(price)]"
    unsaid = by_name(windows(text))
    said = by_name(windows(f"{text}, empty: 5"))
    assert math.isnan(unsaid["buyer_sum_price_1d"].empty)
    assert said["buyer_sum_price_1d"].empty == 5
    for name in ("buyer_count_1d", "buyer_count_label_1d", "buyer_distinct_count_kind_1d"):
        assert unsaid[name].empty == said[name].empty == 0


def test_the_deviation_of_one_value_is_zero_unless_it_is_said_to_be_missing() -> None:
    text = "entity: buyer, spans: [1d], aggregates: [std(price)]"
    assert windows(text).windows[0].std_of_one == 0
    assert math.isnan(windows(f"{text}, std_of_one: nan").windows[0].std_of_one)


def test_aggregates_of_the_label_read_label_rows_and_all_others_event_rows() -> None:
    kinds = by_name(
        windows("entity: buyer, spans: [1d], aggregates: [count, count(label), max(label), max(price)]")
    )
    assert {name: (window.kind, window.column) for name, window in kinds.items()} == {
        "buyer_count_1d": (RowKind.EVENTS, None),
        "buyer_count_label_1d": (RowKind.LABELS, "label"),
        "buyer_max_label_1d": (RowKind.LABELS, "label"),
        "buyer_max_price_1d": (RowKind.EVENTS, "price"),
    }


def test_rows_keep_what_the_windows_of_an_entity_need_once_and_sorted() -> None:
    definition = read(
        features="""
  - window: {entity: shop, spans: [1d], aggregates: [count]}
  - window: {entity: buyer, spans: [1d], aggregates: [mean(price), sum(price), max(gift)]}
  - window: {entity: buyer, spans: [2d], name: dear, aggregates: [count, mean(label)]}
  - window: {entity: buyer, spans: [2d], name: high, where: "price  >  9", aggregates: [count]}
  - window: {entity: buyer, spans: [3d], name: higher, where: (price > 9), aggregates: [count]}"""
    )
    assert definition.rows == (
        RowSchema(
            "buyer",
            RowKind.EVENTS,
            ("gift", "price", "price > 9"),
            conditions=("price > 9",),
            resolution=5 * MINUTE,
            reach=3 * DAY,
        ),
        RowSchema("buyer", RowKind.LABELS, ("label",), resolution=5 * MINUTE, reach=2 * DAY, delay=7 * DAY),
        RowSchema("shop", RowKind.EVENTS, (), resolution=2 * MINUTE, reach=DAY),
    )
    assert list(definition.row_conditions) == ["price > 9"]
    assert [window.where for window in definition.windows[-2:]] == ["price > 9", "price > 9"]


def test_retention_is_the_farthest_that_any_window_over_time_reaches() -> None:
    definition = read(
        features="""
  - window: {entity: buyer, spans: [3d], delay: 7d, aggregates: [count]}
  - window: {entity: shop, spans: [9d, 5 events], aggregates: [count]}"""
    )
    assert definition.retention == 10 * DAY


def test_rows_live_by_idle_only_where_no_window_over_clock_time_bounds_them() -> None:
    events = "entity: buyer, spans: [5 events], aggregates: [count]"
    assert windows("entity: buyer, spans: [1d], aggregates: [count]").idle is None
    assert windows(events).idle == 30 * DAY
    assert windows(events, idle="2h").idle == 7_200_000
    assert windows("entity: buyer, spans: [60d, 5 events], aggregates: [count]").idle == 60 * DAY + 3_600_000
    assert windows("entity: pump, spans: [50], aggregates: [count]", **SEQUENCE).idle == 30 * DAY


def test_an_idle_that_means_nothing_or_would_lose_entries_is_refused() -> None:
    assert window_problems("entity: buyer, spans: [1d], aggregates: [count]", idle="3d") == [
        "idle: no window needs this; take it out; windows over time know how long rows are needed"
    ]
    assert window_problems("entity: buyer, spans: [9d, 5 events], aggregates: [count]", idle="9d") == [
        "9d: rows would be gone before the longest window and the grace period are over; make it longer"
    ]
    assert window_problems("entity: pump, spans: [50], aggregates: [count]", **SEQUENCE, idle="90") == [
        "90: not a duration of the clock; write a duration such as 30d"
    ]


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ("aggregates: [mean]", "mean: mean of what?; write mean(field), or name the fields in `of: […]`"),
        ("aggregates: [median(price)]", "median(price): no such aggregate; did you mean `mean`?"),
        ("aggregates: [count(price)]", "count(price): count takes no field; write count, or count(label) for labelled events"),
        ("aggregates: [time_since_last(label)]", "time_since_last(label): time_since_last takes no field; write time_since_last"),
        ("aggregates: ['mean(price']", "mean(price: no such aggregate; choose from `count`, `sum`, `mean`, `min`, `max`, `std`, `distinct_count`, `first`, `last`, `time_since_last`"),
        ("aggregates: [mean(prise)]", "prise: no such field; did you mean `price`?"),
        ("aggregates: [max(kind)]", "kind: max of a string is nothing; only distinct_count takes a string"),
        ("aggregates: [last(placed_at)]", "placed_at: last of a timestamp is nothing; use time_since_last for times"),
        ("aggregates: [count], of: [price]", "of: no aggregate takes its field from here; write an aggregate without a field, such as mean, or take `of` out"),
        ("aggregates: []", "aggregates: is empty; name at least one, or take the key out"),
        ("aggregates: [count], where: gift", "where: with a condition the features need a name of their own; add `name: …`, which stands for the entity in their names"),
        ("aggregates: [count], where: price, name: x", "price: this gives a number, not true or false; compare it with something"),
        ("aggregates: [mean(label)], where: gift, name: x", "gift: labels carry no fields, so no condition can hold for them; take mean(label) into a window of its own, without `where`"),
        ("aggregates: [count, count]", "buyer_count_1d: the feature is there already, from 16:21; take one of them out, or give its window a `name`"),
    ],
)  # fmt: skip
def test_a_window_that_means_nothing_is_refused(window: str, problem: str) -> None:
    assert window_problems(f"entity: buyer, spans: [1d], {window}") == [problem]


@pytest.mark.parametrize(
    "span", ["0d", "07d", "1.5d", "-1d", "d", "7 d", "1w", "0 events", "257 events", "true", "1d2h"]
)
def test_what_is_no_span_is_refused(span: str) -> None:
    found = window_problems(f"entity: buyer, spans: [{span}], aggregates: [count]")
    assert len(found) == 1
    assert found[0].startswith(f"{span}: ")


def test_only_labels_that_are_records_and_numbers_can_be_aggregated() -> None:
    window = "entity: buyer, spans: [1d], aggregates: [mean(label)]"
    unlabelled = window_problems(window, label=None)
    assert unlabelled == [
        (
            "mean(label): only labels that come as records of their own can be aggregated; "
            "declare `label: {field: …}`, or take it out"
        )
    ]
    derived = window_problems("entity: pump, spans: [9], aggregates: [mean(label)]", **SEQUENCE)
    assert derived == unlabelled
    assert window_problems(window, **CLASSES) == [
        "mean(label): classes are no numbers; only count(label) is possible"
    ]
    assert not window_problems("entity: buyer, spans: [1d], aggregates: [count(label)]", **CLASSES)


def test_a_feature_may_not_take_the_name_of_a_field_or_of_what_decisions_read() -> None:
    assert problems(features="[{name: price, sql: '1 + shop'}, {name: score, sql: '1 + shop'}]") == [
        "price: a field has this name; name the feature otherwise",
        "score: the name is taken: the score in decisions; name the feature otherwise",
    ]


def test_an_expression_may_read_fields_and_only_the_features_before_it() -> None:
    definition = read(
        features="""
  - window: {entity: buyer, spans: [1d], aggregates: [mean(price)]}
  - {name: ratio, sql: price / buyer_mean_price_1d}
  - {name: high, sql: ratio > 2 AND gift}"""
    )
    assert definition.feature_names == ("buyer_mean_price_1d", "ratio", "high")
    found = problems(features="[{name: twice, sql: once * 2}, {name: once, sql: price + 1}]")
    assert len(found) == 1
    assert found[0].startswith("once: no field or feature has this name")


def test_a_feature_must_be_a_number_or_a_condition() -> None:
    assert problems(features="[{fields: [kind, placed_at]}, {name: small, sql: LOWER(kind)}]") == [
        "kind: a string cannot be a feature as it is; take it as a category with `categories`, or make it a number with `sql`",
        "placed_at: a timestamp cannot be a feature as it is; take a part of it: EXTRACT(hour FROM …)",
        "LOWER(kind): this gives a string, not a number; a feature is a number or a condition",
    ]
