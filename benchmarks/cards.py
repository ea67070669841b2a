"""The Handbook's use case as it runs: rows in Redis, bundles, a materialize worker, events to send."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from benchmarks.processes import PATIENCE_S, Riverrun, riverrun
from benchmarks.servers import Servers
from benchmarks.workers import EVENTS_A_DAY, USECASE, definition
from features.definition.model import Definition
from features.past.history import History, history_from_table
from features.stores.redis import RedisOptions, RedisStore
from models.deployment import deploy
from models.training.run import TrainOptions
from models.training.train import train_bundle
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.messages import Record, messages
from stream.demo.plan import DAY_MS, Days, midnight, plan_days
from stream.demo.simulators import LABEL_DAYS, TRAIN_DAYS, WARM_DAYS
from stream.workers.backfill import backfill, row_lifetime_ms

FIRST_DAY = date(2025, 1, 1)


@dataclass(frozen=True, slots=True)
class Cards:
    """Simulated transactions: those that are known, and those that will be sent."""

    definition: Definition
    known: History
    complete_since: int
    models: Path
    versions: Sequence[str]
    """Of the bundles in `models`; the first is deployed."""
    ids: Sequence[int]
    """Of the transactions to send: consecutive numbers."""
    events: Sequence[Record]


def prepare(directory: Path, events: int, versions: Sequence[str]) -> Cards:
    """Simulate at least so many events beyond what is known, and train a bundle for each version."""
    known_days = WARM_DAYS + TRAIN_DAYS + LABEL_DAYS
    days = known_days + events // EVENTS_A_DAY + 2
    starts = (WARM_DAYS, WARM_DAYS + TRAIN_DAYS, known_days, days)
    wanted = Days(*(midnight(FIRST_DAY + timedelta(days=start)) for start in starts))
    plan = plan_days(definition(), simulate_cards(CardWorld(FIRST_DAY, days)), wanted)
    known, models = history_from_table(definition(), plan.known), directory / "models"
    models.mkdir()
    for seed, version in enumerate(versions):
        options = TrainOptions(version=version, seed=seed)
        train_bundle(definition(), known, *plan.train, models, created_ms=0, options=options)
    deploy(models, versions[0])
    sent = messages(definition(), plan.scored.slice(0, events))
    ids = [int(text) for text in sent.ids]
    assert len(ids) == events, f"the simulation made {len(ids)} events, {events} are needed"
    return Cards(definition(), known, plan.complete_since, models, tuple(versions), ids, sent.events)


def load_rows(running: Servers, cards: Cards) -> int:
    """Put what is known into Redis; returns how many entries that is."""
    store = RedisStore.connect(RedisOptions(running.redis.url))
    try:
        lifetime_ms = row_lifetime_ms(cards.definition, allowed_lag_ms=DAY_MS)
        return backfill(store, cards.definition, cards.known, lifetime_ms, lambda *_: None)
    finally:
        store.close()


def create_topics(running: Servers) -> None:
    for kind in ("events", "labels", "predictions", "deadletters"):
        running.create_topic(f"{definition().name}.{kind}")


@contextmanager
def materializer(running: Servers, cards: Cards, core: int) -> Iterator[Riverrun]:
    """`riverrun materialize`, ready: it keeps the rows up to date and says so."""
    settings = {"materialize.complete_since": str(cards.complete_since)}
    with riverrun(running, "materialize", core, flags_of(running), settings) as worker:
        worker.await_ready(PATIENCE_S)
        yield worker


def flags_of(running: Servers, models: Path | None = None) -> Mapping[str, str]:
    """What every worker of the use case is told."""
    flags = {
        "--usecase": str(USECASE),
        "--kafka": running.kafka.bootstrap,
        "--redis": running.redis.url,
    }
    return flags if models is None else {**flags, "--models": str(models)}


def output_topic() -> str:
    return f"{definition().name}.predictions"


def events_topic() -> str:
    return f"{definition().name}.events"
