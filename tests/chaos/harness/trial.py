"""Everything that one run is made of: servers, topics, models, generator, fleets, readers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from features.keys import Namespace
from models.bundle import load_bundle
from models.deployment import Deployment, write_deployment
from stream.config import Settings
from tests.chaos.harness.fleet import Fleet, Fleets
from tests.chaos.harness.generator import Generator, Mixture
from tests.chaos.harness.outputs import Outputs
from tests.chaos.harness.rebuilds import Rebuilds
from tests.chaos.harness.stamps import Predict
from tests.chaos.harness.usecase import TEXT
from tests.chaos.stage.servers import Servers
from tests.integration.processes import run_riverrun
from tests.integration.usecase import definition_named, train

AT_LEAST_ONCE, EXACTLY_ONCE = "at_least_once", "exactly_once"
MODES = (AT_LEAST_ONCE, EXACTLY_ONCE) if "delivery" in Settings.model_fields else (AT_LEAST_ONCE,)
PARTITIONS = 4
SCORING, MATERIALIZING = 2, 2
"""Workers of each fleet, as long as nobody scales it."""
SESSION_MS = 6_000

_CLASSIC = {"session.timeout.ms": str(SESSION_MS), "heartbeat.interval.ms": "500"}
PROTOCOLS: Mapping[str, Mapping[str, str]] = {
    "cooperative": _CLASSIC,
    "eager": {**_CLASSIC, "partition.assignment.strategy": "range"},
    "static": {**_CLASSIC, "group.instance.id": "NAME"},
    "consumer": {"group.protocol": "consumer"},
}
"""How groups share partitions: properties of librdkafka, NAME standing for the worker's own."""


class Trial:
    """Started by `with`; nothing is left running after it."""

    def __init__(
        self, servers: Servers, name: str, directory: Path, seed: int, protocol: str, mixture: Mixture
    ) -> None:
        self.servers, self.name, self.directory, self.seed = servers, name, directory, seed
        self.protocol = protocol
        self.models = directory / "models"
        self.events = f"{name}.events"
        self.mixture = mixture

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def _make(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.models.mkdir()
        usecase = self.directory / "usecase.yaml"
        usecase.write_text(TEXT.replace("NAME", self.name))
        definition = definition_named(self.name, TEXT)
        for seed, version in enumerate(("v1", "v2")):
            train(definition, self.models, version, seed)
        self.deployment = Deployment("v2", "v1")
        write_deployment(self.models, self.deployment)
        kafka = self.servers.kafka
        for mode in MODES:
            named = [f"--set={name}" for name in self._topics(mode)]
            given = ["--usecase", str(usecase), "--kafka", kafka.bootstrap, "--partitions", str(PARTITIONS)]
            run_riverrun("topics", "create", *given, *named)
        self.generator = Generator(kafka.bootstrap, self.events, PARTITIONS, self.seed, self.mixture)
        self.outputs = {mode: self._reader(mode) for mode in MODES}
        scoring = {mode: self._fleet(mode) for mode in MODES}
        keeping = Fleet(f"{self.name}-materialize", "materialize", self._common(), self.directory)
        self.fleets = Fleets(scoring, keeping)
        for fleet in self.fleets.all:
            self._stack.callback(fleet.close)
            fleet.start(MATERIALIZING if fleet is keeping else SCORING)
        self.rebuilds = self._rebuilds(Namespace.of(definition))
        self.rebuilds.start()
        self._stack.callback(self.rebuilds.stop)
        self._stack.enter_context(self.generator)
        for reader in self.outputs.values():
            reader.start()

    def scorers(self, mode: str, protocol: str) -> list[str]:
        """The arguments of a fleet's workers."""
        sets = [f"kafka.group={self.group(mode)}", *self._topics(mode)]
        sets += [f"kafka.properties.{name}={value}" for name, value in PROTOCOLS[protocol].items()]
        if mode == EXACTLY_ONCE:
            sets += [f"delivery.mode={mode}", "delivery.worker=NAME"]
        return [
            *self._common(with_session=False),
            "--models",
            str(self.models),
            *(f"--set={text}" for text in sets),
        ]

    def group(self, mode: str) -> str:
        return f"{self.name}.{mode}"

    def logs(self) -> list[tuple[str, str]]:
        return [log for fleet in self.fleets.all for log in fleet.logs()] if hasattr(self, "fleets") else []

    @property
    def predict(self) -> Mapping[str, Predict]:
        """The models by version."""
        return {version: load_bundle(self.models / version).scorer.predict for version in ("v1", "v2")}

    def _fleet(self, mode: str) -> Fleet:
        return Fleet(f"{self.name}-{mode}", "score", self.scorers(mode, self.protocol), self.directory)

    def _reader(self, mode: str) -> Outputs:
        predictions, letters = f"{self.name}.{mode}.predictions", f"{self.name}.{mode}.deadletters"
        return Outputs(mode, self.servers.kafka.bootstrap, predictions, letters, self.generator.books)

    def _rebuilds(self, namespace: Namespace) -> Rebuilds:
        return Rebuilds(self.servers.redis.url, namespace, self.events, lambda: self.generator.partitions)

    def _topics(self, mode: str) -> Sequence[str]:
        kinds = {
            "predictions": f"{self.name}.{mode}.predictions",
            "deadletters": f"{self.name}.{mode}.deadletters",
        }
        return [f"kafka.topics.{kind}={topic}" for kind, topic in kinds.items()]

    def _common(self, *, with_session: bool = True) -> list[str]:
        servers = self.servers
        given = [
            "--usecase",
            str(self.directory / "usecase.yaml"),
            "--kafka",
            servers.kafka.proxied_bootstrap,
        ]
        given += ["--redis", servers.redis.proxied_url, "--http-port", "0", "--set=http.host=127.0.0.1"]
        properties = {"topic.metadata.refresh.interval.ms": "2000", "fetch.wait.max.ms": "50"}
        if with_session:
            properties |= _CLASSIC
        return [*given, *(f"--set=kafka.properties.{name}={value}" for name, value in properties.items())]

    def waiting(self) -> Iterator[str]:
        """What is not answered yet, by mode, for a message."""
        for mode, reader in self.outputs.items():
            left = reader.waiting()
            yield f"{mode}: {len(left)}, the oldest {[(one.kind, one.position) for one in left[:5]]}"
