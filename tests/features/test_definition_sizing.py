"""What a use case needs of the store, at a rate and a number of entities."""

import pytest

from features.definition.model import RowKind
from features.sizing import APPEND_SLACK, KEY_OVERHEAD_BYTES, sizing
from tests.features.definition_texts import SEQUENCE, read, windows

WINDOW = "entity: buyer, spans: [1d, 10d], aggregates: [count, mean(price), mean(label)]"


def test_a_row_holds_the_events_that_its_longest_window_and_grace_reach() -> None:
    definition = windows(WINDOW, grace="0h")
    events, labels = sizing(definition, rate_per_s=100, entities=1_000_000).rows
    assert (events.kind, labels.kind) == (RowKind.EVENTS, RowKind.LABELS)
    assert events.entries == pytest.approx(100 / 1_000_000 * 86_400 * 10)
    assert (events.entry_bytes, labels.entry_bytes) == (32, 32)
    assert events.row_bytes == pytest.approx(32 * 86.4)
    assert sizing(windows(WINDOW, grace="10d"), 100, 1_000_000).rows[0].entries == pytest.approx(2 * 86.4)


def test_an_entity_with_only_counts_keeps_24_bytes_an_event() -> None:
    (row,) = sizing(windows("entity: shop, spans: [1d], aggregates: [count]"), 10, 10).rows
    assert row.entry_bytes == 24


def test_memory_is_keys_times_rows_with_the_slack_of_appending_and_what_a_key_costs() -> None:
    need = sizing(windows("entity: buyer, spans: [40 events], aggregates: [mean(price)]"), 10, 1_000)
    (row,) = need.rows
    assert row.entries == 40
    per_key = need.memory_bytes / 1_000 - APPEND_SLACK * 40 * 32
    assert KEY_OVERHEAD_BYTES < per_key < KEY_OVERHEAD_BYTES + 100


def test_bandwidth_is_every_row_once_an_event() -> None:
    need = sizing(windows("entity: buyer, spans: [40 events], aggregates: [mean(price)]"), 10, 1_000)
    assert need.read_bytes_per_event == 40 * 32
    assert need.read_bytes_per_s == 10 * 40 * 32
    assert need.write_bytes_per_s == 10 * 32


def test_a_sequence_has_one_event_a_step_whatever_the_rate() -> None:
    definition = windows("entity: pump, spans: [50], delay: 10, aggregates: [mean(pressure)]", **SEQUENCE)
    assert sizing(definition, 1_000, 10).rows[0].entries == 60


def test_entities_may_be_counted_by_name() -> None:
    features = """
  - window: {entity: buyer, spans: [1d], aggregates: [count]}
  - window: {entity: shop, spans: [1d], aggregates: [count]}"""
    buyer, shop = sizing(read(features=features), 5, {"buyer": 1_000, "shop": 10}).rows
    assert (buyer.keys, shop.keys) == (1_000, 10)
    assert shop.entries == pytest.approx(100 * buyer.entries)
    with pytest.raises(KeyError):
        sizing(read(features=features), 5, {"buyer": 1_000})


def test_a_use_case_without_windows_needs_no_store() -> None:
    need = sizing(read(), 5_000, 2e6)
    assert (need.rows, need.memory_bytes, need.read_bytes_per_s) == ((), 0, 0)
