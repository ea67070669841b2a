"""What a score worker knows of the events before: read again, held, and lost with the store."""

from stream.engine.batch import BatchPolicy
from tests.stream.engine.bench import Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import START_MS, Materializing

# ------------------------------------------------------------------------------------- reading again


def scored_before(bench_: Bench, events: int, materialized: int) -> Materializing:
    """A worker scored so many events and left; the materializer got only so far."""
    bench_.produce_some(events)
    materializer = bench_.materializer()
    materializer.worker.step(materialized, 0)
    worker = bench_.scorer()
    worker.settle()
    worker.source.close()
    assert bench_.committed() == {0: bench_.log_end()}
    return materializer


def test_what_is_not_materialized_is_read_again_without_being_answered_again(one: Bench) -> None:
    scored_before(one, 12, materialized=3)
    worker = one.scorer(batch=BatchPolicy(1, 1))
    assert worker.source.lag() == {}
    worker.loop.step()
    assert worker.source.lag()[0].position == 4
    assert not worker.ownership.caught_up(worker.source.lag())
    while not worker.ownership.caught_up(worker.source.lag()):
        worker.loop.step()
        assert one.committed() == {0: 12}, "a commit must not move the group back"
    assert worker.source.lag()[0].position == 12
    assert one.predicted() == one.events()
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    assert one.predicted() == one.events()
    latest = one.predictions()[-1]
    assert latest["features"]["person_count_1000ms"] == 5.0
    assert latest["degradations"] == ["no_model"]


def test_a_rejected_record_that_is_read_again_stays_one_dead_letter(one: Bench) -> None:
    one.broker.append(EVENTS, b"k", b"?", [], 0)
    scored_before(one, 3, materialized=0)
    assert len(one.dead_letters()) == 1
    worker = one.scorer()
    worker.settle()
    assert len(one.dead_letters()) == 1
    assert worker.value("riverrun_events_total") == 0


def test_a_worker_that_cannot_learn_what_is_materialized_says_what_it_may_lack(one: Bench) -> None:
    materializer = scored_before(one, 6, materialized=3)
    one.store.refusals = 1
    worker = one.scorer()
    worker.settle()
    assert worker.value("riverrun_store_errors_total", cause="store_down") == 1
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    assert "overlay_truncated" in one.predictions()[-1]["degradations"]
    materializer.settle()
    one.produce((START_MS + 21, "p0-0", "front", 1.0))
    worker.settle()
    latest = one.predictions()[-1]
    assert "overlay_truncated" not in latest["degradations"]
    assert latest["features"]["person_count_1000ms"] == 4.0


# ----------------------------------------------------------------------------------------- the store


def test_while_the_store_is_away_the_rules_answer_and_afterwards_nothing_is_missing(one: Bench) -> None:
    one.materializer(group="once").settle()
    worker = one.scorer(batch=BatchPolicy(1, 1))
    one.produce_some(3)
    worker.settle()
    one.store.refusals = 3
    one.produce_some(5)
    worker.settle()
    one.produce_some(1)
    one.clock.ms += 1_000
    worker.settle()
    causes = [p["degradations"] for p in one.predictions()]
    assert causes == [["no_model"]] * 3 + [["store_down"]] * 5 + [["no_model"]]
    assert worker.value("riverrun_store_errors_total", cause="store_down") == 3, "then it is left alone"
    assert worker.value("riverrun_fallbacks_total", source="rules", cause="store_down") == 5
    assert one.predictions()[-1]["features"]["person_count_1000ms"] == 3.0


def test_a_store_that_comes_back_older_than_it_was_seen_is_not_taken_for_whole(one: Bench) -> None:
    one.produce_some(9)
    materializer = one.materializer()
    materializer.worker.step(4, 0)
    saved = one.store.writes
    materializer.settle()
    worker = one.scorer()
    worker.settle()
    assert worker.overlay.size_bytes > 0
    one.produce_some(1)
    worker.settle()  # it has read that 9 are materialized, and forgot them
    one.store.restart(saved)
    one.produce_some(2)
    for _ in range(2):
        worker.loop.step()
    one.produce((START_MS + 20, "p0-0", "front", 1.0))
    worker.settle()
    lacking = one.predictions()[-1]
    assert "overlay_truncated" in lacking["degradations"]
    assert lacking["freshness_ms"] > 0
    materializer.settle()
    one.produce((START_MS + 21, "p0-0", "front", 1.0))
    worker.settle()
    latest = one.predictions()[-1]
    assert latest["degradations"] == ["no_model"]
    assert latest["features"]["person_count_1000ms"] == 6.0


def test_a_partition_of_another_worker_that_was_never_materialized_leaves_freshness_unknown(
    four: Bench,
) -> None:
    four.produce_some(2)
    four.produce_some(2, 1)
    materializer = four.materializer()
    materializer.worker.step(0, 0)
    first, second = four.scorer(), four.scorer()
    first.loop.step()
    second.loop.step()
    first.settle()
    assert first.ownership.owned == {0, 2}
    assert four.predictions() != []
    assert all("freshness_ms" not in p or p["freshness_ms"] is None for p in four.predictions())
