"""How exact rows are, and what stands in for missing values."""

# ruff: noqa: E501  a problem is one line, and stands here as people read it

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition.lengths import MS
from features.definition.model import RowSchema
from features.definition.rows import TILES, default_resolution
from tests.features.definition_texts import SECTIONS, SEQUENCE, problems, read, window_problems, windows

HOUR, DAY = MS["h"], MS["d"]
WINDOW = "entity: buyer, spans: [30d], aggregates: [count, mean(price)]"


def only_row(window: str, **sections: str) -> RowSchema:
    (row,) = windows(window, **sections).rows
    return row


@pytest.mark.parametrize(
    ("span", "resolution"),
    [("30d", "1h"), ("7d", "10m"), ("1d", "2m"), ("365d", "12h"), ("2s", "2ms"), ("9999999d", "10000d")],
)
def test_tiles_are_as_long_as_is_neat_for_what_the_windows_reach(span: str, resolution: str) -> None:
    row = only_row(f"entity: buyer, spans: [1s, {span}], aggregates: [count]")
    assert row.resolution == MS[resolution.lstrip("0123456789")] * int(resolution.rstrip("dhms"))


@given(st.integers(1, 2 * 9_999_999 * DAY), st.booleans())
def test_any_reach_makes_a_bounded_number_of_tiles(reach: int, is_sequence: bool) -> None:
    tiles = reach / default_resolution(reach, is_sequence)
    assert tiles <= TILES
    assert tiles >= TILES / 2.5 or reach < TILES


def test_a_sequence_has_tiles_of_a_power_of_two() -> None:
    row = only_row("entity: pump, spans: [2000], delay: 50, aggregates: [count]", **SEQUENCE)
    assert (row.reach, row.resolution) == (2050, 4)


def test_windows_in_event_counts_need_no_tiles() -> None:
    row = only_row("entity: buyer, spans: [30 events], aggregates: [count]")
    assert (row.reach, row.resolution) == (0, 0)


def test_the_delay_counts_to_the_reach_and_label_rows_know_how_late_labels_are() -> None:
    definition = windows("entity: buyer, spans: [30d], delay: 7d, aggregates: [count, mean(label)]")
    assert [(row.reach, row.delay) for row in definition.rows] == [(37 * DAY, 0), (37 * DAY, 7 * DAY)]


def test_the_file_says_how_exact_all_rows_are() -> None:
    definition = read(
        rows="{exact: 1000, resolution: 15m}",
        features="""
  - window: {entity: buyer, spans: [30d], aggregates: [count]}
  - window: {entity: shop, spans: [1d, 1000 events], aggregates: [count]}""",
    )
    assert [(row.exact, row.resolution) for row in definition.rows] == [(1000, 15 * MS["m"])] * 2
    assert read(rows="{exact: 1000}", features=f"[{{window: {{{WINDOW}}}}}]").rows[0].resolution == HOUR


def test_a_window_in_events_is_no_longer_than_rows_are_exact() -> None:
    window = "entity: buyer, spans: [300 events], aggregates: [count]"
    assert window_problems(window) == [
        "300 events: a window holds at most 256 events; take fewer, or a span of time, or write `rows: {exact: 300}`"
    ]
    assert window_problems(window, rows="{exact: 299}")[0].startswith(
        "300 events: a window holds at most 299"
    )
    assert window_problems(window, rows="{exact: 300}") == []
    assert window_problems(window, rows="{exact: 3}") == [
        "3: input should be greater than or equal to 256; mend the value"
    ]
    assert window_problems(window.replace("300", "65537"), rows="{exact: 65536}") == [
        "65537 events: a window holds at most 65536 events; take fewer, or a span of time"
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("{exact: 65537}", "65537: input should be less than or equal to 65536; mend the value"),
        ("{exact: 300.5}", "300.5: a number stands where a whole number is expected; write a whole number"),
        ("{resolution: 1 hour}", "1 hour: not a length of time; write a duration: a whole number and ms, s, m, h or d, such as 7d"),
        ("{resolution: 0}", "0: not a length; write how far an edge may be off, or take it out"),
        ("{resolution: 7}", "7: a number without a unit; write the unit, such as 7d"),
        ("{resolution: 31d}", "31d: longer than the windows of an entity reach back; make it shorter, or take it out"),
        ("{resolution: 1m}", "1m: the longest window has more than 16,384 of these; make it longer, or take it out"),
        ("{resolutoin: 1m}", "resolutoin: no such key here; did you mean `resolution`?"),
        ("1h", "1h: a text stands where a mapping is expected; write a mapping: {key: value}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_rows_is_told_with_its_mend(rows: str, expected: str) -> None:
    assert window_problems(WINDOW, rows=rows) == [expected]


def test_rows_that_nothing_needs_are_refused() -> None:
    assert problems(rows="{exact: 300}") == ["rows: there is no window, so no rows are kept; take it out"]
    assert window_problems(
        "entity: buyer, spans: [30 events], aggregates: [count]", rows="{resolution: 1h}"
    ) == ["resolution: no window over time needs this; take it out; windows in event counts are always exact"]


def with_price(spec: str) -> str:
    return SECTIONS["event"].replace("price: float64", f"price: {spec}")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{type: float64, missing: {default: 1.5}}", 1.5),
        ("{type: float64, missing: {default: 2}}", 2.0),
        ("{type: int64, missing: {default: -1}}", -1.0),
        ("{type: bool, missing: {default: true}}", 1.0),
        ("{type: string, missing: {default: none}}", "none"),
        ("{type: string, missing: {default: ''}}", ""),
    ],
)
def test_a_default_is_kept_as_columns_hold_it(spec: str, expected: object) -> None:
    field = read(event=with_price(spec), features="[{name: one, sql: '1'}]").field("price")
    assert (field.missing, field.default) == ("default", expected)
    assert type(field.default) is type(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{type: float64, missing: {default: many}}", "many: not a value of a float64; mend the value, or the type"),
        ("{type: float64, missing: {default: true}}", "true: not a value of a float64; mend the value, or the type"),
        ("{type: int64, missing: {default: 1.5}}", "1.5: not a value of a int64; mend the value, or the type"),
        ("{type: bool, missing: {default: 1}}", "1: not a value of a bool; mend the value, or the type"),
        ("{type: string, missing: {default: 1}}", "1: not a value of a string; mend the value, or the type"),
        ("{type: float64, missing: {default: [1]}}", "[1]: not a value of a field; write a number, true, false or a text"),
        ("{type: float64, missing: {}}", "missing: `default` is missing; add `default: 0`"),
        ("{type: float64, missing: {defalt: 0, default: 0}}", "defalt: no such key here; did you mean `default`?"),
        ("{type: float64, missing: maybe}", "maybe: not one of the values this can have; choose from `reject`, `stamp`, `allow`"),
        ("{type: float64, min: 1, missing: {default: 0}}", "0: is out of the field's own range; mend the value, or the range"),
        ("{type: int64, max: 1, missing: {default: 2}}", "2: is out of the field's own range; mend the value, or the range"),
        ("{type: timestamp, missing: {default: 0}}", "0: a timestamp has no default; write reject, stamp or allow"),
    ],
)  # fmt: skip
def test_a_default_must_be_a_value_of_its_field(spec: str, expected: str) -> None:
    assert problems(event=with_price(spec), features="[{name: one, sql: '1'}]") == [expected]


def test_a_part_of_a_key_has_no_default() -> None:
    keyed = SECTIONS["event"].replace("shop: int64", "shop: {type: int64, missing: {default: 0}}")
    assert problems(event=keyed) == [
        "shop: this field has a default, which would be one entity of all events that lack it; write `missing: allow` for `shop`"
    ]
    buyer = SECTIONS["event"].replace("buyer: string", "buyer: {type: string, missing: {default: a}}")
    (found,) = problems(event=buyer)
    assert found.startswith("{default: …}: an event without its id, time or topic key is no event; ")
