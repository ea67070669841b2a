"""What a partition's progress claims, and for what moment."""

from stream.engine.completeness import Found, Held, LogEnd, Reach, from_the_start, idle, passed

FOUND = Found(committed=0, log=(0, 0), life="one", awaits_history=False, now_ms=1_000)


def begun() -> Held:
    return from_the_start("epoch", FOUND, claimed_since=None)


def test_a_worker_that_was_stopped_does_not_say_that_the_log_ends_now_where_it_ended_then() -> None:
    held = idle(begun(), LogEnd(0, at_ms=5_000), now_ms=60_000, by_the_clock=True)
    assert held.progress.at_end
    assert held.progress.written_at == 5_000
    told = idle(held, LogEnd(0, at_ms=59_900), now_ms=60_000, by_the_clock=True)
    assert told.progress.written_at == 59_900


def test_what_it_had_fetched_before_it_was_stopped_is_not_all_there_is_now() -> None:
    held = passed(begun(), Reach(7, 100, 4_900), LogEnd(7, at_ms=5_000), now_ms=60_000)
    assert held.progress.at_end
    assert held.progress.written_at == 5_000


def test_progress_that_is_known_to_be_behind_is_as_old_as_its_writing() -> None:
    held = passed(begun(), Reach(7, 100, 4_900), LogEnd(9, at_ms=5_000), now_ms=60_000)
    assert not held.progress.at_end
    assert held.progress.written_at == 60_000
    assert idle(held, LogEnd(9, at_ms=5_000), 61_000, by_the_clock=True).progress.written_at == 61_000


def test_a_backlog_worked_off_is_not_all_there_is_now_either() -> None:
    held = passed(begun(), Reach(7, 100, 4_900), LogEnd(9, at_ms=5_000), now_ms=60_000)
    reached = passed(held, Reach(9, 100, 4_900), LogEnd(9, at_ms=50_000), now_ms=61_000)
    assert reached.progress.at_end
    assert reached.progress.written_at == 50_000


def test_a_claim_of_being_at_the_end_never_grows_older_nor_comes_from_the_future() -> None:
    held = idle(begun(), LogEnd(0, at_ms=50_000), now_ms=60_000, by_the_clock=True)
    again = idle(held, LogEnd(0, at_ms=40_000), now_ms=61_000, by_the_clock=True)
    assert again.progress.written_at == 50_000
    ahead = idle(again, LogEnd(0, at_ms=99_000), now_ms=62_000, by_the_clock=True)
    assert ahead.progress.written_at == 62_000
