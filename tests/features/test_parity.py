"""The published features of the published transactions, computed by our windows."""

from pathlib import Path

import numpy as np
import pytest

from features.definition import load_definition
from features.history import history_from_table
from features.offline import build_training_set
from stream.demo.examples import path as example
from stream.demo.transactions import read_transactions
from tests.published import TEST_WEEK, TRAIN_WEEK, TRANSACTIONS, assert_as_published

DAY = 86_400_000


@pytest.mark.data
@pytest.mark.parametrize(("file", "first_day"), [(TRAIN_WEEK, "2018-07-25"), (TEST_WEEK, "2018-08-08")])
def test_offline_features_equal_the_published_ones(data: Path, file: str, first_day: str) -> None:
    definition = load_definition(example("fraud"))
    table = read_transactions(data / TRANSACTIONS, definition)
    start = int(np.datetime64(first_day, "ms").astype(np.int64))
    built = build_training_set(definition, history_from_table(definition, table), start, start + 7 * DAY)
    features = {name: built.matrix[:, at] for at, name in enumerate(definition.feature_names)}
    assert_as_published(built.events.ids, features, data / file)
