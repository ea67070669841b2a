"""The plain job as every peer does it: event JSON in, two ready rows from Redis, 20 features, a score out.

All peers share these few functions, so that what differs between them is the framework. Rows are packed
little-endian float64 under ``customer:<id>`` and ``terminal:<id>``, ten values each; an absent one is NaN.
Each peer runs in an environment of its own (`benchmarks.peers.setup`).
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before LightGBM loads: idle OpenMP threads would spin beside the one

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Predict: TypeAlias = Callable[[Floats], Floats]
"""From features of shape (n, 20) to n scores."""

FEATURES_EACH = 10
NO_ROW = np.full(FEATURES_EACH, np.nan).tobytes()


class Event(msgspec.Struct, gc=False):
    """What is needed of an event; its other fields are skipped by the decoder."""

    event_id: str = msgspec.field(name="transaction_id")
    customer_id: str
    terminal_id: str


class Scored(msgspec.Struct, gc=False):
    """What is written for it, with the event's key."""

    event_id: str
    score: float


decode_event = msgspec.json.Decoder(Event).decode
encode_score = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Job:
    """One peer's run, as its command line says."""

    bootstrap: str
    redis: str
    source: str
    sink: str
    group: str
    model: Path
    """LightGBM's text format."""
    engine: str
    idiom: str
    events: int
    """How many there are; a hint, peers run until they are ended."""
    state: Path
    """Where the framework may keep files."""

    @classmethod
    def parse(cls, idioms: Sequence[str]) -> "Job":
        """From the command line; idioms: the names that this peer knows."""
        parser = argparse.ArgumentParser()
        for name in ("bootstrap", "redis", "source", "sink", "group"):
            parser.add_argument(f"--{name}", required=True)
        parser.add_argument("--model", type=Path, required=True)
        parser.add_argument("--engine", choices=("lightgbm", "lleaves"), default="lightgbm")
        parser.add_argument("--idiom", choices=idioms, default=idioms[0])
        parser.add_argument("--events", type=int, default=0)
        parser.add_argument("--state", type=Path)
        given = parser.parse_args()
        given.state = given.state or Path(tempfile.mkdtemp(prefix=f"{given.group}-"))
        return cls(**{field.name: getattr(given, field.name) for field in fields(cls)})

    def predictor(self) -> Predict:
        """The model in the engine that was asked for, on one thread."""
        return _lleaves(self.model) if self.engine == "lleaves" else _lightgbm(self.model)


def keys_of(events: Sequence[Event]) -> list[str]:
    """Two keys an event, side by side."""
    return [
        key for event in events for key in (f"customer:{event.customer_id}", f"terminal:{event.terminal_id}")
    ]


def features_of(rows: Sequence[Any]) -> Floats:
    """Shape (n, 20) from the values that Redis gave for `keys_of` n events."""
    return np.frombuffer(b"".join([row or NO_ROW for row in rows]), "<f8").reshape(-1, 2 * FEATURES_EACH)


def encode_scores(events: Sequence[Event], scores: Floats) -> list[bytes]:
    """What is written for each of n events."""
    return [
        encode_score(Scored(event.event_id, score))
        for event, score in zip(events, scores.tolist(), strict=True)
    ]


def _lightgbm(path: Path) -> Predict:
    import lightgbm  # noqa: PLC0415  each engine is loaded only where it is used: they take 100 MB

    booster = lightgbm.Booster(model_file=str(path))

    def predict(features: Floats) -> Floats:
        return np.asarray(booster.predict(features, num_threads=1))

    return predict


def _lleaves(path: Path) -> Predict:
    """Compiled once, beside the model's file; it takes seconds."""
    import lleaves  # noqa: PLC0415  as above

    model = lleaves.Model(model_file=str(path))
    model.compile(cache=path.with_suffix(".lleaves"))

    def predict(features: Floats) -> Floats:
        return np.asarray(model.predict(features, n_jobs=1))

    return predict
