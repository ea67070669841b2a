"""A lease has one holder at a time, and ends by itself."""

from features.stores.memory import MemoryStore
from stream.engine.lease import Lease, is_held


class Clock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


def test_one_holds_it_until_it_is_released_or_runs_out() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    one, other = (Lease(store, b"key", name, 100, clock) for name in ("one", "other"))
    assert one.hold()
    assert not other.hold()
    clock.ms += 99
    assert one.hold(), "it goes on"
    clock.ms += 99
    assert not other.hold()
    clock.ms += 1
    assert other.hold()
    assert not one.hold()
    one.release()
    assert not one.hold(), "it is not one's to release"
    other.release()
    assert one.hold()


def test_it_vanishes_from_the_store_when_nobody_goes_on_with_it() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    Lease(store, b"key", "one", 100, clock).hold()
    assert is_held(store.read([b"key"])[0], clock.ms)
    clock.ms += 200
    assert store.read([b"key"]) == [None]


def test_a_holder_that_died_before_it_gave_it_an_end_blocks_nobody() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    store.put_if_absent(b"key", b"dead 1100")
    other = Lease(store, b"key", "other", 100, clock)
    assert not other.hold()
    clock.ms = 1_100
    assert other.hold()


def test_what_is_not_a_lease_holds_nothing() -> None:
    assert not is_held(None, 0)
    assert not is_held(b"", 0)
    assert not is_held(b"somebody", 0)
    assert not is_held(b"somebody soon", 0)
    assert is_held(b"somebody 1", 0)
    assert not is_held(b"somebody 1", 1)
