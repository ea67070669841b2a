"""What the windows of an event cost the scorer, by the length of its rows and the size of its batch.

In this process, on one core, without Redis: rows as the store holds them in, the feature matrix of
examples/fraud out. Every event has a customer and a terminal of its own, each with rows (events and
labels) of the same length over the whole reach of the windows. Medians of interleaved rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from benchmarks.environment import environment
from benchmarks.servers import Cores, on_core
from features.definition import load_definition
from features.definition.model import Definition
from features.event import EventBatch, pack_positions
from features.matrix import FeaturePlan
from features.past.history import History, history_from_table
from features.rows import assemble_rows, request_rows
from features.stores.memory import MemoryStore
from stream.demo import examples
from stream.workers.backfill import backfill

LENGTHS = (64, 128, 256)
BATCHES = (1, 100, 1_000)
DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000
ROUND_S = 0.2
"""A measurement repeats its batch for so long."""
Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    around = environment()
    definition = load_definition(examples.path("fraud"))
    with on_core(Cores.available().measured):
        found = measure(definition, chosen.rounds)
    report = {
        "benchmark": "evaluate",
        "cpu_us_per_event": found,
        "features": len(definition.feature_names),
        "rows_per_event": len(definition.rows),
        "rounds": chosen.rounds,
        "environment": around,
    }
    print(json.dumps(report, indent=2))


def measure(definition: Definition, rounds: int) -> list[dict[str, float]]:
    """Microseconds of CPU per event for each length and batch size: in all, and by step."""
    cases = {(length, size): steps(definition, length, size) for length in LENGTHS for size in BATCHES}
    times: dict[tuple[int, int, str], list[float]] = {}
    for _ in range(rounds):
        for (length, size), named in cases.items():
            for name, step in named.items():
                times.setdefault((length, size, name), []).append(_seconds(step) / size * 1e6)
    return [
        {"entries": length, "batch": size}
        | {name: round(statistics.median(times[length, size, name]), 2) for name in named}
        for (length, size), named in cases.items()
    ]


def steps(definition: Definition, length: int, size: int) -> Mapping[str, Step]:
    """What is done to a batch with the answer of the store: all of it, and its two halves."""
    plan = FeaturePlan(definition)
    store = MemoryStore(lambda: NOW_MS)
    backfill(store, definition, _past(definition, length, size), None, lambda _, __: None)
    events = _batch(definition, size)
    request = request_rows(definition, events)
    stored = store.read(request.store_keys)
    assert all(value is not None for value in stored)
    rows, corrupt = assemble_rows(definition, events, request, stored, {})
    assert not corrupt.any()

    def whole() -> object:
        united, _ = assemble_rows(definition, events, request, stored, {})
        return plan.evaluate(events, united)

    return {
        "all": whole,
        "decode": lambda: assemble_rows(definition, events, request, stored, {}),
        "evaluate": lambda: plan.evaluate(events, rows),
    }


def _past(definition: Definition, length: int, size: int) -> History:
    """`length` events of each of `size` customers, each at a terminal of their own."""
    reach_ms = 37 * DAY_MS
    draw = np.random.default_rng(length)
    times = np.sort(NOW_MS - draw.integers(1, reach_ms, length * size))
    entity = draw.permutation(np.tile(np.arange(size), length))
    return history_from_table(definition, _table(times, entity, "past", draw.random(len(times)) < 0.01))


def _batch(definition: Definition, size: int) -> EventBatch:
    times, entity = np.full(size, NOW_MS), np.arange(size)
    events = history_from_table(definition, _table(times, entity, "now", np.zeros(size, np.bool_))).events
    return replace(events, positions=pack_positions(np.zeros(size, np.int64), 10**9 + entity))


def _table(times: np.ndarray, entity: np.ndarray, name: str, fraud: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "transaction_id": [f"{name}-{at}" for at in range(len(times))],
            "event_time": pa.array(times, pa.timestamp("ms", tz="UTC")),
            "customer_id": [str(i) for i in entity.tolist()],
            "terminal_id": [str(i) for i in entity.tolist()],
            "amount": np.round(np.random.default_rng(0).gamma(2.0, 25.0, len(times)), 2),
            "is_fraud": fraud,
        }
    )


def _seconds(step: Step) -> float:
    """Of this process's CPU, for one call: the mean over `ROUND_S`."""
    calls, started = 0, time.process_time()
    while (passed := time.process_time() - started) < ROUND_S:
        step()
        calls += 1
    return passed / calls


if __name__ == "__main__":
    main()
