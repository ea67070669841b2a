"""Where contestants run: servers with filled topics, ready rows, and trained models for each use case."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.contestants import COMPILED_CACHE, RIVERRUN, Contestant, Job
from benchmarks.measuring import PATIENCE_S, ContestantFailed, Run, Task, run
from benchmarks.outputs import Ends, WrongOutputs, alert_share, check_scores, check_undegraded, sample
from benchmarks.servers import PARTITIONS, Cores, Servers, on_core
from benchmarks.usecases import (
    Deployed,
    World,
    deploy_plain,
    deploy_windows,
    write_plain_rows,
    written_at_ms,
)
from features.arrays import Floats
from features.keys import Namespace
from features.progress import decode_progress
from models.booster import BoosterScorer
from tools.processes import end, last_lines, spawn

EVENTS, LABELS, DEADLETTERS = "bench.events", "bench.labels", "bench.deadletters"
LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class Track:
    """Runs contestants one after the other."""

    running: Servers
    cores: Cores
    world: World
    events: int
    """How many of the topic's a contestant is measured over."""
    ends: Ends | None = None
    _deployed: dict[tuple[str, str], Deployed] = field(default_factory=dict)
    _plain: BoosterScorer | None = None
    _materializer: "subprocess.Popen[bytes] | None" = None
    _runs: int = 0

    def __post_init__(self) -> None:
        self.ends = Ends.at(self.running.kafka.bootstrap)

    def prepare(self, taking_part: Sequence[Contestant]) -> None:
        """Topics, plain rows, and where somebody wants them models and the rows of windows."""
        for topic in (EVENTS, LABELS, DEADLETTERS):
            self.running.create_topic(topic)
        self.running.fill(EVENTS, self.world.events)
        if any("rows" in one.needs for one in taking_part):
            write_plain_rows(self.running.client, self.world)
        for one in taking_part:
            if "model" in one.needs:
                self.deployed(one)
        if any(one.usecase == "windows" for one in taking_part):
            self.running.fill(LABELS, self.world.labels)
            self._materialize(next(one for one in taking_part if one.usecase == "windows"))

    def close(self) -> None:
        """End what goes on beside the contestants."""
        self.ends = None  # its client would complain when the broker is gone
        if self._materializer is not None:
            end(self._materializer, signal.SIGTERM)

    def deployed(self, one: Contestant) -> Deployed:
        """A contestant's model, trained when first asked for."""
        if one.model not in self._deployed:
            usecase, features = one.model
            deploy = deploy_plain if usecase == "plain" else deploy_windows
            directory = self.running.directory / f"{usecase}-{features}"
            self._deployed[one.model] = deploy(self.world, directory, features)
        deployed = self._deployed[one.model]
        if one.engine == "compiled" and not deployed.cache.exists():
            deployed.cache.mkdir(mode=0o700)
            command: list[str | Path] = [RIVERRUN, "models", "compile", "--models", deployed.models]
            command.append(f"--set={COMPILED_CACHE}={deployed.cache}")
            subprocess.run(command, stdout=sys.stderr, check=True)
        return deployed

    def run(self, one: Contestant) -> Run:
        """Once. Raises `ContestantFailed` and `WrongOutputs`."""
        self._runs += 1
        name = f"{one.name}-{self._runs}"
        job = Job(
            bootstrap=self.running.kafka.bootstrap,
            redis_url=self.running.redis.url,
            events_topic=EVENTS,
            labels_topic=LABELS,
            output_topic=name,
            deadletters_topic=DEADLETTERS,
            group=name,
            events=self.events,
            state=self.running.directory / f"{name}-state",
            deployed=self.deployed,
        )
        job.state.mkdir()
        if not one.has_outputs:
            return self._measured_by_itself(one, job)
        self.running.create_topic(name)
        assert self.ends is not None
        self.ends.await_leaders(name)
        try:
            task = Task(one.commands(job), EVENTS, name, name, self.events, one.exactly_once)
            found = run(self.running, self.cores, self.ends, task, self.running.directory / f"{name}.log")
            return self._checked(one, name, found)
        finally:
            self.running.delete_topic(name)

    def _measured_by_itself(self, one: Contestant, job: Job) -> Run:
        (command,) = one.commands(job)
        with on_core(self.cores.measured):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        if done.returncode:
            raise ContestantFailed(done.stderr[-2_000:])
        return Run(**json.loads(done.stdout))

    def _checked(self, one: Contestant, topic: str, found: Run) -> Run:
        """The run, when it did the job. The pass-through has none."""
        if one.kind == "limit" and not one.peer:
            return found
        outputs = sample(self.running.kafka.bootstrap, topic)
        if one.usecase == "plain":
            check_scores(outputs, self._expected)
        if one.kind != "ours":
            return found
        check_undegraded(outputs)
        log = (self.running.directory / f"{topic}.log").read_text(errors="replace")
        if one.engine == "compiled" and '"event": "compiled"' not in log:
            raise WrongOutputs("LightGBM answered, not the compiled model")
        assert self.ends is not None
        if rejected := self.ends.count(DEADLETTERS):
            raise WrongOutputs(f"{rejected} dead letters")
        return replace(found, alert_share=alert_share(outputs))

    def _expected(self, ids: Sequence[str]) -> Floats:
        """LightGBM's own scores of plain rows."""
        if self._plain is None:
            deployed = next(found for (usecase, _), found in self._deployed.items() if usecase == "plain")
            definition = deployed.definition
            text = deployed.model.read_text()
            self._plain = BoosterScorer(text, definition.task, definition.feature_names, 1)
        return self._plain.predict(self.world.matrix(np.array([int(one) for one in ids])))

    # -------------------------------------------------------------------------------------------- rows

    def _materialize(self, one: Contestant) -> None:
        """Into rows, on the core that nobody is measured on yet; then a worker goes on beside them, idle."""
        deployed = self.deployed(one)
        with on_core(self.cores.measured):
            worker = self._materializer = self._start(deployed)
        self._await(lambda: self._is_whole(deployed), worker)
        end(worker, signal.SIGTERM)
        self._materializer = self._start(deployed)

    def _start(self, deployed: Deployed) -> "subprocess.Popen[bytes]":
        sets = {
            "kafka.topics.events": EVENTS,
            "kafka.topics.labels": LABELS,
            "kafka.topics.deadletters": DEADLETTERS,
            "materialize.complete_since": written_at_ms() - 365 * 86_400_000,  # nothing came before the topic
        }
        given: list[str | Path] = ["--usecase", deployed.usecase, "--http-port", "0"]
        given += ["--kafka", self.running.kafka.bootstrap, "--redis", self.running.redis.url]
        chosen = [f"--set={key}={value}" for key, value in sets.items()]
        return spawn([RIVERRUN, "materialize", *given, *chosen], self._log())

    def _log(self) -> Path:
        return self.running.directory / "materialize.log"

    def _is_whole(self, deployed: Deployed) -> bool:
        namespace, wanted = (
            Namespace.of(deployed.definition),
            {EVENTS: self.world.events, LABELS: self.world.labels},
        )
        epoch = self.running.client.get(namespace.epoch())
        if not isinstance(epoch, bytes):
            return False
        for topic, records in wanted.items():
            passed = 0
            for value in self.running.client.mget([namespace.progress(topic, p) for p in range(PARTITIONS)]):
                known = decode_progress(value if isinstance(value, bytes) else None, epoch.decode())
                passed += 0 if known is None or known.rebuilding else known.offset
            if passed < len(records):
                return False
        return True

    def _await(self, holds: Callable[[], bool], worker: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 2 * PATIENCE_S
        while not holds():
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the rows were never whole\n{last_lines(self._log())}")
            time.sleep(LOOK_EVERY_S)
