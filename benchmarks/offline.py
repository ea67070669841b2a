"""`riverrun features build` against pandas over the published transactions, side by side on one core.

Both read the same parquet file and write another, with the fifteen features of examples/fraud for every
transaction. Each run is a process of its own, which first does a thousand transactions, so that what it takes
to load libraries is not counted. It also touches some memory and gives it back, since a virtual machine may
have to ask its host for it first, which takes longer than all the rest and says nothing of either side. The
features are compared, so that both do the same work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.environment import environment
from benchmarks.rolling import rolling_features
from benchmarks.servers import Cores, on_core
from features.definition import load_definition
from stream.demo import examples
from stream.demo.transactions import HANDBOOK_COLUMNS
from stream.workers.build import SLICE_ROWS, Span, build_files

FIRST, AFTER = "2018-04-01", "2018-10-01"
SIDES = ("riverrun", "pandas")
TOUCHED_BYTES = 4 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each side, in turns")
    parser.add_argument("--side", choices=SIDES, help="one run of one side, on the files that follow")
    parser.add_argument("files", nargs="*", type=Path)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(timed(chosen.side, *chosen.files)))
        return
    print(json.dumps(compare(chosen.rounds), indent=2))


def compare(rounds: int) -> dict[str, object]:
    """Run both sides in turns, and compare what they wrote."""
    around = environment()
    data = Path(os.environ["RIVERRUN_DATA"]).resolve() / "transactions.parquet"
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="riverrun-bench-") as name, on_core(Cores.available().measured):
        folder = Path(name)
        history = folder / "history.parquet"
        events = prepare(data, history)
        for _ in range(rounds):
            for side in SIDES:
                runs[side].append(run_apart(side, history, folder / f"{side}.parquet"))
        check_equal(folder / "riverrun.parquet", folder / "pandas.parquet")
    taken = {side: median(run["wall_s"] for run in of_side) for side, of_side in runs.items()}
    used = {side: median(run["cpu_s"] for run in of_side) for side, of_side in runs.items()}
    return {
        "benchmark": "offline",
        "offline_to_pandas": round(taken["pandas"] / taken["riverrun"], 1),
        "offline_to_pandas_cpu": round(used["pandas"] / used["riverrun"], 1),
        "events": events,
        "events_per_s": {side: round(events / taken[side]) for side in SIDES},
        "seconds": {side: round(taken[side], 2) for side in SIDES},
        "cpu_seconds": {side: round(used[side], 2) for side in SIDES},
        "runs": runs,
        "environment": around,
    }


def prepare(data: Path, history: Path) -> int:
    """The published file under the use case's names, its types and row groups as they are."""
    table = pq.read_table(data, columns=list(HANDBOOK_COLUMNS))
    pq.write_table(table.rename_columns(HANDBOOK_COLUMNS), history, row_group_size=table.num_rows)
    return table.num_rows


def run_apart(side: str, history: Path, out: Path) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.offline", "--side", side, str(history), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    run: dict[str, float] = json.loads(done.stdout)
    return run


def timed(side: str, history: Path, out: Path) -> dict[str, float]:
    """From reading to writing: seconds of the clock and of the processor."""
    run = {"riverrun": with_riverrun, "pandas": with_pandas}[side]
    few = out.with_name("few.parquet")
    pq.write_table(pq.read_table(history).slice(0, 1_000), few)
    run(few, out)
    np.ones(TOUCHED_BYTES // 8)
    clock, used = time.perf_counter(), time.process_time()
    run(history, out)
    return {"wall_s": time.perf_counter() - clock, "cpu_s": time.process_time() - used}


def with_riverrun(history: Path, out: Path) -> None:
    span = Span.read(load_definition(examples.path("fraud")), FIRST, AFTER)
    build_files(span, [history], out, {}, Console(file=StringIO()), SLICE_ROWS)


def with_pandas(history: Path, out: Path) -> None:
    rolling_features(pd.read_parquet(history)).to_parquet(out)


def check_equal(ours: Path, theirs: Path) -> None:
    """Counts and risks to the bit, means within what rolling sums lose."""
    definition = load_definition(examples.path("fraud"))
    table = pq.read_table(ours)
    order = np.argsort(table.column("event.id").to_numpy().astype(np.int64))
    baseline = pd.read_parquet(theirs)
    for name in definition.feature_names:
        mine, other = table.column(name).to_numpy()[order], baseline[name].to_numpy()
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9 if "amount" in name else 0, err_msg=name)


if __name__ == "__main__":
    main()
