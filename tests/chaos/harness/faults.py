"""What can happen to workers, models and events; what can happen to servers is `tests.chaos.stage.faults`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import Event, Thread

import numpy as np
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.cimpl import NewPartitions

from models.bundle import MODEL
from models.deployment import DEPLOYMENT, Deployment, write_deployment
from stream.pipeline.causes import Cause
from tests.chaos.harness.fleet import Fleet
from tests.chaos.harness.trial import PROTOCOLS, SCORING, SESSION_MS, Trial
from tests.chaos.stage.faults import LATE, Begun, Seconds, possible
from tests.chaos.stage.servers import Servers

Begin = Callable[[Trial, np.random.Generator], Begun]

PARTITIONS_MAX = 10
_OWN_COUNT = 2
"""How often a kind of ours is drawn for each time a kind of the servers' is: they have more kinds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """As `tests.chaos.stage.faults.Fault`, of anything in a trial."""

    name: str
    component: str
    begin: Begin
    lasts_s: Seconds
    may_cause: Cause
    for_good: bool = False
    stops_flow: bool = False

    def drawn_s(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(*self.lasts_s))


def all_faults(servers: Servers) -> list[Fault]:
    """Of every kind that is possible here."""
    of_servers = [
        Fault(
            one.name,
            str(one.component),
            partial(_of_servers, one.begin),
            one.lasts_s,
            one.may_cause,
            one.for_good,
            one.stops_flow,
        )
        for one in possible(servers)
    ]
    return [*of_servers, *(OWN * _OWN_COUNT)]


def _of_servers(
    begin: Callable[[Servers, np.random.Generator], Begun], trial: Trial, rng: np.random.Generator
) -> Begun:
    return begin(trial.servers, rng)


# ------------------------------------------------------------------------------------------------- workers


def _killed(trial: Trial, rng: np.random.Generator) -> Begun:
    names = [(fleet, _some_worker(fleet, rng)) for fleet in trial.fleets.scoring.values()]
    for fleet, name in names:
        fleet.kill(name)
    return Begun(_said(names), _nothing)


def _all_killed(trial: Trial, rng: np.random.Generator) -> Begun:
    for fleet in trial.fleets.scoring.values():
        for name in fleet.workers:
            fleet.kill(name)
    return Begun("every one that scores", _nothing)


def _told_to_end(trial: Trial, rng: np.random.Generator) -> Begun:
    names = [(fleet, _some_worker(fleet, rng)) for fleet in trial.fleets.scoring.values()]
    for fleet, name in names:
        fleet.terminate(name)
    return Begun(_said(names), _nothing)


def _stopped(trial: Trial, rng: np.random.Generator) -> Begun:
    """SIGSTOP of one of each mode; woken, it finds its partitions another's, or not."""
    names = [(fleet, _some_worker(fleet, rng)) for fleet in trial.fleets.scoring.values()]
    return Begun(_said(names), _paused(names))


def _scaled(trial: Trial, rng: np.random.Generator) -> Begun:
    fleets = list(trial.fleets.scoring.values())
    for fleet in fleets:
        fleet.scale(1)
    for fleet in fleets:
        fleet.await_ended()
        fleet.scale(4)

    def end() -> None:
        for fleet in fleets:
            fleet.scale(1)
        for fleet in fleets:
            fleet.await_ended()
            fleet.scale(SCORING)

    return Begun("to 1, 4, 1", end)


def _storm(trial: Trial, rng: np.random.Generator) -> Begun:
    """Members that take part in the group for moments, answer nothing, and commit nothing."""
    over = Event()

    def come_and_go(mode: str, seed: int) -> None:
        draw = np.random.default_rng(seed)
        properties = {k: v for k, v in PROTOCOLS[trial.protocol].items() if k != "group.instance.id"}
        defaults = (
            {} if "group.protocol" in properties else {"partition.assignment.strategy": "cooperative-sticky"}
        )
        config = {
            "bootstrap.servers": trial.servers.kafka.proxied_bootstrap,
            "group.id": trial.group(mode),
            "enable.auto.commit": False,
            "log_level": 0,
            **defaults,
            **properties,
        }
        while not over.is_set():
            member = Consumer(config)
            try:
                member.subscribe([trial.events])
                member.poll(float(draw.uniform(0.05, 1.5)))
            finally:
                _leave(member)

    threads = [
        Thread(target=come_and_go, args=(mode, int(rng.integers(2**31))), name="storm", daemon=True)
        for mode in trial.fleets.scoring
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()

    def end() -> None:
        over.set()
        for thread in threads:
            thread.join()

    return Begun(f"{len(threads)} that come and go", end)


def _leave(member: Consumer) -> None:
    try:
        member.close()
    except KafkaException:
        return


# -------------------------------------------------------------------------------------------- materializers


def _materializer_killed(trial: Trial, rng: np.random.Generator) -> Begun:
    fleet = _keeping(trial)
    names = fleet.workers if rng.random() < 0.5 else [_some_worker(fleet, rng)]
    for name in names:
        fleet.kill(name)
    return Begun(f"{len(names)}", _nothing)


def _materializer_told_to_end(trial: Trial, rng: np.random.Generator) -> Begun:
    name = _some_worker(_keeping(trial), rng)
    _keeping(trial).terminate(name)
    return Begun(name, _nothing)


def _materializer_stopped(trial: Trial, rng: np.random.Generator) -> Begun:
    fleet = _keeping(trial)
    names = fleet.workers if rng.random() < 0.5 else [_some_worker(fleet, rng)]
    return Begun(f"{len(names)}", _paused([(fleet, name) for name in names]))


def _keeping(trial: Trial) -> Fleet:
    assert trial.fleets.materializing is not None
    return trial.fleets.materializing


# --------------------------------------------------------------------------------------------------- models


def _model_garbage(trial: Trial, rng: np.random.Generator) -> Begun:
    """The champion's file, at rest and deployed anew; sometimes a worker starts with it."""
    deployment = trial.deployment
    file = trial.models / deployment.champion / MODEL
    good = file.read_bytes()
    at = int(rng.integers(len(good)))
    file.write_bytes(good[:at] + rng.bytes(100))
    write_deployment(trial.models, deployment)
    for fleet in trial.fleets.scoring.values():
        if rng.random() < 0.5:
            fleet.kill(_some_worker(fleet, rng))

    def end() -> None:
        file.write_bytes(good)
        write_deployment(trial.models, deployment)

    return Begun(deployment.champion, end)


def _deployment_garbage(trial: Trial, rng: np.random.Generator) -> Begun:
    (trial.models / DEPLOYMENT).write_bytes(rng.bytes(50))
    return Begun("", partial(write_deployment, trial.models, trial.deployment))


def _promoted(trial: Trial, rng: np.random.Generator) -> Begun:
    """The other model, between two batches."""
    was = trial.deployment
    assert was.previous is not None
    trial.deployment = Deployment(was.previous, was.champion)
    write_deployment(trial.models, trial.deployment)
    return Begun(trial.deployment.champion, _nothing)


# --------------------------------------------------------------------------------------------------- events


def _clock_jump(trial: Trial, rng: np.random.Generator) -> Begun:
    ahead = rng.random() < 0.5
    skew_ms = int(rng.integers(30_000, 120_000)) if ahead else -int(rng.integers(30_000, 600_000))
    trial.generator.skew_ms = skew_ms

    def end() -> None:
        trial.generator.skew_ms = 0

    return Begun(f"{skew_ms / 1000:+.0f} s", end)


def _poison_burst(trial: Trial, rng: np.random.Generator) -> Begun:
    usual = trial.generator.mixture
    trial.generator.mixture = replace(usual, poison=0.07, hostile=0.07)

    def end() -> None:
        trial.generator.mixture = usual

    return Begun("7 %, and as many hostile", end)


def _partition_added(trial: Trial, rng: np.random.Generator) -> Begun:
    now = trial.generator.partitions
    if now >= PARTITIONS_MAX:
        return Begun("there are enough", _nothing)
    asked = trial.servers.kafka.admin.create_partitions([NewPartitions(trial.events, now + 1)])
    asked[trial.events].result(60)
    trial.generator.extend(now + 1)
    return Begun(f"{now + 1} by now", _nothing)


# ---------------------------------------------------------------------------------------------------------


def _some_worker(fleet: Fleet, rng: np.random.Generator) -> str:
    workers = fleet.workers
    return workers[int(rng.integers(len(workers)))]


def _paused(names: list[tuple[Fleet, str]]) -> Callable[[], None]:
    """Stop them; returns what wakes them."""
    stopped = [(fleet, name, fleet.pause(name)) for fleet, name in names]

    def wake() -> None:
        for fleet, name, pid in stopped:
            if pid is not None:
                fleet.resume(name, pid)

    return wake


def _said(names: list[tuple[Fleet, str]]) -> str:
    return ", ".join(name for _, name in names)


def _nothing() -> None:
    """It was over when it had begun."""


_SCORERS, _KEEPERS, _MODELS, _EVENTS, _TOPIC = "scorers", "materializers", "models", "events", "topic"
_LONG = SESSION_MS / 1000 + 2, SESSION_MS / 1000 + 8
# A worker that starts has to connect, and may find the machine busy.
_MOVED = LATE | Cause.STORE_TIMEOUT | Cause.STORE_DOWN

OWN: tuple[Fault, ...] = (
    Fault("worker killed", _SCORERS, _killed, (0.0, 0.0), _MOVED),
    Fault("all workers killed", _SCORERS, _all_killed, (0.0, 0.0), _MOVED),
    Fault("worker told to end", _SCORERS, _told_to_end, (0.0, 0.0), _MOVED),
    Fault("worker stopped for long", _SCORERS, _stopped, _LONG, _MOVED),
    Fault("worker stopped for a moment", _SCORERS, _stopped, (0.5, 4.0), _MOVED),
    Fault("scaled to 1, 4, 1", _SCORERS, _scaled, (4.0, 10.0), _MOVED),
    Fault("rebalance storm", _SCORERS, _storm, (3.0, 8.0), _MOVED),
    Fault("materializer killed", _KEEPERS, _materializer_killed, (0.0, 0.0), LATE),
    Fault("materializer told to end", _KEEPERS, _materializer_told_to_end, (0.0, 0.0), LATE),
    Fault("materializer stopped", _KEEPERS, _materializer_stopped, (1.0, _LONG[1]), LATE),
    Fault("model garbage", _MODELS, _model_garbage, (1.0, 6.0), _MOVED | Cause.NO_MODEL),
    Fault("deployment garbage", _MODELS, _deployment_garbage, (1.0, 3.0), Cause.NO_MODEL),
    Fault("model promoted", _MODELS, _promoted, (0.0, 0.0), Cause(0)),
    Fault("clock jump", _EVENTS, _clock_jump, (3.0, 8.0), LATE),
    Fault("poison burst", _EVENTS, _poison_burst, (3.0, 8.0), LATE),
    Fault("partition added", _TOPIC, _partition_added, (0.0, 0.0), LATE | Cause.REBUILDING),
)
