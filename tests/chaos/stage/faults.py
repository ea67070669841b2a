"""Every fault of the servers as data, for a seeded plan to draw from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np

from stream.pipeline.causes import Cause
from tests.chaos.stage.kafka import BROKERS
from tests.chaos.stage.servers import Servers
from tests.chaos.stage.toxiproxy import Proxy

Seconds = tuple[float, float]


class Component(StrEnum):
    """What a fault hits. Two faults of one component must not overlap; those of different ones may."""

    BROKERS = "brokers"
    BROKER_LINKS = "broker links"
    REDIS = "redis"
    REDIS_LINK = "redis link"


@dataclass(frozen=True, slots=True)
class Begun:
    """A fault that is on."""

    what: str
    """What was drawn, for the report: ``broker 2``."""
    end: Callable[[], None]
    """Undoes it. Returns when the servers are healthy again; that workers recover is another matter."""


Begin = Callable[[Servers, np.random.Generator], Begun]


@dataclass(frozen=True, slots=True)
class Fault:
    """How something breaks; `begin` draws the details, and returns when it is broken."""

    name: str
    component: Component
    begin: Begin
    lasts_s: Seconds
    """From `begin` to `end`: draw between these; (0, 0) for what is over when it has begun."""
    may_cause: Cause
    """With what predictions may be stamped from its begin until everything is caught up with."""
    for_good: bool = False
    """Its causes may be stamped until the end of the run."""
    stops_flow: bool = False
    """No prediction can be expected while it lasts; else predictions flow again in the midst of it."""
    needs_disk: bool = False
    """Only where `Servers.why_no_full_disk` is None."""

    def drawn_s(self, rng: np.random.Generator) -> float:
        """How long it is to last."""
        return float(rng.uniform(*self.lasts_s))


LATE = Cause.BEHIND | Cause.STALE | Cause.OVERLAY_TRUNCATED
"""Whoever keeps the rows may not keep up, and whoever reads them knows."""
NO_STORE = LATE | Cause.STORE_TIMEOUT | Cause.STORE_DOWN
RESTARTED = NO_STORE | Cause.REBUILDING
"""A store that restarted may have lost its last writes."""


# -------------------------------------------------------------------------------------------------- brokers


def broker_killed(servers: Servers, rng: np.random.Generator) -> Begun:
    n = _some_broker(rng)
    servers.kafka.kill(n)
    return Begun(f"broker {n}", servers.kafka.heal)


def broker_stopped(servers: Servers, rng: np.random.Generator) -> Begun:
    n = _some_broker(rng)
    servers.kafka.stop(n)
    return Begun(f"broker {n}", servers.kafka.heal)


def broker_paused(servers: Servers, rng: np.random.Generator) -> Begun:
    n = _some_broker(rng)
    servers.kafka.pause(n)
    return Begun(f"broker {n}", servers.kafka.heal)


def two_brokers_killed(servers: Servers, rng: np.random.Generator) -> Begun:
    spared = _some_broker(rng)
    killed = [n for n in BROKERS if n != spared]
    for n in killed:
        servers.kafka.kill(n)
    return Begun(f"brokers {killed}", servers.kafka.heal)


def disk_full(servers: Servers, rng: np.random.Generator) -> Begun:
    n = _some_broker(rng)
    servers.kafka.fill_disk(n)
    return Begun(f"broker {n}", servers.kafka.heal)


def leaders_moved(servers: Servers, rng: np.random.Generator) -> Begun:
    for topic in servers.topics:
        servers.kafka.move_leaders(topic)
    return Begun(", ".join(servers.topics), _nothing)


def rolling_restart(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.kafka.rolling_restart()
    return Begun("all brokers", _nothing)


# ---------------------------------------------------------------------------------------------------- links

Harm = Callable[[Proxy, np.random.Generator], str]
"""Does something to a proxy, and says how much."""


def _cut(proxy: Proxy, rng: np.random.Generator) -> str:
    proxy.cut()
    return ""


def _reset(proxy: Proxy, rng: np.random.Generator) -> str:
    after_ms = int(rng.integers(0, 200))
    proxy.reset_peer(after_ms)
    return f"after {after_ms} ms"


def _late(proxy: Proxy, rng: np.random.Generator) -> str:
    ms = int(rng.integers(20, 800))
    proxy.latency(ms, jitter_ms=ms // 2)
    return f"by {ms} ± {ms // 2} ms"


def _narrow(proxy: Proxy, rng: np.random.Generator) -> str:
    kb_per_s = int(rng.integers(20, 400))
    proxy.bandwidth(kb_per_s)
    return f"to {kb_per_s} kB/s"


def _half_open(proxy: Proxy, rng: np.random.Generator) -> str:
    proxy.half_open()
    return ""


def _answers_lost(proxy: Proxy, rng: np.random.Generator) -> str:
    proxy.half_open_one_way("downstream")
    return ""


def _slow_close(proxy: Proxy, rng: np.random.Generator) -> str:
    delay_ms = int(rng.integers(500, 3_000))
    proxy.slow_close(delay_ms)
    return f"by {delay_ms} ms"


def _limited(proxy: Proxy, rng: np.random.Generator) -> str:
    nbytes = int(rng.integers(500, 20_000))
    proxy.limit_data(nbytes)
    return f"to {nbytes} bytes"


def _broker_links(harm: Harm, only: int, servers: Servers, rng: np.random.Generator) -> Begun:
    """Hits the links to `only` so many brokers."""
    hit = sorted(rng.choice(BROKERS, size=only, replace=False).tolist())
    proxies = [servers.kafka.proxies[n] for n in hit]
    amounts = [harm(proxy, rng) for proxy in proxies]
    return Begun(f"to {hit} {', '.join(amounts)}".strip(), lambda: _heal(proxies))


def _redis_link(harm: Harm, servers: Servers, rng: np.random.Generator) -> Begun:
    proxy = servers.redis.proxy
    return Begun(harm(proxy, rng), proxy.heal)


def _link_faults() -> list[Fault]:
    made = []
    for name, harm, stops in (
        ("cut", _cut, True),
        ("reset", _reset, True),
        ("late", _late, False),
        ("narrow", _narrow, False),
        ("half open", _half_open, True),
        ("without answers", _answers_lost, True),
        ("slow to close", _slow_close, False),
        ("cut within answers", _limited, True),
    ):
        lasts_s = (2.0, 12.0)
        for many, of_brokers in ((1, "link to a broker"), (len(BROKERS), "links to brokers")):
            begin = partial(_broker_links, harm, many)
            stops_flow = stops and many > 1
            made.append(
                Fault(f"{of_brokers} {name}", Component.BROKER_LINKS, begin, lasts_s, LATE, False, stops_flow)
            )
        begin_redis = partial(_redis_link, harm)
        made.append(Fault(f"link to redis {name}", Component.REDIS_LINK, begin_redis, lasts_s, NO_STORE))
    return made


# ---------------------------------------------------------------------------------------------------- Redis


def redis_killed(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.redis.kill()
    return Begun("back with its data", servers.redis.restart_with_data)


def redis_emptied(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.redis.kill()
    return Begun("back with nothing", servers.redis.restart_empty)


def redis_loading(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.redis.restart_loading(about_s=10)
    return Begun("back with its data, slowly", servers.redis.heal)


def redis_hung(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.redis.pause()
    return Begun("", servers.redis.resume)


def redis_slow(servers: Servers, rng: np.random.Generator) -> Begun:
    ms = int(rng.integers(200, 5_000))
    servers.redis.slow(ms)
    return Begun(f"no answer for {ms} ms", servers.redis.heal)


def redis_readonly(servers: Servers, rng: np.random.Generator) -> Begun:
    answers_reads = bool(rng.integers(2))
    servers.redis.be_replica(answers_reads=answers_reads)
    return Begun("answers reads" if answers_reads else "refuses reads too", servers.redis.be_master)


def redis_out_of_memory(servers: Servers, rng: np.random.Generator) -> Begun:
    servers.redis.run_out_of_memory()
    return Begun("", servers.redis.have_memory)


def rows_corrupt(servers: Servers, rng: np.random.Generator) -> Begun:
    share = float(rng.uniform(0.05, 0.5))
    spoilt = servers.redis.corrupt_rows(share, rng)
    return Begun(f"{len(spoilt)} rows", _nothing)


def _some_broker(rng: np.random.Generator) -> int:
    return int(rng.choice(BROKERS))


def _heal(proxies: Sequence[Proxy]) -> None:
    for proxy in proxies:
        proxy.heal()


def _nothing() -> None:
    """It was over when it had begun."""


_BROKERS, _REDIS = Component.BROKERS, Component.REDIS

FAULTS: tuple[Fault, ...] = (
    # Shorter than the broker's session (4 s), and longer.
    Fault("broker killed", _BROKERS, broker_killed, (0.0, 10.0), LATE),
    Fault("broker stopped", _BROKERS, broker_stopped, (0.0, 6.0), LATE),
    Fault("broker paused", _BROKERS, broker_paused, (1.0, 10.0), LATE),
    Fault("two brokers killed", _BROKERS, two_brokers_killed, (1.0, 8.0), LATE, stops_flow=True),
    Fault("broker's disk full", _BROKERS, disk_full, (0.0, 6.0), LATE, needs_disk=True),
    Fault("leaders moved", _BROKERS, leaders_moved, (0.0, 0.0), LATE),
    Fault("rolling restart", _BROKERS, rolling_restart, (0.0, 0.0), LATE),
    *_link_faults(),
    Fault("redis killed", _REDIS, redis_killed, (0.0, 8.0), RESTARTED),
    Fault("redis emptied", _REDIS, redis_emptied, (0.0, 5.0), RESTARTED | Cause.COLD),
    Fault("redis loading", _REDIS, redis_loading, (0.5, 5.0), RESTARTED),
    Fault("redis hung", _REDIS, redis_hung, (1.0, 8.0), NO_STORE),
    Fault("redis slow", _REDIS, redis_slow, (1.0, 5.0), NO_STORE),
    # Its replication id is another afterwards, as after a fail-over: to its clients that is another life.
    Fault("redis readonly", _REDIS, redis_readonly, (1.0, 8.0), RESTARTED),
    Fault("redis out of memory", _REDIS, redis_out_of_memory, (1.0, 8.0), NO_STORE),
    Fault("rows corrupt", _REDIS, rows_corrupt, (0.0, 0.0), Cause.ROW_CORRUPT, for_good=True),
)


def possible(servers: Servers) -> list[Fault]:
    """The faults that can be done here."""
    return [f for f in FAULTS if not f.needs_disk or servers.why_no_full_disk is None]
