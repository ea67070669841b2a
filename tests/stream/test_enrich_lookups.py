"""What a prediction is told of its lookups."""

from collections.abc import Sequence

import numpy as np

from features.definition.model import Definition
from features.event import EventBatch, hash_ids, pack_positions
from features.lookup.request import request_lookups
from stream.pipeline.causes import Cause
from stream.pipeline.enrich import Enriched, look_up
from tests.features.lookup_cases import DAY_MS, DEFINITION, NOW_MS, SEQUENCE, batch


def enriched(
    definition: Definition, events: EventBatch, stored: Sequence[bytes | None], now_ms: int = NOW_MS
) -> Enriched:
    """stored: by key of the request."""
    n = len(events)
    before = Enriched({}, np.full(n, int(Cause.BEHIND)), np.ones(n, np.bool_), np.zeros(n))
    return look_up(before, definition, events, request_lookups(definition, events, {}), stored, now_ms)


def cycles(*pumps: str) -> EventBatch:
    n = len(pumps)
    ids = [f"{at}" for at in range(n)]
    columns = {"pump": np.arange(n) + 0.0, "cycle": np.arange(n) + 0.0}
    positions = pack_positions(np.zeros(n, np.int64), np.arange(n))
    return EventBatch(ids, hash_ids(ids), np.arange(n), positions, columns, {"pump": list(pumps)})


def test_a_missing_key_is_stamped_as_such_beside_what_was_known_before() -> None:
    found = enriched(DEFINITION, batch([(NOW_MS, "ann", None)]), [b'{"written_at": %d}' % NOW_MS])
    assert found.causes.tolist() == [Cause.BEHIND | Cause.KEY_MISSING]
    assert found.usable.tolist() == [True]


def test_a_lookup_that_lacks_is_stamped_and_leaves_the_model_to_answer() -> None:
    found = enriched(DEFINITION, batch([(NOW_MS, "ann", 1)]), [b"?", None])
    assert found.causes.tolist() == [Cause.BEHIND | Cause.LOOKUP_MISSING | Cause.LOOKUP_UNREADABLE]
    assert found.usable.tolist() == [True]


def test_without_a_clock_values_age_by_the_workers() -> None:
    value = b'{"built": 1999, "written_at": %d}' % NOW_MS
    young = enriched(SEQUENCE, cycles("3"), [value], NOW_MS + DAY_MS)
    assert young.lookups["pump_built"].tolist() == [1999.0]
    old = enriched(SEQUENCE, cycles("3"), [value], NOW_MS + DAY_MS + 1)
    np.testing.assert_array_equal(old.lookups["pump_built"], [np.nan])
    assert old.causes.tolist() == [Cause.BEHIND | Cause.LOOKUP_MISSING]


def test_with_a_clock_values_age_by_the_events() -> None:
    value = b'{"credit_limit": 5, "written_at": %d}' % NOW_MS
    late = enriched(DEFINITION, batch([(NOW_MS + DAY_MS, "ann", None)]), [value], NOW_MS + 99 * DAY_MS)
    assert late.lookups["customer_credit_limit"].tolist() == [5.0]
