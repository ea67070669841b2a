"""Before anything is scored: the events, a model trained on what came before them, and rows in the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.definition.model import Definition
from features.past.history import History, history_from_table
from features.past.offline import scored_events
from features.store import StoreRejected, StoreUnavailable
from features.stores.redis import RedisOptions, RedisStore
from stream.clock import now_ms
from stream.demo.messages import Messages, messages
from stream.demo.options import DemoError, DemoOptions
from stream.demo.phases import Phases
from stream.demo.plan import DAY_MS, Plan
from stream.demo.simulators import make_plan, title
from stream.demo.training import train_and_deploy
from stream.demo.usecase import UseCase
from stream.demo.view import View
from stream.workers.backfill import backfill, row_lifetime_ms


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run scores, and with what."""

    usecase: UseCase
    plan: Plan
    known: History
    messages: Messages
    is_scored: Sequence[bool]
    """Of each event to be sent: whether it is scored, or only kept."""
    models: Path
    version: str

    @property
    def definition(self) -> Definition:
        return self.usecase.definition


def prepare(options: DemoOptions, usecase: UseCase, directory: Path, view: View, phases: Phases) -> Prepared:
    """Raises `DemoError`, `HistoryError` and `TrainingError`."""
    definition = usecase.definition
    with phases.phase("data"):
        view.step(f"events: {title(options, usecase.title)}", 0, 1)
        plan = make_plan(options, usecase.title, definition)
        if options.events is not None:
            pq.write_table(pa.concat_tables([plan.known, plan.scored]), options.events)
        known = history_from_table(definition, plan.known)
        sent = messages(definition, plan.scored)
        is_scored = scored_events(definition, history_from_table(definition, plan.scored).events).tolist()
        view.say(
            f"{title(options, usecase.title)}: {plan.known.num_rows:,} events are known, "
            f"{plan.scored.num_rows:,} will be scored"
        )
    models = directory / "models"
    models.mkdir()
    with phases.phase("train"):
        version = train_and_deploy(
            definition,
            known,
            plan,
            models,
            seed=options.seed,
            now_ms=now_ms(),
            progress=lambda what, done, total: view.step(f"training: {what}", done, total),
        )
        view.say(f"model {version} trained and deployed")
    return Prepared(usecase, plan, known, sent, is_scored, models, version)


def load_history(prepared: Prepared, redis: RedisOptions, view: View) -> None:
    """Put what is known straight into the store, as rows that the workers find. Raises `DemoError`."""
    definition = prepared.definition
    try:
        store = RedisStore.connect(redis)
        try:
            entries = backfill(
                store,
                definition,
                prepared.known,
                row_lifetime_ms(definition, allowed_lag_ms=DAY_MS),
                lambda done, total: view.step("history into Redis", done, total),
            )
        finally:
            store.close()
    except (StoreUnavailable, StoreRejected) as error:
        raise DemoError(f"history cannot be loaded: {error}") from None
    view.say(f"history: {entries:,} entries in Redis")
