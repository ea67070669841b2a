"""One test's own use case on shared servers: its topics, its models, its workers and its records."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
from redis import Redis

from features.definition.model import Definition
from features.keys import Namespace
from features.progress import Progress, decode_progress
from models.deployment import Deployment, write_deployment
from stream.commands.flags import settings_from
from stream.workers.topics import create
from tests.integration.flow import Flow
from tests.integration.processes import Worker, run_riverrun
from tests.integration.records import Outputs, Position, Prediction, Sender
from tests.integration.usecase import TEXT, Visit, definition_named, offline, some_visits, train

HOUR_MS = 3_600_000
PARTITIONS = 3
FLOW_MAX = 20_000
SESSION_MS = 6_000
"""The shortest that brokers allow by default: how long a group takes to miss a killed member."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Stage:
    """Everything has a name of this run's own, so that tests share servers and nothing else."""

    def __init__(
        self,
        name: str,
        kafka: str,
        redis: str,
        directory: Path,
        partitions: int = PARTITIONS,
        text: str = TEXT,
    ) -> None:
        """text: the use case file, in which the name of this run stands for NAME."""
        self.name, self.kafka, self.redis, self.directory = name, kafka, redis, directory
        self.partitions = partitions
        self.definition = definition_named(name, text)
        self.topics = {
            kind: f"{kind}-of-{name}" for kind in ("events", "labels", "predictions", "deadletters")
        }
        self.models = directory / "models"
        self.models.mkdir()
        self.usecase = directory / "usecase.yaml"
        self.usecase.write_text(text.replace("NAME", name))
        self.workers: list[Worker] = []
        sets = [f"kafka.topics.{kind}={topic}" for kind, topic in self.topics.items()]
        self._common = ["--usecase", str(self.usecase), "--kafka", kafka, *(f"--set={text}" for text in sets)]
        # As `riverrun topics create`, without a process that takes longer to begin than this does.
        create(settings_from(None, sets, usecase=str(self.usecase), kafka=kafka), partitions, replication=1)
        self.sender = Sender(kafka)
        self.store = Redis.from_url(redis)
        """For a look at what the workers keep there."""

    @cached_property
    def outputs(self) -> Outputs:
        """Everything that comes out, from the beginning."""
        topics = self.topics
        return Outputs(
            self.kafka, topics["predictions"], topics["deadletters"], self.partitions, self.check_workers
        )

    def progress(self, topic: str) -> Mapping[int, Progress]:
        """What the store says of a topic's partitions; without those that it knows nothing of."""
        namespace = Namespace.of(self.definition)
        keys = [namespace.epoch()]
        keys += [namespace.progress(self.topics[topic], partition) for partition in range(self.partitions)]
        epoch, *values = [value if isinstance(value, bytes) else None for value in self.store.mget(keys)]
        if epoch is None:
            return {}
        found = {p: decode_progress(value, epoch.decode()) for p, value in enumerate(values)}
        return {p: known for p, known in found.items() if known is not None}

    # ------------------------------------------------------------------------------------------ workers

    def start(self, kind: str, *sets: str, models: bool = True) -> Worker:
        """Start `riverrun KIND` and do not wait. sets: ``key=value``."""
        named = [*self._common, "--redis", self.redis]
        if models:
            named += ["--models", str(self.models)]
        given = []
        if "kafka.properties.group.protocol=consumer" not in sets:  # there the brokers say so
            given.append(f"kafka.properties.session.timeout.ms={SESSION_MS}")
            given.append("kafka.properties.heartbeat.interval.ms=200")
        if not any("fetch.wait.max.ms" in text for text in sets):
            given.append("kafka.properties.fetch.wait.max.ms=50")
        chosen = [f"--set={text}" for text in (*given, *sets)]
        name = f"{kind}-{len(self.workers)}"
        worker = Worker(name, [kind, *named, *chosen], self.directory / f"{name}.log")
        self.workers.append(worker)
        return worker

    def score(self, *sets: str, models: bool = True) -> Worker:
        """A score worker that is ready."""
        return self.start("score", *sets, models=models).await_ready()

    def materialize(self, *sets: str) -> Worker:
        """A materialize worker that is ready."""
        return self.start("materialize", *sets).await_ready()

    def both(self, *sets: str) -> tuple[Worker, Worker]:
        """A score and a materialize worker, started side by side and ready."""
        score, materialize = self.start("score", *sets), self.start("materialize", *sets)
        return score.await_ready(), materialize.await_ready()

    def backfill(self, history: Path, *sets: str) -> None:
        """Load the events and labels of a parquet file into the rows."""
        given = [f"--set={text}" for text in sets]
        named = [*self._common, "--redis", self.redis, "--models", str(self.models)]
        run_riverrun("materialize", "--backfill", str(history), *named, *given)

    def await_lag_gone(self, score: Worker) -> None:
        """Until the worker has nothing left to read, nothing in flight, and said so."""
        score.await_metric(
            lambda m: m.total("lag_records") == 0 and m.total("in_flight_batches") == 0, "lag does not go"
        )

    def await_materialized(self, materialize: Worker, topic: str, positions: Sequence[Position]) -> None:
        """Until the store holds the records at these positions of a topic."""
        wanted: dict[int, int] = {}
        for partition, offset in positions:
            wanted[partition] = max(wanted.get(partition, 0), offset + 1)
        materialize.await_metric(
            lambda m: all(
                m.total("materialized_offset", topic=self.topics[topic], partition=str(p)) >= offset
                for p, offset in wanted.items()
            ),
            f"{topic} are not materialized up to {wanted}",
        )

    # ------------------------------------------------------------------------------------------ records

    def send(self, visits: Sequence[Visit]) -> list[Position]:
        """Their positions in the events topic."""
        return self.sender.send(self.topics["events"], [visit.record() for visit in visits])

    def send_labels(self, visits: Sequence[Visit]) -> list[Position]:
        """The labels of those visits that have one; their positions in the labels topic."""
        records = [visit.label_record() for visit in visits if visit.bad is not None]
        return self.sender.send(self.topics["labels"], records)

    def flow(self) -> Flow:
        """A producer that goes on for as long as its `with` block."""
        return Flow(self.send, some_visits(FLOW_MAX, now_ms() - HOUR_MS // 2, name="flow"))

    def inexact(
        self,
        visits: Sequence[Visit],
        predictions: Sequence[Prediction],
        entity: str = "",
        definition: Definition | None = None,
    ) -> list[Prediction]:
        """Those whose features are not, bit for bit, what the file of all `visits` gives.

        entity: only of features whose names begin so. definition: that they were served with, where it is
        another than the stage's own.
        """
        definition = definition or self.definition
        names = definition.feature_names
        chosen = [at for at, name in enumerate(names) if name.startswith(entity)]
        place = {visit.visit: at for at, visit in enumerate(visits)}
        expected = offline(definition, visits)[[place[p.data["event_id"]] for p in predictions]]
        served = np.array(
            [[np.nan if p.features[n] is None else p.features[n] for n in names] for p in predictions]
        )
        same = (served == expected) | (np.isnan(served) & np.isnan(expected))
        return [predictions[at] for at in np.flatnonzero(~same[:, chosen].all(axis=1)).tolist()]

    def assert_exact(
        self,
        visits: Sequence[Visit],
        predictions: Sequence[Prediction],
        entity: str = "",
        definition: Definition | None = None,
    ) -> None:
        wrong = self.inexact(visits, predictions, entity, definition)
        assert not wrong, (len(wrong), wrong[0].data)

    # ------------------------------------------------------------------------------------------- models

    def deploy(self, champion: str, previous: str | None = None) -> None:
        """Make bundles of the models directory the deployed ones, trained or not."""
        write_deployment(self.models, Deployment(champion, previous))

    def trained(self, version: str = "v1", seed: int = 0) -> str:
        """Train a bundle and deploy it; its version."""
        train(self.definition, self.models, version, seed)
        self.deploy(version)
        return version

    # ---------------------------------------------------------------------------------------------- end

    def close(self) -> None:
        """Whatever happened, leave no process behind."""
        if "outputs" in self.__dict__:
            self.outputs.close()
        self.sender.close()
        self.store.close()
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.resume()
            if worker.is_alive:
                worker.kill()

    def check_workers(self) -> None:
        """Fails where one ended that nobody asked to."""
        for worker in self.workers:
            worker.assert_alive()

    def logs(self) -> list[tuple[str, str]]:
        """The end of each worker's log."""
        return [
            (w.name, "\n".join(w.log.read_text("utf-8", "replace").splitlines()[-40:])) for w in self.workers
        ]
