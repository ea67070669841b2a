"""What a use case needs of the store, at a rate and a number of entities."""

import numpy as np
import pytest

from features.definition.lengths import MS
from features.definition.model import RowKind
from features.lookup.codec import lookup_bytes
from features.sizing import APPEND_SLACK, KEY_OVERHEAD_BYTES, sizing
from features.windows.folded import Tiles, encode_folded
from tests.features.definition_texts import SEQUENCE, read, windows

MINUTE, DAY = MS["m"], MS["d"]
WINDOW = "entity: buyer, spans: [1d, 10d], aggregates: [count, mean(price), mean(label)]"


def test_a_row_holds_the_events_that_its_longest_window_and_grace_reach() -> None:
    definition = windows(WINDOW, grace="0h")
    events, labels = sizing(definition, rate_per_s=100, entities=1_000_000).rows
    assert (events.kind, labels.kind) == (RowKind.EVENTS, RowKind.LABELS)
    assert events.entries == pytest.approx(100 / 1_000_000 * 86_400 * 10)
    assert (events.entry_bytes, labels.entry_bytes) == (40, 40)
    assert events.row_bytes == pytest.approx(40 * 86.4)
    assert sizing(windows(WINDOW, grace="10d"), 100, 1_000_000).rows[0].entries == pytest.approx(2 * 86.4)


def test_an_entity_with_only_counts_keeps_32_bytes_an_event() -> None:
    (row,) = sizing(windows("entity: shop, spans: [1d], aggregates: [count]"), 10, 10).rows
    assert row.entry_bytes == 32


def busiest(resolution: int, grace: int = 0) -> Tiles:
    """A tile for every stretch that windows of ten days reach, where they may begin and end within one."""
    numbers = np.arange((10 * DAY + grace) // resolution + 1)
    n = len(numbers)
    return Tiles(
        row=np.zeros(n, np.int64),
        numbers=numbers,
        counts=np.ones((n, 1), np.int64),
        firsts=numbers[:, None] * resolution,
        lasts=numbers[:, None] * resolution,
        moments=np.ones((n, 1, 1, 7)),
    )


def test_the_busiest_row_is_a_tile_for_all_that_windows_reach_and_twice_the_exact_entries() -> None:
    definition = windows(WINDOW, grace="0h", rows="{exact: 300, resolution: 30m}")
    schema = definition.rows[0]
    folded = encode_folded(schema, 0, 0, 1, busiest(30 * MINUTE))
    for rate in (100.0, 1e9):
        assert sizing(definition, rate, 1_000).rows[0].busy_row_bytes == len(folded) + 2 * 300 * 40
    late = windows(WINDOW, grace="1d", rows="{exact: 300, resolution: 30m}")
    folded = encode_folded(schema, 0, 0, 1, busiest(30 * MINUTE, DAY))
    assert sizing(late, 100, 1_000).rows[0].busy_row_bytes == len(folded) + 2 * 300 * 40


def test_a_row_is_never_longer_than_the_busiest() -> None:
    (row,) = sizing(windows("entity: buyer, spans: [10d], aggregates: [count]"), 1e6, 1).rows
    assert row.entries == pytest.approx(1e6 * 864_000, rel=0.01)
    assert row.row_bytes == row.busy_row_bytes < 100_000


def test_memory_may_grow_until_rows_are_compacted() -> None:
    need = sizing(windows("entity: buyer, spans: [40 events], aggregates: [mean(price)]"), 10, 1_000)
    assert need.memory_bytes_max - need.memory_bytes == pytest.approx(
        1_000 * APPEND_SLACK * (2 * 256 - 40) * 40
    )
    busy = sizing(windows("entity: buyer, spans: [10d], aggregates: [count]"), 1e6, 1)
    assert busy.memory_bytes_max == busy.memory_bytes


def test_what_is_looked_up_is_one_packed_value_for_each_key() -> None:
    features = "[{lookup: {entity: buyer, fields: [limit, age]}}, {lookup: {entity: buyer, fields: [since]}}]"
    need = sizing(read(features=features), 10, {"buyer": 1_000})
    (held,) = need.lookups
    assert held.value_bytes == lookup_bytes(read(features=features).lookups["buyer"])
    assert need.read_bytes_per_event == held.value_bytes
    assert need.write_bytes_per_s == 0
    per_key = need.memory_bytes / 1_000 - held.value_bytes
    assert KEY_OVERHEAD_BYTES < per_key < KEY_OVERHEAD_BYTES + 100
    assert need.memory_bytes_max == need.memory_bytes


def test_memory_is_keys_times_rows_with_the_slack_of_appending_and_what_a_key_costs() -> None:
    need = sizing(windows("entity: buyer, spans: [40 events], aggregates: [mean(price)]"), 10, 1_000)
    (row,) = need.rows
    assert row.entries == 40
    per_key = need.memory_bytes / 1_000 - APPEND_SLACK * 40 * 40
    assert KEY_OVERHEAD_BYTES < per_key < KEY_OVERHEAD_BYTES + 100


def test_bandwidth_is_every_row_once_an_event() -> None:
    need = sizing(windows("entity: buyer, spans: [40 events], aggregates: [mean(price)]"), 10, 1_000)
    assert need.read_bytes_per_event == 40 * 40
    assert need.read_bytes_per_s == 10 * 40 * 40
    assert need.write_bytes_per_s == 10 * 40


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
    assert (need.rows, need.lookups, need.memory_bytes, need.read_bytes_per_s) == ((), (), 0, 0)
