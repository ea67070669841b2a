"""Rows of a table as records: what a worker decodes is what stood in the table."""

from datetime import date

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import load_definition
from features.definition.model import Definition
from features.past.history import history_from_table
from features.timestamps import iso8601_times
from stream.demo import examples
from stream.demo.cards import CardWorld, simulate_cards
from stream.demo.machines import Plant, simulate_machines
from stream.demo.messages import iso8601, messages
from stream.pipeline.labels import LabelDecoder
from tests.stream import definitions
from tests.stream.demo.records import FUTURE_LIMIT_MS, batch_of, decoded

CARDS = simulate_cards(CardWorld(date(2025, 1, 1), 2, customers=40, terminals=80, radius=20))


@pytest.fixture(scope="module")
def fraud() -> Definition:
    return load_definition(examples.path("fraud"))


@pytest.mark.parametrize(
    ("name", "table"),
    [("fraud", CARDS), ("maintenance", simulate_machines(Plant(machines=2)))],
    ids=["clock", "sequence"],
)
def test_a_worker_decodes_what_history_reads_from_the_same_table(name: str, table: pa.Table) -> None:
    definition = load_definition(examples.path(name))
    plain = history_from_table(definition, table).events
    order = np.argsort(table[definition.time.field].cast(pa.int64()).to_numpy(), kind="stable")
    live = decoded(definition, batch_of(messages(definition, table.take(order)))).events
    assert live.ids == plain.ids
    assert np.array_equal(live.times, plain.times)
    assert live.keys == plain.keys
    for field in definition.fields:
        assert np.array_equal(live.columns[field.name], plain.columns[field.name]), field.name


def test_events_are_keyed_by_the_topics_entity(fraud: Definition) -> None:
    keys = [key for key, _ in messages(fraud, CARDS).events]
    assert keys == [str(customer).encode() for customer in CARDS["customer_id"].to_pylist()]


def test_a_label_is_complete_and_observed_after_its_delay(fraud: Definition) -> None:
    sent = messages(fraud, CARDS)
    records = [record for record in sent.labels if record is not None]
    labels = LabelDecoder(fraud, future_limit_ms=FUTURE_LIMIT_MS).decode(batch_of(records))
    assert labels.complete.all()
    assert not labels.rejected
    assert labels.ids == sent.ids
    assert labels.labels.tolist() == CARDS["is_fraud"].to_pylist()
    assert (labels.observed_at - labels.times == 7 * 86_400_000).all()
    assert labels.keys["terminal"] == CARDS["terminal_id"].to_pylist()
    assert [key for key, _ in records] == [event_id.encode() for event_id in sent.ids]


def test_an_event_without_a_label_sends_none(fraud: Definition) -> None:
    some = CARDS.set_column(5, "is_fraud", pa.array([1, None, *[0] * (CARDS.num_rows - 2)]))
    sent = messages(fraud, some).labels
    assert [record is None for record in sent[:3]] == [False, True, False]


def test_use_cases_that_derive_their_labels_send_none() -> None:
    table = simulate_machines(Plant(machines=1))
    sent = messages(load_definition(examples.path("maintenance")), table)
    assert sent.labels == [None] * table.num_rows


def test_values_are_written_as_declared_and_missing_ones_as_null() -> None:
    table = pa.table(
        {
            "ticket_id": [1, 2],
            "opened_ms": pa.array([1_700_000_000_000, 1_700_000_000_001], pa.int64()),
            "team": ["a", None],
            "length": pa.array([3, None], pa.int64()),
            "queue": ["fault", None],
        }
    )
    sent = messages(definitions.classes(), table)
    first, second = (msgspec.json.decode(value or b"") for _, value in sent.events)
    assert first == {"ticket_id": "1", "opened_ms": 1_700_000_000_000, "team": "a", "length": 3.0}
    assert second["team"] is None
    assert second["length"] is None
    assert [key for key, _ in sent.events] == [b"a", None]


@given(st.integers(0, 253_402_300_799_999))
def test_times_read_back_as_they_were_written(time_ms: int) -> None:
    assert iso8601_times([iso8601(time_ms)], "UTC").tolist() == [time_ms]
