import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from features.store import OnlineStore, StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.deadline import DeadlineReader
from features.stores.memory import MemoryStore

SOON_MS = 30
"""For reads that hang until the test lets them go: nothing depends on how long this is."""
LONG_MS = 60_000
LATE_S = 10.0
"""When a read that should have ended long ago gets its answer after all."""
HANGS = b"hangs"


@dataclass
class Network:
    """Makes stores of which a read of the key `hangs` hangs until `heal`."""

    healed: threading.Event = field(default_factory=threading.Event)
    hanging: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    made: int = 0

    def connect(self) -> OnlineStore:
        self.made += 1
        return HangingStore(self)


class HangingStore(MemoryStore):
    def __init__(self, network: Network) -> None:
        super().__init__(lambda: 0)
        self.network = network
        self.append([(b"a", b"1"), (HANGS, b"late")], None)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if HANGS in keys:
            self.network.hanging.release()
            self.network.healed.wait()
        return super().read(keys)

    def close(self) -> None:
        self.network.closed.release()


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.healed.set()


def test_a_read_in_time_gives_the_values(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    assert reader.submit([b"a", b"b"]).result() == [b"1", None]
    assert reader.submit([b"b"]).result() == [None]
    assert network.made == 1
    reader.close()


def test_reads_submitted_together_each_get_their_own_values(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    first, second = reader.submit([b"a"]), reader.submit([b"b"])
    assert (second.result(), first.result()) == ([None], [b"1"])
    reader.close()


def test_a_hung_read_ends_at_the_deadline(network: Network) -> None:
    late = threading.Timer(LATE_S, network.healed.set)
    late.start()
    with pytest.raises(StoreTimeout):
        DeadlineReader(network.connect, SOON_MS).submit([HANGS]).result()
    late.cancel()


def test_the_read_after_a_hung_one_answers_over_a_new_connection(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    hung = reader.submit([HANGS])
    assert network.hanging.acquire(timeout=10)
    with pytest.raises(StoreTimeout):
        hung.result(timeout_ms=SOON_MS)
    assert reader.submit([b"a"]).result() == [b"1"]
    assert (reader.abandoned, network.made) == (1, 2)


def test_a_result_asked_for_after_the_deadline_is_given_if_it_is_there(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    pending = reader.submit([b"a"])
    reader.submit([b"a"]).result()  # so the one before it is done
    assert pending.result(timeout_ms=0) == [b"1"]


def test_what_waits_behind_a_hung_read_fails_with_it(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    hung, behind = reader.submit([HANGS]), reader.submit([b"a"])
    assert network.hanging.acquire(timeout=10)
    with pytest.raises(StoreTimeout):
        hung.result(timeout_ms=SOON_MS)
    with pytest.raises(StoreTimeout, match="earlier read"):
        behind.result()
    assert reader.abandoned == 1


def test_an_old_late_read_does_not_cost_the_new_connection(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    hung, behind = reader.submit([HANGS]), reader.submit([b"a"])
    assert network.hanging.acquire(timeout=10)
    for late in (hung, behind, hung):
        with pytest.raises(StoreTimeout):
            late.result(timeout_ms=0)
        reader.submit([b"a"]).result()
    assert network.made == 2


def test_beyond_the_bound_on_hung_threads_reads_fail_at_once(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS, abandoned_max=2)
    for _ in range(2):
        hung = reader.submit([HANGS])
        assert network.hanging.acquire(timeout=10)
        with pytest.raises(StoreTimeout):
            hung.result(timeout_ms=0)
    with pytest.raises(StoreTimeout, match="2 earlier reads"):
        reader.submit([b"a"]).result()
    assert (reader.abandoned, network.made) == (2, 2)


def test_threads_that_hang_no_more_close_their_connection_and_count_no_more(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS, abandoned_max=1)
    hung = reader.submit([HANGS])
    assert network.hanging.acquire(timeout=10)
    with pytest.raises(StoreTimeout):
        hung.result(timeout_ms=0)
    lane = reader._abandoned[0]
    network.healed.set()
    lane.join()
    assert network.closed.acquire(timeout=10)
    assert reader.abandoned == 0
    assert reader.submit([b"a"]).result() == [b"1"]


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreRejected("no"), ZeroDivisionError()])
def test_what_the_store_raises_the_caller_sees(error: Exception) -> None:
    class Failing(MemoryStore):
        def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
            raise error

    reader = DeadlineReader(lambda: Failing(lambda: 0), LONG_MS)
    for _ in range(2):
        with pytest.raises(type(error)):
            reader.submit([b"a"]).result()
    reader.close()


def test_a_connection_that_cannot_be_made_is_tried_again_at_the_next_read(network: Network) -> None:
    refusals = iter([StoreUnavailable("refused")])

    def connect() -> OnlineStore:
        for refusal in refusals:
            raise refusal
        return network.connect()

    reader = DeadlineReader(connect, LONG_MS)
    with pytest.raises(StoreUnavailable, match="refused"):
        reader.submit([b"a"]).result()
    assert reader.submit([b"a"]).result() == [b"1"]
    reader.close()


def test_closing_closes_the_connection_and_ends_what_waits(network: Network) -> None:
    reader = DeadlineReader(network.connect, LONG_MS)
    reader.submit([b"a"]).result()
    reader.close()
    assert network.closed.acquire(timeout=10)

    hung_reader = DeadlineReader(network.connect, SOON_MS)
    hung_reader.submit([HANGS])
    behind = hung_reader.submit([b"a"])
    assert network.hanging.acquire(timeout=10)
    hung_reader.close()
    with pytest.raises(StoreTimeout, match="closed"):
        behind.result()


def test_closing_a_reader_never_used_is_harmless(network: Network) -> None:
    DeadlineReader(network.connect, LONG_MS).close()
    assert network.made == 0


@pytest.mark.parametrize(("deadline_ms", "abandoned_max"), [(0, 1), (1, 0)])
def test_bounds_that_allow_nothing_are_refused(
    network: Network, deadline_ms: int, abandoned_max: int
) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DeadlineReader(Network().connect, deadline_ms, abandoned_max)
