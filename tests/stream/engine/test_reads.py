"""Reads that fail are answers, and a store that fails is left alone."""

import threading
from collections.abc import Callable, Iterator

import pytest

from features.store import OnlineStore
from features.stores.deadline import DeadlineReader
from stream.engine.breaker import BreakerPolicy
from stream.engine.reads import GuardedReads
from stream.pipeline.causes import Cause
from tests.stream.engine.stores import StoreServer
from tests.stream.engine.workers import Clock

POLICY = BreakerPolicy(failures_max=3, rest_ms=1_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> StoreServer:
    return StoreServer(clock)


class Reads(GuardedReads):
    """With the failures it tells of."""

    def __init__(self, connect: Callable[[], OnlineStore], clock: Clock, deadline_ms: int = 60_000) -> None:
        self.failures: list[Cause] = []
        super().__init__(DeadlineReader(connect, deadline_ms), POLICY, clock, self.failures.append)


@pytest.fixture
def reads(server: StoreServer, clock: Clock) -> Iterator[Reads]:
    made = Reads(server.connect, clock)
    yield made
    made.close()


def test_what_the_store_holds_is_read(server: StoreServer, reads: Reads) -> None:
    server.connect().append([(b"k", b"v")], None)
    assert reads.read([b"k", b"none"]) == [b"v", None]
    assert reads.failures == []


@pytest.mark.parametrize("rejects", [False, True])
def test_a_read_that_fails_is_a_cause_and_says_why(server: StoreServer, reads: Reads, rejects: bool) -> None:
    server.refusals, server.rejects = 1, rejects
    assert reads.read([b"k"]) is Cause.STORE_DOWN
    assert reads.failures == [Cause.STORE_DOWN]
    assert reads.last_error == ("NOPERM this user may not" if rejects else "connection refused")
    server.refusals, server.rejects = 0, False
    assert reads.read([b"k"]) == [None]
    assert reads.last_error is None


def test_a_store_that_failed_so_often_is_not_asked_until_it_had_its_rest(
    server: StoreServer, clock: Clock, reads: Reads
) -> None:
    server.refusals = 10**6
    for _ in range(8):
        assert reads.read([b"k"]) is Cause.STORE_DOWN
    assert server.tries == len(reads.failures) == 3
    assert reads.state.value == "open"
    clock.ms += 1_000
    assert reads.read([b"k"]) is Cause.STORE_DOWN
    assert server.tries == 4
    server.refusals = 0
    clock.ms += 1_000
    assert reads.read([b"k"]) == [None]
    assert reads.state.value == "closed"


def test_a_read_that_misses_its_deadline_is_told_apart(server: StoreServer, clock: Clock) -> None:
    hangs = threading.Event()

    def connect() -> OnlineStore:
        assert hangs.wait(60)
        return server.connect()

    reads = Reads(connect, clock, deadline_ms=1)
    assert reads.read([b"k"]) is Cause.STORE_TIMEOUT
    assert reads.failures == [Cause.STORE_TIMEOUT]
    hangs.set()
    reads.close()


def test_a_bug_of_ours_is_not_taken_for_a_failing_store(clock: Clock) -> None:
    def connect() -> OnlineStore:
        raise ZeroDivisionError("ours")

    reads = Reads(connect, clock)
    with pytest.raises(ZeroDivisionError):
        reads.read([b"k"])
    reads.close()
