"""Parts of the job alone: what no worker can go below.

Each measures itself, from a tenth of the events on, and prints one JSON object.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.measuring import rss_peak_mb
from benchmarks.passthrough import AT_ONCE, WARM_SHARE
from benchmarks.servers import PARTITIONS
from benchmarks.usecases import VALUES
from features.arrays import Floats
from features.lookup.codec import lookup_prefix
from features.stores.redis import RedisOptions, RedisStore
from models.booster import lightgbm
from models.bundle import Bundle, load_bundle
from stream.transport.kafka.properties import KafkaConnection

ENTITIES_DRAWN = 5_000
"""Of each kind, that batches read: as many as the smallest world has."""


def consume(chosen: argparse.Namespace) -> Iterator[int]:
    """Records as the client library gives them, with the properties of our consumers."""
    connection = KafkaConnection(chosen.bootstrap, {"statistics.interval.ms": "0"})
    properties = {**connection.consumer("bench.consume"), "enable.partition.eof": False}
    consumer = Consumer(properties)
    consumer.assign([TopicPartition(chosen.source, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    while True:
        yield len(consumer.consume(AT_ONCE, 1.0))


def mget(chosen: argparse.Namespace) -> Iterator[int]:
    """The plain rows of a batch's two entities, each of its keys once."""
    store = RedisStore.connect(RedisOptions(chosen.redis))
    draw = np.random.default_rng(0)
    prefixes = [lookup_prefix("plain", entity) for entity in ("customer", "terminal")]
    while True:
        keys = [
            prefix + b"%d" % at
            for prefix in prefixes
            for at in np.unique(draw.integers(0, ENTITIES_DRAWN, AT_ONCE)).tolist()
        ]
        store.read(keys)
        yield AT_ONCE


def predict(chosen: argparse.Namespace) -> Iterator[int]:
    """The model over batches of numbers as plain rows have them, on one thread."""
    matrix = np.random.default_rng(0).normal(size=(AT_ONCE, 2 * VALUES))
    model = _model(chosen.model, chosen.engine, chosen.cache)
    while True:
        model(matrix)
        yield AT_ONCE


def _model(path: Path, engine: str, cache: Path) -> Callable[[Floats], object]:
    if engine == "compiled":
        return _compiled(load_bundle(path.parent), cache)
    if engine == "lleaves":
        lleaves = import_module("lleaves")  # an extra, without types
        compiled = lleaves.Model(model_file=str(path))
        compiled.compile()
        return lambda matrix: compiled.predict(matrix, n_jobs=1)
    booster = lightgbm.Booster(model_file=str(path))
    return lambda matrix: booster.predict(matrix, num_threads=1)


def _compiled(bundle: Bundle, cache: Path) -> Callable[[Floats], object]:
    """By the code that `riverrun models compile` made."""
    # Imported by name: without the extra they cannot be.
    kept, identity, activate = (
        import_module(f"models.compiled.{name}") for name in ("cache", "identity", "activate")
    )
    code = kept.Cache(cache).read(identity.identity_of(bundle.digest))
    assert code is not None, "it was compiled before"
    predict: Callable[[Floats], object] = activate.activate(bundle, code).scorer.predict
    return predict


PARTS = {"consume": consume, "mget": mget, "predict": predict}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--redis", default="")
    parser.add_argument("--source", default="")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--engine", default="lightgbm")
    parser.add_argument("--events", type=int, required=True)
    chosen = parser.parse_args()
    marks: list[tuple[int, float, float]] = []
    seen, wanted = 0, [int(chosen.events * WARM_SHARE), chosen.events]
    for count in PARTS[chosen.part](chosen):
        seen += count
        if seen >= wanted[len(marks)]:
            marks.append((seen, time.perf_counter(), time.process_time()))
        if len(marks) == len(wanted):
            break
    ((events, seconds, cpu),) = (
        (b - a for a, b in zip(first, last, strict=True)) for first, last in pairwise(marks)
    )
    rss_mb = rss_peak_mb(os.getpid())  # getrusage's would be the parent's where that was larger
    print(json.dumps({"events": events, "seconds": seconds, "cpu_seconds": cpu, "rss_peak_mb": rss_mb}))


if __name__ == "__main__":
    main()
