"""What stands beside the rows: the epoch and who witnesses it, progress of the layout before, claims."""

from collections.abc import Callable

import pytest
from msgspec import structs

from features.keys import Namespace
from features.progress import ALWAYS, HistoryClaim, Progress, encode_progress
from features.store import StoreUnavailable
from stream.engine.stored import StoredState, united
from tests.stream.engine.bench import VISITS, Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.stores import NODES, StoreServer, node_of
from tests.stream.engine.workers import START_MS

NAMES = Namespace.of(VISITS)
OLD = Progress(
    epoch="old epoch", offset=4, log_end=6, event_time=START_MS + 3, complete_since=ALWAYS, written_at=0
)


@pytest.fixture
def server() -> StoreServer:
    return StoreServer(lambda: 0)


def epochs(name: str) -> Callable[[], str]:
    numbers = iter(range(100))
    return lambda: f"{name}-{next(numbers)}"


def state_of(server: StoreServer, name: str = "e", ttl_ms: int | None = None) -> StoredState:
    return StoredState(NAMES, server.connect(), lambda: 0, epochs(name), ttl_ms)


def with_layout_before(server: StoreServer) -> None:
    store, before = server.connect(), NAMES.previous()
    store.put_if_absent(before.epoch(), b"old epoch")
    store.advance(before.progress(EVENTS, 0), encode_progress(OLD))


# ------------------------------------------------------------------------------------------------ the epoch


def test_the_first_who_asks_sets_the_epoch_for_all(server: StoreServer) -> None:
    assert state_of(server, "a").read(EVENTS, (0, 1)).epoch == "a-0"
    assert state_of(server, "b").read(EVENTS, ()).epoch == "a-0"


def test_witnesses_stand_on_every_node(server: StoreServer) -> None:
    assert {node_of(key) for key in NAMES.witnesses()} == set(range(NODES))
    assert len(set(NAMES.witnesses())) == len(NAMES.witnesses())


def test_a_lost_witness_ends_the_epoch_for_everybody(server: StoreServer) -> None:
    one, other = state_of(server, "a"), state_of(server, "b")
    one.read(EVENTS, ())
    del server.store._values[NAMES.witnesses()[7]]
    assert other.read(EVENTS, ()).epoch == "b-0"
    assert one.read(EVENTS, ()).epoch == "b-0"


def test_a_crash_between_the_epoch_and_its_witnesses_is_no_way_to_miss_a_loss(server: StoreServer) -> None:
    state_of(server, "a").read(EVENTS, ())
    del server.store._values[NAMES.witnesses()[7]]
    dying = server.connect()
    dying.cut_append = True
    with pytest.raises(StoreUnavailable):
        StoredState(NAMES, dying, lambda: 0, epochs("b"), None).read(EVENTS, ())
    assert state_of(server, "c").read(EVENTS, ()).epoch != "a-0"


def test_progress_that_vanished_is_noticed_by_who_wrote_it(server: StoreServer) -> None:
    state = state_of(server)
    epoch = state.read(EVENTS, (0, 1)).epoch
    assert not state.lost(EVENTS, state.read(EVENTS, (0, 1)))
    state.write(EVENTS, {0: structs.replace(OLD, epoch=epoch)})
    assert not state.lost(EVENTS, state.read(EVENTS, (0, 1)))
    del server.store._values[NAMES.progress(EVENTS, 0)]
    assert state.lost(EVENTS, state.read(EVENTS, (0, 1)))
    assert not state_of(server).lost(EVENTS, state.read(EVENTS, (0, 1))), "others never knew of it"


# --------------------------------------------------------------------------------------- the layout before


def test_progress_of_the_layout_before_is_taken_over_and_its_rows_are_united_with_ours(
    server: StoreServer,
) -> None:
    with_layout_before(server)
    state = state_of(server, ttl_ms=500)
    stored = state.inherited(EVENTS, state.read(EVENTS, (0, 1)))
    assert stored.progress == {0: structs.replace(OLD, epoch=stored.epoch), 1: None}
    assert stored.has_predecessor
    assert server.store._expires_ms[NAMES.predecessor()] == 500


def test_a_namespace_without_a_predecessor_inherits_nothing(server: StoreServer) -> None:
    state = state_of(server)
    stored = state.inherited(EVENTS, state.read(EVENTS, (0,)))
    assert stored.progress == {0: None}
    assert not stored.has_predecessor


def test_the_second_worker_inherits_as_the_first_did_and_nobody_twice(server: StoreServer) -> None:
    with_layout_before(server)
    first, second = state_of(server, "a"), state_of(server, "b")
    known = first.inherited(EVENTS, first.read(EVENTS, (0,))).progress[0]
    assert known is not None
    assert second.inherited(EVENTS, second.read(EVENTS, (0,))).progress == {0: known}
    further = structs.replace(known, offset=5)
    first.write(EVENTS, {0: further})
    assert second.inherited(EVENTS, second.read(EVENTS, (0,))).progress == {0: further}


@pytest.mark.parametrize("lost", ["a witness", "the predecessor", "the epoch"])
def test_what_was_lost_since_is_not_made_up_for_by_the_layout_before(server: StoreServer, lost: str) -> None:
    with_layout_before(server)
    state = state_of(server)
    state.read(EVENTS, (0,))
    names = {
        "a witness": NAMES.witnesses()[7],
        "the predecessor": NAMES.predecessor(),
        "the epoch": NAMES.epoch(),
    }
    del server.store._values[names[lost]]
    assert state.inherited(EVENTS, state.read(EVENTS, (0,))).progress == {0: None}


def test_a_worker_goes_on_where_the_layout_before_ended(one: Bench) -> None:
    one.produce_some(6)
    one.broker.group(EVENTS, "visits.materialize").committed[0] = 4
    with_layout_before(one.store)
    worker = one.materializer()
    worker.settle()
    progress = one.progress_of()
    assert (progress.offset, progress.rebuilding, progress.complete_since) == (6, False, ALWAYS)
    assert sum(len(row) for row in one.rows().values()) == 2 * 2, "the first four are in the old rows"
    assert worker.notices == []


# -------------------------------------------------------------------------------------------------- claims


def claim(since: int, until: int, epoch: str = "e-0") -> HistoryClaim:
    return HistoryClaim(epoch=epoch, since=since, until=until)


def test_claims_that_touch_are_united_and_of_others_the_later_one_stands(server: StoreServer) -> None:
    state = state_of(server)
    state.read(EVENTS, ())
    for one, stands in [
        (claim(50, 60), claim(50, 60)),
        (claim(60, 80), claim(50, 80)),
        (claim(55, 70), claim(50, 80)),
        (claim(10, 20), claim(50, 80)),
        (claim(90, 95), claim(90, 95)),
        (claim(0, 99), claim(0, 99)),
    ]:
        state.claim(one)
        assert state.read(EVENTS, ()).history == stands


def test_a_claim_of_another_epoch_claims_nothing(server: StoreServer) -> None:
    state = state_of(server)
    state.read(EVENTS, ())
    state.claim(claim(1, 2, epoch="before"))
    assert state.read(EVENTS, ()).history is None
    state.claim(claim(5, 6))
    assert state.read(EVENTS, ()).history == claim(5, 6)


def test_which_of_two_claims_comes_first_does_not_matter() -> None:
    for one, other in [(claim(1, 5), claim(3, 9)), (claim(1, 5), claim(7, 9)), (claim(1, 9), claim(2, 3))]:
        assert united(one, other) == united(other, one)
