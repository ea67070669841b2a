"""The published week over real servers: nothing lost, every feature as published, and the figures asked for.

`tests/stream/demo/test_published.py` does the same over the embedded ones.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.definition import load_definition
from stream.demo import examples
from tests.integration.processes import run_riverrun
from tests.published import TEST_WEEK, TRANSACTIONS, assert_as_published

DAYS = (
    "--train-from=2018-07-25",
    "--train-to=2018-08-01",
    "--score-from=2018-08-08",
    "--score-to=2018-08-15",
)
EVENTS = 67_080
AT_LEAST = {
    "roc_auc_protocol": 0.879,
    "average_precision_protocol": 0.640,
    "card_precision_at_100_protocol": 0.291,
}


@pytest.mark.data
@pytest.mark.slow
def test_the_published_week_is_served_as_published_by_real_servers(
    data: Path, tmp_path: Path, kafka: str, redis_url: str
) -> None:
    summary_file, predictions_file = tmp_path / "summary.json", tmp_path / "predictions.parquet"
    source = ["--transactions", str(data / TRANSACTIONS), *DAYS, "--speed=max"]
    outputs = ["--summary", str(summary_file), "--predictions", str(predictions_file)]
    run_riverrun("demo", *source, *outputs, "--kafka", kafka, "--redis", redis_url, within_s=300)

    summary = json.loads(summary_file.read_text())
    assert summary["events"] == summary["predictions"] == EVENTS
    assert (summary["lost"], summary["duplicates"], summary["dead_letters"]) == (0, 0, 0)
    assert summary["fallbacks"] == {}
    assert {name: summary[name] for name, least in AT_LEAST.items() if not summary[name] >= least} == {}

    served = pq.read_table(predictions_file)
    assert set(served.column("source").to_pylist()) == {"model"}
    assert not any(served.column("degradations").to_pylist())
    names = load_definition(examples.path("fraud")).feature_names
    assert tuple(served.column_names[-len(names) :]) == names, "in model order"
    features = {name: served.column(name).to_numpy().astype(np.float64) for name in names}
    ids = [str(event_id) for event_id in served.column("event_id").to_pylist()]
    assert_as_published(ids, features, data / TEST_WEEK)
