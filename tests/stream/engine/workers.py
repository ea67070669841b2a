"""Workers under test, with what belongs to them, and the clock they go by."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from features.definition.model import RowSchema
from stream.engine.compactor import Compact
from stream.engine.loop import ScoreLoop
from stream.engine.materializer import Materializer
from stream.engine.overlay import Overlay
from stream.engine.ownership import Ownership
from stream.engine.reads import GuardedReads
from stream.engine.scoring import BatchScorer
from stream.metrics import MaterializeMetrics, ScoreMetrics
from stream.transport.memory import MemorySink, MemorySource
from tests.stream.engine.stores import Connection

START_MS = 1_000_000
"""When the first events happened."""


class Clock:
    """A second after the first events."""

    def __init__(self) -> None:
        self.ms = START_MS + 1_000

    def __call__(self) -> int:
        return self.ms


@dataclass(frozen=True)
class Compacting:
    """How a materializer under test compacts."""

    compact: Compact
    exact: int
    row_grace: int | None = None


def _keep(_schema: RowSchema, _row: bytes, _watermark: int) -> None:
    """Nothing is gained."""


NO_COMPACTING = Compacting(_keep, 256)


@dataclass
class Materializing:
    """A materialize worker's one half."""

    worker: Materializer
    source: MemorySource
    store: Connection
    registry: CollectorRegistry
    metrics: MaterializeMetrics
    notices: list[str]
    """What it said, in its order."""

    def take(self, records: int) -> None:
        """Poll so many records, or what there is of them, and see them through."""
        self.worker.step(records, 0)
        self.worker.step(0, 0)

    def awaits(self) -> bool:
        """Whether files are to be loaded."""
        return self.worker.awaits_history

    def value(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where there is none."""
        return self.registry.get_sample_value(name, {"use_case": "visits", **labels}) or 0.0

    def settle(self, records_max: int = 1_000) -> None:
        """Step until nothing is left to do."""
        for _ in range(200):
            idle = self.worker.step(records_max, 0) == 0
            if idle and not self.worker.waiting_for_store and not lag(self.source):
                return
        raise AssertionError("it does not settle")


@dataclass
class Scoring:
    """A score worker."""

    loop: ScoreLoop
    source: MemorySource
    sink: MemorySink
    overlay: Overlay
    ownership: Ownership
    reads: GuardedReads
    registry: CollectorRegistry
    metrics: ScoreMetrics
    scorer: BatchScorer
    waited: list[int]
    """How often the loop waited for acknowledgements, each time the number of batches in flight."""

    def settle(self) -> None:
        """Step until the log's end, and have everything acknowledged and committed."""
        for _ in range(2_000):
            if self.loop.step() == 0 and not lag(self.source) and not self.loop.in_flight:
                return
        raise AssertionError("it does not settle")

    def value(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where there is none."""
        return self.registry.get_sample_value(name, {"use_case": "visits", **labels}) or 0.0


def lag(source: MemorySource) -> int:
    return sum(of.records for of in source.lag().values())
