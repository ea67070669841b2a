"""Values that others write, from a file to predictions, with a score worker and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.processes import run_riverrun
from tests.integration.stage import Stage, now_ms
from tests.integration.usecase import TEXT, some_visits

MINUTE, DAY = 60_000, 86_400_000
WINDOWS = "".join(line for line in TEXT.splitlines(keepends=True) if line.startswith("  - window"))
LOOKUPS = TEXT.replace(WINDOWS, "  - lookup: {entity: person, fields: [limit], max_age: 1d}\n").replace(
    "history: none\n", ""
)


@pytest.fixture
def stage(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    """Of a use case that looks up, and has no window."""
    made = Stage(fresh_name("visits").replace("-", "_"), kafka, redis_url, tmp_path, text=LOOKUPS)
    yield made
    made.close()


def load(stage: Stage, limits: dict[str, float], written_at: int) -> None:
    file = stage.directory / "people.parquet"
    columns = {
        "person": list(limits),
        "limit": list(limits.values()),
        "written_at": [written_at] * len(limits),
    }
    pq.write_table(pa.table(columns), file)
    named = ["--usecase", str(stage.usecase), "--redis", stage.redis, "--entity", "person"]
    run_riverrun("features", "load", str(file), *named)


def served(stage: Stage, name: str) -> dict[str, set[tuple[float | None, tuple[str, ...]]]]:
    """To whom what is served now, with what it lacks."""
    visits = some_visits(100, now_ms() - MINUTE, people="abcd", name=name)
    found: dict[str, set[tuple[float | None, tuple[str, ...]]]] = {}
    for prediction in stage.outputs.await_predictions(stage.send(visits)):
        limit, lacking = prediction.features["person_limit"], tuple(prediction.degradations)
        found.setdefault(prediction.data["entity_key"], set()).add((limit, lacking))
    return found


def test_what_was_loaded_is_served_and_what_is_loaded_later_too(stage: Stage) -> None:
    whole, lacking = ("no_model",), ("no_model", "lookup_missing")
    load(stage, {"a": 1.5, "b": 2.5}, now_ms() - 2 * MINUTE)
    load(stage, {"c": 3.5}, now_ms() - 2 * DAY)
    stage.score(models=False)
    first = {"a": {(1.5, whole)}, "b": {(2.5, whole)}, "c": {(None, lacking)}, "d": {(None, lacking)}}
    assert served(stage, "first") == first

    load(stage, {"a": 9.0, "d": 4.5}, now_ms() - 10 * MINUTE)  # older than what `a` has
    load(stage, {"b": 7.5}, now_ms())
    assert served(stage, "later") == first | {"b": {(7.5, whole)}, "d": {(4.5, whole)}}
