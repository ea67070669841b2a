"""The published features of the published transactions, computed by our windows."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.definition import load_definition
from features.history import history_from_table
from features.offline import build_training_set
from stream.demo.examples import path as example
from stream.demo.transactions import read_transactions

PUBLISHED = {
    "amount": "TX_AMOUNT",
    "during_weekend": "TX_DURING_WEEKEND",
    "during_night": "TX_DURING_NIGHT",
    **{f"customer_count_{w}d": f"CUSTOMER_ID_NB_TX_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"customer_mean_amount_{w}d": f"CUSTOMER_ID_AVG_AMOUNT_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"terminal_count_{w}d_delay_7d": f"TERMINAL_ID_NB_TX_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"terminal_mean_label_{w}d_delay_7d": f"TERMINAL_ID_RISK_{w}DAY_WINDOW" for w in (1, 7, 30)},
}
TIE_ROWS = {"1240489", "1240490"}
"""Two transactions of one customer in one second, which the published file numbers the other way round."""

DAY = 86_400_000


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "first_day"),
    [
        ("handbook_features_train_week.parquet", "2018-07-25"),
        ("handbook_features_test_week.parquet", "2018-08-08"),
    ],
)
def test_offline_features_equal_the_published_ones(data: Path, file: str, first_day: str) -> None:
    definition = load_definition(example("fraud"))
    table = read_transactions(data / "transactions_2018-06-18_2018-08-14.parquet", definition)
    start = int(np.datetime64(first_day, "ms").astype(np.int64))
    built = build_training_set(definition, history_from_table(definition, table), start, start + 7 * DAY)

    published = pq.read_table(data / file)
    published = published.take(pc.sort_indices(published, sort_keys=[("TRANSACTION_ID", "ascending")]))
    ids = [str(i) for i in published.column("TRANSACTION_ID").to_pylist()]
    order = np.argsort(np.array(built.events.ids, dtype=np.int64))
    assert [built.events.ids[i] for i in order] == ids
    keep = np.array([i not in TIE_ROWS for i in ids])
    for at, name in enumerate(definition.feature_names):
        ours, theirs = (
            built.matrix[order, at],
            published.column(PUBLISHED[name]).to_numpy().astype(np.float64),
        )
        if "amount" in name:  # the published amounts carry float noise that the transactions do not
            np.testing.assert_allclose(ours[keep], theirs[keep], rtol=0, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(ours[keep], theirs[keep], err_msg=name)
