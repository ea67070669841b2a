"""The demo's model: trained on what is known before scoring, and measured on what was scored."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from features.definition.model import Definition
from features.past.history import History, history_from_table
from features.past.offline import event_labels
from models.deployment import deploy
from models.training.evaluate import Scored, evaluate_predictions
from models.training.run import Progress, TrainOptions
from models.training.train import train_bundle
from stream.demo.plan import Plan
from stream.demo.served import Served


def train_and_deploy(
    definition: Definition,
    known: History,
    plan: Plan,
    models: Path,
    *,
    seed: int,
    now_ms: int,
    progress: Progress,
) -> str:
    """Put a bundle into `models` and make it the champion; returns its version. Raises `TrainingError`."""
    options = TrainOptions(seed=seed, lineage={"source": "riverrun demo"})
    trained = train_bundle(
        definition, known, *plan.train, models, created_ms=now_ms, options=options, progress=progress
    )
    deploy(models, trained.version)
    return trained.version


def measure(definition: Definition, plan: Plan, served: Served) -> dict[str, float]:
    """The use case's figures over the events that were predicted and whose labels are known.

    Labels that later events tell are settled from what was sent; others come with the data.
    """
    scored = history_from_table(definition, plan.scored)
    scores = served.scores(definition, len(scored))
    there = np.flatnonzero(~np.isnan(scores.reshape(len(scored), -1)).any(axis=1))
    labels = event_labels(definition, scored)
    everything = scored
    if plan.in_store:
        everything = history_from_table(definition, pa.concat_tables([plan.known, plan.scored]))
    return evaluate_predictions(
        definition,
        Scored(scored.events, labels, scores).take(there),
        history=everything,
        train_start=plan.train[0],
    )
