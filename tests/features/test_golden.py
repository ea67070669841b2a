"""Golden inputs hold all that their events' features need, and no more of a row than windows reach."""

import base64

import numpy as np
import pyarrow as pa

from features.codec import decode_rows, entry_bytes
from features.definition.lengths import MS
from features.golden import golden_inputs, golden_matrix
from features.matrix import FeaturePlan
from features.past.history import History, history_from_table
from features.past.offline import point_in_time_matrix
from features.rows import history_rows
from tests.features.definition_texts import windows

DAY = MS["d"]
DEFINITION = windows(
    "entity: buyer, spans: [7d, 30d], aggregates: [count, sum(price), min(price), std(price)]",
    rows="{exact: 256, resolution: 5d}",
)


def busy(n: int, days: int) -> History:
    """One buyer's many orders."""
    rng = np.random.default_rng(0)
    table = pa.table({
        "order_id": [f"o{i}" for i in range(n)],
        "placed_at": pa.array(np.sort(rng.integers(0, days * DAY, n)), pa.timestamp("ms")),
        "buyer": ["b"] * n,
        "shop": [1] * n,
        "price": rng.integers(1, 1000, n).astype(float),
        "gift": [True] * n,
        "kind": ["a"] * n,
    })  # fmt: skip
    return history_from_table(DEFINITION, table)


def test_the_tile_of_a_displaced_edge_is_in_a_golden_row() -> None:
    history = busy(3_000, 60)
    index = np.arange(2_000, 3_000, 40)
    trimmed = FeaturePlan(DEFINITION).evaluate(
        history.events, history_rows(DEFINITION, history.events, {}), index
    )
    assert trimmed.trimmed.all()
    inputs = golden_inputs(DEFINITION, history, index)
    np.testing.assert_array_equal(
        golden_matrix(DEFINITION, inputs)[1], point_in_time_matrix(DEFINITION, history, index)
    )
    for case in inputs:
        row = base64.b64decode(case["rows"]["buyer/e"])
        stored = decode_rows(DEFINITION.rows[0], [row])
        assert stored.folded is not None, "long rows are compacted"
        assert len(row) < 1_000 * entry_bytes(DEFINITION.rows[0])
        oldest = int(stored.folded.tiles.firsts.min())
        assert case["time"] - 35 * DAY < oldest <= (case["time"] - 30 * DAY) // (5 * DAY) * 5 * DAY + DAY
