"""Records of the labels topic."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.event import hash_ids
from stream.pipeline.labels import DecodedLabels, LabelDecoder
from stream.pipeline.rejected import RejectReason
from tests.stream.definitions import (
    ORDER_MS,
    classes,
    clock,
    json_records,
    labelled_sequence,
    records,
    sequence,
)

LABEL: dict[str, Any] = {
    "event_id": "o-1",
    "label": 1,
    "observed_at": "2024-05-08T10:00:00Z",
    "event_time": "2024-05-01T12:00:00",
    "entities": {"buyer": "Ada", "shop": "7", "pair": "Ada\x1f7"},
}
TICKET_LABEL: dict[str, Any] = {"event_id": "t-1", "label": "fault", "observed_at": ORDER_MS}


def _decode(*labels: dict[str, Any], timestamps: int = -1) -> DecodedLabels:
    decoder = LabelDecoder(clock(), future_limit_ms=1000)
    return decoder.decode(json_records(*labels, timestamps=timestamps))


def test_a_whole_label_has_all_that_windows_over_labels_need() -> None:
    labels = _decode(LABEL)
    assert labels.ids == ["o-1"]
    assert labels.hashes.tolist() == hash_ids(["o-1"]).tolist()
    assert labels.times.tolist() == [ORDER_MS]
    assert labels.observed_at.tolist() == [ORDER_MS + 7 * 86_400_000]
    assert labels.labels.tolist() == [1.0]
    assert labels.keys == {"shop": ["7"]}  # the only entity of a window over labels
    assert labels.complete.tolist() == [True]


def test_a_label_with_only_the_id_is_kept_and_incomplete() -> None:
    labels = _decode({name: LABEL[name] for name in ("event_id", "label", "observed_at")})
    assert labels.complete.tolist() == [False]
    assert labels.times.tolist() == [0]
    assert labels.keys == {"shop": [None]}


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        ({"event_time": None}, False),
        ({"entities": None}, False),
        ({"entities": {"buyer": "Ada"}}, False),
        ({"entities": {"shop": "7"}}, True),
        ({"entities": {"shop": None}}, True),
    ],
)
def test_a_label_is_complete_when_it_names_every_entity_that_keeps_labels(
    changes: dict[str, Any], complete: bool
) -> None:
    assert _decode({**LABEL, **changes}).complete.tolist() == [complete]


@pytest.mark.parametrize(("written", "label"), [(0, 0.0), (1, 1.0), (True, 1.0), (False, 0.0), (1.0, 1.0)])
def test_a_binary_label_is_a_boolean_or_0_or_1(written: object, label: float) -> None:
    assert _decode({**LABEL, "label": written}).labels.tolist() == [label]


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"label": 2}, RejectReason.BAD_LABEL, "label"),
        ({"label": 0.5}, RejectReason.BAD_LABEL, "label"),
        ({"label": "1"}, RejectReason.WRONG_TYPE, "label"),
        ({"label": None}, RejectReason.MISSING_FIELD, "label"),
        ({"event_id": None}, RejectReason.MISSING_FIELD, "event_id"),
        ({"event_id": ""}, RejectReason.BAD_ID, "event_id"),
        ({"event_id": "x" * 257}, RejectReason.BAD_ID, "event_id"),
        ({"observed_at": None}, RejectReason.MISSING_FIELD, "observed_at"),
        ({"observed_at": "later"}, RejectReason.BAD_TIME, "observed_at"),
        ({"event_time": "then"}, RejectReason.BAD_TIME, "event_time"),
        ({"entities": {"shop": "x" * 513}}, RejectReason.BAD_KEY, "entities.shop"),
        ({"entities": {"shop": 7}}, RejectReason.WRONG_TYPE, "entities"),
    ],
)
def test_what_is_no_label_says_why(changes: dict[str, Any], reason: RejectReason, field: str) -> None:
    labels = _decode({**LABEL, **changes})
    assert len(labels) == 0
    (rejected,) = labels.rejected
    assert (rejected.reason, rejected.field) == (reason, field)


def test_a_label_observed_far_ahead_of_its_record_could_never_be_corrected_and_is_rejected() -> None:
    observed_ms = ORDER_MS + 7 * 86_400_000
    assert len(_decode(LABEL, timestamps=observed_ms - 1000)) == 1
    (rejected,) = _decode(LABEL, timestamps=observed_ms - 1001).rejected
    assert (rejected.reason, rejected.field) == (RejectReason.FUTURE_TIME, "observed_at")


def test_a_class_is_stored_by_its_place_and_an_unknown_one_rejected() -> None:
    decoder = LabelDecoder(classes(), future_limit_ms=0)
    labels = decoder.decode(json_records(TICKET_LABEL, {**TICKET_LABEL, "label": "lost"}))
    assert labels.labels.tolist() == [1.0]
    assert labels.index.tolist() == [0]
    assert [(r.index, r.reason) for r in labels.rejected] == [(1, RejectReason.BAD_LABEL)]


def test_a_label_of_a_regression_is_a_number_and_its_times_are_those_of_the_sequence() -> None:
    label = {"event_id": "3\x1f12", "label": 0.75, "observed_at": 20, "event_time": 12, "entities": {}}
    decoder = LabelDecoder(labelled_sequence(), future_limit_ms=0)
    labels = decoder.decode(json_records(label, {**label, "observed_at": 2**53}, timestamps=0))
    assert (labels.times.tolist(), labels.observed_at.tolist(), labels.labels.tolist()) == (
        [12],
        [20],
        [0.75],
    )
    assert labels.complete.tolist() == [True]
    assert [(r.reason, r.field) for r in labels.rejected] == [(RejectReason.BAD_TIME, "observed_at")]


def test_a_use_case_that_derives_its_labels_reads_none() -> None:
    with pytest.raises(ValueError, match="pumps derives its labels"):
        LabelDecoder(sequence(), future_limit_ms=0)


def test_labels_are_picked_by_index() -> None:
    labels = _decode(LABEL, {**LABEL, "event_id": "o-2", "label": 0})
    picked = labels.take(np.array([1]))
    assert picked.ids == ["o-2"]
    assert picked.labels.tolist() == [0.0]
    assert picked.keys == {"shop": ["7"]}


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2), st.text(max_size=3), st.just({"shop": "é" * 300})
)


@st.composite
def _values(draw: st.DrawFn) -> bytes | None:
    if draw(st.booleans()):
        return draw(st.one_of(st.none(), st.binary(max_size=30)))
    label = dict(LABEL)
    for name in draw(st.lists(st.sampled_from(sorted(LABEL)), max_size=2)):
        label[name] = draw(_ODD)
    return msgspec.json.encode(label)


@given(st.lists(_values(), max_size=5))
def test_every_record_becomes_a_label_or_a_rejection_as_it_would_alone(values: list[bytes | None]) -> None:
    decoder = LabelDecoder(clock(), future_limit_ms=0)
    together = decoder.decode(records(values))
    places = sorted([*together.index.tolist(), *[r.index for r in together.rejected]])
    assert places == list(range(len(values)))
    alone = [decoder.decode(records([value])) for value in values]
    assert together.ids == [i for one in alone for i in one.ids]
    assert together.labels.tolist() == [label for one in alone for label in one.labels.tolist()]
    assert together.complete.tolist() == [c for one in alone for c in one.complete.tolist()]
    assert [(r.reason, r.field) for r in together.rejected] == [
        (r.reason, r.field) for one in alone for r in one.rejected
    ]
