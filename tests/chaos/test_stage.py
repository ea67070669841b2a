"""What the stage does to Redis and disks is what clients see, and nothing of it outlives a run."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from redis import exceptions as refused

from tests.chaos.stage.disk import SmallDisk, why_no_mount
from tests.chaos.stage.faults import FAULTS, Component
from tests.chaos.stage.redis import ChaosRedis
from tests.chaos.stage.toxiproxy import Toxiproxy
from tests.conftest import lacking
from tests.integration.processes import await_that
from tools.processes import ServerDidNotStart, started
from tools.redis_server import NoRedisServer

SWALLOWED_S = 0.3
"""An answer on loopback that is not there by then does not come: nothing delays it but what the test did."""


# --------------------------------------------------------------------------------------------------- Redis


@pytest.fixture(scope="module")
def a_redis(toxiproxy: Toxiproxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosRedis]:
    made = ChaosRedis(tmp_path_factory.mktemp("redis"), toxiproxy)
    try:
        made.start()
    except (NoRedisServer, ServerDidNotStart) as error:
        lacking("redis", str(error))
    yield made
    made.close()


@pytest.fixture
def redis(a_redis: ChaosRedis) -> Iterator[ChaosRedis]:
    """With one row and progress beside it."""
    a_redis.client.mset({ROW: b"r" * 64, PROGRESS: b"p"})
    yield a_redis
    a_redis.heal()
    a_redis.client.flushall()


@pytest.fixture
def client(redis: ChaosRedis) -> Iterator[Redis]:
    """A worker's."""
    with Redis.from_url(redis.proxied_url, socket_timeout=30, retry=None) as made:
        yield made


@pytest.fixture
def impatient(redis: ChaosRedis) -> Iterator[Redis]:
    """One that gives up when an answer does not come."""
    with Redis.from_url(redis.proxied_url, socket_timeout=SWALLOWED_S, retry=None) as made:
        yield made


ROW, PROGRESS = b"rr:visits:0123456789ab:2:e:card:4711", b"rr:visits:0123456789ab:2:progress:events:0"


def test_a_killed_redis_refuses_and_comes_back_with_its_data(redis: ChaosRedis, client: Redis) -> None:
    redis.kill()
    with pytest.raises(refused.ConnectionError):
        client.get(PROGRESS)
    redis.restart_with_data()
    assert client.get(PROGRESS) == b"p"


def test_an_emptied_redis_comes_back_with_nothing(redis: ChaosRedis, client: Redis) -> None:
    redis.kill()
    redis.restart_empty()
    assert client.dbsize() == 0
    redis.restart_with_data()
    assert client.dbsize() == 0


def test_a_hung_redis_takes_requests_and_answers_none(
    redis: ChaosRedis, client: Redis, impatient: Redis
) -> None:
    redis.pause()
    with pytest.raises(refused.TimeoutError):
        impatient.get(PROGRESS)
    redis.resume()
    assert client.get(PROGRESS) == b"p"


def test_a_slow_redis_answers_nothing_for_a_while(redis: ChaosRedis, client: Redis, impatient: Redis) -> None:
    redis.slow(3_000)
    with pytest.raises(refused.TimeoutError):
        impatient.get(PROGRESS)
    redis.heal()
    assert client.get(PROGRESS) == b"p"


def test_a_blocked_redis_is_busy_with_another_command(
    redis: ChaosRedis, client: Redis, impatient: Redis
) -> None:
    def ask_until_it_ends() -> None:
        while blocking.is_alive():
            impatient.get(PROGRESS)

    blocking = threading.Thread(target=redis.block, args=(1.5,))
    blocking.start()
    with pytest.raises(refused.TimeoutError):
        ask_until_it_ends()
    blocking.join()
    assert client.get(PROGRESS) == b"p"


@pytest.mark.parametrize("answers_reads", [True, False])
def test_a_replica_refuses_writes_and_perhaps_reads(
    redis: ChaosRedis, client: Redis, answers_reads: bool
) -> None:
    redis.be_replica(answers_reads=answers_reads)
    with pytest.raises(refused.ReadOnlyError):
        client.set("key", 1)
    if answers_reads:
        assert client.get(PROGRESS) == b"p"
    else:
        with pytest.raises(refused.MasterDownError):
            client.get(PROGRESS)
    redis.be_master()
    assert client.get(PROGRESS) == b"p"
    assert client.set("key", 1)


def test_a_redis_without_memory_reads_and_does_not_write(redis: ChaosRedis, client: Redis) -> None:
    redis.run_out_of_memory()
    with pytest.raises(refused.OutOfMemoryError):
        client.set("key", 1)
    assert client.get(PROGRESS) == b"p"
    redis.have_memory()
    assert client.set("key", 1)


def test_a_loading_redis_says_so_until_it_has_loaded(redis: ChaosRedis, client: Redis) -> None:
    client.mset({f"key {n}": b"x" * 100 for n in range(4_000)})
    redis.restart_loading(about_s=60)
    with pytest.raises(refused.BusyLoadingError):
        client.get(PROGRESS)
    redis.await_loaded()
    assert client.dbsize() == 4_002


def test_rows_are_spoilt_in_place_and_nothing_else_is(redis: ChaosRedis, client: Redis) -> None:
    rows = {b"rr:visits:0123456789ab:2:l:card:%d" % n: b"r" * 64 for n in range(200)}
    client.mset(rows)
    client.set(PROGRESS, b"p" * 64)
    client.expire(ROW, 1_000)
    spoilt = redis.corrupt_rows(0.5, np.random.default_rng(1))
    keys = [ROW, *rows]
    changed = [key for key in keys if client.get(key) != b"r" * 64]
    assert set(changed) == set(spoilt)
    assert 60 < len(spoilt) < 140
    assert {client.strlen(key) for key in keys} == {64}
    assert redis.corrupt_rows(1.0, np.random.default_rng(1), b"rr:others:*") == []
    assert ROW in redis.corrupt_rows(1.0, np.random.default_rng(1), b"rr:visits:*")
    assert client.ttl(ROW) > 0
    assert client.get(PROGRESS) == b"p" * 64


# ------------------------------------------------------------------------------------------ disks, and ends


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if why := why_no_mount():
        lacking("mount", why)
    made = SmallDisk(tmp_path / "disk", 4)
    made.mount()
    yield made
    made.unmount()


def test_a_full_disk_takes_nothing_and_keeps_what_it_has(disk: SmallDisk) -> None:
    (disk.place / "kept").write_bytes(b"k" * 4_096)
    disk.fill()
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (disk.place / "more").write_bytes(b"m" * 4_096)
    disk.free()
    (disk.place / "more").write_bytes(b"m" * 1_000_000)
    assert (disk.place / "kept").read_bytes() == b"k" * 4_096


ORPHANS = """
import os, signal, sys, time
from pathlib import Path
from tests.chaos.stage.disk import SmallDisk, why_no_mount
from tools.processes import spawn
from tools.reaper import end_with_us
place = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
if why_no_mount() is None:
    SmallDisk(place / "disk", 1).mount()
children = [spawn(["sleep", "1000"], place / "log") for _ in range(2)]
for child in children:
    end_with_us(child.pid)
os.kill(children[0].pid, signal.SIGSTOP)
print(*(child.pid for child in children), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_a_run_that_was_killed(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        orphans = [int(pid) for pid in run.stdout.readline().split()]
        assert len(orphans) == 2
        assert all(map(started, orphans))
        run.send_signal(how)
    await_that(lambda: not any(map(started, orphans)), "its children live on")
    await_that(lambda: not (tmp_path / "disk").is_mount(), "its disk stays mounted")


def test_the_faults_are_a_fit_thing_to_draw_from() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))
    assert {fault.component for fault in FAULTS} == set(Component)
    draw = np.random.default_rng(0)
    for fault in FAULTS:
        shortest, longest = fault.lasts_s
        assert 0 <= shortest <= fault.drawn_s(draw) <= longest
