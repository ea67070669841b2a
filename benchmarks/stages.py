"""Where a worker's time goes, stage by stage: one process, one core, no Kafka and no Redis.

Batches go through the stages of `stream.engine.scoring` and `stream.engine.answers`, with what a store would
have answered at hand. For windows (examples/fraud) the store is in one of three states (see
`benchmarks.stage_cases`); plain rows are twenty looked-up values. Figures are µs of CPU an event: the median
over rounds of the sum over batches. Stages that are parts of others are under `of_which`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.environment import environment
from benchmarks.servers import Cores, on_core
from benchmarks.stage_cases import (
    FUTURE_LIMIT_MS,
    NOW_MS,
    STATES,
    Prepared,
    World,
    plain_cases,
    plain_definition,
    windows_cases,
    windows_definition,
)
from features.codec import decode_rows
from features.definition.model import Definition
from features.lookup.request import request_lookups
from features.matrix import FeaturePlan
from features.rows import RowId, Rows, assemble_rows, request_rows
from features.window import Evaluated, evaluate
from models.booster import BoosterScorer, lightgbm
from stream.engine.overlay import Overlay
from stream.pipeline.causes import Source
from stream.pipeline.decide import decide
from stream.pipeline.decode import Decoder
from stream.pipeline.encode import ModelStamp, PredictionBatch, PredictionEncoder
from stream.pipeline.enrich import FreshnessPolicy, enrich, look_up

SIZES = (1_000, 4_000)
EVENTS = 8_000
"""Of a case, in batches."""
TREES, LEAVES = 200, 31
STAMP = ModelStamp(name="fraud", version="v1", digest="0" * 64, variant="champion")
POLICY = FreshnessPolicy(limit=10**15, heartbeat_ms=10_000)


@dataclass(slots=True)
class Clock:
    """CPU seconds of this thread, by stage."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.thread_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.thread_time() - started


class Worker:
    """The stages of one use case."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.plan = FeaturePlan(definition)
        self.decoder = Decoder(definition, future_limit_ms=FUTURE_LIMIT_MS)
        self.encoder = PredictionEncoder(definition, message_bytes_max=1_000_000)
        self.scorer = _trained(definition, len(self.plan.names))

    def overlay(self, case: Prepared) -> Overlay:
        overlay = Overlay(self.definition, 64_000_000)
        overlay.trim({p: known.offset for p, known in enumerate(case.coverage.progress) if known})
        if case.before is not None:
            overlay.add(case.before)
        return overlay

    def run(self, case: Prepared, overlay: Overlay, clock: Clock) -> Mapping[RowId, Rows]:
        """One batch, from records to messages."""
        definition = self.definition
        with clock.stage("decode"):
            decoded = self.decoder.decode(case.records)
        events = decoded.events
        with clock.stage("request"):
            request = request_rows(definition, events)
            lookups = request_lookups(definition, events, request.indexes)
        with clock.stage("read (in memory)"):
            rows = case.store.read(request.store_keys)
            values = case.store.read(lookups.store_keys)
        with clock.stage("overlay"):
            overlay.trim({p: known.offset for p, known in enumerate(case.coverage.progress) if known})
            seen = overlay.entries(request)
        with clock.stage("enrich"):
            enriched = enrich(definition, events, request, rows, seen, case.coverage, POLICY)
        with clock.stage("lookups"):
            enriched = look_up(enriched, definition, events, lookups, values, NOW_MS)
        with clock.stage("overlay"):
            overlay.add(events)
        with clock.stage("matrix"):
            found = self.plan.evaluate(events, enriched.rows, lookups=enriched.lookups)
        with clock.stage("score"):
            scores = self.scorer.predict(found.values)
        with clock.stage("decide"):
            columns = self.plan.columns(events, found.values)
            decisions = decide(definition, columns, scores, events.hashes)
        with clock.stage("encode"):
            n = len(events)
            batch = PredictionBatch(
                topic="events", events=events, scores=scores, sources=np.full(n, int(Source.MODEL)),
                models=(STAMP, STAMP, STAMP), decisions=decisions, causes=decoded.causes | enriched.causes,
                freshness=enriched.freshness, reasons={}, matrix=found.values, columns=columns,
                scored_at=NOW_MS,
            )  # fmt: skip
            messages = self.encoder.encode(batch)
        assert len(messages) == len(case.records)
        assert enriched.usable.all()
        return enriched.rows

    def parts(self, case: Prepared, overlay: Overlay, clock: Clock) -> None:
        """Once more what is inside of `enrich` and `matrix`."""
        definition = self.definition
        events = self.decoder.decode(case.records).events
        request = request_rows(definition, events)
        stored = case.store.read(request.store_keys)
        with clock.stage("decode rows"):
            at = 0
            for schema in definition.rows:
                end = at + len(request.indexes[schema.entity].keys)
                decode_rows(schema, stored[at:end])
                at = end
        seen = overlay.entries(request)
        with clock.stage("assemble rows"):
            rows, _ = assemble_rows(definition, events, request, stored, seen)
        found: dict[RowId, Evaluated] = {}
        for schema in definition.rows:
            mine = [w for w in definition.windows if (w.entity, w.kind) == (schema.entity, schema.kind)]
            row_id = (schema.entity, schema.kind)
            with clock.stage(f"windows {schema.entity} {schema.kind.name.lower()}"):
                found[row_id] = evaluate(mine, schema, rows[row_id], events, np.arange(len(events)))
        with clock.stage("matrix without windows"):
            self.plan.evaluate(events, found)


def _trained(definition: Definition, width: int) -> BoosterScorer:
    """Trees as large as a real model's, of noise."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(20_000, width))
    labels = (matrix[:, 0] * matrix[:, 1] + draw.normal(size=len(matrix)) > 1).astype(np.float64)
    parameters = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1}
    names = [f"f{at}" for at in range(width)]
    trained = lightgbm.train(parameters, lightgbm.Dataset(matrix, labels, feature_name=names), TREES)
    return BoosterScorer(trained.model_to_string(), definition.task, names, 1)


@dataclass(frozen=True, slots=True)
class Case:
    name: Mapping[str, object]
    worker: Worker
    prepared: Sequence[Prepared]
    entries: float
    """Of an event, in all of its rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, action="append", help="of a batch; 1,000 and 4,000 by default")
    parser.add_argument("--state", choices=STATES, action="append", help="of the store; all by default")
    chosen = parser.parse_args()
    around = environment()
    with on_core(Cores.available().measured):
        cases = _cases(chosen.size or SIZES, chosen.state or STATES)
        report = {"benchmark": "stages", "rounds": chosen.rounds, "cases": measure(cases, chosen.rounds)}
    print(json.dumps(report | {"trees": TREES, "leaves": LEAVES, "environment": around}, indent=2))


def _cases(sizes: Sequence[int], states: Sequence[str]) -> list[Case]:
    world = World()
    windows, plain = Worker(windows_definition()), Worker(plain_definition())
    cases = []
    for size in sizes:
        for state in STATES:
            if state in states:
                prepared = windows_cases(world, state, size, EVENTS // size)
                name = {"use_case": "windows", "store": state, "batch": size}
                cases.append(Case(name, windows, prepared, _entries(windows, prepared)))
        cases.append(
            Case({"use_case": "plain", "batch": size}, plain, plain_cases(world, size, EVENTS // size), 0)
        )
    return cases


def _entries(worker: Worker, prepared: Sequence[Prepared]) -> float:
    """Counted once for each event that has them."""
    count = events = 0
    for case in prepared:
        rows = worker.run(case, worker.overlay(case), Clock())
        for held in rows.values():
            lengths = np.bincount(held.entries.row)
            count += int(lengths[held.of_event].sum())
        events += len(case.records)
    return count / events


def measure(cases: Sequence[Case], rounds: int) -> list[dict[str, object]]:
    runs: list[list[Clock]] = [[] for _ in cases]
    parts: list[list[Clock]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, mine, inside in zip(cases, runs, parts, strict=True):
            mine.append(_timed(case, case.worker.run))
            inside.append(_timed(case, case.worker.parts))
    return [
        {**case.name, "entries_per_event": round(case.entries, 1)}
        | {"total": _medians(mine, total=True)["total"], "cpu_us_per_event": _medians(mine)}
        | {"of_which": _medians(inside)}
        for case, mine, inside in zip(cases, runs, parts, strict=True)
    ]


def _timed(case: Case, step: Callable[[Prepared, Overlay, Clock], object]) -> Clock:
    """Every batch of a case, each with an overlay as it would be then."""
    clock = Clock()
    for prepared in case.prepared:
        overlay = case.worker.overlay(prepared)
        step(prepared, overlay, clock)
    return clock


def _medians(clocks: Sequence[Clock], *, total: bool = False) -> dict[str, float]:
    scale = 1e6 / EVENTS
    if total:
        sums = [sum(s for name, s in clock.spent.items() if not name.startswith("read")) for clock in clocks]
        return {"total": round(statistics.median(sums) * scale, 2)}
    return {
        name: round(statistics.median(clock.spent[name] for clock in clocks) * scale, 3)
        for name in clocks[0].spent
    }


if __name__ == "__main__":
    main()
