"""Who takes part: the limits, ours, and the peers whose environments are there.

Peers do the job of `plain`: they read ready values from Redis, which is easier than evaluating windows.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.servers import PARTITIONS
from benchmarks.usecases import Deployed
from stream.settings.keys import SETTINGS

COMPILED = ("model.compiled", "cached")
"""The setting that has models answer by the machine code in a cache, and where that is:"""
COMPILED_CACHE = "model.cache"
RIVERRUN = Path(sys.executable).parent / "riverrun"
PEERS = Path("build/peers")
"""Made by `python -m benchmarks.peers.setup`: an environment for each."""
PEERS_CODE = Path("benchmarks/peers")
NEEDED = {"lightgbm": "", "compiled": "llvmlite", "lleaves": "lleaves"}
BY_HAND = frozenset({"aiokafka"})
"""Shown beside the peers as a limit: a loop as people write it."""
BESIDE = "_beside"
"""Ends the names of those that run another checkout."""
READS_ONLY = frozenset({"feast"})
"""No contestants: see benchmarks/feature_reads.py."""
BATCHED_ONLY = frozenset({"bytewax"})
"""Their ordinary idiom is their best."""

Kind: TypeAlias = Literal["limit", "ours", "peer"]
UseCase: TypeAlias = Literal["plain", "windows"]
Engine: TypeAlias = Literal["lightgbm", "compiled", "lleaves"]
"""compiled: by ourselves, with llvmlite; the peers by lleaves."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one run of a contestant is given."""

    bootstrap: str
    redis_url: str
    events_topic: str
    labels_topic: str
    output_topic: str
    deadletters_topic: str
    group: str
    events: int
    """How many it is measured over; the topic may have more."""
    state: Path
    """An empty directory for what it keeps in files."""
    deployed: Callable[["Contestant"], Deployed]
    """The use case with its model; made when first asked for."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does the job, or a part of it."""

    name: str
    kind: Kind
    usecase: UseCase
    command: Callable[["Contestant", Job], list[str]]
    engine: Engine = "lightgbm"
    features: Literal["none", "all"] = "none"
    """Which its outputs carry."""
    reasons: bool = False
    """Whether alerts say why, as they do by default. One explanation costs as much as a hundred predictions,
    and none of the others gives any."""
    exactly_once: bool = False
    processes: int = 1
    peer: str = ""
    """Whose idiom it is."""
    has_outputs: bool = True
    """Else it measures itself and prints what it found."""
    needs: frozenset[Literal["model", "rows"]] = frozenset({"model", "rows"})
    """What must be there before it runs."""
    tree: Path | None = None
    """Another checkout whose code it runs."""

    @property
    def model(self) -> tuple[str, str]:
        """Which bundle it is given."""
        return self.usecase, self.features

    def commands(self, job: Job) -> list[list[str]]:
        """One for each process."""
        made = []
        for number in range(self.processes):
            worker = ["--set", f"delivery.worker=bench-{number}"] if self.exactly_once else []
            code = ["env", f"PYTHONPATH={self.tree}"] if self.tree else []
            made.append([*code, *self.command(self, job), *worker])
        return made

    def of_tree(self, tree: Path) -> "Contestant":
        """The same as another checkout does it."""
        return replace(self, name=f"{self.name}{BESIDE}", tree=tree)


def contestants() -> tuple[list[Contestant], dict[str, str]]:
    """All that can take part here, neighbours those who are compared; and who cannot, with the reason."""
    left_out: dict[str, str] = {}
    chosen: list[Contestant] = []
    for one in [*LIMITS, *OURS]:
        if reason := _lacks(one):
            left_out[one.name] = reason
        else:
            chosen.append(one)
    for path in sorted(PEERS_CODE.glob("*/main.py")):
        name = path.parent.name
        if name in READS_ONLY:
            continue
        if not (PEERS / name / "bin/python").exists():
            left_out[name] = f"there is no {PEERS / name}: make peers"
        else:
            chosen += _idioms(name)
    return chosen, left_out


def _lacks(one: Contestant) -> str | None:
    """Why it cannot take part; None where it can."""
    needed = NEEDED[one.engine]
    if needed and importlib.util.find_spec(needed) is None:
        return f"{needed} is not installed"
    if one.engine == "compiled" and COMPILED[0] not in SETTINGS:
        return f"there is no setting {COMPILED[0]}"
    return None


# ------------------------------------------------------------------------------------------------- commands


def passthrough(*flags: str) -> Callable[[Contestant, Job], list[str]]:
    """With more events to pass than there are, so that it goes on until it is ended."""

    def command(_: Contestant, job: Job) -> list[str]:
        topics = [job.bootstrap, job.events_topic, job.output_topic, str(PARTITIONS)]
        return [sys.executable, "-m", "benchmarks.passthrough", *topics, str(10**6 + job.events), *flags]

    return command


def limit(what: str) -> Callable[[Contestant, Job], list[str]]:
    """A part of the job, alone."""

    def command(one: Contestant, job: Job) -> list[str]:
        arguments = ["--bootstrap", job.bootstrap, "--redis", job.redis_url, "--source", job.events_topic]
        arguments += ["--events", str(job.events), "--engine", one.engine]
        if what == "predict":
            deployed = job.deployed(one)
            arguments += ["--model", str(deployed.model), "--cache", str(deployed.cache)]
        return [sys.executable, "-m", "benchmarks.limits", what, *arguments]

    return command


def ours(one: Contestant, job: Job) -> list[str]:
    """`riverrun score`, with its default settings but for reasons and the patience with Redis."""
    deployed = job.deployed(one)
    sets = {
        "kafka.group": job.group,
        "kafka.topics.events": job.events_topic,
        "kafka.topics.labels": job.labels_topic,
        "kafka.topics.predictions": job.output_topic,
        "kafka.topics.deadletters": job.deadletters_topic,
        "http.host": "127.0.0.1",
        "redis.deadline_ms": "5000",  # on a busy machine the rules would answer: no less work, but another
    }
    if not one.reasons:
        sets["reasons.top"] = "0"
    if one.engine == "compiled":
        sets |= dict([COMPILED, (COMPILED_CACHE, str(deployed.cache))])
    if one.exactly_once:
        sets["delivery.mode"] = "exactly_once"
    if one.processes > 1:
        sets["kafka.properties.heartbeat.interval.ms"] = "200"  # so long does it take until both have a share
    files = ["--usecase", str(deployed.usecase), "--models", str(deployed.models)]
    servers = ["--kafka", job.bootstrap, "--redis", job.redis_url, "--http-port", "0"]
    return [
        str(RIVERRUN),
        "score",
        *files,
        *servers,
        *(f"--set={key}={value}" for key, value in sets.items()),
    ]


def peer(idiom: str) -> Callable[[Contestant, Job], list[str]]:
    """A peer in its own environment, on one thread as ours is."""

    def command(one: Contestant, job: Job) -> list[str]:
        python, main = PEERS / one.peer / "bin/python", PEERS_CODE / one.peer / "main.py"
        given: Mapping[str, object] = {
            "bootstrap": job.bootstrap,
            "redis": job.redis_url,
            "source": job.events_topic,
            "sink": job.output_topic,
            "group": job.group,
            "model": job.deployed(one).model,
            "engine": one.engine,
            "idiom": idiom,
            "events": job.events,
            "state": job.state,
        }
        flags = [text for name, value in given.items() for text in (f"--{name}", str(value))]
        return ["env", "OMP_NUM_THREADS=1", str(python), str(main), *flags]

    return command


# ------------------------------------------------------------------------------------------------- registry


def _idioms(name: str) -> list[Contestant]:
    """What a peer is measured in: its ordinary idiom, its best, and its best with a compiled model."""
    kind: Kind = "limit" if name in BY_HAND else "peer"
    ordinary = Contestant(f"{name}_ordinary", kind, "plain", peer("ordinary"), peer=name)
    made = [Contestant(f"{name}_best", kind, "plain", peer("best"), peer=name)]
    if name not in BATCHED_ONLY:
        made.insert(0, ordinary)
    if any((PEERS / name).glob("lib/python*/site-packages/lleaves")):
        compiled = Contestant(f"{name}_best_compiled", kind, "plain", peer("best"), "lleaves", peer=name)
        made.append(compiled)
    return made


def _part(name: str, engine: Engine, *needs: Literal["model", "rows"]) -> Contestant:
    """A limit that measures itself."""
    command = limit(name.partition("_")[0])
    return Contestant(name, "limit", "plain", command, engine, has_outputs=False, needs=frozenset(needs))


PASSTHROUGH = Contestant("passthrough", "limit", "plain", passthrough(), needs=frozenset())
LIMITS: Sequence[Contestant] = (
    PASSTHROUGH,
    Contestant("passthrough_headers", "limit", "plain", passthrough("--headers"), needs=frozenset()),
    _part("consume", "lightgbm"),
    _part("mget", "lightgbm", "rows"),
    _part("predict_lightgbm", "lightgbm", "model"),
    _part("predict_lleaves", "lleaves", "model"),
    _part("predict_compiled", "compiled", "model"),
)
OURS: Sequence[Contestant] = (
    Contestant("plain", "ours", "plain", ours, "compiled"),
    Contestant("plain_eos", "ours", "plain", ours, "compiled", exactly_once=True),
    Contestant("plain_two", "ours", "plain", ours, "compiled", processes=2),
    Contestant("plain_features", "ours", "plain", ours, "compiled", "all"),
    Contestant("plain_reasons", "ours", "plain", ours, "compiled", reasons=True),
    Contestant("plain_lightgbm", "ours", "plain", ours),
    Contestant("plain_lightgbm_eos", "ours", "plain", ours, exactly_once=True),
    Contestant("plain_lightgbm_two", "ours", "plain", ours, processes=2),
    Contestant("plain_lightgbm_features", "ours", "plain", ours, features="all"),
    Contestant("plain_lightgbm_reasons", "ours", "plain", ours, reasons=True),
    Contestant("windows", "ours", "windows", ours, "compiled"),
    Contestant("windows_eos", "ours", "windows", ours, "compiled", exactly_once=True),
    Contestant("windows_features", "ours", "windows", ours, "compiled", "all"),
    Contestant("windows_reasons", "ours", "windows", ours, "compiled", reasons=True),
    Contestant("windows_lightgbm", "ours", "windows", ours),
    Contestant("windows_lightgbm_features", "ours", "windows", ours, features="all"),
    Contestant("windows_lightgbm_reasons", "ours", "windows", ours, reasons=True),
)
