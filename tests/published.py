"""The published features of the published transactions: which of ours they are, and how exactly they agree.

Counts and risks are equal to the bit. The published amounts carry float noise that the transactions, in
whole cents, do not: means and amounts agree within 1e-9.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.arrays import Floats

TRANSACTIONS = "transactions_2018-06-18_2018-08-14.parquet"
TRAIN_WEEK = "handbook_features_train_week.parquet"
TEST_WEEK = "handbook_features_test_week.parquet"
COLUMNS = {
    "amount": "TX_AMOUNT",
    "during_weekend": "TX_DURING_WEEKEND",
    "during_night": "TX_DURING_NIGHT",
    **{f"customer_count_{w}d": f"CUSTOMER_ID_NB_TX_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"customer_mean_amount_{w}d": f"CUSTOMER_ID_AVG_AMOUNT_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"terminal_count_{w}d_delay_7d": f"TERMINAL_ID_NB_TX_{w}DAY_WINDOW" for w in (1, 7, 30)},
    **{f"terminal_mean_label_{w}d_delay_7d": f"TERMINAL_ID_RISK_{w}DAY_WINDOW" for w in (1, 7, 30)},
}
"""The published column of each of our features."""
TIE_ROWS = {"1240489", "1240490"}
"""Two transactions of one customer in one second, which the published file numbers the other way round."""


def assert_as_published(ids: Sequence[str], features: Mapping[str, Floats], file: Path) -> None:
    """Every feature of exactly the file's transactions, the tie rows aside. ids: in any order."""
    table = pq.read_table(file)
    table = table.take(pc.sort_indices(table, sort_keys=[("TRANSACTION_ID", "ascending")]))
    published_ids = [str(i) for i in table.column("TRANSACTION_ID").to_pylist()]
    order = np.argsort(np.array(ids, dtype=np.int64))
    assert [ids[i] for i in order] == published_ids
    assert features.keys() == COLUMNS.keys()
    keep = np.array([i not in TIE_ROWS for i in published_ids])
    for name, column in COLUMNS.items():
        ours = features[name][order][keep]
        theirs = table.column(column).to_numpy().astype(np.float64)[keep]
        if "amount" in name:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
